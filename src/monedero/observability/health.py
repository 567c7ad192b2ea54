"""Whether the process lives, has started, and should be sent requests: for orchestrators and balancers.

The store is asked once a second in the background, so that a probe costs nothing and cannot be used to load it.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monedero import __version__
from monedero.engine.engine import Engine
from monedero.storage.store import Store, StoreError

INTERVAL_SECONDS = 1.0
PATIENCE_SECONDS = 2.0
"""For an answer of the store; one that takes longer is as good as none."""

UNASKED = "it has not been asked yet"

_HEADERS = {"content-type": "application/health+json", "cache-control": "no-store"}
_logger = logging.getLogger(__name__)


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at; `output` says why it fails."""

    status: str
    time: str
    output: str = ""


class Report(msgspec.Struct, frozen=True, rename="camel"):
    """The body of every answer: draft-inadarei-api-health-check."""

    status: str
    release_id: str
    checks: dict[str, list[Check]]


class Health:
    """What is known of the health of this process, once it is `attached` to its engine."""

    def __init__(self, store: Store, queue_limit: int) -> None:
        self._store = store
        self._queue_limit = queue_limit
        self._engine: Engine | None = None
        self._stopping = False
        self._store_fails = UNASKED
        self._asked_at = _now()
        self._task: asyncio.Task[None] | None = None
        self._ping: asyncio.Task[None] | None = None
        self.routes = [
            Route("/health/live", self._page("engine:running")),
            Route("/health/startup", self._page("service:started")),
            Route("/health/ready", self._page(*READY)),
        ]

    async def start(self, engine: Engine) -> None:
        """Ask the store, and go on doing so for as long as the service runs."""
        self._engine = engine
        await self._ask()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="monedero-health")

    def stop(self) -> None:
        """Say from now on that no more requests should come. Safe in a signal's handler."""
        self._stopping = True

    async def close(self) -> None:
        """Ask no more."""
        self.stop()
        for task in (self._task, self._ping):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError, StoreError):
                    await task

    @property
    def ready(self) -> bool:
        """Whether requests should come."""
        return not any(self._fails(name) for name in READY)

    def _fails(self, name: str) -> str:
        """Return why a check fails; an empty text if it does not."""
        engine = self._engine
        match name:
            case "engine:running" if engine and not engine.running:
                return "the engine has ended"
            case "service:started" if not engine:
                return "the service has not started"
            case "service:accepting" if self._stopping or (engine and engine.stopped):
                return "the service is stopping"
            case "queue:room" if engine and engine.waiting >= self._queue_limit:
                return "the queue of commands is full"
            case "store:reachable":
                return self._store_fails
            case _:
                return ""

    def _page(self, *names: str) -> Callable[[Request], Response]:
        async def answer(_: Request) -> Response:
            fails = {name: self._fails(name) for name in names}
            checks = {
                name: [Check("fail" if why else "pass", self._asked_at if name == "store:reachable" else _now(), why)]
                for name, why in fails.items()
            }
            failed = any(fails.values())
            status = HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK
            report = Report("fail" if failed else "pass", __version__, checks)
            return Response(msgspec.json.encode(report), status, _HEADERS)

        return answer  # type: ignore[return-value]

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self._ask()

    async def _ask(self) -> None:
        before = self._store_fails
        if self._ping is None:
            self._ping = asyncio.get_running_loop().create_task(self._store.ping())
        # Not cancelled when it takes too long: a driver that is cancelled asks the silent server to cancel, and waits.
        await asyncio.wait({self._ping}, timeout=PATIENCE_SECONDS)
        if self._ping.done():
            error, self._ping = self._ping.exception(), None
            self._store_fails = str(error) or type(error).__name__ if error else ""
        else:
            self._store_fails = f"the store has not answered within {PATIENCE_SECONDS:g} seconds"
        self._asked_at = _now()
        if self._store_fails and not before:
            _logger.warning("the store does not answer: %s", self._store_fails)
        if before not in {"", UNASKED} and not self._store_fails:
            _logger.info("the store answers")


READY = ("service:started", "service:accepting", "queue:room", "store:reachable")
"""What must be well for requests to come."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
