"""The disk fails under the ledger: nothing is acknowledged that is not stored, and nothing half-written stays."""

import asyncio
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from monedero.engine.engine import Engine, EngineStoppedError
from monedero.engine.verify import verify
from monedero.ledger.commands import EraseOwner
from monedero.ledger.events import Recorded
from monedero.ledger.ids import WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.sources import now_microseconds
from monedero.storage.sqlite import SqliteStore
from monedero.storage.sqlite.connection import BUSY_TIMEOUT_MILLISECONDS, create_file, open_writer
from monedero.storage.store import NEWEST, CommitUnknownError, NotStoredError, StoreBrokenError, StoreError
from tests.disks import FailingCommit, FaultyDisk
from tests.support import accepted, commit, deposit, new_wallet, registration, run


@pytest.fixture
def store(database: Path, disk: FaultyDisk) -> Iterator[SqliteStore]:
    """Return a ledger on that disk."""
    opened = SqliteStore(database, vfs=disk.name)
    yield opened
    disk.heal()
    run(opened.close())


def balance(store: SqliteStore, wallet: WalletId) -> int:
    """Return a balance in units."""
    found = run(store.queries.wallet(wallet))
    assert found is not None
    return found.balance


def test_the_writer_is_not_held_up_by_checkpoints(tmp_path: Path) -> None:
    """However much a commit writes, moving it from the write-ahead log into the file is left to others."""
    path = tmp_path / "ledger.db"
    create_file(path)
    with closing(open_writer(path)) as connection:
        connection.execute("CREATE TABLE large (content)")
        before = path.stat().st_size
        connection.execute("INSERT INTO large VALUES (zeroblob(8000000))")
        after = path.stat().st_size

    assert after == before


def test_a_full_disk_records_nothing_and_heals(store: SqliteStore, disk: FaultyDisk) -> None:
    """While the disk is full commands are refused and nothing is stored; with space again, they are recorded."""
    wallet = new_wallet(store, OwnerKind.CUSTOMER)
    accepted(store, deposit(wallet, 1))
    disk.is_full = True
    for _ in range(3):
        with pytest.raises(NotStoredError):
            commit(store, [deposit(wallet, 10)])
    assert balance(store, wallet) == 1
    disk.is_full = False
    accepted(store, deposit(wallet, 100))

    assert balance(store, wallet) == 101
    with store.snapshot() as snapshot:
        assert verify(snapshot).events == 4


def test_a_failed_sync_breaks_the_store(store: SqliteStore, disk: FaultyDisk) -> None:
    """A commit that could not be synced is never called stored, and never called failed."""
    wallet = new_wallet(store, OwnerKind.CUSTOMER)
    disk.failing_syncs = math.inf

    with pytest.raises(StoreBrokenError):
        commit(store, [deposit(wallet, 10)])


def test_after_a_failed_sync_the_engine_stops(store: SqliteStore, disk: FaultyDisk) -> None:
    """Who was waiting hears that the outcome is unknown, who comes later that the engine has stopped."""
    wallet = new_wallet(store, OwnerKind.CUSTOMER)
    heard: list[StoreError] = []
    engine = Engine(store, batch_limit=8, queue_limit=100, on_broken=heard.append)

    async def scenario() -> list[object]:
        engine.start()
        before: object = await engine.submit(deposit(wallet, 1))
        disk.failing_syncs = math.inf
        during = await asyncio.gather(*(engine.submit(deposit(wallet, 1)) for _ in range(20)), return_exceptions=True)
        disk.failing_syncs = 0
        after = await asyncio.gather(engine.submit(deposit(wallet, 1)), return_exceptions=True)
        await engine.drain()
        return [before, *during, *after]

    before, *during, after = run(scenario())
    assert isinstance(before, Recorded)
    assert {type(each) for each in during} == {CommitUnknownError, EngineStoppedError}
    assert isinstance(after, EngineStoppedError)
    assert len(heard) == 1


def test_a_broken_ledger_opens_whole_again(store: SqliteStore, disk: FaultyDisk, database: Path) -> None:
    """The next process recovers: what was acknowledged is there, and the ledger verifies."""
    wallet = new_wallet(store, OwnerKind.CUSTOMER)
    accepted(store, deposit(wallet, 5))
    disk.failing_syncs = math.inf
    with pytest.raises(StoreBrokenError):
        commit(store, [deposit(wallet, 10)])
    disk.failing_syncs = 0
    run(store.close())
    again = SqliteStore(database)
    recovered = balance(again, wallet)
    accepted(again, deposit(wallet, 100))

    assert recovered in {5, 15}
    assert balance(again, wallet) == recovered + 100
    with again.snapshot() as snapshot:
        verify(snapshot)
    run(again.close())


@pytest.mark.parametrize("happens", [True, False])
def test_a_commit_that_reports_failure_is_looked_up(
    store: SqliteStore, happens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed COMMIT is unknown until the batch is looked up: then it is a success, or certainly nothing."""
    wallet = new_wallet(store, OwnerKind.CUSTOMER)
    writer: Any = store._writer  # noqa: SLF001 - the one place where a COMMIT can be made to lie
    monkeypatch.setattr(writer, "_connection", FailingCommit(writer._connection, happens=happens))  # noqa: SLF001 - likewise
    if happens:
        (recorded,) = commit(store, [deposit(wallet, 7)])
        assert isinstance(recorded, Recorded)
        assert run(store.queries_at(recorded.position)) is not None
    else:
        with pytest.raises(NotStoredError):
            commit(store, [deposit(wallet, 7)])

    assert balance(store, wallet) == (7 if happens else 0)


def test_an_erasure_whose_commit_reports_failure_is_unknown(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It leaves no event to look for, so it is not called "not done" though the data may be gone."""
    customer = registration(OwnerKind.CUSTOMER)
    accepted(store, customer)
    writer: Any = store._writer  # noqa: SLF001 - the one place where a COMMIT can be made to lie
    monkeypatch.setattr(writer, "_connection", FailingCommit(writer._connection, happens=True))  # noqa: SLF001 - likewise
    with pytest.raises(CommitUnknownError):
        commit(store, [EraseOwner(customer.id, now_microseconds(), OwnerKind.CUSTOMER)])

    owner = run(store.queries.owner(OwnerKind.CUSTOMER, customer.id))
    assert owner is not None
    assert owner.personal is None


def test_a_failed_look_up_leaves_the_outcome_unknown(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that can neither be committed for sure nor looked up is unknown, never "not recorded"."""
    wallet = new_wallet(store, OwnerKind.CUSTOMER)
    writer: Any = store._writer  # noqa: SLF001 - the one place where a COMMIT can be made to lie
    monkeypatch.setattr(writer, "_connection", FailingCommit(writer._connection, happens=True))  # noqa: SLF001 - likewise

    def busy(_: object) -> set[str]:
        raise apsw.BusyError

    monkeypatch.setattr(writer, "_stored", busy)
    with pytest.raises(CommitUnknownError):
        commit(store, [deposit(wallet, 7)])

    assert balance(store, wallet) == 7


def test_a_read_only_disk_stops_the_writer(store: SqliteStore) -> None:
    """A disk that takes no more writes breaks the store, as a failed sync does; it is no error of the request."""
    wallet = new_wallet(store, OwnerKind.CUSTOMER)
    store._connection.execute("PRAGMA query_only = ON")  # noqa: SLF001 - as a disk remounted read-only would be

    with pytest.raises(StoreBrokenError):
        commit(store, [deposit(wallet, 10)])


def test_listings_outlive_errors_of_reading(store: SqliteStore) -> None:
    """However many reads fail, the next one is answered."""
    wallet = new_wallet(store, OwnerKind.CUSTOMER)
    accepted(store, deposit(wallet, 5))

    def failing(connection: apsw.Connection) -> None:
        connection.execute("ROLLBACK")  # As SQLite does by itself after an I/O error.
        raise apsw.IOError

    async def scenario() -> int:
        for _ in range(5):
            with pytest.raises(apsw.IOError):
                await store.queries._list(failing)  # noqa: SLF001 - where every listing passes
        found = await store.queries.wallet_transactions(OwnerKind.CUSTOMER, wallet, NEWEST, 10)
        assert found is not None
        return len(found.transactions)

    assert run(scenario()) == 1


def test_another_program_that_opens_the_file_harms_nothing(store: SqliteStore, database: Path) -> None:
    """Somebody looks into the file of a running service and closes it again: the service's log stays where it is."""
    wallet = new_wallet(store, OwnerKind.CUSTOMER)
    accepted(store, deposit(wallet, 1))
    log = database.with_name(f"{database.name}-wal")
    before = log.stat().st_ino
    look = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM events'); c.close()"
    subprocess.run([sys.executable, "-c", look, str(database)], check=True, timeout=20)

    assert log.stat().st_ino == before


def test_a_long_read_does_not_stall_the_writer(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an audit reads one moment of the ledger, commits go on, however long the write-ahead log grows."""
    wallet = new_wallet(store, OwnerKind.CUSTOMER)
    monkeypatch.setattr(store, "_restart_pages", 1)
    with store.snapshot() as snapshot:
        snapshot.head()
        before = time.monotonic()
        for _ in range(5):
            monkeypatch.setattr(store, "_restart_pages", 1)
            accepted(store, deposit(wallet, 1))
        took = time.monotonic() - before

    assert took < 5 * BUSY_TIMEOUT_MILLISECONDS / 1000 / 2
