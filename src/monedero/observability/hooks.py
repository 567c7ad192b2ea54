"""Everything that the wiring hands to the rooms below: none of them knows what is behind it."""

from collections.abc import Callable, Sequence

import msgspec
from starlette.routing import BaseRoute

from monedero.engine.observer import Observer
from monedero.observability.health import Health
from monedero.observability.middleware import Watcher
from monedero.observability.sampling import Sampler
from monedero.storage.store import Store


class Hooks(msgspec.Struct, frozen=True):
    """The store as the engine is to see it, who hears of batches and answers, pages around the API, and the samples.

    `on_refused` hears the status of what is refused before there is a request, `on_connections` now and then how many
    are open.
    """

    store: Store
    sampler: Sampler
    health: Health
    on_refused: Callable[[int], None]
    on_connections: Callable[[float], None]
    observers: Sequence[Observer] = ()
    watchers: Sequence[Watcher] = ()
    around: Sequence[BaseRoute] = ()
