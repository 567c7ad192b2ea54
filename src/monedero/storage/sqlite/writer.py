"""The writer: one transaction a batch, and what a failure of it means."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain

import apsw

from monedero.ledger.commands import RegisterOwner
from monedero.ledger.ids import OwnerId
from monedero.ledger.merkle import Head
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Owner, State, Touched, Wallet
from monedero.storage.sqlite import statements
from monedero.storage.sqlite.hot import HotWallets
from monedero.storage.sqlite.rows import Row, from_wallet, id_bytes, id_text, to_wallet
from monedero.storage.store import Batch, CommitUnknownError, NotStoredError, StoreBrokenError

_BROKEN = (apsw.IOError, apsw.CorruptError, apsw.NotADBError)
_PASSING = (apsw.FullError, apsw.BusyError, apsw.LockedError, apsw.NoMemError, apsw.InterruptError)


class Writer:
    """The one connection that writes. Used by one thread at a time."""

    def __init__(self, connection: apsw.Connection, hot: HotWallets) -> None:
        self._connection = connection
        self._hot = hot
        self._moved: list[Wallet] = []

    @contextmanager
    def transaction(self) -> Iterator["Writer"]:
        """See Store.transaction."""
        self._moved = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self
        except BaseException as error:
            self._rollback()
            if isinstance(error, _BROKEN):
                raise _broken(error) from error
            if isinstance(error, _PASSING):
                raise NotStoredError(f"The ledger could not be written: {error}") from error
            raise
        try:
            self._connection.execute("COMMIT")
        except _BROKEN as error:
            self._rollback()
            raise _broken(error) from error
        except apsw.Error as error:
            self._rollback()
            raise CommitUnknownError(f"The ledger could not be written: {error}") from error
        self._hot.keep(self._moved)

    def load(self, touched: Touched) -> State:
        """See Transaction.load."""
        execute = self._connection.execute
        state = State()
        cold = []
        for wallet_id in touched.wallets:
            if hot := self._hot.get(wallet_id):
                state.wallets[wallet_id] = hot
            else:
                cold.append(id_bytes(wallet_id))
        if cold:
            ids = apsw.carray(sorted(cold), flags=apsw.SQLITE_CARRAY_BLOB)
            state.wallets.update((wallet.id, wallet) for wallet in map(to_wallet, execute(statements.LOAD_WALLETS, (ids,))))
        for owner_id in sorted(touched.owners):
            for found, kind, has_wallet in execute(statements.LOAD_OWNER, (id_bytes(owner_id),)):
                state.owners[owner_id] = Owner(OwnerId(id_text(found)), OwnerKind(kind), bool(has_wallet))
        for email in sorted(touched.emails):
            if execute(statements.EMAIL_IS_TAKEN, email).fetchone():
                state.emails.add(email)
        return state

    def head(self) -> Head:
        """See Transaction.head."""
        return Head(*self._connection.execute(statements.READ_HEAD).get)

    def append(self, batch: Batch) -> None:
        """See Transaction.append."""
        executemany = self._connection.executemany
        self._many(
            statements.append_events,
            [(row.position, id_bytes(row.id), row.payer, row.payee, row.payload, row.link) for row in batch.rows],
        )
        executemany(statements.INSERT_OWNER, (_from_registration(*each) for each in batch.registrations))
        first = batch.rows[0].position
        opened = [wallet for wallet in batch.wallets if wallet.number >= first]
        moved = sorted((wallet for wallet in batch.wallets if wallet.number < first), key=lambda wallet: wallet.number)
        executemany(statements.INSERT_WALLET, map(from_wallet, opened))
        self._many(
            statements.move_wallets,
            [(each.number, each.balance, each.version, each.modified_at, each.position) for each in moved],
        )
        self._moved = batch.wallets
        head = batch.head
        self._connection.execute(statements.MOVE_HEAD, (head.size, head.frontier, head.root, head.link))

    def replace_wallets(self, wallets: Iterable[Wallet]) -> None:
        """See Store.replace_wallets."""
        with self.transaction():
            self._connection.execute(statements.DROP_WALLETS)
            self._connection.executemany(statements.INSERT_WALLET, map(from_wallet, wallets))
        self._hot.clear()

    def stored(self, event_ids: Iterable[str]) -> set[str]:
        """See Store.stored."""
        execute = self._connection.execute
        try:
            return {each for each in event_ids if execute(statements.EVENT_IS_STORED, (id_bytes(each),)).fetchone()}
        except apsw.Error as error:
            raise _broken(error) from error

    def _many(self, statement: Callable[[int], str], rows: Sequence[Row]) -> None:
        """Run a statement over many rows at a time.

        Every step of SQLite gives up the interpreter's lock and has to win it back from the event loop.
        """
        done = 0
        for size in (64, 8, 1):
            while len(rows) - done >= size:
                self._connection.execute(statement(size), tuple(chain.from_iterable(rows[done : done + size])))
                done += size

    def _rollback(self) -> None:
        # SQLite has already rolled back by itself after some errors; after an I/O error it may fail again.
        if self._connection.in_transaction:
            with suppress(apsw.Error):
                self._connection.execute("ROLLBACK")


def _broken(error: Exception) -> StoreBrokenError:
    return StoreBrokenError(f"The disk failed under the ledger: {error}")


def _from_registration(position: int, command: RegisterOwner) -> Row:
    profile = command.profile
    return (
        position,
        id_bytes(command.id),
        command.kind,
        profile.name,
        profile.last_name,
        profile.email,
        profile.email_key,
        profile.phone,
        command.salt,
        command.at,
    )
