"""Every change to the stored ledger is found, and `verify` says where.

Claims are left out: which idempotency keys were used follows from no event and is forgotten after a day.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monedero.engine.rebuild import rebuild
from monedero.engine.replay import DiscrepancyError
from monedero.engine.verify import verify
from monedero.ledger.profiles import OwnerKind
from monedero.sources import now_microseconds
from monedero.storage.sqlite import SqliteStore, migrate, snapshot
from monedero.storage.store import StoreUnavailableError
from tests.support import (
    accepted,
    capture,
    debit,
    deposit,
    expiry,
    hold,
    new_wallet,
    payout,
    refund,
    run,
    void,
    withdrawal,
)

EVENTS = 25
TABLES = ("events", "head", "owners", "wallets", "holds", "refunds")
PROJECTIONS = ("wallets", "holds", "refunds")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger with every kind of event, closed."""
    path = tmp_path_factory.mktemp("tampering") / "ledger.db"
    migrate(path)
    store = SqliteStore(path)
    customer, other = new_wallet(store, OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.CUSTOMER)
    business = new_wallet(store, OwnerKind.BUSINESS)
    accepted(store, deposit(customer, 100), deposit(other, 100), debit(business, customer, 30))
    paid, *_ = accepted(store, debit(business, other, 70), debit(business, other, 500), deposit(customer, 1, None))
    accepted(store, refund(paid.event.id, 5), refund(paid.event.id, 6), refund(paid.event.id, 59))
    holds = [hold(business, customer, 10, now_microseconds() + 60_000_000) for _ in range(4)]
    accepted(store, *holds)
    (taken,) = accepted(store, capture(holds[1].id, 4))
    accepted(store, void(holds[2].id), expiry(holds[3].id, holds[3].expires_at), refund(taken.event.id, 1))
    accepted(store, payout(business, 3), withdrawal(customer, 2))
    run(store.close())
    check(path)
    return path


@pytest.fixture
def copy(ledger: Path, tmp_path: Path) -> Path:
    """Return a copy of it to spoil."""
    return Path(shutil.copy(ledger, tmp_path / "ledger.db"))


def check(path: Path) -> None:
    """Audit the file."""
    with snapshot(path) as opened:
        assert verify(opened).events == EVENTS


def spoil(path: Path, *statements: str) -> None:
    """Change the file as somebody with a database tool would."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for statement in statements:
        connection.execute(statement)
    connection.close()


def cells(path: Path) -> Iterator[tuple[str, str, int, Any]]:
    """Yield table, column, rowid and value of every cell in the file."""
    connection = apsw.Connection(str(path))
    for table in TABLES:
        for _, column, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall():
            for rowid, value in connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
                yield table, str(column), int(str(rowid)), value
    connection.close()


def flipped(value: Any) -> Any:
    """Return the value with one bit of it flipped; for nothing, something."""
    match value:
        case None:
            return 1
        case int():
            return value ^ (1 << 20)
        case str():
            return value[:-1] + chr(ord(value[-1]) ^ 1)
        case _:
            return value[:-1] + bytes([value[-1] ^ 1])


def test_a_flipped_bit_in_any_cell_is_found(copy: Path) -> None:
    """Whichever column of whichever row is altered, the audit does not pass."""
    seen = set()
    for table, column, rowid, value in list(cells(copy)):
        new = "x" if value is None and column in {"last_name", "phone"} else flipped(value)
        connection = apsw.Connection(str(copy))
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, rowid))
        moved = new if column in {"position", "number", "only"} else rowid
        moved = rowid if table in {"wallets", "holds"} and column == "position" else moved
        with pytest.raises(DiscrepancyError):
            check(copy)
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, moved))
        connection.close()
        seen.add((table, column))

    check(copy)
    assert len(seen) == 39


@pytest.mark.parametrize("position", range(EVENTS))
def test_a_deleted_event_is_found_where_it_was(copy: Path, position: int) -> None:
    """A missing event is named, wherever in the log it was; at the end, the head tells."""
    spoil(copy, f"DELETE FROM events WHERE position = {position}")

    with pytest.raises(DiscrepancyError, match=f"position {position} " if position < EVENTS - 1 else "head"):
        check(copy)


@pytest.mark.parametrize("position", range(EVENTS - 1))
def test_two_swapped_events_are_found_at_the_first(copy: Path, position: int) -> None:
    """Two events that changed places, with everything that belongs to them, are found at the first."""
    spoil(
        copy,
        f"UPDATE events SET position = -1 WHERE position = {position}",
        f"UPDATE events SET position = {position} WHERE position = {position + 1}",
        f"UPDATE events SET position = {position + 1} WHERE position = -1",
    )

    with pytest.raises(DiscrepancyError, match=f"position {position}:"):
        check(copy)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_in_a_payload_is_found_at_its_position(ledger: Path, data: st.DataObject) -> None:
    """Any bit of any event's bytes: the audit names the position."""
    position = data.draw(st.integers(0, EVENTS - 1))
    connection = apsw.Connection(str(ledger))
    payload = bytearray(connection.execute("SELECT payload FROM events WHERE position = ?", (position,)).get)
    place, bit = data.draw(st.integers(0, len(payload) - 1)), data.draw(st.integers(0, 7))
    original = bytes(payload)
    payload[place] ^= 1 << bit
    try:
        connection.execute("UPDATE events SET payload = ? WHERE position = ?", (bytes(payload), position))
        with pytest.raises(DiscrepancyError, match=f"position {position}:"):
            check(ledger)
    finally:
        connection.execute("UPDATE events SET payload = ? WHERE position = ?", (original, position))
        connection.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE wallets SET balance = balance + 1 WHERE kind = 'business'",
         "wallet .*: balance is 31, the log makes it 30"),
        ("UPDATE wallets SET held = held - 1 WHERE held > 0", "wallet .*: held is 15, the log makes it 16"),
        ("UPDATE holds SET expires_at = expires_at + 1 WHERE status = 'open'", "hold .*: stored is"),
        ("UPDATE holds SET status = 'expired' WHERE status = 'voided'", "hold .*: stored is"),
        ("UPDATE holds SET captured = captured + 1 WHERE status = 'open'", "hold .*: stored is"),
        ("DELETE FROM holds WHERE status = 'voided'", "hold .* is missing"),
        ("INSERT INTO holds VALUES (999, 1, 0, 'open', 999)", "row cannot be read"),
        ("INSERT INTO holds VALUES (0, 1, 0, 'open', 0)", "row cannot be read"),
        ("UPDATE refunds SET refunded = refunded - 1 WHERE refunded = 70", "the debit at position 9: 69 units"),
        ("DELETE FROM refunds WHERE refunded = 70", "refunded of the debit at position 9 is missing"),
        ("INSERT INTO refunds VALUES (8, 1)", "the debit at position 8: 1 units are refunded, the log makes it 0"),
        ("INSERT INTO refunds VALUES (999, 1)", "the debit at position 999"),
        ("UPDATE wallets SET version = 9 WHERE kind = 'business'", "wallet .*: version is 9"),
        ("DELETE FROM wallets WHERE kind = 'business'", "wallet .* is missing"),
        ("DELETE FROM wallets WHERE number = (SELECT min(number) FROM wallets)", "wallet .* is missing"),
        ("INSERT INTO wallets SELECT 99, randomblob(16), 'customer', 1, 'EUR', 0, 0, 1, 1, 1, 0 FROM wallets LIMIT 1",
         "wallet .* never opened"),
        ("DELETE FROM owners WHERE kind = 'business'", "owner"),
        ("INSERT INTO owners SELECT 99, randomblob(16), kind, name, '', 'x', 'x', phone, salt, 1 FROM owners LIMIT 1",
         "owner .* never registered"),
        ("UPDATE owners SET name = 'Somebody else'", "owner .*: the personal data"),
        ("UPDATE owners SET email_key = upper(email_key)", "owner .*: the personal data"),
        (f"INSERT INTO events SELECT {EVENTS}, randomblob(16), payer, payee, payload, link FROM events LIMIT 1",
         f"position {EVENTS}:"),
        ("UPDATE events SET payload = '{}', link = link WHERE position = 3", "position 3:"),
        ("DELETE FROM head", "head .* is missing"),
        ("DELETE FROM events", "head's size"),
        ("CREATE TRIGGER skim AFTER UPDATE ON wallets BEGIN SELECT 1; END", "its tables and indexes"),
        ("DROP INDEX events_by_payee", "its tables and indexes"),
    ],
)  # fmt: skip
def test_what_was_changed_is_named(copy: Path, change: str, named: str) -> None:
    """The audit says which position, wallet or owner differs, and how."""
    spoil(copy, change.replace("'{}'", "CAST('{}' AS BLOB)"))

    with pytest.raises(DiscrepancyError, match=named):
        check(copy)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_bit_of_the_file_is_found_or_means_nothing(ledger: Path, data: st.DataObject) -> None:
    """Where a flipped bit of the raw file goes unnoticed, every row still says what it said, and so does each index."""
    before = list(cells(ledger))
    raw = bytearray(ledger.read_bytes())
    spoiled = ledger.with_suffix(".spoiled")
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    spoiled.write_bytes(raw)
    try:
        check(spoiled)
    except (DiscrepancyError, StoreUnavailableError):
        return
    finally:
        for leftover in spoiled.parent.glob("*.spoiled-*"):
            leftover.unlink()

    assert list(cells(spoiled)) == before


def test_rebuild_mends_the_projections(copy: Path) -> None:
    """Balances, holds and refunds that were altered or lost follow again from the log, to the same rows as before."""
    before = [cell for cell in cells(copy) if cell[0] in PROJECTIONS]
    spoil(
        copy,
        "UPDATE wallets SET balance = 7, version = 0, held = 0",
        "DELETE FROM wallets WHERE kind = 'business'",
        "UPDATE holds SET status = 'open', captured = 9, expires_at = 1",
        "DELETE FROM holds WHERE number = (SELECT min(number) FROM holds)",
        "INSERT INTO holds VALUES (999, 1, 0, 'open', 999)",
        "DELETE FROM refunds WHERE refunded = 70",
        "UPDATE refunds SET refunded = 9",
    )
    store = SqliteStore(copy)
    assert rebuild(store) == 3
    run(store.close())

    check(copy)
    assert [cell for cell in cells(copy) if cell[0] in PROJECTIONS] == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE events SET payload = CAST(replace(payload, '100', '900') AS BLOB) WHERE position = 6", "position 6"),
        (f"DELETE FROM events WHERE position = {EVENTS - 1}", "head"),
    ],
)
def test_rebuild_refuses_an_altered_log(copy: Path, change: str, named: str) -> None:
    """No projection is made from a log that does not verify, nor from one that was cut short."""
    spoil(copy, change)
    wallets = [cell for cell in cells(copy) if cell[0] == "wallets"]
    store = SqliteStore(copy)
    with pytest.raises(DiscrepancyError, match=named):
        rebuild(store)
    run(store.close())

    assert [cell for cell in cells(copy) if cell[0] == "wallets"] == wallets
