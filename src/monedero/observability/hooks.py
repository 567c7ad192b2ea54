"""Everything that the wiring hands to the rooms below: none of them knows what is behind it."""

from collections.abc import Callable
from typing import Protocol

import msgspec
from starlette.routing import BaseRoute

from monedero.api.protocol import ignore_refusal
from monedero.engine.engine import Engine
from monedero.engine.expirer import unheard
from monedero.engine.observer import Observer
from monedero.observability.health import Health
from monedero.observability.middleware import Tracer, Watcher
from monedero.observability.sampling import Sampler
from monedero.observability.self_audit import Audited
from monedero.storage.store import Store


def _ignore(_: Audited) -> None:
    pass


def _as_it_is(engine: Engine) -> Engine:
    return engine


class Background(Protocol):
    """What goes on beside the service."""

    def start(self) -> None:
        """Start, on the running loop."""

    async def stop(self) -> None:
        """Stop."""


class Hooks(msgspec.Struct):
    """The store as the engine is to see it, who hears of batches and answers, and pages around the API.

    `on_refused` hears the status of what is refused before there is a request; `connections`, which the server sets,
    tells how many are open. `on_holds` hears how many holds are open, and how many should have ended.
    `around_engine` gives the engine as requests are to see it. What is `at_end` may take long.
    """

    store: Store
    sampler: Sampler
    health: Health
    observers: list[Observer] = []
    watchers: list[Watcher] = []
    around: list[BaseRoute] = []
    on_refused: Callable[[int], None] = ignore_refusal
    on_audited: Callable[[Audited], None] = _ignore
    on_holds: Callable[[int, int], None] = unheard
    connections: Callable[[], int] = int
    tracer: Tracer | None = None
    around_engine: Callable[[Engine], Engine] = _as_it_is
    background: list[Background] = []
    at_end: list[Callable[[], None]] = []
