"""Holds end at their time, once, whoever looks: with a clock of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from monedero.engine import expirer as expirers
from monedero.engine.engine import Engine, EngineStoppedError
from monedero.engine.expirer import Expirer
from monedero.engine.verify import verify
from monedero.ledger.events import HoldExpired, decode
from monedero.ledger.ids import HoldId, WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.sources import new_id
from monedero.storage.store import Store, StoreError, StoreUnavailableError
from tests.ledgers import BOTH, POSTGRES, Ledgers, opened
from tests.support import accepted, capture, deposit, happened, hold, new_wallet, run, void

LIMIT_SECONDS = 10
SECOND = 1_000_000
START = 1_000_000_000 * SECOND


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path: Path) -> Iterator[str]:
    """Return the address of an empty ledger of each kind in turn."""
    made = ledgers.new(request.param, tmp_path)
    yield made
    ledgers.drop(made)


class Clock:
    """A time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now

    def at(self, seconds: float) -> None:
        """Let it be so many seconds after the start."""
        self.now = START + round(seconds * SECOND)


@asynccontextmanager
async def expiring(
    store: Store, clock: Clock, interval_seconds: float = 5.0, limit_holds: int = expirers.LIMIT_HOLDS
) -> AsyncIterator[Expirer]:
    """Return what ends the holds of a ledger, over an engine of its own; the store stays open."""

    def on_broken(error: StoreError) -> None:
        raise AssertionError(error)

    engine = Engine(store, batch_limit=256, queue_limit=1000, on_broken=on_broken)
    engine.start()
    expirer = Expirer(engine, store, clock, new_id, interval_seconds=interval_seconds, limit_holds=limit_holds)
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            yield expirer
    finally:
        await expirer.stop()
        await engine.drain()


def with_holds(store: Store, *seconds: float) -> tuple[WalletId, list[HoldId]]:
    """Return a wallet and its holds of 10 units, placed at the start, which end so many seconds after it."""
    business, customer = new_wallet(store, OwnerKind.BUSINESS), new_wallet(store, OwnerKind.CUSTOMER)
    ends = [START + round(each * SECOND) for each in seconds]
    holds = [msgspec.structs.replace(hold(business, customer, 10, end), at=START) for end in ends]
    accepted(store, deposit(customer, 10 * len(holds)), *holds)
    return customer, [each.id for each in holds]


def ended(store: Store) -> list[tuple[HoldId, int]]:
    """Return every expiry in the log of a ledger that verifies, with its time in seconds after the start."""
    with store.snapshot() as snapshot:
        verify(snapshot)
        events = [decode(row.payload) for row in snapshot.rows()]
    return [(event.hold, (event.at - START) // SECOND) for event in events if isinstance(event, HoldExpired)]


def held(store: Store, wallet_id: WalletId) -> int:
    """Return how much of a wallet is held, in units."""
    wallet = run(store.queries.wallet(wallet_id))
    assert wallet is not None
    return wallet.held


async def left(store: Store, count: int) -> bool:
    """Tell whether so many holds are open."""
    return len(await store.queries.expiring(count + 1)) == count


async def taken(engine: Engine) -> bool:
    """Tell whether something waits to be committed."""
    return bool(engine._queue)  # noqa: SLF001


class Away:
    """A real store whose read side is away, or shows what it showed at first, for so many looks."""

    def __init__(self, store: Store, *, first: Sequence[tuple[HoldId, int]] | None = None, looks: int = 1) -> None:
        self._store = store
        self._first = first
        self._looks = looks
        self.looked = 0

    @property
    def queries(self) -> "Away":
        return self

    async def open_holds(self, limit: int) -> int:
        return await self._store.queries.open_holds(limit)

    async def expiring(self, limit: int) -> Sequence[tuple[HoldId, int]]:
        self.looked += 1
        if self.looked > self._looks:
            return await self._store.queries.expiring(limit)
        if self._first is None:
            raise StoreUnavailableError("The replica is away")
        return self._first[:limit]


def test_a_hold_ends_at_its_time_and_once(url: str) -> None:
    """Not a microsecond before; from then on at the next look, and never again."""
    store, clock = opened(url), Clock()
    customer, (first, second) = with_holds(store, 10, 20)

    async def scenario() -> list[int]:
        counts: list[int] = []
        async with expiring(store, clock) as expirer:
            for seconds in (9.999999, 10, 10, 19, 20.000001, 30):
                clock.at(seconds)
                await expirer.expire()
                wallet = await store.queries.wallet(customer)
                assert wallet is not None
                counts.append(wallet.held)
        return counts

    assert run(scenario()) == [20, 10, 10, 10, 0, 0]
    assert ended(store) == [(first, 10), (second, 20)]
    run(store.close())


def test_what_has_ended_does_not_expire(url: str) -> None:
    """A hold that was captured or voided is left alone; of one that was captured in part, the rest is freed."""
    store, clock = opened(url), Clock()
    customer, holds = with_holds(store, 10, 10, 10)
    accepted(store, capture(holds[0], at=START), void(holds[1], START), capture(holds[2], 4, START))

    async def scenario() -> None:
        async with expiring(store, clock) as expirer:
            clock.at(10)
            await expirer.expire()

    run(scenario())
    assert ended(store) == [(holds[2], 10)]
    assert held(store, customer) == 0
    assert run(store.queries.expiring(9)) == []
    run(store.close())


def test_it_looks_again_when_there_is_something_to_do(store: Store) -> None:
    """It waits for the next hold, at most for the interval; not at all where more were due than it ends at a time."""
    clock = Clock()

    async def scenario() -> list[float]:
        async with expiring(store, clock, limit_holds=3) as expirer:
            waits = []
            for seconds in (0, 4, 8, 9.5, 10, 10, 10, 10):
                clock.at(seconds)
                waits.append(await expirer.expire())
            return waits

    assert run(scenario())[0] == 5
    with_holds(store, 10, 10, 10, 10, 10, 10, 10, 17)
    # Seven are due, three at a time; the third look sees the next one, which is further away than the interval.
    assert run(scenario()) == [5, 5, 2, 0.5, 0, 0, 5, 5]
    assert [seconds for _, seconds in ended(store)] == [10] * 7


def test_what_is_read_late_is_no_reason_to_hurry(store: Store) -> None:
    """Where all that was read has been ended by others, as on a replica that lags, it waits as ever."""
    with_holds(store, 10, 10)
    clock = Clock()
    clock.at(11)
    late = Away(store, first=run(store.queries.expiring(2)), looks=9)

    async def scenario() -> list[float]:
        async with expiring(store, clock, limit_holds=2) as expirer:
            expirer._store = late  # type: ignore[assignment]  # noqa: SLF001 - the same ledger, read late
            return [await expirer.expire() for _ in range(3)]

    assert run(scenario()) == [0, 5, 5]
    assert len(ended(store)) == 2


def test_what_fell_due_while_nobody_ran_ends_at_the_start(url: str) -> None:
    """After a restart the holds whose time went by are ended first thing, with the time that it is."""
    before = opened(url)
    customer, holds = with_holds(before, 10, 20, 4000)
    run(before.close())
    store, clock = opened(url), Clock()
    clock.at(3000)

    async def scenario() -> None:
        async with expiring(store, clock) as expirer:
            expirer.start()
            await happened(lambda: left(store, 1))

    run(scenario())
    assert ended(store) == [(holds[0], 3000), (holds[1], 3000)]
    assert held(store, customer) == 10
    run(store.close())


def test_two_processes_end_each_hold_once(ledgers: Ledgers, tmp_path: Path) -> None:
    """Two engines on one ledger that see the same holds end each of them once between them."""
    url = ledgers.new(POSTGRES[0], tmp_path)
    one, other, clock = opened(url), opened(url), Clock()
    customer, holds = with_holds(one, *range(1, 41))

    async def scenario() -> None:
        async with expiring(one, clock) as first, expiring(other, clock) as second:
            for seconds in (10, 20, 20, 50):
                clock.at(seconds)
                await asyncio.gather(first.expire(), second.expire(), first.expire(), second.expire())

    run(scenario())
    assert [hold_id for hold_id, _ in ended(one)] == holds
    assert held(one, customer) == 0
    run(one.close())
    run(other.close())
    ledgers.drop(url)


def test_it_outlives_a_read_side_that_is_away(store: Store) -> None:
    """A look that fails is made again, and what was due meanwhile ends then."""
    _, holds = with_holds(store, 10)
    clock = Clock()
    clock.at(10)
    away = Away(store, looks=3)

    async def scenario() -> None:
        async with expiring(store, clock, interval_seconds=0.001) as expirer:
            expirer._store = away  # type: ignore[assignment]  # noqa: SLF001 - the same ledger, away at first
            expirer.start()
            await happened(lambda: left(store, 0))

    run(scenario())
    assert away.looked > 3
    assert ended(store) == [(holds[0], 10)]


def test_it_ends_with_its_engine(store: Store) -> None:
    """Once the engine takes nothing more, a hold that is due stays, and the expirer stops by itself."""
    with_holds(store, 10)
    clock = Clock()
    clock.at(10)

    async def scenario() -> None:
        async with expiring(store, clock) as expirer:
            await expirer._engine.drain()  # noqa: SLF001 - as the service does when it stops
            with pytest.raises(EngineStoppedError):
                await expirer.expire()
            expirer.start()
            assert expirer._task is not None  # noqa: SLF001
            await expirer._task  # noqa: SLF001 - it returns

    run(scenario())
    assert ended(store) == []


def test_stopping_takes_nothing_back(store: Store) -> None:
    """What was submitted when it was stopped is decided all the same, once."""
    _, holds = with_holds(store, 10)
    clock = Clock()
    clock.at(10)

    async def scenario() -> None:
        async with expiring(store, clock) as expirer:
            ending = asyncio.create_task(expirer.expire())
            await happened(lambda: taken(expirer._engine))  # noqa: SLF001
            ending.cancel()
            await asyncio.wait([ending])

    run(scenario())
    assert ended(store) == [(holds[0], 10)]


def test_it_tells_how_many_holds_there_are(store: Store) -> None:
    """Whoever watches hears at each look how many holds are open, and how many should have ended."""
    with_holds(store, 10, 10, 17)
    clock = Clock()
    heard: list[tuple[int, int]] = []

    async def scenario() -> None:
        async with expiring(store, clock) as expirer:
            expirer._on_looked = lambda held, overdue: heard.append((held, overdue))  # noqa: SLF001 - no other way in
            for seconds in (0, 10, 10):
                clock.at(seconds)
                await expirer.expire()

    run(scenario())

    assert heard == [(3, 0), (3, 2), (1, 0)]
