"""Everything that the wiring hands to the rooms below: none of them knows what is behind it."""

from collections.abc import Callable

import msgspec
from starlette.routing import BaseRoute

from monedero.api.protocol import ignore_refusal
from monedero.engine.observer import Observer
from monedero.observability.health import Health
from monedero.observability.middleware import Watcher
from monedero.observability.sampling import Sampler
from monedero.storage.store import Store


class Hooks(msgspec.Struct):
    """The store as the engine is to see it, who hears of batches and answers, and pages around the API.

    `on_refused` hears the status of what is refused before there is a request; `connections`, which the server sets,
    tells how many are open.
    """

    store: Store
    sampler: Sampler
    health: Health
    observers: list[Observer] = []
    watchers: list[Watcher] = []
    around: list[BaseRoute] = []
    on_refused: Callable[[int], None] = ignore_refusal
    connections: Callable[[], int] = int
