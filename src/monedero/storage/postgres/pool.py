"""A bounded pool of connections to one server, and queries on it.

Ours, and not the driver's companion: that one learns that an idle connection is dead by using it or by asking over the
network, and waits a second and more between attempts to connect (docs/decisions/0012).
"""

import asyncio
import select
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from monedero.storage.postgres import statements
from monedero.storage.postgres.connection import Limits, connect, hung_up_after, is_lost, sentence
from monedero.storage.postgres.rows import Row
from monedero.storage.store import StoreUnavailableError

CONNECTION_WAIT_SECONDS = 5.0

Answer = TypeVar("Answer")
Connection = psycopg.AsyncConnection[Row]
Query = Callable[[Connection], Awaitable[Answer]]


class Ask(Protocol):
    """Run a query on some connection and return its answer. Raises StoreUnavailableError."""

    async def __call__(self, query: Query[Answer]) -> Answer:
        """Run it."""


class Pool:
    """Connections to one server, the primary or a replica; each is opened when it is first needed."""

    def __init__(self, address: str, limits: Limits, replica_of: Row | None = None) -> None:
        """`replica_of` is the IDENTITY that the server of this pool must have as a replica."""
        self._address = address
        self._replica_of = replica_of
        self._patience_seconds = limits.patience_seconds
        self._idle: list[Connection] = []
        self._room = asyncio.Semaphore(limits.pool_connections)
        self.limit = limits.pool_connections
        self.busy = 0

    async def ask(self, query: Query[Answer]) -> Answer:
        """See Ask. A connection that was lost is replaced once."""
        try:
            try:
                return await self._run(query)
            except psycopg.OperationalError as error:
                if not is_lost(error):
                    raise
                await self.close()  # The idle ones are no younger.
                return await self._run(query)
        except (psycopg.Error, TimeoutError) as error:
            raise StoreUnavailableError(f"The database cannot be read: {sentence(error)}") from error

    @property
    def idle(self) -> int:
        """How many connections are open and unused."""
        return len(self._idle)

    async def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            await self._idle.pop().close()

    async def _run(self, query: Query[Answer]) -> Answer:
        async with self._connection() as connection:
            with hung_up_after(connection, self._patience_seconds):
                answer = await query(connection)
            if self._replica_of and not is_replica(connection.info):
                await connection.close()
                raise StoreUnavailableError("The replica takes writes now: it is none any more")
            return answer

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        async with asyncio.timeout(CONNECTION_WAIT_SECONDS):
            await self._room.acquire()
        self.busy += 1
        try:
            connection = await self._take()
            try:
                yield connection
            finally:
                if connection.info.transaction_status is TransactionStatus.IDLE:
                    self._idle.append(connection)
                else:
                    await connection.close()
        finally:
            self.busy -= 1
            self._room.release()

    async def _take(self) -> Connection:
        """Return the idle connection that was used last, or a new one. On a live one nothing waits to be read."""
        while self._idle:
            connection = self._idle.pop()
            line = select.poll()
            line.register(connection.fileno(), select.POLLIN)
            if not line.poll(0):
                return connection
            await connection.close()
        connection = await connect(self._address)
        if self._replica_of:
            identity = await (await connection.execute(statements.IDENTITY)).fetchone()
            if identity != self._replica_of:
                await connection.close()
                raise StoreUnavailableError("The server is a replica of another primary, or of another database")
        return connection


def is_replica(server: psycopg.ConnectionInfo) -> bool:
    """Tell whether the server only follows a primary; it tells us with an answer when that changes."""
    return server.parameter_status("in_hot_standby") == "on"
