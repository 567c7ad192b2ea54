"""The writer: one connection, one transaction a batch in two round trips, and what a failure of each means.

1. BEGIN; every wallet that the batch touches, locked in the order of ids, and read; the head, locked and read.
2. The rows, the wallets that moved, the head, COMMIT.

Until the second is sent nothing can have been stored. From then on a lost answer is unknown, until the batch
has been looked up under the head's lock, which the transaction in doubt holds for as long as it lives.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import LiteralString

import psycopg

from monedero.ledger.ids import OwnerId
from monedero.ledger.merkle import Head
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Owner, State, Touched
from monedero.storage.postgres import statements
from monedero.storage.postgres.connection import (
    RETRY_FIRST_SECONDS,
    Limits,
    failures_named,
    hung_up_after,
    is_lost,
    reconnect,
    unknown,
)
from monedero.storage.postgres.rows import Row, array, from_batch, from_owner, from_wallet, to_wallet
from monedero.storage.store import Batch, CommitUnknownError, NotStoredError

Result = psycopg.AsyncCursor[Row]


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

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["WriteTransaction"]:
        """See Store.transaction."""
        connection = await self._connected()
        transaction = WriteTransaction(connection, self._pipeline, self._limits.patience_seconds, self._counts)
        try:
            yield transaction
            await transaction.end()
        except BaseException:
            await self.close()  # Which makes the server roll back, whatever state the transaction is in.
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


class WriteTransaction:
    """One batch. Every answer is awaited for a bounded time, then the connection is given up."""

    def __init__(
        self,
        connection: psycopg.AsyncConnection,
        pipeline: psycopg.AsyncPipeline,
        patience_seconds: float,
        counts: Counter[str],
    ) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._patience_seconds = patience_seconds
        self._counts = counts
        self._begun = False
        self._head: Result | None = None
        self._batch: Batch | None = None
        self._commits = False
        self._warned = False

    async def load(self, touched: Touched) -> State:
        """See Transaction.load."""
        state = State()
        wallets = owners = emails = None
        async with self._exchange():
            if touched.wallets:
                wallets = await self._send(statements.LOAD_WALLETS, (array(sorted(touched.wallets)),))
            self._head = await self._send(statements.LOCK_HEAD)
            if touched.owners:
                owners = await self._send(statements.LOAD_OWNERS, (array(touched.owners),))
            if touched.emails:
                kinds, keys = zip(*touched.emails, strict=True)
                emails = await self._send(statements.TAKEN_EMAILS, (list(kinds), list(keys)))
        if wallets:
            state.wallets = {wallet.id: wallet for wallet in map(to_wallet, await wallets.fetchall())}
        if owners:
            for found, kind, has_wallet in await owners.fetchall():
                state.owners[OwnerId(found)] = Owner(OwnerId(found), OwnerKind(kind), has_wallet)
        if emails:
            state.emails = {(OwnerKind(kind), key) for kind, key in await emails.fetchall()}
        return state

    async def head(self) -> Head:
        """See Transaction.head."""
        if self._head is None:
            async with self._exchange():
                self._head = await self._send(statements.LOCK_HEAD)
        (row,) = await self._head.fetchall()
        return Head(*row)

    def append(self, batch: Batch) -> None:
        """See Transaction.append."""
        self._batch = batch
        self._commits = True

    async def look_up(self, ids: str) -> set[str]:
        """Return which events of an array literal are stored, once nobody is about to store any.

        The transaction is committed after it: having locked a row, it waits for the standby as the batch should have.
        """
        self._commits = True
        async with self._exchange():
            await self._send(statements.LOCK_HEAD)
            found = await self._send(statements.STORED_EVENTS, (ids,))
        return {event_id for (event_id,) in await found.fetchall()}

    async def end(self) -> None:
        """Commit what there is to commit; without anything, give the locks back."""
        if not self._commits:
            async with self._exchange():
                # Not ROLLBACK, after which the driver forgets its prepared statements; nothing has to be durable.
                await self._connection.execute("SET LOCAL synchronous_commit = off", prepare=False)
                await self._connection.execute("COMMIT", prepare=False)
            return
        self._connection.add_notice_handler(self._note_warning)
        try:
            with failures_named(self._counts):
                result = await self._commit()
        finally:
            self._connection.remove_notice_handler(self._note_warning)
        if result.statusmessage != "COMMIT":
            raise NotStoredError(f"The database answered a COMMIT with {result.statusmessage}")
        if self._warned:
            # The wait for the synchronous standby was cut short: it is stored here, and may be lost with this server.
            raise CommitUnknownError("The database committed without its standby")

    async def _commit(self) -> Result:
        try:
            with hung_up_after(self._connection, self._patience_seconds):
                if (batch := self._batch) is not None:
                    for owner in batch.owners:
                        await self._send(statements.INSERT_OWNER, from_owner(owner))
                    for wallet in batch.opened:
                        await self._send(statements.INSERT_WALLET, from_wallet(wallet))
                    await self._send(statements.APPEND, from_batch(batch))
                result = await self._connection.execute("COMMIT", prepare=False)
                await self._pipeline.sync()
                return result
        except psycopg.Error as error:
            if is_lost(error) or self._connection.closed:
                raise unknown(error) from error
            raise  # The server says which statement failed, and has rolled the transaction back.

    @asynccontextmanager
    async def _exchange(self) -> AsyncIterator[None]:
        """Send what is sent inside as one round trip."""
        with failures_named(self._counts), hung_up_after(self._connection, self._patience_seconds):
            if not self._begun:
                self._begun = True
                await self._connection.execute("BEGIN", prepare=False)
            yield
            await self._pipeline.sync()

    async def _send(self, statement: LiteralString, parameters: Row = ()) -> Result:
        cursor = self._connection.cursor(binary=True)
        return await cursor.execute(statement, parameters)

    def _note_warning(self, notice: psycopg.errors.Diagnostic) -> None:
        self._warned = self._warned or notice.severity_nonlocalized == "WARNING"
