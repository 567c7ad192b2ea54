"""Bare loops around the drivers: they write batches that are ready, the same rows as the engine, and decide nothing.

Tables, indexes, PRAGMAs and durability are the same. What is written comes from a ledger that the engine wrote, and
the copy must verify.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import psycopg

from monedero.ledger.events import DebitAccepted, Posting, decode
from monedero.ledger.merkle import Head, seal
from monedero.storage.sqlite.connection import open_writer
from monedero.storage.sqlite.store import CHECKPOINT_INTERVAL_SECONDS

Row = tuple[Any, ...]
"""Of the log, as a driver returns it: position, id, payer, payee, payload, link."""

APPEND = """
    WITH appended AS (
        INSERT INTO events (position, id, payer, payee, payload, link)
        SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::bigint[], %s::bigint[], %s::bytea[], %s::bytea[])
    ), moved AS (
        UPDATE wallets
        SET balance = m.balance, version = m.version, modified_at = m.at, position = m.position, held = m.held
        FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
            AS m (balance, version, at, position, held, number)
        WHERE wallets.number = m.number
    ), kept AS (
        INSERT INTO roots (height, number, root) SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bytea[])
    )
    UPDATE head SET size = %s, frontier = %s, root = %s, link = %s WHERE single = 1
"""


class Ready(NamedTuple):
    """A batch that only has to be written. A wallet that moved is balance, version, time, position, held, number."""

    rows: list[Row]
    moved: list[Row]
    head: Head
    roots: list[Row]


class BareSqlite:
    """One connection of apsw as the store configures it, and a thread that checkpoints as the store's does."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source, self._target = source, target
        self._connection = open_writer(target)
        self._closing = threading.Event()
        self._checkpointer = threading.Thread(target=self._checkpoint)
        self._checkpointer.start()

    def ready(self, batch: int) -> Callable[[], None]:
        """Return what writes, in batches, what the source has and the target has not."""
        head = Head(*self._connection.execute("SELECT size, frontier, root, link FROM head").get)
        source = open_writer(self._source)
        rows = source.execute("SELECT * FROM events WHERE position >= ? ORDER BY position", (head.size,)).fetchall()
        source.close()
        return partial(self._write, list(_batches(head, rows, batch)))

    def _write(self, batches: Iterable[Ready]) -> None:
        execute, executemany = self._connection.execute, self._connection.executemany
        for rows, moved, head, roots in batches:
            execute("BEGIN IMMEDIATE")
            executemany(
                "INSERT INTO events (position, id, payer, payee, payload, link) VALUES (?, ?, ?, ?, ?, ?)", rows
            )
            executemany(
                "UPDATE wallets SET balance = ?, version = ?, modified_at = ?, position = ?, held = ? WHERE number = ?",
                moved,
            )
            execute("UPDATE head SET size = ?, frontier = ?, root = ?, link = ? WHERE only = 1", _columns(head))
            executemany("INSERT INTO roots (height, number, root) VALUES (?, ?, ?)", roots)
            execute("COMMIT")

    def close(self) -> None:
        """End the thread and close the connection."""
        self._closing.set()
        self._checkpointer.join()
        self._connection.close()

    def _checkpoint(self) -> None:
        connection = open_writer(self._target)
        while not self._closing.wait(CHECKPOINT_INTERVAL_SECONDS):
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        connection.close()


class BarePostgres:
    """One connection of psycopg; a batch is one statement and one round trip, which is faster than COPY here."""

    def __init__(self, source: str, target: str) -> None:
        self._source = source
        self._connection = psycopg.connect(target, autocommit=True, prepare_threshold=0)

    def ready(self, batch: int) -> Callable[[], None]:
        """Return what writes, in batches, what the source has and the target has not."""
        found = self._connection.execute("SELECT size, frontier, root, link FROM head").fetchone()
        assert found is not None  # noqa: S101 - a ledger has a head
        head = Head(*found)
        with psycopg.connect(self._source) as source:
            rows = source.execute(
                "SELECT * FROM events WHERE position >= %s ORDER BY position", (head.size,), binary=True
            ).fetchall()
        return partial(self._write, [_parameters(each) for each in _batches(head, rows, batch)])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _write(self, batches: Iterable[Row]) -> None:
        for parameters in batches:
            with self._connection.pipeline():
                self._connection.execute("BEGIN", prepare=False)
                self._connection.execute(APPEND, parameters)
                self._connection.execute("COMMIT", prepare=False)


def _batches(head: Head, rows: list[Row], batch: int) -> Iterator[Ready]:
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        head, _, kept = seal(head, [row[4] for row in some])
        moved = {posted[-1]: posted for row in some for posted in _posted(row)}
        roots = [(each.height, each.number, each.root) for each in kept]
        yield Ready(some, [moved[number] for number in sorted(moved)], head, roots)


def _posted(row: Row) -> Iterable[Row]:
    """Return both wallets as a debit leaves them."""
    position, _, payer, payee, payload, _ = row
    event = decode(payload)
    assert isinstance(event, DebitAccepted)  # noqa: S101 - nothing else was asked for

    def wallet(posting: Posting, number: int) -> Row:
        return posting.balance, posting.version, event.at, position, posting.held, number

    return wallet(event.payer, payer), wallet(event.payee, payee)


def _columns(head: Head) -> Row:
    return head.size, head.frontier, head.root, head.link


def _parameters(batch: Ready) -> Row:
    """Return the parameters of APPEND: each column as an array literal, then the head."""
    roots = zip(*batch.roots, strict=True) if batch.roots else ((), (), ())
    columns = [*zip(*batch.rows, strict=True), *zip(*batch.moved, strict=True), *roots]
    return *("{" + ",".join(map(_element, column)) + "}" for column in columns), *_columns(batch.head)


def _element(value: object) -> str:
    return f'"\\\\x{value.hex()}"' if isinstance(value, bytes) else str(value)
