"""The whole ledger at one moment, for the audit and for the commands of an operator."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import LiteralString, TypeVar

import psycopg

from monedero.ledger.events import EventUnreadableError
from monedero.ledger.merkle import Head, KeptRoot
from monedero.ledger.state import Wallet
from monedero.storage.postgres import statements
from monedero.storage.postgres.connection import Limits, conninfo, failures_named, name_of, opened, sentence
from monedero.storage.postgres.migrate import expected_schema, require_migrated
from monedero.storage.postgres.rows import Row, from_root, from_wallet, to_event_row, to_owner, to_wallet
from monedero.storage.store import EventRow, Import, NotStoredError, StoreBrokenError, StoredOwner

ROWS_AT_ONCE = 5_000

Answer = TypeVar("Answer")


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

    def roots(self) -> Iterator[KeptRoot]:
        """See Snapshot.roots."""
        return self._read(statements.ALL_ROOTS, lambda row: KeptRoot(*row))

    def wallets(self) -> Iterator[Wallet]:
        """See Snapshot.wallets."""
        return self._read(statements.ALL_WALLETS, to_wallet)

    def owners(self) -> Iterator[StoredOwner]:
        """See Snapshot.owners."""
        return self._read(statements.ALL_OWNERS, to_owner)

    def importing(self) -> Import | None:
        """See Snapshot.importing."""
        return next(self._read(statements.READ_IMPORT, lambda row: Import(*row)), None)

    def damage(self) -> str | None:
        """See Snapshot.damage."""
        found = sorted(str(row[0]) for row in self._connection.execute(statements.SCHEMA))
        if found != expected_schema():
            return "its tables and indexes are not those that the migrations make"
        return None

    def _read(self, statement: LiteralString, convert: Callable[[Row], Answer]) -> Iterator[Answer]:
        """Yield each row as a value. Raises StoreBrokenError for one that the database or we cannot read."""
        try:
            with self._connection.cursor(f"audit_{next(self._cursors)}", binary=True) as cursor:
                cursor.itersize = ROWS_AT_ONCE
                for row in cursor.execute(statement):
                    yield convert(row)
        except (psycopg.Error, EventUnreadableError, ValueError, TypeError, AttributeError) as error:
            raise StoreBrokenError(f"A stored row cannot be read: {sentence(error)}") from None


class DatabaseOverhaul(DatabaseSnapshot):
    """Everything, while the head's lock keeps the writers out."""

    def replace_wallets(self, wallets: Iterable[Wallet]) -> None:
        """See Overhaul.replace_wallets."""
        try:
            self._connection.execute(statements.DROP_WALLETS)
            with self._connection.cursor() as cursor:
                cursor.executemany(statements.INSERT_WALLET, map(from_wallet, wallets))
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


def _take_your_time(connection: psycopg.Connection) -> None:
    """Lift the limits that are meant for requests: reading everything takes as long as it takes."""
    connection.execute("SET LOCAL statement_timeout = 0")
    connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
