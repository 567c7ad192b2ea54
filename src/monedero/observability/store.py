"""A store that is timed: the same port, each operation told by its name and how long it took.

What the port has is passed on by name, so that an operation that is new there needs nothing here.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from inspect import iscoroutinefunction
from typing import Any, Protocol, cast

from monedero.storage.store import Queries, Store, Transaction


class StoreObserver(Protocol):
    """Is called on the event loop after each operation."""

    def __call__(self, operation: str, seconds: float, failed: bool) -> None:
        """Hear of one operation."""


class ObservedStore:
    """A store, watched."""

    def __init__(self, store: Store, observers: Sequence[StoreObserver]) -> None:
        self._store = store
        self._observers = observers
        self.queries = cast("Queries", _Timed(store.queries, self.tell))

    def as_store(self) -> Store:
        """Return itself as what it stands for: it passes on what it does not time."""
        return cast("Store", self)

    def tell(self, operation: str, began: float, failed: bool = False) -> None:
        """Tell of an operation that began at a time of `time.perf_counter` and ended now."""
        seconds = time.perf_counter() - began
        for observer in self._observers:
            observer(operation, seconds, failed)

    async def queries_at(self, position: int) -> Queries | None:
        """See Store.queries_at."""
        queries = await self._store.queries_at(position)
        return None if queries is None else cast("Queries", _Timed(queries, self.tell))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """See Store.transaction. What happens at its end is the commit; a batch without events commits nothing."""
        began, failed = 0.0, True
        try:
            async with self._store.transaction() as transaction:
                yield cast("Transaction", _Timed(transaction, self.tell))
                began = time.perf_counter()
            failed = False
        finally:
            if began:
                self.tell("commit", began, failed)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        return getattr(self._store, name)


class _Timed:
    """Whatever has asynchronous methods, each of them timed; wrapped at its first use."""

    def __init__(self, target: object, tell: Callable[[str, float, bool], None]) -> None:
        self._target = target
        self._tell = tell

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the target has
        method, tell = getattr(self._target, name), self._tell
        if not iscoroutinefunction(method):
            return method

        async def timed(*arguments: object, **named: object) -> object:
            began = time.perf_counter()
            try:
                answer = await cast("Awaitable[object]", method(*arguments, **named))
            except Exception:
                tell(name, began, True)  # noqa: FBT003 - it failed
                raise
            tell(name, began, False)  # noqa: FBT003 - it did not
            return answer

        setattr(self, name, timed)
        return timed
