"""Reading the past, whichever store it is, costs a few lookups, whatever lies between."""

import math
from collections.abc import Sequence

from monedero.engine.moments import FAN_OUT, length_at, standing_at
from monedero.engine.scans import Filter, scan_wallet
from monedero.engine.walks import RECENT, last_change
from monedero.ledger.events import DebitDeniedV1, Event, Recorded, encode
from monedero.ledger.ids import TransactionId, WalletId
from monedero.ledger.merkle import seal
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.standing import OPENED, Standing
from monedero.ledger.state import Touched, Wallet
from monedero.sources import new_id, now_microseconds
from monedero.storage.store import NEWEST, Batch, EventRow, Queries, Store
from tests.support import accepted, debit, deposit, hold, new_wallet, run

MANY = 200


class Counted:
    """A read side that counts what it is asked, and how many events it gives."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self.asked = self.given = 0

    async def movements(
        self, number: int, first: int, end: int, limit: int, *, oldest_first: bool = False
    ) -> list[Recorded]:
        return self._count(await self._queries.movements(number, first, end, limit, oldest_first=oldest_first))

    async def events(self, positions: Sequence[int]) -> list[Recorded]:
        return self._count(await self._queries.events(positions))

    def _count(self, found: list[Recorded]) -> list[Recorded]:
        self.asked, self.given = self.asked + 1, self.given + len(found)
        return found


def counted(store: Store) -> Queries:
    """Return the read side of a store, counting."""
    return Counted(store.queries)  # type: ignore[return-value]


def wallet_of(store: Store, wallet_id: WalletId) -> Wallet:
    """Return a wallet as it is."""
    found = run(store.queries.wallet(wallet_id))
    assert found is not None
    return found


def denied_long_ago(store: Store, payer: Wallet, payee: Wallet, times: int) -> None:
    """Record denied debits as they were before there were holds, which state nothing of the wallets."""

    async def recorded() -> None:
        async with store.transaction() as transaction:
            _, head = await transaction.load(Touched({payer.id, payee.id}))
            events: list[Event] = [
                DebitDeniedV1(
                    TransactionId(new_id()), now_microseconds(), Units(99), payer.id, payee.id, "insufficient_funds",
                    payer.balance,
                )
                for _ in range(times)
            ]  # fmt: skip
            payloads = [encode(event) for event in events]
            sealed, links, roots = seal(head, payloads)
            rows = [
                EventRow(head.size + place, event.id, payer.number, payee.number, payload, link)
                for place, (event, payload, link) in enumerate(zip(events, payloads, links, strict=True))
            ]
            transaction.append(Batch(rows, sealed, roots=roots))

    run(recorded())


def test_movements_are_read_from_either_end(store: Store) -> None:
    """A part of a wallet's history, of both sides, from its newest end or its oldest, and no other wallet's."""
    customer, other = new_wallet(store, OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.CUSTOMER)
    business = new_wallet(store, OwnerKind.BUSINESS)
    mine = accepted(store, deposit(customer, 9), debit(business, customer, 4), debit(business, customer, 400))
    accepted(store, deposit(other, 9), debit(business, other, 4))
    number, first, end = wallet_of(store, customer).number, mine[0].position, mine[-1].position

    def part(first: int, end: int, limit: int, *, oldest_first: bool) -> list[Recorded]:
        return run(store.queries.movements(number, first, end, limit, oldest_first=oldest_first))

    assert part(0, NEWEST, 9, oldest_first=False) == mine[::-1]
    assert part(0, NEWEST, 9, oldest_first=True) == mine
    assert part(first, end, 9, oldest_first=False) == mine[1::-1]
    assert part(first, end, 9, oldest_first=True) == mine[:2]
    assert part(first + 1, end + 1, 9, oldest_first=False) == mine[:0:-1]
    assert part(first + 1, end + 1, 9, oldest_first=True) == mine[1:]
    assert part(0, NEWEST, 2, oldest_first=False) == mine[:0:-1]
    assert part(0, NEWEST, 2, oldest_first=True) == mine[:2]
    assert part(end + 1, NEWEST, 2, oldest_first=True) == []


def test_the_size_of_the_log(store: Store) -> None:
    """It is the number of events, from none on; no positions are no events."""
    assert run(store.queries.size()) == 0
    new_wallet(store, OwnerKind.CUSTOMER)

    assert run(store.queries.size()) == 2
    assert run(store.queries.events([])) == []
    assert [each.position for each in run(store.queries.events([1, 7, 0]))] == [0, 1]


def test_a_time_is_found_in_few_steps(store: Store) -> None:
    """As many as the length of the log has digits to the base of the fan-out."""
    wallet = new_wallet(store, OwnerKind.CUSTOMER)
    recorded = accepted(store, *(deposit(wallet, 1) for _ in range(FAN_OUT * FAN_OUT)))
    size = run(store.queries.size())
    queries = counted(store)
    assert isinstance(queries, Counted)
    found = run(length_at(queries, size, recorded[700].event.at))

    assert recorded[found - 3].event.at <= recorded[700].event.at < recorded[found - 2].event.at
    assert queries.asked == math.floor(math.log(size, FAN_OUT)) + 1
    assert queries.given <= queries.asked * FAN_OUT


def test_denials_that_state_nothing_are_stepped_over(store: Store) -> None:
    """However many debits were denied before there were holds, the balance behind them is found, in few steps."""
    customer, business = new_wallet(store, OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.BUSINESS)
    denied_long_ago(store, wallet_of(store, customer), wallet_of(store, business), MANY)
    before = run(store.queries.size())
    accepted(store, deposit(customer, 5))
    denied_long_ago(store, wallet_of(store, customer), wallet_of(store, business), MANY)
    size, queries = run(store.queries.size()), counted(store)
    assert isinstance(queries, Counted)

    assert run(standing_at(queries, wallet_of(store, customer), size)) == Standing(Units(5), Units(0), 1)
    assert run(standing_at(queries, wallet_of(store, customer), before)) == OPENED
    assert run(standing_at(queries, wallet_of(store, business), size)) == OPENED
    assert queries.asked <= 3 * math.log2(MANY)


def test_the_last_change_behind_many_denials_is_found_by_version(store: Store) -> None:
    """A wallet whose every newest transaction was denied costs a search, not a look at each of them."""
    customer, business = new_wallet(store, OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.BUSINESS)
    denied = [debit(business, customer, 99) for _ in range(MANY)]
    never = accepted(store, *denied)[-1].position
    changes = accepted(store, deposit(customer, 5), hold(business, customer, 1))
    bound = accepted(store, *(debit(business, customer, 99) for _ in range(MANY)))[-1].position
    accepted(store, deposit(customer, 5), debit(business, customer, 1))
    wallet, till, queries = wallet_of(store, customer), wallet_of(store, business), counted(store)
    assert isinstance(queries, Counted)
    assert run(last_change(store.queries, till, changes[-1].position)) == till.number

    assert run(last_change(queries, wallet, bound)) == changes[-1].position
    assert run(last_change(queries, wallet, changes[0].position)) == changes[0].position
    assert run(last_change(queries, wallet, never)) == wallet.number
    assert queries.given <= 3 * RECENT + 3 * math.log2(bound)


def test_a_filtered_page_reads_so_many_at_most(store: Store) -> None:
    """Where nothing passes, a page stops after what it may read, and says where the next one goes on."""
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    recorded = accepted(store, *(deposit(customer, 1) for _ in range(MANY)))
    queries = counted(store)
    assert isinstance(queries, Counted)
    wallet = wallet_of(store, customer)
    page = run(scan_wallet(queries, wallet, Filter("debit"), before=NEWEST, limit=5, most=50))

    assert (page.transactions, page.following) == ([], recorded[-50].position)
    assert queries.given == 51
