"""The writer: one transaction a batch, on a thread of its own, and what a failure of it means.

Only this process writes, one batch after the other, so a batch is read and decided before its transaction
begins: everything that touches the disk is then one visit to the thread. Every step of SQLite gives the
interpreter's lock away and has to win it back from the event loop, so a batch is one step.

A batch may be decided while the one before it is being written, on what that one will leave. The thread takes them in
their order, and writes none whose predecessor it did not write (docs/decisions/0023).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TypeVar

import apsw

from monedero.ledger.ids import WalletId
from monedero.ledger.merkle import Head
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Owner, State, Touched, Wallet
from monedero.storage.hot import HotWallets
from monedero.storage.keys import NewKeys, UnsureError
from monedero.storage.sqlite import statements
from monedero.storage.sqlite.overhaul import FileOverhaul
from monedero.storage.sqlite.rows import (
    id_bytes,
    take_debited,
    to_claim,
    to_hold,
    to_wallet,
)
from monedero.storage.sqlite.steps import Step, steps_of
from monedero.storage.store import (
    Batch,
    CommitUnknownError,
    NotStoredError,
    StoreBrokenError,
    TransientError,
)

_BROKEN = (
    apsw.IOError,
    apsw.CorruptError,
    apsw.NotADBError,
    apsw.ReadOnlyError,
    apsw.CantOpenError,
    apsw.PermissionsError,
)
_PASSING = (apsw.FullError, apsw.BusyError, apsw.LockedError, apsw.NoMemError, apsw.InterruptError)

Answer = TypeVar("Answer")


class _Series:
    """Transactions one behind the other, each decided on what those before it leave, up to the first that fails."""

    def __init__(self, head: Head) -> None:
        self.head = head
        """As the last one leaves it."""
        self.ahead: dict[int, list[Wallet]] = {}
        """What those that may not be written yet leave, in their order."""
        self.handed_over = 0
        """How many transactions the thread was given."""
        self.done = 0
        """How many it has carried out, which readers then see. Only the thread changes it."""

    @property
    def wallets(self) -> dict[WalletId, Wallet]:
        """The wallets that may not be written yet, as the last one leaves them."""
        return {wallet.id: wallet for wallets in self.ahead.values() for wallet in wallets}


class FileTransaction:
    """One batch, decided on what the series leaves."""

    def __init__(self, writer: "Writer", series: _Series) -> None:
        self._writer = writer
        self.series = series
        self.batch: Batch | None = None
        self.guessed: set[bytes] = set()
        """Keys that were taken to be new without a look."""

    async def load(self, touched: Touched) -> tuple[State, Head]:
        """See Transaction.load."""
        return await self._writer.load(touched, self), self.series.head

    def append(self, batch: Batch) -> None:
        """See Transaction.append."""
        self.batch = batch


class Writer:
    """The one connection that writes, and the thread that it is used on."""

    def __init__(self, connection: apsw.Connection, hot: HotWallets) -> None:
        self._connection = connection
        connection.execute(statements.BATCH_VIEW)
        self._hot = hot
        self._keys = NewKeys()
        self._series: _Series | None = None
        self._deciding = asyncio.Lock()
        self._size: int | None = None
        self._broken = False
        """Whether the disk has failed. Only the thread sets it, at once, so that it writes nothing from then on."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="monedero-writer")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FileTransaction]:
        """See Store.transaction. Another one may begin as soon as this one was handed to the thread."""
        try:
            async with self._deciding:
                if self._series is None:
                    # It goes on where the file ends when the thread is done with whatever was handed over before.
                    self._series = _Series(await self._on_thread(self._read_head))
                series = self._series
                transaction = FileTransaction(self, series)
                yield transaction
                batch, number = transaction.batch, series.handed_over
                self._keys.require_claimed(transaction.guessed, batch)
                if batch is None and series.done == number:
                    return
                written = self._hand_over(series, batch, guessed=bool(transaction.guessed))
            await written
        except UnsureError:
            self._keys.mistaken()
            self._series = None  # Nothing was written, so what is in memory is still true.
            raise
        except BaseException:
            # Whatever happened, and a failed COMMIT may have happened: the series ends, and the file is asked anew.
            self._series = self._size = None
            self._hot.clear()
            raise
        series.ahead.pop(number, None)

    async def load(self, touched: Touched, transaction: FileTransaction) -> State:
        """Return what exists of `touched`, as the series leaves it.

        Keys that are likely to be new are not looked up, unless something else has to be.
        """
        state, series = State(), transaction.series
        transaction.guessed = set()
        unsure = touched.claims and not self._keys.likely
        if touched.owners or touched.emails or touched.holds or touched.debited or unsure:
            await self._on_thread(partial(self._load, touched, state))
            if touched.claims:
                self._keys.looked_up(state.claims)
        else:
            transaction.guessed = touched.claims
        cold = self._take_known(touched.wallets | state.parties, state, series)
        if cold:
            await self._on_thread(partial(self._load_wallets, cold, state))
        return state

    async def stored(self, event_ids: Iterable[str]) -> set[str]:
        """See Store.stored."""
        return await self._on_thread(partial(self._stored, list(event_ids)))

    @contextmanager
    def overhaul(self) -> Iterator[FileOverhaul]:
        """See Store.overhaul."""
        with _failures_named():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield FileOverhaul(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                self._rollback()
                raise
        self._hot.clear()

    async def size(self) -> int:
        """Return how many events are committed."""
        if self._size is None:
            return (await self._on_thread(self._read_head)).size
        return self._size

    def close(self) -> None:
        """Finish what the thread is doing and close the connection."""
        self._thread.shutdown()
        self._connection.close()

    def _on_thread(self, work: Callable[[], Answer]) -> asyncio.Future[Answer]:
        """Have the thread do what touches the disk, after all that it was given before."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self._on_disk, work)

    def _on_disk(self, work: Callable[[], Answer]) -> Answer:
        try:
            with _failures_named():
                return work()
        except StoreBrokenError:
            self._broken = True
            raise

    def _hand_over(self, series: _Series, batch: Batch | None, *, guessed: bool) -> asyncio.Future[None]:
        """Have the thread write a batch, or only see to it that those before it were written."""
        steps, number = steps_of(batch) if batch else [], series.handed_over
        written = self._on_thread(partial(self._carry_out, series, number, steps, batch, guessed))
        series.handed_over += 1
        if batch:
            series.head = batch.head
            series.ahead[number] = batch.wallets
        return written

    def _read_head(self) -> Head:
        head = Head(*self._connection.execute(statements.READ_HEAD).get)
        self._size = head.size
        return head

    def _take_known(self, ids: Iterable[WalletId], state: State, series: _Series) -> list[WalletId]:
        """Take what is about to be written, or hot; return what is neither."""
        cold, ahead = [], series.wallets if series.ahead else {}
        for wallet_id in ids:
            if known := ahead.get(wallet_id) or self._hot.get(wallet_id):
                state.wallets[wallet_id] = known
            else:
                cold.append(wallet_id)
        return cold

    def _load_wallets(self, cold: list[WalletId], state: State) -> None:
        for wallet in map(to_wallet, self._connection.execute(statements.LOAD_WALLETS, (_blobs(cold),))):
            state.wallets[wallet.id] = wallet

    def _load(self, touched: Touched, state: State) -> None:
        execute = self._connection.execute
        for owner_id in touched.owners:
            for _, kind, has_wallet, has_money in execute(statements.LOAD_OWNER, (id_bytes(owner_id),)):
                state.owners[owner_id] = Owner(owner_id, OwnerKind(kind), bool(has_wallet), bool(has_money))
        for email in touched.emails:
            if execute(statements.EMAIL_IS_TAKEN, email).fetchone():
                state.emails.add(email)
        if touched.holds:
            state.apply(tuple(map(to_hold, execute(statements.LOAD_HOLDS, (_blobs(touched.holds),)))))
        if touched.debited:
            for row in execute(statements.LOAD_DEBITED, (_blobs(touched.debited),)):
                take_debited(state, row)
        if touched.claims:
            keys = apsw.carray(tuple(touched.claims), flags=apsw.SQLITE_CARRAY_BLOB)
            state.claims = {claim.key: claim for claim in map(to_claim, execute(statements.LOAD_CLAIMS, (keys,)))}

    def _carry_out(self, series: _Series, number: int, steps: list[Step], batch: Batch | None, guessed: bool) -> None:
        """Write a batch, show what it leaves to readers.

        Raises TransientError: the one before it was not written, and UnsureError: a key taken to be new is not.
        """
        if self._broken:
            raise StoreBrokenError("The disk has failed under the ledger, so nothing more is written")
        if series.done != number:
            raise TransientError("The batch before this one was not written")
        if batch:
            try:
                self._write(steps)
            except apsw.ConstraintError as error:
                if not guessed:
                    raise
                raise UnsureError("An idempotency key was used before") from error
            self._hot.keep(batch.wallets)
            self._size = batch.head.size
        series.done += 1

    def _write(self, steps: list[Step]) -> None:
        """Run a batch's steps in one transaction.

        Raises CommitUnknownError: of a single statement nobody can say whether it failed before or in its COMMIT.
        """
        execute = self._connection.execute
        try:
            if len(steps) > 1:
                execute("BEGIN IMMEDIATE")
            for statement, parameters in steps:
                execute(statement, parameters)
            if len(steps) > 1:
                execute("COMMIT")
        except _PASSING as error:
            self._rollback()
            raise CommitUnknownError(f"The ledger could not be written: {error}") from error
        except BaseException:
            self._rollback()
            raise

    def _stored(self, event_ids: Sequence[str]) -> set[str]:
        execute = self._connection.execute
        return {each for each in event_ids if execute(statements.EVENT_IS_STORED, (id_bytes(each),)).fetchone()}

    def _rollback(self) -> None:
        # SQLite has already rolled back by itself after some errors; after an I/O error it may fail again.
        if self._connection.in_transaction:
            with suppress(apsw.Error):
                self._connection.execute("ROLLBACK")
        if self._connection.in_transaction:
            raise apsw.IOError("a transaction could not be rolled back")


@contextmanager
def _failures_named() -> Iterator[None]:
    """Turn the database's errors into the port's."""
    try:
        yield
    except _BROKEN as error:
        raise StoreBrokenError(f"The disk failed under the ledger: {error}") from error
    except _PASSING as error:
        raise NotStoredError(f"The ledger could not be written: {error}") from error


def _blobs(ids: Iterable[str]) -> object:
    return apsw.carray(tuple(sorted(map(id_bytes, ids))), flags=apsw.SQLITE_CARRAY_BLOB)
