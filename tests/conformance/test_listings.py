"""Listings of a store, whichever store it is: order, bounds, and walks while writes go on."""

from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monedero.ledger.events import Recorded
from monedero.ledger.ids import OwnerId, WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.storage.sqlite import reader
from monedero.storage.store import NEWEST, Store
from tests.support import accepted, debit, deposit, new_wallet, opening, registration, run

Answer = TypeVar("Answer")


def page(store: Store, wallet: WalletId, before: int = NEWEST, limit: int = 100) -> list[Recorded]:
    """Return a page of a customer's wallet."""
    found = run(store.queries.wallet_transactions(OwnerKind.CUSTOMER, wallet, before, limit))
    assert found is not None
    return found.transactions


def test_a_wallet_lists_its_own_newest_first(store: Store) -> None:
    """Deposits, debits and denied debits of one wallet, and of no other, from the newest back."""
    customer, other = new_wallet(store, OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.CUSTOMER)
    business = new_wallet(store, OwnerKind.BUSINESS)
    mine = accepted(store, deposit(customer, 10), debit(business, customer, 4), debit(business, customer, 400))
    accepted(store, deposit(other, 10), debit(business, other, 4))

    assert page(store, customer) == mine[::-1]
    seen = run(store.queries.wallet_transactions(OwnerKind.BUSINESS, business, NEWEST, 100))
    assert seen is not None
    assert len(seen.transactions) == 3


def test_a_listing_of_the_wrong_kind_or_of_nobody_is_none(store: Store) -> None:
    """A customer's wallet is no business's, and an unknown id is nobody's."""
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    nobody = registration(OwnerKind.CUSTOMER).id

    assert run(store.queries.wallet_transactions(OwnerKind.BUSINESS, customer, NEWEST, 1)) is None
    assert run(store.queries.wallet_transactions(OwnerKind.CUSTOMER, WalletId(nobody), NEWEST, 1)) is None
    assert run(store.queries.wallets(OwnerKind.CUSTOMER, nobody, 1)) is None
    assert run(store.queries.owner_transactions(OwnerKind.CUSTOMER, nobody, NEWEST, 1)) is None
    assert run(store.queries.owner(OwnerKind.CUSTOMER, nobody)) is None
    assert run(store.queries.wallet(WalletId(nobody))) is None
    assert run(store.queries.event(nobody)) is None


def test_a_walk_returns_each_once_while_writes_go_on(store: Store) -> None:
    """Paging back from the newest meets each transaction that was there at the start exactly once."""
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    expected = accepted(store, *(deposit(customer, 1) for _ in range(23)))[::-1]
    walked: list[Recorded] = []
    before = NEWEST
    while found := page(store, customer, before, 5):
        walked += found
        before = found[-1].position
        accepted(store, deposit(customer, 1), deposit(customer, 1))

    assert walked == expected


def test_a_walk_goes_on_when_what_was_read_is_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few events the reader may remember, pages are whole, the second time too."""
    monkeypatch.setattr(reader, "LIMIT_EVENTS", 3)
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    expected = accepted(store, *(deposit(customer, 1) for _ in range(12)))[::-1]
    for before, limit in ((NEWEST, 5), (expected[2].position, 4), (NEWEST, 12), (NEWEST, 5)):
        below = [recorded for recorded in expected if recorded.position < before]

        assert page(store, customer, before, limit) == below[:limit]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=25), limit=st.integers(1, 7))
def test_a_customers_walk_returns_each_once(store: Store, moves: list[tuple[int, bool]], limit: int) -> None:
    """Paging through a customer's history meets every wallet, and every transaction of it exactly once, in order."""
    owner, business = registration(OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.BUSINESS)
    accepted(store, owner)
    wallets = [opening(owner.id, OwnerKind.CUSTOMER) for _ in range(5)]
    accepted(store, *wallets)
    expected: dict[WalletId, list[Recorded]] = {wallet.id: [] for wallet in wallets}
    for which, is_deposit in moves:
        wallet = wallets[which].id
        command = deposit(wallet, 1) if is_deposit else debit(business, wallet, 1)
        expected[wallet] = accepted(store, command) + expected[wallet]

    walked: dict[WalletId, list[Recorded]] = {}
    for wallet_id, transactions in walk(store, owner.id, limit):
        walked.setdefault(wallet_id, []).extend(transactions)
    assert walked == expected


def walk(store: Store, owner_id: OwnerId, limit: int) -> list[tuple[WalletId, list[Recorded]]]:
    """Page through a customer's history to its end."""
    before, walked, more = NEWEST, [], True
    while more:
        found = run(store.queries.owner_transactions(OwnerKind.CUSTOMER, owner_id, before, limit))
        assert found is not None
        walked += [(each.wallet.id, each.transactions) for each in found.wallets]
        before, more = found.last, found.more
    return walked


def test_wallets_are_listed_last_changed_first(store: Store) -> None:
    """A customer's wallets stand in the order of their last change; a denied debit changes nothing."""
    owner, business = registration(OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.BUSINESS)
    first, second, third = (opening(owner.id, OwnerKind.CUSTOMER) for _ in range(3))
    accepted(store, owner, first, second, third, deposit(first.id, 5), debit(business, second.id, 5))

    found = run(store.queries.wallets(OwnerKind.CUSTOMER, owner.id, 10))
    assert found is not None
    assert [wallet.id for wallet in found] == [first.id, third.id, second.id]
    assert run(store.queries.wallets(OwnerKind.CUSTOMER, owner.id, 1)) == found[:1]
