"""A bounded pool of connections to one server, and queries on it."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from monedero.storage.postgres.connection import (
    Limits,
    hung_up_after,
    is_lost,
    prepare_at_once,
    sentence,
)
from monedero.storage.postgres.rows import Row
from monedero.storage.store import StoreUnavailableError

WAITING_LIMIT = 2_000
CONNECTION_WAIT_SECONDS = 5.0
RECONNECT_SECONDS = 2.0
"""How long the pool goes on by itself after a connection is lost; after that, whoever asks makes it try again."""

Answer = TypeVar("Answer")
Connection = psycopg.AsyncConnection[Row]
Query = Callable[[Connection], Awaitable[Answer]]


class Ask(Protocol):
    """Run a query on some connection and return its answer. Raises StoreUnavailableError."""

    async def __call__(self, query: Query[Answer]) -> Answer:
        """Run it."""


class Pool:
    """Connections to one server, the primary or a replica; opened by the first query."""

    def __init__(self, address: str, limits: Limits) -> None:
        self._patience_seconds = limits.patience_seconds
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            address,
            min_size=1,
            max_size=limits.pool_connections,
            max_waiting=WAITING_LIMIT,
            timeout=CONNECTION_WAIT_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            open=False,
            kwargs={"autocommit": True},
            configure=_configure,
        )
        self._opened = False

    async def ask(self, query: Query[Answer]) -> Answer:
        """See Ask. A connection that was lost while nobody used it is replaced once."""
        if not self._opened:
            self._opened = True
            await self._pool.open()
        try:
            try:
                return await self._run(query)
            except psycopg.OperationalError as error:
                if not is_lost(error):
                    raise
                await self._pool.check()  # The others were idle for as long: whoever comes next must not meet them.
                return await self._run(query)
        except (psycopg.OperationalError, PoolTimeout, TooManyRequests) as error:
            raise StoreUnavailableError(f"The database cannot be read: {sentence(error)}") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._opened:
            await self._pool.close()

    async def _run(self, query: Query[Answer]) -> Answer:
        async with self._pool.connection() as connection:
            with hung_up_after(connection, self._patience_seconds):
                return await query(connection)


async def _configure(connection: Connection) -> None:
    prepare_at_once(connection)
