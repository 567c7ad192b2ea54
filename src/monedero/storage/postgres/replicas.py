"""Where a read goes: to a replica that is fresh enough, else to the primary.

Every so often each replica is asked how long its log is. What it is held against is how long the primary's was one
round earlier: a replica that has not caught up with that is too far behind.
"""

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import TypeVar

from monedero.storage.postgres.migrate import require_ready
from monedero.storage.postgres.pool import Pool, Query
from monedero.storage.postgres.reader import Reader
from monedero.storage.store import StoreUnavailableError

POLL_SECONDS = 0.01
"""Between two looks at a replica that a client waits for."""

Answer = TypeVar("Answer")
_logger = logging.getLogger(__name__)


class Replica:
    """A replica and what is known of it.

    `size`, of its log, only grows; `usable` and `lag`, in events, are what the last round found.
    """

    def __init__(self, pool: Pool, number: int) -> None:
        self.pool = pool
        self.reader = Reader(pool.ask)
        self.number = number
        self.size = 0
        self.lag = 0
        self.usable = False

    async def look(self) -> int:
        """Ask how long the log is there. Raises StoreUnavailableError."""
        self.size = max(self.size, await self.reader.size())
        return self.size


class Router:
    """Chooses for each query. Counts `replica_lost`, `replica_behind` and `replica_reads`."""

    def __init__(
        self, primary: Pool, replicas: list[Pool], *, lag_seconds: float, wait_seconds: float, counts: Counter[str]
    ) -> None:
        """`lag_seconds` is about how far a replica may be behind, `wait_seconds` how long a client waits for one."""
        self._primary = primary
        self._reader = Reader(primary.ask)
        self._replicas = [Replica(pool, number) for number, pool in enumerate(replicas, 1)]
        self._lag_seconds = lag_seconds
        self._wait_seconds = wait_seconds
        self._counts = counts
        self._known_size = 0
        self._watch: asyncio.Task[None] | None = None

    async def ask(self, query: Query[Answer]) -> Answer:
        """See Ask. Whichever replica is fresh enough answers, else the primary."""
        replica = self._choose()
        return await (self._primary.ask(query) if replica is None else self._ask(replica, query))

    async def ping(self) -> None:
        """See Store.ping."""
        await self._primary.ask(require_ready)

    async def reader_at(self, position: int) -> Reader | None:
        """See Store.queries_at."""
        replica = self._choose()
        if replica is not None:
            if await self._reaches(replica, position):
                return Reader(partial(self._ask, replica))
            self._counts["replica_behind"] += 1
        if position >= self._known_size:
            self._known_size = await self._reader.size()
        return self._reader if position < self._known_size else None

    @property
    def pools(self) -> list[Pool]:
        """The pool of the primary, then those of the replicas."""
        return [self._primary, *(replica.pool for replica in self._replicas)]

    @property
    def replicas(self) -> list[Replica]:
        """The replicas, in the order of their numbers."""
        return sorted(self._replicas, key=lambda replica: replica.number)

    async def close(self) -> None:
        """Stop watching and close all connections."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        for pool in self.pools:
            await pool.close()

    def _choose(self) -> Replica | None:
        """Return the next usable replica, each in turn."""
        if not self._replicas:
            return None
        if self._watch is None:
            self._watch = asyncio.create_task(self._keep_watching(), name="monedero-replicas")
        self._replicas.append(self._replicas.pop(0))
        return next((replica for replica in self._replicas if replica.usable), None)

    async def _ask(self, replica: Replica, query: Query[Answer]) -> Answer:
        try:
            answer = await replica.pool.ask(query)
        except StoreUnavailableError as error:
            self._lose(replica, error)
            return await self._primary.ask(query)
        self._counts["replica_reads"] += 1
        return answer

    async def _reaches(self, replica: Replica, position: int) -> bool:
        """Wait, a little, until a replica shows the event at a position."""
        deadline = time.monotonic() + self._wait_seconds
        try:
            while replica.size <= position and await replica.look() <= position:
                if time.monotonic() > deadline:
                    return False
                await asyncio.sleep(POLL_SECONDS)
        except StoreUnavailableError as error:
            self._lose(replica, error)
            return False
        return True

    async def _keep_watching(self) -> None:
        before: int | None = None
        while True:
            now = before
            # While the primary is away the replicas are all there is: they go on as they are.
            with suppress(StoreUnavailableError):
                now = await self._reader.size()
            wanted = now if before is None else before
            if wanted is not None:
                await asyncio.gather(*(self._judge(replica, wanted) for replica in tuple(self._replicas)))
            before = now
            await asyncio.sleep(self._lag_seconds)

    async def _judge(self, replica: Replica, wanted: int) -> None:
        try:
            usable = await replica.look() >= wanted
            replica.lag = max(0, wanted - replica.size)
        except StoreUnavailableError as error:
            self._lose(replica, error)
            return
        if replica.usable and not usable:
            self._counts["replica_behind"] += 1
            _logger.warning("replica %d is too far behind: the primary answers", replica.number)
        replica.usable = usable

    def _lose(self, replica: Replica, error: StoreUnavailableError) -> None:
        if replica.usable:
            self._counts["replica_lost"] += 1
            _logger.warning("replica %d is lost, the primary answers: %s", replica.number, error)
        replica.usable = False
