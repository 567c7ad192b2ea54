"""Listings of the embedded store are index scans, whatever the size of the log."""

from array import array
from pathlib import Path

import apsw
import pytest

from monedero.storage.sqlite import statements
from monedero.storage.store import NEWEST

PARAMETERS = {
    "WALLET_POSITIONS": (1, NEWEST, 100),
    "EVENTS_AT": (apsw.carray(array("q", (1, 2))),),
    "OWNER_TRANSACTIONS": (b"", NEWEST, 100, "customer"),
    "WALLETS_OF_OWNER": (b"", "customer", NEWEST, 100),
    "EVENT_BY_ID": (b"",),
    "OWNER_BY_ID": (b"", "customer"),
    "WALLET_BY_ID": (b"",),
    "LOAD_OWNER": (b"",),
    "EMAIL_IS_TAKEN": ("customer", ""),
    "EVENT_IS_STORED": (b"",),
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

    bounded = ("SCAN items", "SCAN carray", "SCAN (subquery")
    assert not {step for step in scanned if not step.startswith(bounded)}


def test_a_wallets_newest_page_is_two_index_scans_merged(database: Path) -> None:
    """A wallet's page takes the newest of two indexes in turn and sorts nothing, so its length does not matter."""
    steps = plan(database, "WALLET_POSITIONS")

    assert "SEARCH events USING COVERING INDEX events_by_payer (payer=? AND rowid<?)" in steps
    assert "SEARCH events USING COVERING INDEX events_by_payee (payee=? AND rowid<?)" in steps
    assert not any("TEMP B-TREE" in step for step in steps)


def test_a_customers_newest_page_takes_the_newest_of_each_wallet(database: Path) -> None:
    """A customer's page reads no more of a wallet than the page can hold, from the index alone."""
    steps = plan(database, "OWNER_TRANSACTIONS")

    assert "SEARCH events USING COVERING INDEX events_by_payer (payer=? AND rowid<?)" in steps
    assert "SEARCH events USING COVERING INDEX events_by_payee (payee=? AND rowid<?)" in steps
