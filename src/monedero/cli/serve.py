"""The command `monedero serve`."""

import gc
import ipaddress
import resource
import signal
import socket
import sys

import click
import uvicorn

from monedero import __version__
from monedero.api.protocol import ConnectionLimits, limited_protocol
from monedero.bootstrap import application, database_path, open_store
from monedero.cli.common import database_option, one_sentence
from monedero.settings import Settings, SettingsError, load_settings
from monedero.storage.store import StoreError

BACKLOG_CONNECTIONS = 2048
SWITCH_INTERVAL_SECONDS = 0.000_05
"""How soon the event loop gives way to the writer's thread, which has little to do before the disk has its turn.

Python's own 5 ms are longer than a whole commit, so that the disk would wait for the loop each time.
"""
FILES_BESIDE_CONNECTIONS = 128
DRAIN_SECONDS = 1
"""For requests that are being answered when the service stops; what was queued is committed all the same."""


@click.command()
@click.option("--host", metavar="ADDRESS", help="The address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="The port to listen on; 0 takes a free one.  [default: 8000]")
@database_option
@click.option(
    "--insecure-allow-open",
    is_flag=True,
    default=None,
    help="Serve an address other than loopback, though the API asks nobody who they are.",
)
@one_sentence()
def serve(host: str | None, port: int | None, database_url: str | None, insecure_allow_open: bool | None) -> None:
    """Serve the API.

    The ledger must exist: `monedero migrate` makes it. Ctrl-C or SIGTERM finishes what was accepted and stops with
    exit code 0; exit code 1 says that the disk failed and writing had to stop.
    """
    settings = load_settings(host=host, port=port, database_url=database_url, insecure_allow_open=insecure_allow_open)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    _allow_files(settings.connection_limit)
    listener = _listen(settings)
    store = open_store(settings)
    broken: list[StoreError] = []
    server: Server

    def on_broken(error: StoreError) -> None:
        broken.append(error)
        server.should_exit = True

    server = Server(settings, application(settings, store, on_broken), listener)
    for stop in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops on these, then raises them again to whom they belonged: to us they say nothing more.
        signal.signal(stop, lambda *_: None)
    server.run(sockets=[listener])
    if broken:
        click.echo(f"monedero: {broken[0]}; writing stopped, start again once the disk is well", err=True)
    if broken or not server.started:
        sys.exit(1)


class Server(uvicorn.Server):
    """uvicorn with our limits on a connection; it says where to go once it listens."""

    def __init__(self, settings: Settings, app: object, listener: socket.socket) -> None:
        limits = ConnectionLimits(
            settings.header_limit_bytes,
            settings.header_timeout_seconds,
            settings.body_timeout_seconds,
            settings.write_timeout_seconds,
            settings.connection_limit,
        )
        super().__init__(
            uvicorn.Config(
                app,  # type: ignore[arg-type]
                http=limited_protocol(limits),
                ws="none",
                loop="uvloop",
                lifespan="on",
                access_log=False,
                log_level="warning",
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=settings.keep_alive_seconds,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        self._settings = settings
        self._listener = listener

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, freeze what start-up made out of the collector's sight, and say where to go."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        if self.started:
            click.echo(_banner(self._settings, self._listener))


def _allow_files(connections: int) -> None:
    """Raise our own limit of open files, as far as the system lets us, so that each connection can have one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + FILES_BESIDE_CONNECTIONS
    if soft < needed:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else min(needed, hard), hard)
        )


def _listen(settings: Settings) -> socket.socket:
    """Bind the address. Raises SettingsError: taken, not ours, or open to strangers."""
    host, port = settings.host, settings.port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        loopback = ipaddress.ip_address(address[0]).is_loopback
        if not loopback and not settings.insecure_allow_open:
            raise SettingsError(
                f"The API asks nobody who they are, so it is not served on {host}: serve loopback and put something "
                "that does in front, or say --insecure-allow-open"
            )
        return socket.create_server((host, port), family=family, backlog=BACKLOG_CONNECTIONS)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # The rest says the address again.
        raise SettingsError(f"Cannot listen on {host} port {port}: {reason}") from None


def _banner(settings: Settings, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    return f"""\
Monedero {__version__} serves the ledger in {database_path(settings)}

  interactive API page   {base}/docs
  a first call           curl {base}/customers -H 'content-type: application/json' \\
                           -d '{{"name": "Ada", "last_name": "Lovelace", "email": "ada@example.com"}}'

Ctrl-C finishes what was accepted and stops."""
