"""What is said of the past is what was seen when it was the present, whatever happened since."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monedero.engine import moments, walks
from monedero.engine.moments import length_at, standing_at
from monedero.engine.scans import Filter, scan_owner, scan_wallet
from monedero.engine.statements import Statement, statement
from monedero.engine.walks import walk_wallets
from monedero.ledger.commands import Deposit
from monedero.ledger.events import Recorded, kind_and_status
from monedero.ledger.ids import TransactionId, WalletId
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Wallet
from monedero.sources import new_id
from monedero.storage.store import NEWEST, Queries, Store
from tests.ledgers import BOTH, Ledgers, opened
from tests.support import accepted, new_wallet, run
from tests.town import FEW_MOVES, MOVES, Move, Town

PAGES_LIMIT = 500
FILTERS = st.builds(
    Filter,
    st.sampled_from([None, None, "deposit", "debit", "transfer"]),
    st.sampled_from([None, None, "accepted", "denied"]),
    st.one_of(st.just(0), st.integers(0, 20)),
    st.one_of(st.just(NEWEST), st.integers(0, 40)),
)
Check = Callable[[Store], None]


@pytest.fixture(params=BOTH)
def on_ledgers(
    request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Check], None]:
    """Return what runs a check on a new ledger."""

    def checked(check: Check) -> None:
        url = ledgers.new(request.param, Path(tmp_path_factory.mktemp("history")))
        store = opened(url)
        try:
            check(store)
        finally:
            run(store.close())
            ledgers.drop(url)

    return checked


OnLedgers = Callable[[Check], None]
checked = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def wallet_of(store: Store, wallet_id: WalletId) -> Wallet:
    """Return a wallet as it is."""
    found = run(store.queries.wallet(wallet_id))
    assert found is not None
    return found


def deposits(store: Store, wallet: WalletId, times: list[int]) -> None:
    """Record a deposit at each of these times, in that order, whatever the times are."""
    accepted(store, *(Deposit(TransactionId(new_id()), at, wallet, Units(1), None) for at in times))


@checked
@given(
    times=st.lists(st.integers(0, 9), min_size=1, max_size=60),
    later=st.lists(st.integers(20, 30), max_size=40),
    fan_out=st.sampled_from([2, 3, 5, 32]),
)
def test_a_place_for_a_time_is_what_it_promises(
    on_ledgers: OnLedgers, times: list[int], later: list[int], fan_out: int
) -> None:
    """Before it lies nothing that clocks could not excuse, after it neither; growth never changes it."""

    def check(store: Store) -> None:
        wallet = new_wallet(store, OwnerKind.CUSTOMER)
        start = run(store.queries.size())
        deposits(store, wallet, times)
        size = run(store.queries.size())
        found = [run(length_of(store, start, size, at)) for at in range(-1, 12)]
        deposits(store, wallet, later)
        grown = run(store.queries.size())

        assert found == sorted(found)
        assert found == [run(length_of(store, start, grown, at)) for at in range(-1, 12)]
        skew = max((before - after for before, after in itertools.combinations(times, 2)), default=0)
        for at, length in zip(range(-1, 12), found, strict=True):
            assert length == 0 or times[length - 1] <= at
            assert length == len(times) or times[length] > at
            assert all(time <= at + max(skew, 0) for time in times[:length])
            assert all(time > at - max(skew, 0) for time in times[length:])
            if skew <= 0:
                assert length == sum(time <= at for time in times)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moments, "FAN_OUT", fan_out)
        on_ledgers(check)


class Shifted:
    """The events of a log from a position on, as if it began there."""

    def __init__(self, queries: Queries, start: int) -> None:
        self.queries, self.start, self.asked = queries, start, 0

    async def events(self, positions: list[int]) -> list[Recorded]:
        self.asked += 1
        return await self.queries.events([position + self.start for position in positions])


async def length_of(store: Store, start: int, size: int, at: int) -> int:
    """Return the place of a time in the part of the log from `start` on."""
    return await length_at(Shifted(store.queries, start), size - start, at)  # type: ignore[arg-type]


@checked
@given(moves=MOVES)
def test_a_wallet_stood_as_it_was_seen(on_ledgers: OnLedgers, moves: list[Move]) -> None:
    """At every position of the log each wallet has the balance, held money and version that it had then."""

    def check(store: Store) -> None:
        town = Town(store)
        town.play(moves)
        for wallet_id in town.stood:
            wallet = wallet_of(store, wallet_id)
            for length in range(town.length + 1):
                assert run(standing_at(store.queries, wallet, length)) == town.after(wallet_id, length)

    on_ledgers(check)


@checked
@given(moves=MOVES, data=st.data())
def test_a_statement_adds_up(on_ledgers: OnLedgers, moves: list[Move], data: st.DataObject) -> None:
    """Each page's opening balance and lines make its closing balance, which opens the next; together they are all."""

    def check(store: Store) -> None:
        town = Town(store)
        town.play(moves)
        wallet_id = data.draw(st.sampled_from([town.till, town.wallets[0], *town.wallets[:3]]))
        opened_at = town.opened[wallet_id]
        end = data.draw(st.one_of(st.just(town.length), st.integers(opened_at + 1, town.length)))
        first = data.draw(st.one_of(st.just(min(opened_at, end)), st.integers(0, end)))
        limit, most = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 8))
        wallet = wallet_of(store, wallet_id)
        pages: list[Statement] = []
        while not pages or pages[-1].more:
            place = pages[-1].end if pages else first
            pages.append(run(statement(store.queries, wallet, place, end, limit=limit, most=most)))
            assert len(pages) < PAGES_LIMIT

        for page, following in itertools.pairwise(pages):
            assert page.closing == following.opening.balance
            assert following.lines or len(page.lines) + page.unmoved == most
        for page in pages:
            assert page.opening.balance + sum(line.amount for line in page.lines) == page.closing
            assert page.total_in - page.total_out == page.closing - page.opening.balance
            assert len(page.lines) <= limit
            assert len(page.lines) + page.unmoved <= most
            running = page.opening.balance
            for line in page.lines:
                running = Units(running + line.amount)
                assert (line.balance, line.amount != 0) == (running, True)
        before, after = town.after(wallet_id, first), town.after(wallet_id, end)
        assert pages[0].opening.balance == (before.balance if before else 0)
        assert after is not None
        assert pages[-1].closing == after.balance
        assert [line.position for page in pages for line in page.lines] == moved_at(town, wallet_id, first, end)
        assert sum(page.unmoved for page in pages) + sum(len(page.lines) for page in pages) == len(
            run(store.queries.movements(wallet.number, first, end, 1000))
        )

    on_ledgers(check)


def moved_at(town: Town, wallet: WalletId, first: int, end: int) -> list[int]:
    """Return the positions at which a wallet's balance was seen to change."""
    changed = []
    for position in range(first, end):
        before, after = town.after(wallet, position), town.after(wallet, position + 1)
        if after is not None and after.balance != (before.balance if before else 0):
            changed.append(position)
    return changed


@checked
@given(moves=MOVES, wanted=FILTERS, data=st.data())
def test_a_filtered_walk_is_the_listing_filtered(
    on_ledgers: OnLedgers, moves: list[Move], wanted: Filter, data: st.DataObject
) -> None:
    """However little a page may read, the pages together are what passes the filter, each once, in order."""

    def check(store: Store) -> None:
        town = Town(store)
        town.play(moves)
        wallet = wallet_of(store, data.draw(st.sampled_from([town.till, town.wallets[0], *town.wallets[:2]])))
        limit, most = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 9))
        listed = run(store.queries.movements(wallet.number, 0, NEWEST, 1000))
        walked: list[Recorded] = []
        before, place = NEWEST, None
        for _ in range(PAGES_LIMIT):
            page = run(scan_wallet(store.queries, wallet, wanted, before=before, limit=limit, most=most))
            assert len(page.transactions) <= limit
            walked += page.transactions
            place = page.following
            if place is None:
                break
            before = place

        assert place is None
        assert walked == [each for each in listed if passes(wanted, each)]

    on_ledgers(check)


@checked
@given(moves=MOVES, wanted=FILTERS, limit=st.integers(1, 4), most=st.integers(1, 9))
def test_an_owners_filtered_walk_is_the_history_filtered(
    on_ledgers: OnLedgers, moves: list[Move], wanted: Filter, limit: int, most: int
) -> None:
    """The same over all wallets of a customer: a transfer between two of them is in both."""

    def check(store: Store) -> None:
        town = Town(store)
        town.play(moves)
        walked: dict[WalletId, list[Recorded]] = {}
        before, more = NEWEST, True
        for _ in range(PAGES_LIMIT):
            page = run(
                scan_owner(store.queries, OwnerKind.CUSTOMER, town.owner, wanted, before=before, limit=limit, most=most)
            )
            assert page is not None
            for each in page.wallets:
                assert each.transactions
                walked.setdefault(each.wallet.id, []).extend(each.transactions)
            before, more = page.last, page.more
            if not more:
                break

        expected = {}
        for wallet_id in town.wallets:
            listed = run(store.queries.movements(wallet_of(store, wallet_id).number, 0, NEWEST, 1000))
            if passing := [each for each in listed if passes(wanted, each)]:
                expected[wallet_id] = passing
        assert not more
        assert walked == expected

    on_ledgers(check)


def passes(wanted: Filter, recorded: Recorded) -> bool:
    """Tell whether a transaction is one that a filter is for."""
    kind, status = kind_and_status(recorded.event)
    return (
        wanted.first <= recorded.position < wanted.end
        and wanted.kind in {None, kind}
        and wanted.status in {None, status}
    )


@checked
@given(
    moves=MOVES, meanwhile=st.lists(FEW_MOVES, max_size=6), limit=st.integers(1, 3), recent=st.sampled_from([1, 2, 16])
)
def test_a_walk_through_wallets_is_stable(
    on_ledgers: OnLedgers, moves: list[Move], meanwhile: list[list[Move]], limit: int, recent: int
) -> None:
    """Whatever changes between two pages, each wallet that was there at first comes once, in the order of then."""

    def check(store: Store) -> None:
        town = Town(store, wallets=5)
        town.play(moves)
        ordered = run(store.queries.wallets(OwnerKind.CUSTOMER, town.owner, 1000))
        assert ordered is not None
        expected = [wallet.id for wallet in ordered]
        walked: list[WalletId] = []
        writes = iter(meanwhile)
        page = run(walk_wallets(store.queries, OwnerKind.CUSTOMER, town.owner, None, limit))
        while page is not None:
            walked += [wallet.id for wallet in page.wallets]
            for wallet in page.wallets:
                assert wallet == wallet_of(store, wallet.id)
            if page.following is None:
                break
            town.play(next(writes, []))
            page = run(walk_wallets(store.queries, OwnerKind.CUSTOMER, town.owner, page.following, limit))

        assert walked == expected

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(walks, "RECENT", recent)
        on_ledgers(check)


@checked
@given(moves=MOVES, meanwhile=st.lists(FEW_MOVES, max_size=6), limit=st.integers(1, 4))
def test_a_walk_through_an_owners_history_is_stable(
    on_ledgers: OnLedgers, moves: list[Move], meanwhile: list[list[Move]], limit: int
) -> None:
    """A customer's transactions, transfers between wallets of one among them, come once for each wallet."""

    def check(store: Store) -> None:
        town = Town(store)
        town.play(moves)
        expected = {
            wallet: run(store.queries.movements(wallet_of(store, wallet).number, 0, NEWEST, 1000))
            for wallet in town.wallets
        }
        walked: dict[WalletId, list[Recorded]] = {}
        writes = iter(meanwhile)
        before, more = NEWEST, True
        while more:
            page = run(store.queries.owner_transactions(OwnerKind.CUSTOMER, town.owner, before, limit))
            assert page is not None
            for each in page.wallets:
                walked.setdefault(each.wallet.id, []).extend(each.transactions)
            before, more = page.last, page.more
            town.play(next(writes, []))

        assert walked == expected

    on_ledgers(check)
