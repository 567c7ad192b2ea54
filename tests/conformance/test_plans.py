"""Listings of the embedded store are index scans, whatever the size of the log."""

from array import array
from collections import Counter
from pathlib import Path

import apsw
import pytest

from monedero.ledger.profiles import OwnerKind
from monedero.storage.sqlite import SqliteStore, statements
from monedero.storage.sqlite.reader import LISTING_THREADS
from monedero.storage.store import NEWEST
from tests.support import accepted, deposit, opening, registration, run

BLOBS = apsw.carray((b"",), flags=apsw.SQLITE_CARRAY_BLOB)
PARAMETERS = {
    "WALLET_POSITIONS": (1, NEWEST, 100),
    "EVENTS_AT": (apsw.carray(array("q", (1, 2))),),
    "OWNER_TRANSACTIONS": (b"", NEWEST, 100, "customer"),
    "NEWEST_MOVEMENTS": (1, 0, NEWEST, 100),
    "OLDEST_MOVEMENTS": (1, 0, NEWEST, 100),
    "EVENTS_BY_POSITION": (apsw.carray(array("q", (1, 2))),),
    "SIZE": (),
    "WALLETS_OF_OWNER": (b"", "customer", 100),
    "EVENT_BY_ID": (b"",),
    "PAYLOADS": (0, 256),
    "ROOTS": (8, 0, 256),
    "OWNER_BY_ID": (b"", "customer"),
    "WALLET_BY_ID": (b"",),
    "LOAD_OWNER": (b"",),
    "EMAIL_IS_TAKEN": ("customer", ""),
    "EVENT_IS_STORED": (b"",),
    "LOAD_WALLETS": (BLOBS,),
    "LOAD_HOLDS": (BLOBS,),
    "LOAD_DEBITED": (BLOBS,),
    "LOAD_CLAIMS": (BLOBS,),
    "EVENTS_BY_ID": (BLOBS,),
    "REFUNDED": (1,),
    "EXPIRING": (64,),
    "OPEN_HOLDS": (64,),
}


def plan(database: Path, name: str) -> list[str]:
    """Return the steps that SQLite takes for a statement."""
    connection = apsw.Connection(str(database))
    steps = connection.execute(f"EXPLAIN QUERY PLAN {getattr(statements, name)}", PARAMETERS[name]).fetchall()
    connection.close()
    return [str(detail) for *_, detail in steps]


@pytest.mark.parametrize("name", PARAMETERS)
def test_no_query_reads_a_table_through(database: Path, name: str) -> None:
    """Every statement that a request runs searches by an index or a key; what is scanned is a page of results."""
    scanned = {step for step in plan(database, name) if step.startswith("SCAN")}

    # Of the holds, those that are open are read in the order of their times, from the first on.
    bounded = (
        "SCAN items",
        "SCAN carray",
        "SCAN (subquery",
        "SCAN h USING COVERING INDEX holds_to_expire",
        "SCAN holds USING COVERING INDEX holds_to_expire",
    )
    assert not {step for step in scanned if not step.startswith(bounded)}


@pytest.mark.parametrize("wallets", [1, 100])
def test_listings_take_the_same_statements_however_many_wallets(database: Path, wallets: int) -> None:
    """A customer with 100 wallets costs as many statements as one with a single wallet."""
    store = SqliteStore(database)
    owner = registration(OwnerKind.CUSTOMER)
    mine = [opening(owner.id, OwnerKind.CUSTOMER) for _ in range(wallets)]
    accepted(store, owner, *mine, *(deposit(wallet.id, 1) for wallet in mine))
    counted: Counter[str] = Counter()
    connections = [store.queries._points, *(store.queries._idle.get() for _ in range(LISTING_THREADS))]  # noqa: SLF001
    listing = ""

    def count(_: object, statement: str, __: object) -> bool:
        counted[listing] += statement not in {"BEGIN", "ROLLBACK"}
        return True

    for connection in connections:
        connection.exec_trace = count
    for connection in connections[1:]:
        store.queries._idle.put(connection)  # noqa: SLF001 - as they came
    listing = "wallets"
    run(store.queries.wallets(OwnerKind.CUSTOMER, owner.id, 1000))
    listing = "history"
    run(store.queries.owner_transactions(OwnerKind.CUSTOMER, owner.id, NEWEST, 1000))
    listing = "transactions"
    run(store.queries.wallet_transactions(OwnerKind.CUSTOMER, mine[0].id, NEWEST, 1000))
    run(store.close())

    assert counted == {"wallets": 1, "history": 2, "transactions": 2}


def test_a_wallets_newest_page_is_two_index_scans_merged(database: Path) -> None:
    """A wallet's page takes the newest of two indexes in turn and sorts nothing, so its length does not matter."""
    steps = plan(database, "WALLET_POSITIONS")

    assert "SEARCH events USING COVERING INDEX events_by_payer (payer=? AND rowid<?)" in steps
    assert "SEARCH events USING COVERING INDEX events_by_payee (payee=? AND rowid<?)" in steps
    assert not any("TEMP B-TREE" in step for step in steps)


@pytest.mark.parametrize("name", ["NEWEST_MOVEMENTS", "OLDEST_MOVEMENTS"])
def test_a_part_of_a_wallets_history_is_two_index_scans_merged(database: Path, name: str) -> None:
    """From either end, and within bounds, the rows come in order: nothing is sorted, nothing beyond them is read."""
    steps = plan(database, name)

    assert "SEARCH events USING INDEX events_by_payer (payer=? AND rowid>? AND rowid<?)" in steps
    assert "SEARCH events USING INDEX events_by_payee (payee=? AND rowid>? AND rowid<?)" in steps
    assert not any("TEMP B-TREE" in step for step in steps)


def test_a_customers_newest_page_takes_the_newest_of_each_wallet(database: Path) -> None:
    """A customer's page reads no more of a wallet than the page can hold, from the index alone."""
    steps = plan(database, "OWNER_TRANSACTIONS")

    assert "SEARCH events USING COVERING INDEX events_by_payer (payer=? AND rowid<?)" in steps
    assert "SEARCH events USING COVERING INDEX events_by_payee (payee=? AND rowid<?)" in steps


def test_what_expires_next_is_sorted_by_nobody(database: Path) -> None:
    """The open holds come in order from their index, so that how many there are does not matter."""
    steps = plan(database, "EXPIRING")

    assert "SCAN h USING COVERING INDEX holds_to_expire" in steps
    assert not any("TEMP B-TREE" in step for step in steps)


def test_old_claims_are_forgotten_from_the_oldest_on(database: Path) -> None:
    """Of the claims only the few oldest are looked at, by their numbers."""
    statement = "DELETE FROM claims WHERE number IN (SELECT number FROM claims ORDER BY number LIMIT ?) AND at < ?"
    assert statement in " ".join(statements.BATCH_VIEW.replace("NEW.a", "?").replace("NEW.b", "?").split())
    connection = apsw.Connection(str(database))
    steps = [str(row[-1]) for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", (1, 1)).fetchall()]
    connection.close()

    assert "SEARCH claims USING INTEGER PRIMARY KEY (rowid=?)" in steps
    assert not any("TEMP B-TREE" in step for step in steps)
