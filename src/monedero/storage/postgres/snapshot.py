"""The whole ledger at one moment, for the audit and for the commands of an operator."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import islice
from typing import LiteralString, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from monedero.ledger.events import EventUnreadableError
from monedero.ledger.evolve import debited
from monedero.ledger.ids import TransactionId
from monedero.ledger.merkle import Head, KeptRoot
from monedero.ledger.money import Units
from monedero.ledger.state import Debited, Hold, Wallet
from monedero.storage.postgres import statements
from monedero.storage.postgres.connection import Limits, conninfo, failures_named, name_of, opened, sentence
from monedero.storage.postgres.migrate import expected_schema, require_migrated
from monedero.storage.postgres.rows import (
    Row,
    array,
    from_debited,
    from_holds,
    from_root,
    from_wallet,
    to_event_row,
    to_hold,
    to_owner,
    to_recorded,
    to_wallet,
)
from monedero.storage.store import EventRow, Import, NotStoredError, StoreBrokenError, StoredOwner

ROWS_AT_ONCE = 1_000

Answer = TypeVar("Answer")
Record = TypeVar("Record", Hold, Debited)


class DatabaseSnapshot:
    """One transaction over everything. While rows are taken in, the server goes on with those that follow."""

    def __init__(self, connection: psycopg.Connection, beside: Callable[[], psycopg.Connection]) -> None:
        """`beside` opens another connection: for what is looked up while this one is busy with all the rows."""
        self._connection = connection
        self._beside = cache(beside)

    def head(self) -> Head:
        """See Snapshot.head."""
        for row in self._all(statements.READ_HEAD):
            return Head(*row)
        raise StoreBrokenError("The head of the log is missing")

    def rows(self) -> Iterator[EventRow]:
        """See Snapshot.rows."""
        return self._read(statements.ALL_EVENTS, to_event_row)

    def roots(self) -> Iterator[KeptRoot]:
        """See Snapshot.roots."""
        return self._read(statements.ALL_ROOTS, lambda row: KeptRoot(*row))

    def wallets(self) -> Iterator[Wallet]:
        """See Snapshot.wallets."""
        return self._read(statements.ALL_WALLETS, to_wallet)

    def owners(self) -> Iterator[StoredOwner]:
        """See Snapshot.owners."""
        return self._read(statements.ALL_OWNERS, to_owner)

    def holds(self) -> Iterator[Hold]:
        """See Snapshot.holds."""
        return self._read(statements.ALL_HOLDS, to_hold)

    def refunds(self) -> Iterator[tuple[int, Units]]:
        """See Snapshot.refunds."""
        return self._read(statements.ALL_REFUNDS, lambda row: (row[0], Units(row[1])))

    def debited(self, ids: Iterable[TransactionId]) -> list[Debited]:
        """See Snapshot.debited."""
        with _named():
            rows = self._beside().execute(statements.EVENTS_BY_ID, (array(ids),), binary=True).fetchall()
            return [debit for debit in (debited(to_recorded(row)) for row in rows) if debit]

    def importing(self) -> Import | None:
        """See Snapshot.importing."""
        return next((Import(*row) for row in self._all(statements.READ_IMPORT)), None)

    @contextmanager
    def inspection(self) -> Iterator[Callable[[], str | None]]:
        """See Snapshot.inspection. It is done when it is asked for: it takes no time here."""
        yield self._damage

    def _damage(self) -> str | None:
        found = sorted(str(row[0]) for row in self._all(statements.SCHEMA))
        if found != expected_schema():
            return "its tables and indexes are not those that the migrations make"
        return None

    def _read(self, statement: LiteralString, convert: Callable[[Row], Answer]) -> Iterator[Answer]:
        """Yield each row as a value. Raises StoreBrokenError for one that the database or we cannot read."""
        self._require_idle()
        with _named(), self._connection.cursor(binary=True) as cursor:
            yield from map(convert, cursor.stream(statement, binary=True, size=ROWS_AT_ONCE))

    def _all(self, statement: LiteralString) -> list[Row]:
        """Return the few rows that there are. Raises StoreBrokenError."""
        self._require_idle()
        with _named():
            return self._connection.execute(statement, binary=True).fetchall()

    def _require_idle(self) -> None:
        """Raise RuntimeError while something is being read: the connection would wait for itself."""
        if self._connection.info.transaction_status is TransactionStatus.ACTIVE:
            raise RuntimeError("One thing of a snapshot is read at a time")


class DatabaseOverhaul(DatabaseSnapshot):
    """Everything, while the head's lock keeps the writers out."""

    def replace_projections(self, wallets: Iterable[Wallet], holds: Iterable[Hold], debited: Iterable[Debited]) -> None:
        """See Overhaul.replace_projections."""
        execute = self._connection.execute
        try:
            for dropped in (statements.DROP_WALLETS, statements.DROP_HOLDS, statements.DROP_REFUNDS):
                execute(dropped)
            with self._connection.cursor() as cursor:
                cursor.executemany(statements.INSERT_WALLET, map(from_wallet, wallets))
            for some in _chunks(holds):
                execute(statements.PUT_HOLDS, from_holds(some))
            for refunded in _chunks(debited):
                execute(statements.PUT_REFUNDS, from_debited(refunded))
        except psycopg.errors.IntegrityError as error:
            raise NotStoredError(f"The wallets do not fit: {sentence(error)}") from error

    def replace_roots(self, roots: Iterable[KeptRoot]) -> None:
        """See Overhaul.replace_roots."""
        self._connection.execute(statements.DROP_ROOTS)
        with self._connection.cursor() as cursor:
            cursor.executemany(statements.INSERT_ROOT, map(from_root, roots))

    def begin_import(self, begun: Import) -> None:
        """See Overhaul.begin_import."""
        self._connection.execute(statements.BEGIN_IMPORT, (begun.size, begun.root, begun.owners))

    def end_import(self) -> None:
        """See Overhaul.end_import."""
        self._connection.execute(statements.END_IMPORT)


@contextmanager
def snapshot(url: str, limits: Limits) -> Iterator[DatabaseSnapshot]:
    """Open the database, which may be a replica, at one moment; everybody else may go on writing."""
    address, name = conninfo(url, limits, read_write=False, by_index=True), name_of(url)
    with opened(address, name) as connection, ExitStack() as later:
        require_migrated(connection, name)
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        _take_your_time(connection)
        try:
            yield DatabaseSnapshot(connection, lambda: later.enter_context(opened(address, name)))
        finally:
            connection.close()  # At once: what somebody left half read would be waited for.


@contextmanager
def overhaul(url: str, limits: Limits) -> Iterator[DatabaseOverhaul]:
    """Keep every writer out and open one transaction that commits at the end."""
    address, name = conninfo(url, limits, read_write=True, by_index=True), name_of(url)
    with opened(address, name) as connection, ExitStack() as later:
        require_migrated(connection, name)
        with failures_named(), connection.transaction():
            connection.execute(statements.LOCK_HEAD)
            _take_your_time(connection)
            try:
                yield DatabaseOverhaul(connection, lambda: later.enter_context(opened(address, name)))
            except BaseException:
                connection.close()  # As above; the server rolls back.
                raise


@contextmanager
def _named() -> Iterator[None]:
    """Turn what cannot be read into the port's error."""
    try:
        yield
    except (psycopg.Error, EventUnreadableError, ValueError, TypeError, AttributeError) as error:
        raise StoreBrokenError(f"A stored row cannot be read: {sentence(error)}") from None


def _chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    stream = iter(records)
    while chunk := list(islice(stream, ROWS_AT_ONCE)):
        yield chunk


def _take_your_time(connection: psycopg.Connection) -> None:
    """Lift the limits that are meant for requests: reading everything takes as long as it takes."""
    connection.execute("SET LOCAL statement_timeout = 0")
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
