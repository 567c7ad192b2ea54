"""The server of one process: uvicorn over our application, with our limits."""

import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable

import click
import uvicorn

from monedero.api.protocol import ConnectionLimits, limited_protocol
from monedero.bootstrap import application, open_store
from monedero.settings import Settings
from monedero.storage.store import StoreError

SWITCH_INTERVAL_SECONDS = 0.000_05
"""How soon the event loop gives way to the writer's thread, which has little to do before the disk has its turn.

Python's own 5 ms are longer than a whole commit, so that the disk would wait for the loop each time.
"""
FILES_BESIDE_CONNECTIONS = 128
DRAIN_SECONDS = 1
"""For requests that are being answered when the service stops; what was queued is committed all the same."""
FAILED = 1


def run_server(settings: Settings, listener: socket.socket, on_started: Callable[[], None]) -> int:
    """Serve until a signal says stop; return the exit code: 1 says that the disk failed and writing had to stop.

    Raises SettingsError, StoreUnavailableError, KeyringError.
    """
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # Lost connections are ours to tell of, in our words.
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    _allow_files(settings.connection_limit)
    store = open_store(settings)
    broken: list[StoreError] = []
    server: Server

    def on_broken(error: StoreError) -> None:
        broken.append(error)
        server.should_exit = True

    server = Server(settings, application(settings, store, on_broken), on_started)
    for stop in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops on these, then raises them again to whom they belonged: to us they say nothing more.
        signal.signal(stop, lambda *_: None)
    server.run(sockets=[listener])
    if broken:
        click.echo(f"monedero: {broken[0]}; writing stopped, start again once the disk is well", err=True)
    return FAILED if broken or not server.started else 0


class Server(uvicorn.Server):
    """uvicorn with our limits on a connection; it tells when it listens."""

    def __init__(self, settings: Settings, app: object, on_started: Callable[[], None]) -> None:
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
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, freeze what start-up made out of the collector's sight, and tell."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        if self.started:
            self._on_started()


def _allow_files(connections: int) -> None:
    """Raise our own limit of open files, as far as the system lets us, so that each connection can have one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + FILES_BESIDE_CONNECTIONS
    if soft < needed:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else min(needed, hard), hard)
        )
