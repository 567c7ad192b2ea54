"""The writer: one connection, on which batches take turns, and what this process remembers of them.

A batch may be decided while the one before it is being written, on what that one will leave.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import psycopg

from monedero.storage.keys import NewKeys
from monedero.storage.postgres.connection import RETRY_FIRST_SECONDS, Limits, reconnect
from monedero.storage.postgres.memory import Memory
from monedero.storage.postgres.rows import array
from monedero.storage.postgres.transaction import Line, WriteTransaction
from monedero.storage.store import CommitUnknownError, NotStoredError, TransientError


class Writer:
    """The connection that writes; replaced when it is lost, or when a transaction on it failed.

    It stays in pipeline mode. Leaving that mode sends a message after which the server no longer ends a session that
    has gone silent in a transaction.
    """

    def __init__(self, address: str, limits: Limits, counts: Counter[str]) -> None:
        self._address = address
        self._limits = limits
        self._counts = counts
        self._connection: psycopg.AsyncConnection | None = None
        self._mode = AsyncExitStack()
        self._pipeline: psycopg.AsyncPipeline
        self._keys = NewKeys()
        self._memory: Memory | None = None
        self._deciding = asyncio.Lock()
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[WriteTransaction]:
        """See Store.transaction. Another one may begin as soon as this one only has to be written."""
        transaction = WriteTransaction(self._take_turn, self._keys, self._limits.patience_seconds, self._counts)
        try:
            async with self._deciding:
                transaction.memory = before = self._memory
                yield transaction
                transaction.require_claimed()
                await transaction.begin()
                self._require_unforgotten(transaction, before)
                self._memory = transaction.leaves()
            await transaction.end()
        except BaseException:
            if transaction.begun:
                self._memory = None
            if transaction.is_open:
                await self.close()  # Which makes the server roll back, whatever state the transaction is in.
            raise
        finally:
            if transaction.begun:
                self._turn.release()

    def _require_unforgotten(self, transaction: WriteTransaction, memory: Memory | None) -> None:
        """Raise TransientError where a batch was decided on what was forgotten since, when the one before it failed."""
        if transaction.remembers and self._memory is not memory:
            raise TransientError("The batch before this one was not written")

    async def _take_turn(self) -> Line:
        """Wait until the transaction before this one has ended."""
        await self._turn.acquire()
        try:
            return await self._connected(), self._pipeline
        except BaseException:
            self._turn.release()
            raise

    async def stored(self, event_ids: Iterable[str]) -> set[str]:
        """See Store.stored. Asks until there is an answer, or the time for it is over."""
        ids = array(event_ids)
        deadline = time.monotonic() + self._limits.reconnect_seconds
        while True:
            try:
                async with self.transaction() as transaction:
                    return await transaction.look_up(ids)
            except (NotStoredError, CommitUnknownError) as error:
                if time.monotonic() > deadline:
                    raise NotStoredError(f"The batch could not be looked up: {error}") from error
            await asyncio.sleep(RETRY_FIRST_SECONDS)

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            await self._connection.close()
            with suppress(psycopg.Error):
                await self._mode.aclose()

    async def _connected(self) -> psycopg.AsyncConnection:
        if self._connection is None or self._connection.closed:
            if self._connection is not None:
                await self.close()
                self._counts["reconnects"] += 1
            self._connection = await reconnect(self._address, self._limits.reconnect_seconds)
            self._pipeline = await self._mode.enter_async_context(self._connection.pipeline())
        return self._connection
