"""One batch, one transaction on PostgreSQL, in two round trips or in one, and what a failure of each means.

1. BEGIN; the head, locked and read; then whatever the batch touches. Nobody else writes while the head is locked, so
   all of it is the truth, and stays so. Once more, without the lock, for what is added to the batch then.
2. The rows, the wallets that moved, the head, COMMIT.

The first is left out when the process remembers all that the batch touches. Then BEGIN and the lock go with the second,
which writes over no head but the one that the batch was decided on.

Until the second is sent nothing can have been stored. From then on a lost answer is unknown, until the batch has been
looked up under the head's lock. The transaction in doubt holds that lock for as long as it lives; or, where the lock
was sent with the rows, it may yet come for it, and meets the fence that the look-up has raised.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import LiteralString

import psycopg

from monedero.ledger.merkle import Head
from monedero.ledger.state import State, Touched
from monedero.storage.keys import NewKeys
from monedero.storage.postgres import statements
from monedero.storage.postgres.connection import failures_named, hung_up_after, is_lost, unknown
from monedero.storage.postgres.memory import Memory
from monedero.storage.postgres.reads import reads_of
from monedero.storage.postgres.rows import (
    Row,
    array,
    from_batch,
    from_claims,
    from_debited,
    from_holds,
    from_owner,
    from_wallet,
)
from monedero.storage.store import Batch, CommitUnknownError, NotStoredError, TransientError

Result = psycopg.AsyncCursor[Row]
Line = tuple[psycopg.AsyncConnection, psycopg.AsyncPipeline]
"""The connection that writes, in its mode."""


class WriteTransaction:
    """One batch. Every answer is awaited for a bounded time, then the connection is given up."""

    def __init__(
        self, take_turn: Callable[[], Awaitable[Line]], keys: NewKeys, patience_seconds: float, counts: Counter[str]
    ) -> None:
        self._take_turn = take_turn
        self._keys = keys
        self._patience_seconds = patience_seconds
        self._counts = counts
        self._connection: psycopg.AsyncConnection
        self._pipeline: psycopg.AsyncPipeline
        self.memory: Memory | None = None
        """What the process knows; once something was read, what it knows then."""
        self.remembers = False
        """Whether what the batch was decided on was not read, but remembered."""
        self._guessed: set[bytes] = set()
        """Keys that were taken to be new."""
        self.begun = False
        """Whether it has its turn."""
        self.is_open = False
        """Whether the server may not have heard of its end."""
        self._locked: tuple[Head, int]
        """Head and fence, as the lock found them."""
        self._before: tuple[Head, int]
        """Head and fence that the batch is decided on."""
        self._batch: Batch | None = None
        self._commits = False
        self._warned = False

    async def load(self, touched: Touched) -> tuple[State, Head]:
        """See Transaction.load."""
        memory = self.memory if self._keys.likely or not touched.claims else None
        if memory is not None and (known := memory.state(touched)) is not None:
            self.remembers, self._before, self._guessed = True, (memory.head, memory.fence), touched.claims
            return known, memory.head
        self.remembers, self._guessed = False, set()
        state = State()
        async with self._exchange():
            reads = [(await self._send(statement, row), take) for take, statement, row in reads_of(touched)]
        for result, take in reads:
            take(state, await result.fetchall())
        if touched.claims:
            self._keys.looked_up(state.claims)
        self._before = self._locked
        if self.memory is None or not self.memory.is_true(*self._locked):
            self.memory = Memory(*self._locked)
        self.memory.keep(state.wallets.values())
        return state, self.memory.head

    def append(self, batch: Batch) -> None:
        """See Transaction.append."""
        self._batch = batch
        self._commits = True

    def require_claimed(self) -> None:
        """See NewKeys.require_claimed."""
        self._keys.require_claimed(self._guessed, self._batch)

    def leaves(self) -> Memory | None:
        """Return what is known of the ledger once the transaction is committed."""
        if self.memory is not None and self._batch is not None:
            self.memory.head = self._batch.head
            self.memory.keep(self._batch.wallets)
        return self.memory

    async def look_up(self, ids: str) -> set[str]:
        """Return which events of an array literal are stored, once nobody is about to store any.

        None of them can be stored later, since the fence is raised. The transaction is committed after it: having
        changed a row, it waits for the standby as the batch should have.
        """
        self._commits, self.memory = True, None
        async with self._exchange():
            await self._send(statements.RAISE_FENCE)
            found = await self._send(statements.STORED_EVENTS, (ids,))
        return {event_id for (event_id,) in await found.fetchall()}

    async def begin(self) -> None:
        """Wait for its turn."""
        if not self.begun:
            self._connection, self._pipeline = await self._take_turn()
            self.begun = True

    async def end(self) -> None:
        """Commit what there is to commit; without anything, give the lock back."""
        if self._commits:
            await self._commit()
        else:
            async with self._exchange():
                # Not ROLLBACK, after which the driver forgets its prepared statements; nothing has to be durable.
                await self._connection.execute("SET LOCAL synchronous_commit = off", prepare=False)
                await self._connection.execute("COMMIT", prepare=False)
            self.is_open = False
            if self.remembers and self._locked != self._before:
                raise self._overtaken()

    async def _commit(self) -> None:
        self._connection.add_notice_handler(self._note_warning)
        try:
            with failures_named(self._counts):
                result = await self._write()
        except psycopg.errors.NotNullViolation as error:
            if not self.remembers:
                raise
            await self._roll_back()
            raise self._overtaken() from error
        except psycopg.errors.UniqueViolation as error:
            if not self._guessed:
                raise
            await self._roll_back()
            raise self._keys.mistaken() from error
        finally:
            self._connection.remove_notice_handler(self._note_warning)
        if result.statusmessage != "COMMIT":
            raise NotStoredError(f"The database answered a COMMIT with {result.statusmessage}")
        if self._warned:
            # The wait for the synchronous standby was cut short: it is stored here, and may be lost with this server.
            raise CommitUnknownError("The database committed without its standby")

    async def _write(self) -> Result:
        try:
            with hung_up_after(self._connection, self._patience_seconds):
                await self._begin()
                if (batch := self._batch) is not None:
                    if batch.erased:
                        await self._send(statements.ERASE_OWNERS, (array(batch.erased),))
                    for owner in batch.owners:
                        await self._send(statements.INSERT_OWNER, from_owner(owner))
                    for wallet in batch.opened:
                        await self._send(statements.INSERT_WALLET, from_wallet(wallet))
                    await self._send(statements.APPEND, from_batch(batch, *self._before))
                    if batch.holds:
                        await self._send(statements.PUT_HOLDS, from_holds(batch.holds))
                    if batch.debited:
                        await self._send(statements.PUT_REFUNDS, from_debited(batch.debited))
                    if batch.claims:
                        await self._send(statements.INSERT_CLAIMS, from_claims(batch.claims))
                        await self._send(statements.FORGET_CLAIMS, (batch.forget, batch.forget_before))
                result = await self._connection.execute("COMMIT", prepare=False)
                await self._pipeline.sync()
                return result
        except psycopg.Error as error:
            if is_lost(error) or self._connection.closed:
                raise unknown(error) from error
            raise  # The server says which statement failed, and has rolled the transaction back.

    async def _roll_back(self) -> None:
        """End a transaction that the server has refused, and keep the connection."""
        with failures_named(self._counts), hung_up_after(self._connection, self._patience_seconds):
            with suppress(psycopg.errors.PipelineAborted):
                await self._pipeline.sync()  # The refusal may have come before the last answers were asked for.
            await self._connection.execute("ROLLBACK", prepare=False)
            await self._pipeline.sync()
        self.is_open = False

    def _overtaken(self) -> TransientError:
        """Return what it means that somebody else has written since what the batch was decided on."""
        self._counts["overtaken"] += 1
        return TransientError("Another process has written meanwhile")

    @asynccontextmanager
    async def _exchange(self) -> AsyncIterator[None]:
        """Send what is sent inside as one round trip, once it has its turn; at first BEGIN, and the lock."""
        await self.begin()
        with failures_named(self._counts), hung_up_after(self._connection, self._patience_seconds):
            locked = await self._begin()
            yield
            await self._pipeline.sync()
        if locked:
            ((*head, fence),) = await locked.fetchall()
            self._locked = Head(*head), fence

    async def _begin(self) -> Result | None:
        """Send BEGIN and the lock, unless they were sent; return what will say how the lock found the head.

        The lock is a statement of its own. One that waited for it by itself would write by what it saw before the wait.
        """
        if self.is_open:
            return None
        self.is_open = True
        await self._connection.execute("BEGIN", prepare=False)
        return await self._send(statements.LOCK_HEAD)

    async def _send(self, statement: LiteralString, parameters: Row = ()) -> Result:
        cursor = self._connection.cursor(binary=True)
        return await cursor.execute(statement, parameters)

    def _note_warning(self, notice: psycopg.errors.Diagnostic) -> None:
        self._warned = self._warned or notice.severity_nonlocalized == "WARNING"
