"""Group commit: how commands become batches, and what happens at the edges of the queue."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager

import pytest

from monedero.engine.engine import Engine, EngineStoppedError, QueueFullError
from monedero.engine.work import Answers, Submission
from monedero.ledger.commands import Command
from monedero.ledger.events import Recorded
from monedero.ledger.ids import WalletId
from monedero.ledger.merkle import Head
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import State, Touched
from monedero.storage.store import Batch, Overhaul, Queries, Snapshot, Store, StoreError, Transaction
from tests.support import deposit, new_wallet, run

LIMIT_SECONDS = 10


class HeldStore:
    """A real store whose transactions wait at a gate, so that a test says when a batch has its turn, and commits."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.turn = asyncio.Event()
        self.turn.set()
        self.gate = asyncio.Event()
        self.entered = asyncio.Event()
        self.batches: list[int] = []
        self.loads: list[Touched] = []
        self.failures: list[StoreError] = []

    @property
    def queries(self) -> Queries:
        return self._store.queries

    @property
    def transactions_at_once(self) -> int:
        return self._store.transactions_at_once

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with self._store.transaction() as transaction, asyncio.timeout(LIMIT_SECONDS):
            self.entered.set()
            yield Counted(transaction, self)
            await self.gate.wait()
            if self.failures:
                raise self.failures.pop()

    async def stored(self, event_ids: Iterable[str]) -> set[str]:
        return await self._store.stored(event_ids)

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        return self._store.snapshot()

    async def queries_at(self, position: int) -> Queries | None:
        return await self._store.queries_at(position)

    async def ping(self) -> None:
        await self._store.ping()

    def overhaul(self) -> AbstractContextManager[Overhaul]:
        return self._store.overhaul()

    async def close(self) -> None:
        await self._store.close()


class Counted:
    """A transaction that notes what it loads, and how many events it appends."""

    def __init__(self, transaction: Transaction, held: HeldStore) -> None:
        self._transaction = transaction
        self._held = held

    async def load(self, touched: Touched) -> tuple[State, Head]:
        self._held.loads.append(touched)
        found = await self._transaction.load(touched)
        await self._held.turn.wait()
        return found

    def append(self, batch: Batch) -> None:
        self._held.batches.append(len(batch.rows))
        self._transaction.append(batch)


@pytest.fixture
def wallet(store: Store) -> WalletId:
    """Return a customer's wallet."""
    return new_wallet(store, OwnerKind.CUSTOMER)


@pytest.fixture
def held(store: Store) -> HeldStore:
    """Return the store behind its gate."""
    return HeldStore(store)


def engine_over(store: Store, batch_limit: int = 256, queue_limit: int = 1000) -> Engine:
    """Return an engine that must not break."""

    def on_broken(error: StoreError) -> None:
        raise AssertionError(error)

    return Engine(store, batch_limit=batch_limit, queue_limit=queue_limit, on_broken=on_broken)


def test_what_queues_up_during_a_commit_is_the_next_batch(held: HeldStore, wallet: WalletId) -> None:
    """While one batch commits the next one fills, up to the limit of a batch, and everybody is answered in order."""
    engine = engine_over(held, batch_limit=4)

    async def scenario() -> list[Recorded]:
        engine.start()
        first = asyncio.create_task(engine.submit(deposit(wallet, 1)))
        await asyncio.wait_for(held.entered.wait(), LIMIT_SECONDS)
        rest = [asyncio.create_task(engine.submit(deposit(wallet, 1))) for _ in range(10)]
        await asyncio.sleep(0)
        held.gate.set()
        answers = [await first, *[await each for each in rest]]
        await engine.drain()
        return [answer for answer in answers if isinstance(answer, Recorded)]

    positions = [recorded.position for recorded in run(scenario())]
    assert held.batches == [1, 4, 4, 2]
    assert positions == list(range(positions[0], positions[0] + 11))


def test_what_comes_while_a_batch_waits_for_its_turn_goes_along(store: Store, held: HeldStore) -> None:
    """While others have their turn at the log a batch fills up to its limit, and everybody is answered in order."""
    engine = engine_over(held, batch_limit=4)
    held.turn.clear()
    held.gate.set()
    wallets = [new_wallet(store, OwnerKind.CUSTOMER) for _ in range(5)]

    async def scenario() -> list[int]:
        engine.start()
        submitted = [asyncio.create_task(engine.submit(deposit(wallet, 1))) for wallet in wallets[:2]]
        await asyncio.wait_for(held.entered.wait(), LIMIT_SECONDS)
        submitted += [asyncio.create_task(engine.submit(deposit(wallet, 1))) for wallet in wallets[2:]]
        await asyncio.sleep(0)
        held.turn.set()
        answers = [await each for each in submitted]
        await engine.drain()
        return [answer.position for answer in answers if isinstance(answer, Recorded)]

    positions = run(scenario())
    assert held.batches == [4, 1]
    assert [each.wallets for each in held.loads] == [set(wallets[:2]), set(wallets[:4]), set(wallets[4:])]
    assert positions == list(range(positions[0], positions[0] + 5))


def test_nobody_overtakes_a_batch_that_was_taken(held: HeldStore, wallet: WalletId) -> None:
    """Behind a batch that waits for its turn a full one was taken: what comes then goes behind that."""
    engine = engine_over(held, batch_limit=4)
    held.turn.clear()
    held.gate.set()

    async def scenario() -> list[int]:
        engine.start()
        submitted = [asyncio.create_task(engine.submit(deposit(wallet, 1)))]
        await asyncio.wait_for(held.entered.wait(), LIMIT_SECONDS)
        for together in (4, 1):
            submitted += [asyncio.create_task(engine.submit(deposit(wallet, 1))) for _ in range(together)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        held.turn.set()
        answers = [await each for each in submitted]
        await engine.drain()
        return [answer.position for answer in answers if isinstance(answer, Recorded)]

    positions = run(scenario())
    assert held.batches == [1, 4, 1]
    assert positions == list(range(positions[0], positions[0] + 6))


def test_a_submission_of_nothing_is_answered(store: Store) -> None:
    """Whoever asks for nothing gets nothing, at once, and keeps nobody from stopping."""
    engine = engine_over(store)

    async def scenario() -> Answers:
        engine.start()
        async with asyncio.timeout(LIMIT_SECONDS):
            answers = await engine.submit_all(Submission(()))
            await engine.drain()
        return answers

    assert run(scenario()) == Answers([])


def test_a_full_queue_refuses_and_queues_nothing(held: HeldStore, wallet: WalletId) -> None:
    """Beyond the limit of the queue a command is refused at once; those before it are committed."""
    engine = engine_over(held, queue_limit=3)

    async def scenario() -> Sequence[object]:
        engine.start()
        first = asyncio.create_task(engine.submit(deposit(wallet, 1)))
        await asyncio.wait_for(held.entered.wait(), LIMIT_SECONDS)
        rest = [asyncio.create_task(engine.submit(deposit(wallet, 1))) for _ in range(5)]
        await asyncio.sleep(0)
        held.gate.set()
        answers = await asyncio.gather(first, *rest, return_exceptions=True)
        await engine.drain()
        return answers

    kinds = [type(answer) for answer in run(scenario())]
    assert kinds == [Recorded] * 4 + [QueueFullError] * 2
    assert held.batches == [1, 3]


def test_a_client_that_goes_away_cancels_nothing(held: HeldStore, wallet: WalletId) -> None:
    """A command that was taken is committed, though nobody waits for it any more."""
    engine = engine_over(held)

    async def scenario() -> None:
        engine.start()
        tasks = [asyncio.create_task(engine.submit(deposit(wallet, 1))) for _ in range(3)]
        await asyncio.wait_for(held.entered.wait(), LIMIT_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        held.gate.set()
        await engine.drain()

    run(scenario())
    assert sum(held.batches) == 3


def test_draining_finishes_what_was_taken_and_takes_no_more(held: HeldStore, wallet: WalletId) -> None:
    """After drain begins nothing new is taken; everything before it is committed and answered."""
    engine = engine_over(held)

    async def scenario() -> Sequence[object]:
        engine.start()
        taken = [asyncio.create_task(engine.submit(deposit(wallet, 1))) for _ in range(5)]
        await asyncio.sleep(0)
        draining = asyncio.create_task(engine.drain())
        await asyncio.sleep(0)
        late = asyncio.create_task(engine.submit(deposit(wallet, 1)))
        held.gate.set()
        answers = await asyncio.gather(*taken, late, return_exceptions=True)
        await draining
        return answers

    kinds = [type(answer) for answer in run(scenario())]
    assert kinds == [Recorded] * 5 + [EngineStoppedError]


def test_a_drain_that_nobody_waits_for_still_finishes(held: HeldStore, wallet: WalletId) -> None:
    """Whoever gives up waiting for the drain cancels no command."""
    engine = engine_over(held)

    async def scenario() -> object:
        engine.start()
        taken = asyncio.create_task(engine.submit(deposit(wallet, 1)))
        await asyncio.wait_for(held.entered.wait(), LIMIT_SECONDS)
        draining = asyncio.create_task(engine.drain())
        await asyncio.sleep(0)
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        held.gate.set()
        return await asyncio.wait_for(taken, LIMIT_SECONDS)

    assert isinstance(run(scenario()), Recorded)


def test_one_command_that_upsets_the_batch_fails_alone(store: Store, held: HeldStore, wallet: WalletId) -> None:
    """Where a batch fails for an unforeseen reason, its commands are tried one by one: one error, no neighbours."""
    engine = engine_over(held)
    upsetting: Command = deposit(wallet, 1, "\ud800")

    async def scenario() -> Sequence[object]:
        engine.start()
        first = asyncio.create_task(engine.submit(deposit(wallet, 1)))
        await asyncio.wait_for(held.entered.wait(), LIMIT_SECONDS)
        commands = [deposit(wallet, 1), upsetting, deposit(wallet, 1)]
        rest = [asyncio.create_task(engine.submit(command)) for command in commands]
        await asyncio.sleep(0)
        held.gate.set()
        answers = await asyncio.gather(first, *rest, return_exceptions=True)
        await engine.drain()
        return answers

    kinds = [type(answer) for answer in run(scenario())]
    assert kinds == [Recorded, Recorded, UnicodeEncodeError, Recorded]
    found = run(store.queries.wallet(wallet))
    assert found is not None
    assert found.balance == 3
