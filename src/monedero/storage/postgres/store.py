"""The ledger in PostgreSQL as one process uses it: the writer, the read side, and the views of the whole."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager

import msgspec

from monedero.storage.postgres import statements
from monedero.storage.postgres.connection import Limits, NobodyAnswersError, conninfo, name_of, opened
from monedero.storage.postgres.migrate import require_migrated, require_whole
from monedero.storage.postgres.pool import Pool, is_replica
from monedero.storage.postgres.reader import Reader
from monedero.storage.postgres.replicas import Router
from monedero.storage.postgres.rows import Row
from monedero.storage.postgres.snapshot import DatabaseOverhaul, DatabaseSnapshot, overhaul, snapshot
from monedero.storage.postgres.transaction import WriteTransaction
from monedero.storage.postgres.writer import Writer
from monedero.storage.store import StoreUnavailableError

_logger = logging.getLogger(__name__)


class Usage(msgspec.Struct, frozen=True):
    """What of PostgreSQL is in use: connections for reading, over all servers, and each replica in its order.

    A replica is given as whether reads go to it, and how many events fewer it had when it was last compared; `counts`
    says how often connections were lost and conflicts met, and what became of reads on replicas.
    """

    busy: int
    idle: int
    limit: int
    replicas: list[tuple[bool, int]]
    counts: dict[str, int]


class PostgresStore:
    """A ledger that any number of processes, on any number of hosts, may have open."""

    transactions_at_once = 2

    def __init__(
        self,
        url: str,
        limits: Limits,
        *,
        replicas: Sequence[str] = (),
        replica_lag_seconds: float = 1.0,
        replica_wait_seconds: float = 0.5,
        for_import: bool = False,
    ) -> None:
        """Look at every server once; connections for the event loop are opened when they are first used.

        A ledger whose import is not finished opens only `for_import`. Raises StoreUnavailableError: unreachable, not
        allowed in, too old, not migrated, newer, not finished, a replica that is none. One that is down is warned of,
        and used once it is there.
        """
        self._url = url
        self._limits = limits
        self.counts: Counter[str] = Counter()
        """How often connections were lost and conflicts met, and what became of reads on replicas."""
        with opened(conninfo(url, limits, read_write=True), name_of(url)) as connection:
            require_migrated(connection, name_of(url))
            if not for_import:
                require_whole(connection, name_of(url))
            ours = connection.execute(statements.IDENTITY).fetchone()
        for replica in replicas:
            try:
                _require_replica(replica, limits, ours)
            except NobodyAnswersError as error:
                _logger.warning("%s; the primary answers its reads", error)
        address = conninfo(url, limits, read_write=True, by_index=True)
        self._writer = Writer(address, limits, self.counts)
        self._router = Router(
            Pool(address, limits),
            [Pool(conninfo(replica, limits, read_write=False, by_index=True), limits, ours) for replica in replicas],
            lag_seconds=replica_lag_seconds,
            wait_seconds=replica_wait_seconds,
            counts=self.counts,
        )
        self.queries = Reader(self._router.ask)

    async def queries_at(self, position: int) -> Reader | None:
        """See Store.queries_at."""
        return await self._router.reader_at(position)

    async def ping(self) -> None:
        """See Store.ping. It is the primary that is asked."""
        await self._router.ping()

    def transaction(self) -> AbstractAsyncContextManager[WriteTransaction]:
        """See Store.transaction."""
        return self._writer.transaction()

    async def stored(self, event_ids: Iterable[str]) -> set[str]:
        """See Store.stored."""
        return await self._writer.stored(event_ids)

    def snapshot(self) -> AbstractContextManager[DatabaseSnapshot]:
        """See Store.snapshot."""
        return snapshot(self._url, self._limits)

    def overhaul(self) -> AbstractContextManager[DatabaseOverhaul]:
        """See Store.overhaul."""
        return overhaul(self._url, self._limits)

    def usage(self) -> Usage:
        """Return what is in use now."""
        pools = self._router.pools
        return Usage(
            sum(pool.busy for pool in pools),
            sum(pool.idle for pool in pools),
            sum(pool.limit for pool in pools),
            [(replica.usable, replica.lag) for replica in self._router.replicas],
            dict(self.counts),
        )

    async def close(self) -> None:
        """See Store.close."""
        await self._writer.close()
        await self._router.close()


def _require_replica(url: str, limits: Limits, ours: Row | None) -> None:
    name = name_of(url)
    with opened(conninfo(url, limits, read_write=False), name) as connection:
        if not is_replica(connection.info):
            raise StoreUnavailableError(f"The server at {name} is no replica: it takes writes")
        if connection.execute(statements.IDENTITY).fetchone() != ours:
            raise StoreUnavailableError(
                f"The server at {name} is a replica of another primary, or this is another database of it"
            )
        require_migrated(connection, name)
