"""Everything that the wiring hands to the rooms below: none of them knows what is behind it."""

from collections.abc import Callable

import msgspec
from starlette.routing import BaseRoute

from monedero.api.protocol import ignore_refusal
from monedero.engine.engine import Engine
from monedero.engine.observer import Observer
from monedero.observability.health import Health
from monedero.observability.middleware import Tracer, Watcher
from monedero.observability.sampling import Sampler
from monedero.storage.store import Store


def _as_it_is(engine: Engine) -> Engine:
    return engine


class Hooks(msgspec.Struct):
    """The store as the engine is to see it, who hears of batches and answers, and pages around the API.

    `on_refused` hears the status of what is refused before there is a request; `connections`, which the server sets,
    tells how many are open. `around_engine` gives the engine as requests are to see it. What is `at_end` may take long.
    """

    store: Store
    sampler: Sampler
    health: Health
    observers: list[Observer] = []
    watchers: list[Watcher] = []
    around: list[BaseRoute] = []
    on_refused: Callable[[int], None] = ignore_refusal
    connections: Callable[[], int] = int
    tracer: Tracer | None = None
    around_engine: Callable[[Engine], Engine] = _as_it_is
    at_end: list[Callable[[], None]] = []
