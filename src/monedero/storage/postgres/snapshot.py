"""The whole ledger at one moment, for the audit and for the commands of an operator."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count, islice
from typing import LiteralString, TypeVar

import psycopg

from monedero.ledger.events import EventUnreadableError
from monedero.ledger.evolve import debited
from monedero.ledger.ids import TransactionId
from monedero.ledger.merkle import Head
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
    from_wallet,
    to_event_row,
    to_hold,
    to_owner,
    to_recorded,
    to_wallet,
)
from monedero.storage.store import EventRow, Import, NotStoredError, StoreBrokenError, StoredOwner

ROWS_AT_ONCE = 5_000

Answer = TypeVar("Answer")
Record = TypeVar("Record", Hold, Debited)


class DatabaseSnapshot:
    """One transaction over everything, read in steps of bounded size."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._cursors = count()

    def head(self) -> Head:
        """See Snapshot.head."""
        for head in self._read(statements.READ_HEAD, lambda row: Head(*row)):
            return head
        raise StoreBrokenError("The head of the log is missing")

    def rows(self) -> Iterator[EventRow]:
        """See Snapshot.rows."""
        return self._read(statements.ALL_EVENTS, to_event_row)

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
        wanted = (array(ids),)
        found = self._read(statements.EVENTS_BY_ID, lambda row: debited(to_recorded(row)), wanted)
        return [debit for debit in found if debit]

    def importing(self) -> Import | None:
        """See Snapshot.importing."""
        return next(self._read(statements.READ_IMPORT, lambda row: Import(*row)), None)

    def damage(self) -> str | None:
        """See Snapshot.damage."""
        found = sorted(str(row[0]) for row in self._connection.execute(statements.SCHEMA))
        if found != expected_schema():
            return "its tables and indexes are not those that the migrations make"
        return None

    def _read(
        self, statement: LiteralString, convert: Callable[[Row], Answer], parameters: Row = ()
    ) -> Iterator[Answer]:
        """Yield each row as a value. Raises StoreBrokenError for one that the database or we cannot read."""
        try:
            with self._connection.cursor(f"audit_{next(self._cursors)}", binary=True) as cursor:
                cursor.itersize = ROWS_AT_ONCE
                for row in cursor.execute(statement, parameters):
                    yield convert(row)
        except (psycopg.Error, EventUnreadableError, ValueError, TypeError, AttributeError) as error:
            raise StoreBrokenError(f"A stored row cannot be read: {sentence(error)}") from None


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

    def begin_import(self, begun: Import) -> None:
        """See Overhaul.begin_import."""
        self._connection.execute(statements.BEGIN_IMPORT, (begun.size, begun.root, begun.owners))

    def end_import(self) -> None:
        """See Overhaul.end_import."""
        self._connection.execute(statements.END_IMPORT)


@contextmanager
def snapshot(url: str, limits: Limits) -> Iterator[DatabaseSnapshot]:
    """Open the database, which may be a replica, at one moment; everybody else may go on writing."""
    with opened(conninfo(url, limits, read_write=False), name_of(url)) as connection:
        require_migrated(connection, name_of(url))
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        _take_your_time(connection)
        yield DatabaseSnapshot(connection)
        connection.execute("ROLLBACK")


@contextmanager
def overhaul(url: str, limits: Limits) -> Iterator[DatabaseOverhaul]:
    """Keep every writer out and open one transaction that commits at the end."""
    with opened(conninfo(url, limits, read_write=True), name_of(url)) as connection:
        require_migrated(connection, name_of(url))
        with failures_named(), connection.transaction():
            connection.execute(statements.LOCK_HEAD)
            _take_your_time(connection)
            yield DatabaseOverhaul(connection)


def _chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    stream = iter(records)
    while chunk := list(islice(stream, ROWS_AT_ONCE)):
        yield chunk


def _take_your_time(connection: psycopg.Connection) -> None:
    """Lift the limits that are meant for requests: reading everything takes as long as it takes."""
    connection.execute("SET LOCAL statement_timeout = 0")
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
