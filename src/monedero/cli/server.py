"""The server of one process: uvicorn over our application, with our limits."""

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextvars import Context
from types import FrameType

import uvicorn

from monedero.api.protocol import ConnectionLimits, ignore_refusal, limited_protocol
from monedero.bootstrap import application, configure_logs, observability
from monedero.observability.audit_log import AuditLog
from monedero.observability.hooks import Hooks
from monedero.observability.shared import Place
from monedero.settings import Settings
from monedero.storage.store import StoreError
from monedero.stores import ledger_name, open_store

SWITCH_INTERVAL_SECONDS = 0.000_05
"""How soon the event loop gives way to the writer's thread, which has little to do before the disk has its turn.

Python's own 5 ms are longer than a whole commit, so that the disk would wait for the loop each time.
"""
COLLECT_AFTER_OBJECTS = 10_000
"""More alive than before: next to nothing of a request is part of a cycle, so that looking sooner finds nothing."""
FILES_BESIDE_CONNECTIONS = 128
DRAIN_SECONDS = 1
"""For requests that are being answered when the service stops; as long again for their clients to take the answers.

What was queued is committed all the same.
"""
FAILED = 1

_logger = logging.getLogger(__name__)


def run_server(
    settings: Settings, listener: socket.socket, on_started: Callable[[], None], place: Place | None = None
) -> int:
    """Serve until a signal says stop; return the exit code: 1 says that the disk failed and writing had to stop.

    `place` is that of a worker among several.
    Raises SettingsError, StoreUnavailableError, KeyringError.
    """
    configure_logs(settings)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # Lost connections are ours to tell of, in our words.
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    _allow_files(settings.connection_limit)
    store = open_store(settings)
    hooks = observability(settings, store, place)
    AuditLog(settings.audit_log).note(
        "monedero serve", "unknown", ledger=ledger_name(settings), settings=settings.shown()
    )
    broken: list[StoreError] = []
    server: Server

    def on_broken(error: StoreError) -> None:
        broken.append(error)
        server.should_exit = True

    server = Server(settings, application(settings, store, on_broken, hooks), on_started, hooks)
    hooks.connections = lambda: len(server.server_state.connections)
    for stop in (signal.SIGINT, signal.SIGTERM):
        # uvicorn stops on these, then raises them again to whom they belonged: to us they say nothing more.
        signal.signal(stop, lambda *_: None)
    server.run(sockets=[listener])
    _logger.info("stopped")
    if broken:
        _logger.critical("%s; writing stopped, start again once the disk is well", broken[0])
    return FAILED if broken or not server.started else 0


class Server(uvicorn.Server):
    """uvicorn with our limits on a connection; it tells when it listens."""

    def __init__(
        self,
        settings: Settings,
        app: object,
        on_started: Callable[[], None],
        hooks: Hooks | None = None,
    ) -> None:
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
                http=limited_protocol(limits, hooks.on_refused if hooks else ignore_refusal),
                ws="none",
                loop="uvloop",
                lifespan="on",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=settings.keep_alive_seconds,
            )
        )
        self._on_started = on_started
        self._on_stopping = hooks.health.stop if hooks else lambda: None
        self._unready_seconds = settings.unready_seconds
        self._leaves_at = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, freeze what start-up made out of the collector's sight, and tell."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER_OBJECTS)
        if self.started:
            _logger.info("serving")
            self._on_started()
        if self.should_exit and self.started:
            await self.main_loop()  # The signal came before it, and uvicorn would leave at once.

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop as uvicorn does, which then waits for every request and connection: those that take long are ended.

        Its own limit would end requests too, but not wait for what they have to say to their clients then.
        """
        loop = asyncio.get_running_loop()
        loop.call_later(DRAIN_SECONDS, self._end_requests)
        loop.call_later(2 * DRAIN_SECONDS, self._cut_off)
        await super().shutdown(sockets)

    def _end_requests(self) -> None:
        """Cancel what is being answered: the client hears that the service stops."""
        if tasks := self.server_state.tasks:
            _logger.info("ending requests that are still being answered: %d", len(tasks))
        for task in tasks:
            task.cancel()

    def _cut_off(self) -> None:
        """Close every connection, whatever its client has not taken or sent yet."""
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
        self._end_requests()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Say that no more requests should come, and leave in a while; at a second signal, now."""
        if self.should_exit:
            self._leaves_at = 0.0
            return
        Context().run(_logger.info, "stopping")  # A signal interrupts a request, whose line this is not.
        self._on_stopping()
        self._leaves_at = time.monotonic() + self._unready_seconds
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Tell whether it is time to leave."""
        return await super().on_tick(counter) and time.monotonic() >= self._leaves_at


def _allow_files(connections: int) -> None:
    """Raise our own limit of open files, as far as the system lets us, so that each connection can have one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + FILES_BESIDE_CONNECTIONS
    if soft < needed:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else min(needed, hard), hard)
        )
