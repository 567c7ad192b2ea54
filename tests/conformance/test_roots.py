"""The roots that are kept for proofs, whichever store it is: there when their events are, audited, made anew."""

import importlib
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import apsw
import psycopg
import pytest

from monedero.engine.rebuild import rebuild
from monedero.engine.replay import DiscrepancyError
from monedero.engine.verify import verify
from monedero.ledger.merkle import KeptRoot, kept_roots
from monedero.ledger.profiles import OwnerKind
from monedero.settings import load_settings
from monedero.sources import new_id
from monedero.storage.store import Store
from monedero.stores import migrate_store
from tests.ledgers import BOTH, KINDS, Ledgers, opened
from tests.support import accepted, deposit, new_wallet, run

PLACE = re.compile(r"the kept root of height 8 over the events from position 256 on")


def filled(store: Store, events: int, batch: int) -> None:
    """Record events in batches."""
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    for at in range(2, events, batch):
        accepted(store, *(deposit(customer, 1) for _ in range(min(batch, events - at))))


@pytest.mark.parametrize(("events", "batch"), [(255, 100), (256, 1), (1_030, 300)])
def test_a_batch_keeps_the_roots_that_it_completes(store: Store, events: int, batch: int) -> None:
    """Whatever the batches, there is a root for each 256 events, that of the log, and the ledger verifies."""
    filled(store, events, batch)
    with store.snapshot() as snapshot:
        payloads = [row.payload for row in snapshot.rows()]
        kept = list(snapshot.roots())
        verify(snapshot)

    assert len(payloads) == events
    assert kept == list(kept_roots(payloads))
    assert [(each.height, each.number) for each in kept] == [(8, number) for number in range(events // 256)]


def test_ranges_are_read_as_far_as_they_go(store: Store) -> None:
    """Payloads and kept roots are answered in order, from the first place asked for up to the last that there is."""
    filled(store, 600, 300)
    with store.snapshot() as snapshot:
        payloads = [row.payload for row in snapshot.rows()]
        roots = [kept.root for kept in snapshot.roots()]
        head = snapshot.head()

    assert run(store.queries.head()) == head
    assert run(store.queries.payloads(250, 514)) == payloads[250:514]
    assert run(store.queries.payloads(590, 700)) == payloads[590:]
    assert run(store.queries.payloads(700, 800)) == []
    assert run(store.queries.roots(8, 0, 256)) == roots
    assert run(store.queries.roots(8, 1, 2)) == roots[1:]
    assert run(store.queries.roots(16, 0, 1)) == []


@pytest.mark.parametrize(
    "spoilt",
    [
        "UPDATE roots SET root = (SELECT root FROM head) WHERE number = 1",
        "DELETE FROM roots WHERE number = 1",
        "INSERT INTO roots (height, number, root) SELECT 8, 2, root FROM head",
        "INSERT INTO roots (height, number, root) SELECT 16, 0, root FROM head",
    ],
)
@pytest.mark.parametrize("kind", BOTH)
def test_a_root_that_is_not_the_logs_is_found_and_made_anew(
    ledgers: Ledgers, tmp_path: Path, kind: str, spoilt: str
) -> None:
    """An altered, missing or superfluous root does not verify; a rebuild leaves the right ones."""
    url = ledgers.new(kind, tmp_path)
    store = opened(url)
    filled(store, 520, 300)
    run(store.close())
    execute(url, spoilt)

    store = opened(url)
    with store.snapshot() as snapshot, pytest.raises(DiscrepancyError, match="the kept root of height"):
        verify(snapshot)
    rebuild(store)
    with store.snapshot() as snapshot:
        assert verify(snapshot).events == 520
    run(store.close())
    ledgers.drop(url)


@pytest.mark.parametrize("kind", KINDS)
def test_a_migration_keeps_the_roots_of_the_log_that_is_there(
    ledgers: Ledgers, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger from before the roots were kept has all of them once it is migrated."""
    embedded = kind == "sqlite"
    migrations = module("sqlite" if embedded else "postgres")
    known = migrations.migrations()
    before = [each for each in known if each[0] < next(number for number, name, _ in known if name.endswith("_roots"))]
    url = f"sqlite:///{tmp_path / 'old.db'}" if embedded else ledgers.server(kind).create_database("before_roots")
    payloads = [b"event %d" % at for at in range(700)]
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "migrations", lambda: before)
        migrate_store(load_settings(database_url=url))
    rows = [(at, uuid4().bytes if embedded else new_id(), payload, b"") for at, payload in enumerate(payloads)]
    execute(url, "INSERT INTO events (position, id, payload, link) VALUES (?, ?, ?, ?)", rows)
    migrate_store(load_settings(database_url=url))

    store = opened(url)
    with store.snapshot() as snapshot:
        assert list(snapshot.roots()) == list(kept_roots(payloads))
    run(store.close())
    ledgers.drop(url)


def test_the_lowest_place_that_differs_is_named(store: Store) -> None:
    """The audit says over which events the kept root is not the log's."""
    filled(store, 600, 300)
    with store.overhaul() as ledger:
        first, _ = ledger.roots()
        ledger.replace_roots([first, KeptRoot(8, 1, bytes(32))])

    with store.snapshot() as snapshot, pytest.raises(DiscrepancyError, match=PLACE):
        verify(snapshot)


def module(kind: str) -> ModuleType:
    """Return the module that migrates a store of a kind; the package has a function of its name."""
    return importlib.import_module(f"monedero.storage.{kind}.migrate")


def execute(url: str, statement: str, rows: Sequence[tuple[Any, ...]] = ((),)) -> None:
    """Change a ledger as somebody with a database tool would."""
    if url.startswith("sqlite"):
        connection = apsw.Connection(url.removeprefix("sqlite:///"))
        connection.executemany(statement, rows)
        connection.close()
    else:
        with psycopg.connect(url, autocommit=True) as server:
            server.cursor().executemany(statement.replace("?", "%s").encode(), rows)
