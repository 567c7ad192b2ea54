"""The writer: one transaction a batch, on a thread of its own, and what a failure of it means.

Only this process writes, one batch after the other, so a batch is read and decided before its transaction
begins: everything that touches the disk is then one visit to the thread. Every step of SQLite gives the
interpreter's lock away and has to win it back from the event loop, so a batch is one step.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import TypeVar

import apsw

from monedero.ledger.claims import encode_answers
from monedero.ledger.ids import OwnerId, WalletId
from monedero.ledger.merkle import Head, KeptRoot
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Debited, Hold, Owner, State, Touched, Wallet
from monedero.storage.sqlite import statements
from monedero.storage.sqlite.hot import HotWallets
from monedero.storage.sqlite.reader import FileSnapshot
from monedero.storage.sqlite.rows import (
    from_hold,
    from_owner,
    from_root,
    from_wallet,
    id_bytes,
    take_debited,
    to_claim,
    to_hold,
    to_wallet,
)
from monedero.storage.store import Batch, CommitUnknownError, Import, NotStoredError, StoreBrokenError

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
Step = tuple[str, Sequence[object]]
"""A statement with its parameters."""


class Writer:
    """The one connection that writes, and the thread that it is used on."""

    def __init__(self, connection: apsw.Connection, hot: HotWallets) -> None:
        self._connection = connection
        connection.execute(statements.BATCH_VIEW)
        self._hot = hot
        self._head: Head | None = None
        self._batch: Batch | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="monedero-writer")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Writer"]:
        """See Store.transaction."""
        self._batch = None
        try:
            yield self
            if self._batch is not None:
                await self._on_thread(partial(self._write, _steps(self._batch), self._batch.wallets))
        except BaseException:
            # Whatever happened, and a failed COMMIT may have happened: the file is asked anew.
            self._head = None
            self._hot.clear()
            raise
        if self._batch is not None:
            self._head = self._batch.head

    async def load(self, touched: Touched) -> State:
        """See Transaction.load."""
        state = State()
        if touched.owners or touched.emails or touched.holds or touched.debited or touched.claims:
            await self._on_thread(partial(self._load, touched, state))
        cold = self._from_hot(touched.wallets | state.parties, state)
        if cold:
            await self._on_thread(partial(self._load_wallets, cold, state))
        return state

    async def head(self) -> Head:
        """See Transaction.head."""
        if self._head is None:
            self._head = await self._on_thread(self._read_head)
        return self._head

    def append(self, batch: Batch) -> None:
        """See Transaction.append."""
        self._batch = batch

    async def stored(self, event_ids: Iterable[str]) -> set[str]:
        """See Store.stored."""
        return await self._on_thread(partial(self._stored, list(event_ids)))

    @contextmanager
    def overhaul(self) -> Iterator["FileOverhaul"]:
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
        if self._head is None:
            return (await self._on_thread(self._read_head)).size
        return self._head.size

    def close(self) -> None:
        """Finish what the thread is doing and close the connection."""
        self._thread.shutdown()
        self._connection.close()

    async def _on_thread(self, work: Callable[[], Answer]) -> Answer:
        """Run what touches the disk, and say what its failure means."""
        with _failures_named():
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _read_head(self) -> Head:
        return Head(*self._connection.execute(statements.READ_HEAD).get)

    def _from_hot(self, ids: Iterable[WalletId], state: State) -> list[WalletId]:
        """Take what is hot; return what is not."""
        cold = []
        for wallet_id in ids:
            if hot := self._hot.get(wallet_id):
                state.wallets[wallet_id] = hot
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

    def _write(self, steps: list[Step], wallets: list[Wallet]) -> None:
        """Run a batch's steps in one transaction, keep the wallets.

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
        self._hot.keep(wallets)

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


class FileOverhaul(FileSnapshot):
    """The whole file inside the one write transaction."""

    def replace_projections(self, wallets: Iterable[Wallet], holds: Iterable[Hold], debited: Iterable[Debited]) -> None:
        """See Overhaul.replace_projections."""
        execute, executemany = self._connection.execute, self._connection.executemany
        try:
            for dropped in (statements.DROP_WALLETS, statements.DROP_HOLDS, statements.DROP_REFUNDS):
                execute(dropped)
            executemany(statements.INSERT_WALLET, map(from_wallet, wallets))
            executemany(statements.INSERT_HOLD, map(from_hold, holds))
            executemany(statements.INSERT_REFUND, ((debit.number, debit.refunded) for debit in debited))
        except apsw.ConstraintError as error:
            raise NotStoredError(f"The wallets do not fit the owners that are stored: {error}") from error

    def replace_roots(self, roots: Iterable[KeptRoot]) -> None:
        """See Overhaul.replace_roots."""
        self._connection.execute(statements.DROP_ROOTS)
        self._connection.executemany(statements.INSERT_ROOT, map(from_root, roots))

    def begin_import(self, begun: Import) -> None:
        """See Overhaul.begin_import."""
        self._connection.execute(statements.BEGIN_IMPORT, (begun.size, begun.root, begun.owners))

    def end_import(self) -> None:
        """See Overhaul.end_import."""
        self._connection.execute(statements.END_IMPORT)


@contextmanager
def _failures_named() -> Iterator[None]:
    """Turn the database's errors into the port's."""
    try:
        yield
    except _BROKEN as error:
        raise StoreBrokenError(f"The disk failed under the ledger: {error}") from error
    except _PASSING as error:
        raise NotStoredError(f"The ledger could not be written: {error}") from error


def _steps(batch: Batch) -> list[Step]:
    """Return what a batch does to the file, made ready so that the thread only has to run it; mostly one statement."""
    values: list[object] = []
    for row in batch.rows:
        values += (
            statements.EVENT, row.position, id_bytes(row.id), row.payer, row.payee, row.payload, row.link,
        )  # fmt: skip
    for each in batch.moved:
        values += (
            statements.MOVE, each.number, each.balance, each.version, each.modified_at, each.position, each.held,
        )  # fmt: skip
    for hold in batch.holds:
        values += (statements.HOLD, *from_hold(hold), None)
    for debit in batch.debited:
        values += (statements.REFUND, debit.number, debit.refunded, None, None, None, None)
    for claim in batch.claims:
        answers = encode_answers(claim.answers)
        values += (statements.CLAIM, claim.key, claim.fingerprint, claim.at, answers, None, None)
    if batch.forget:
        values += (statements.FORGET, batch.forget, batch.forget_before, None, None, None, None)
    head = batch.head
    values += (statements.HEAD, head.size, head.frontier, head.root, head.link, None, None)
    for kept in batch.roots:
        values += (statements.ROOT, kept.height, kept.number, kept.root, None, None, None)
    return [
        *_erasures(batch.erased),
        *((statements.INSERT_OWNER, from_owner(owner)) for owner in batch.owners),
        *((statements.INSERT_WALLET, from_wallet(wallet)) for wallet in batch.opened),
        *_at_once(values),
    ]


def _blobs(ids: Iterable[str]) -> object:
    return apsw.carray(tuple(sorted(map(id_bytes, ids))), flags=apsw.SQLITE_CARRAY_BLOB)


def _erasures(owners: Sequence[OwnerId]) -> Iterator[Step]:
    if owners:
        yield statements.OVERWRITE, ()
        yield from ((statements.ERASE_OWNER, (id_bytes(owner_id),)) for owner_id in owners)
        yield statements.OVERWRITE_NO_MORE, ()


def _at_once(values: list[object]) -> Iterator[Step]:
    """Yield as few statements as the rows fit into: each of the smallest size, the rest of it empty."""
    largest = statements.BATCH_SIZES[-1] * statements.BATCH_COLUMNS
    for start in range(0, len(values), largest):
        some = values[start : start + largest]
        rows = len(some) // statements.BATCH_COLUMNS
        size = next(size for size in statements.BATCH_SIZES if size >= rows)
        some += (None,) * ((size - rows) * statements.BATCH_COLUMNS)
        yield statements.insert_batch(size), some
