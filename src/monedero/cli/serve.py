"""The command `monedero serve`."""

import ipaddress
import socket
import sys

import click

from monedero import __version__
from monedero.cli.common import database_option, one_sentence
from monedero.cli.server import run_server
from monedero.cli.workers import supervise
from monedero.settings import Settings, SettingsError, load_settings
from monedero.stores import ledger_name, open_keyring, open_store

BACKLOG_CONNECTIONS = 2048


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
@click.option(
    "--workers", type=int, help="Processes that serve side by side; more than 1 needs PostgreSQL.  [default: 1]"
)
@one_sentence()
def serve(
    host: str | None, port: int | None, database_url: str | None, insecure_allow_open: bool | None, workers: int | None
) -> None:
    """Serve the API.

    The ledger must exist: `monedero migrate` makes it. Ctrl-C or SIGTERM finishes what was accepted and stops with
    exit code 0; exit code 1 says that the disk failed and writing had to stop.
    """
    settings = load_settings(
        host=host, port=port, database_url=database_url, insecure_allow_open=insecure_allow_open, workers=workers
    )
    listeners = _listen(settings)
    banner = _banner(settings, listeners[0])
    if settings.workers == 1:
        sys.exit(run_server(settings, listeners[0], lambda: click.echo(banner)))
    open_store(settings)  # So that what is wrong with it is said once; it has connected nothing that stays.
    open_keyring(settings)
    sys.exit(supervise(settings, listeners, lambda: click.echo(banner)))


def _listen(settings: Settings) -> list[socket.socket]:
    """Bind the address, once for each worker. Raises SettingsError: taken, not ours, or open to strangers."""
    host, port = settings.host, settings.port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        loopback = ipaddress.ip_address(address[0]).is_loopback
        if not loopback and not settings.insecure_allow_open:
            raise SettingsError(
                f"The API asks nobody who they are, so it is not served on {host}: serve loopback and put something "
                "that does in front, or say --insecure-allow-open"
            )
        first = socket.create_server((host, port), family=family, backlog=BACKLOG_CONNECTIONS)
        if settings.workers == 1:
            return [first]
        # Only now is it known that the port is nobody else's: who shares ports could share a stranger's.
        address = (host, first.getsockname()[1])
        first.close()
        return [
            socket.create_server(address, family=family, backlog=BACKLOG_CONNECTIONS, reuse_port=True)
            for _ in range(settings.workers)
        ]
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # The rest says the address again.
        raise SettingsError(f"Cannot listen on {host} port {port}: {reason}; --port takes another one") from None


def _banner(settings: Settings, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    base = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    return f"""\
Monedero {__version__} serves the ledger in {ledger_name(settings)}

  interactive API page   {base}/docs
  a first call           curl {base}/customers -H 'content-type: application/json' \\
                           -d '{{"name": "Ada", "last_name": "Lovelace", "email": "ada@example.com"}}'

Ctrl-C finishes what was accepted and stops."""
