"""A ledger with every kind of event moves, is rebuilt, and is brought here from before there were holds."""

import json
from collections.abc import Iterator
from importlib import import_module
from io import BytesIO
from pathlib import Path

import apsw
import pytest

from monedero.engine import imports, replay
from monedero.engine.export import export
from monedero.engine.imports import import_from, read_header
from monedero.engine.rebuild import rebuild
from monedero.engine.replay import DiscrepancyError
from monedero.engine.verify import Verified, verify
from monedero.ledger.events import DebitDeniedV1, Movement, decode, encode
from monedero.ledger.ids import TransactionId, WalletId
from monedero.ledger.merkle import EMPTY, Head, seal
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Touched
from monedero.settings import load_settings
from monedero.sources import new_id, now_microseconds
from monedero.storage.sqlite import migrate as migrate_file
from monedero.storage.sqlite.migrate import migrations
from monedero.storage.store import NEWEST, Batch, EventRow, Store
from monedero.stores import open_for_import, open_snapshot
from tests.ledgers import BOTH, Ledgers, migrate, opened
from tests.support import (
    accepted,
    capture,
    debit,
    deposit,
    expiry,
    hold,
    new_wallet,
    opening,
    payout,
    refund,
    run,
    transfer,
    void,
    withdrawal,
)

LONG_AGO = 30
"""So many events lie between a debit and its refund, so that it is many chunks away."""


def denied_v1(customer: WalletId, business: WalletId, available: int) -> DebitDeniedV1:
    """Return a denied debit as the first release recorded it."""
    amount = Units(available + 1)
    return DebitDeniedV1(
        TransactionId(new_id()), 1, amount, customer, business, "insufficient_funds", Units(available), "de antes"
    )


def append(store: Store, event: DebitDeniedV1) -> None:
    """Write an event that this release no longer makes."""

    async def write() -> None:
        payer, payee = await store.queries.wallet(event.payer), await store.queries.wallet(event.payee)
        assert payer is not None
        assert payee is not None
        async with store.transaction() as transaction:
            _, before = await transaction.load(Touched())
            after, (link,), _ = seal(before, [encode(event)])
            row = EventRow(before.size, event.id, payer.number, payee.number, encode(event), link)
            transaction.append(Batch([row], after))

    run(write())


def fill(store: Store) -> None:
    """Let everything happen that can, some of it far apart."""
    business, customer = new_wallet(store, OwnerKind.BUSINESS), new_wallet(store, OwnerKind.CUSTOMER)
    owner = run(store.queries.wallet(customer))
    assert owner is not None
    second = opening(owner.owner_id, OwnerKind.CUSTOMER)
    accepted(store, second, deposit(customer, 1000), transfer(customer, second.id, 10))
    append(store, denied_v1(customer, business, 990))
    early, early_hold = debit(business, customer, 100), hold(business, customer, 50)
    accepted(store, early, early_hold, debit(business, customer, 10**6), hold(business, customer, 10**6))
    near = debit(business, customer, 5)
    accepted(store, near)
    accepted(store, refund(near.id, 2), transfer(customer, second.id, 10**6), payout(business, 10**6))
    accepted(store, *(deposit(customer, 1) for _ in range(LONG_AGO)))
    taken, later = capture(early_hold.id, 20), [hold(business, customer, 7) for _ in range(3)]
    accepted(store, refund(early.id, 30), taken, *later, withdrawal(customer, 10**6))
    accepted(store, refund(taken.id, 5), refund(early.id, 40), refund(early.id, 30))
    accepted(store, void(later[0].id), expiry(later[1].id, later[1].expires_at), withdrawal(customer, 3))
    accepted(store, payout(business, 16), refund(near.id))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a ledger with every kind of event that moves or holds money, accepted and denied."""
    url = f"sqlite:///{tmp_path_factory.mktemp('source') / 'ledger.db'}"
    migrate(url)
    store = opened(url)
    fill(store)
    with store.snapshot() as snapshot:
        found = {type(decode(row.payload)) for row in snapshot.rows()}
    run(store.close())
    assert found >= set(Movement.__args__)
    return url


@pytest.fixture(params=BOTH)
def target(request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path: Path) -> Iterator[str]:
    """Return the address of an empty ledger of each kind in turn."""
    url = ledgers.new(request.param, tmp_path)
    yield url
    ledgers.drop(url)


def export_of(url: str) -> bytes:
    """Return the export of a ledger."""
    out = BytesIO()
    with open_snapshot(load_settings(database_url=url)) as snapshot:
        export(snapshot, out, personal_data=True)
    return out.getvalue()


def take(url: str, content: bytes) -> None:
    """Import bytes into a ledger."""

    async def imported() -> None:
        stream, store = BytesIO(content), open_for_import(load_settings(database_url=url))
        try:
            await import_from(stream, read_header(stream), store)
        finally:
            await store.close()

    run(imported())


def state(url: str) -> list[object]:
    """Return all projections of a ledger that verifies."""
    with open_snapshot(load_settings(database_url=url)) as snapshot:
        verify(snapshot)
        return [*snapshot.wallets(), *snapshot.holds(), *snapshot.refunds()]


def audited(url: str) -> Verified:
    """Return what an audit found."""
    with open_snapshot(load_settings(database_url=url)) as snapshot:
        return verify(snapshot)


@pytest.mark.parametrize("chunk_events", [1, 2, 3, 7, LONG_AGO, 1000])
def test_refunds_and_holds_find_what_they_are_of(
    source: str, target: str, monkeypatch: pytest.MonkeyPatch, chunk_events: int
) -> None:
    """Whether a debit is in the same chunk as its refund, in the one before or in many before: the end is the same."""
    monkeypatch.setattr(imports, "CHUNK_EVENTS", chunk_events)
    content = export_of(source)
    take(target, content)

    assert state(target) == state(source)
    assert export_of(target) == content


@pytest.mark.parametrize("seal_at_once", [1, 2, 5])
def test_the_audit_finds_debits_of_long_ago(source: str, monkeypatch: pytest.MonkeyPatch, seal_at_once: int) -> None:
    """However few events are looked at together, a refund finds its debit, and a rebuild arrives at the same."""
    expected, before = audited(source), state(source)
    monkeypatch.setattr(replay, "SEAL_AT_ONCE", seal_at_once)
    assert audited(source) == expected
    store = opened(source)
    rebuild(store)
    run(store.close())

    assert state(source) == before


@pytest.mark.parametrize("stop", [9, 16, 22, 40, 48, 55])
def test_an_import_goes_on_between_a_debit_and_its_refund(
    source: str, target: str, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Cut short anywhere, what has been written is a ledger that verifies, and the same import goes on there."""
    monkeypatch.setattr(imports, "CHUNK_EVENTS", 3)
    content = export_of(source)
    lines = content.splitlines(keepends=True)
    owners = json.loads(lines[0])["owners"]
    with pytest.raises(DiscrepancyError, match="cut short"):
        take(target, b"".join(lines[: 1 + owners + stop]))
    state(target)
    take(target, content)

    assert state(target) == state(source)


@pytest.mark.parametrize("to", ["nothing", "x", "}", "00000000-0000-0000-0000-000000000000", ""])
def test_a_refund_of_nothing_is_not_taken(source: str, target: str, to: str) -> None:
    """An export in which a refund names no debit, or no id at all, is refused at that refund."""
    lines = export_of(source).splitlines(keepends=True)
    at = next(at for at, line in enumerate(lines) if b"refund.accepted" in line)
    event = json.loads(lines[at])["event"]
    lines[at] = lines[at].replace(f'"debit":"{event["debit"]}"'.encode(), f'"debit":"{to}"'.encode())
    position = json.loads(lines[at])["position"]

    with pytest.raises(DiscrepancyError, match=f"position {position}: refunds .*, which is no debit"):
        take(target, b"".join(lines))


def test_a_ledger_goes_on_after_its_move(source: str, target: str) -> None:
    """What was held, captured and refunded before the move counts after it."""
    take(target, export_of(source))
    store = opened(target)
    with store.snapshot() as snapshot:
        (kept, other) = [each for each in snapshot.holds() if each.status == "open"]
    accepted(store, capture(kept.id), void(other.id))
    run(store.close())

    assert audited(target).holds == 4


def old_ledger(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file as the release before holds left it, with a denied debit of its first form."""
    new = path.with_name("new.db")
    migrate_file(new)
    store = opened(f"sqlite:///{new}")
    business, customer = new_wallet(store, OwnerKind.BUSINESS), new_wallet(store, OwnerKind.CUSTOMER)
    accepted(store, deposit(customer, 100), debit(business, customer, 30))
    append(store, denied_v1(customer, business, 70))
    run(store.close())
    with monkeypatch.context() as patch:
        patch.setattr(import_module("monedero.storage.sqlite.migrate"), "migrations", lambda: migrations()[:3])
        migrate_file(path)
    connection = apsw.Connection(str(path))
    connection.execute(f"ATTACH '{new}' AS new")
    columns = "number, id, kind, owner, currency, balance, version, created_at, modified_at, position"
    for statement in (
        "DELETE FROM head",
        "INSERT INTO head SELECT * FROM new.head",
        "INSERT INTO events SELECT * FROM new.events",
        "INSERT INTO owners SELECT * FROM new.owners",
        f"INSERT INTO wallets ({columns}) SELECT {columns} FROM new.wallets",
    ):
        connection.execute(statement)
    connection.close()


def test_a_ledger_from_before_there_were_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the upgrade it verifies, shows what it showed, and its debits are refunded and its money held."""
    path = tmp_path / "ledger.db"
    old_ledger(path, monkeypatch)
    assert migrate_file(path) == [name for number, name, _ in migrations() if number > 3]
    url = f"sqlite:///{path}"
    before = audited(url)
    store = opened(url)
    with store.snapshot() as snapshot:
        business, customer = (wallet.id for wallet in snapshot.wallets())
        rows = list(snapshot.rows())
    listed = run(store.queries.wallet_transactions(OwnerKind.CUSTOMER, customer, NEWEST, 10))
    assert listed is not None
    assert [type(each.event).__name__ for each in listed.transactions] == [
        "DebitDeniedV1",
        "DebitAccepted",
        "DepositAccepted",
    ]

    placing = hold(business, customer, 70, now_microseconds() + 10**9)
    accepted(store, refund(rows[5].id, 10), placing, debit(business, customer, 71), capture(placing.id, 7))
    assert rebuild(store) == 2
    run(store.close())
    after = audited(url)
    assert (before.events, after.events, after.holds) == (7, 11, 1)
    assert head_of(url, before.events) == before.root


def head_of(url: str, size: int) -> str:
    """Return the root over the first events of a ledger."""
    with open_snapshot(load_settings(database_url=url)) as snapshot:
        payloads = [row.payload for row in snapshot.rows()][:size]
    head: Head = seal(EMPTY, payloads)[0]
    return head.root.hex()
