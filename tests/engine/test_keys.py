"""Idempotency keys through the engine: in flight, in the queue, after a drain, and when nothing was recorded."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import cast

import pytest

from monedero.engine.engine import Engine, EngineStoppedError, KeyInUseError, QueueFullError
from monedero.engine.verify import verify
from monedero.engine.work import Answers, Submission
from monedero.ledger.claims import claiming
from monedero.ledger.commands import Command
from monedero.ledger.errors import KeyReused, UnknownWallet
from monedero.ledger.events import Recorded
from monedero.ledger.ids import WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Touched
from monedero.sources import new_id
from monedero.storage.store import (
    AnswerLostError,
    CommitUnknownError,
    NotStoredError,
    Overhaul,
    Queries,
    Snapshot,
    Store,
    StoreError,
    Transaction,
)
from tests.support import deposit, happened, new_wallet, run

LIMIT_SECONDS = 10


class Faulty:
    """A real store whose transactions wait at a gate, then fail before or around their COMMIT as they are told to."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.gate = asyncio.Event()
        self.gate.set()
        self.before: list[StoreError] = []
        self.after: list[StoreError] = []

    @property
    def queries(self) -> Queries:
        return self._store.queries

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with asyncio.timeout(LIMIT_SECONDS):
            await self.gate.wait()
        async with self._store.transaction() as transaction:
            yield transaction
            if self.before:
                raise self.before.pop()
        if self.after:
            raise self.after.pop()

    @property
    def transactions_at_once(self) -> int:
        return self._store.transactions_at_once

    async def stored(self, event_ids: Iterable[str]) -> set[str]:
        return await self._store.stored(event_ids)

    async def ping(self) -> None:
        await self._store.ping()

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        return self._store.snapshot()

    async def queries_at(self, position: int) -> Queries | None:
        return await self._store.queries_at(position)

    def overhaul(self) -> AbstractContextManager[Overhaul]:
        return self._store.overhaul()

    async def close(self) -> None:
        await self._store.close()


@pytest.fixture
def wallet(store: Store) -> WalletId:
    """Return a customer's wallet."""
    return new_wallet(store, OwnerKind.CUSTOMER)


@pytest.fixture
def faulty(store: Store) -> Faulty:
    """Return the store in its faulty shape."""
    return Faulty(store)


@asynccontextmanager
async def running(store: Store, queue_limit: int = 1000) -> AsyncIterator[Engine]:
    """Start an engine that must not break, and drain it."""

    def on_broken(error: StoreError) -> None:
        raise AssertionError(error)

    engine = Engine(store, batch_limit=256, queue_limit=queue_limit, on_broken=on_broken)
    engine.start()
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            yield engine
    finally:
        await engine.drain()


def keyed(*commands: Command, key: str = "k", request: bytes = b"the same", atomic: bool = False) -> Submission:
    """Return a submission under a key."""
    return Submission(commands, claiming(key, request), atomic)


def is_claimed(store: Store, key: str = "k") -> bool:
    """Tell whether a claim on the key is stored."""
    digest = claiming(key).key

    async def load() -> bool:
        async with store.transaction() as transaction:
            state, _ = await transaction.load(Touched(claims={digest}))
            return digest in state.claims

    return run(load())


def balance(store: Store, wallet: WalletId) -> int:
    """Return a wallet's balance, as a ledger that verifies has it."""
    with store.snapshot() as snapshot:
        verify(snapshot)
        return next(each.balance for each in snapshot.wallets() if each.id == wallet)


def test_a_key_in_flight_is_in_use(store: Store, faulty: Faulty, wallet: WalletId) -> None:
    """While a request is carried out, the same key is refused at once, for any request; afterwards it is replayed."""

    async def scenario() -> tuple[list[BaseException | Answers], Answers]:
        async with running(faulty) as engine:
            faulty.gate.clear()
            first = asyncio.create_task(engine.submit_all(keyed(deposit(wallet, 1))))
            await asyncio.sleep(0)
            meanwhile = await asyncio.gather(
                engine.submit_all(keyed(deposit(wallet, 1))),
                engine.submit_all(keyed(deposit(wallet, 1), request=b"another")),
                return_exceptions=True,
            )
            faulty.gate.set()
            answers = await first
            again = await engine.submit_all(keyed(deposit(wallet, 1)))
            assert again.outcomes == answers.outcomes
            return [*meanwhile, answers], again

    meanwhile, again = run(scenario())
    assert [type(each) for each in meanwhile] == [KeyInUseError, KeyInUseError, Answers]
    assert again.replayed
    assert balance(store, wallet) == 1


def test_a_client_that_went_away_and_came_back(store: Store, faulty: Faulty, wallet: WalletId) -> None:
    """Whoever gives up waiting may ask again while the first request still waits: it is carried out once."""

    async def scenario() -> Answers:
        async with running(faulty) as engine:
            faulty.gate.clear()
            gone = asyncio.create_task(engine.submit_all(keyed(deposit(wallet, 1))))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.wait([gone])
            back = asyncio.create_task(engine.submit_all(keyed(deposit(wallet, 1))))
            await asyncio.sleep(0)
            faulty.gate.set()
            return await back

    answers = run(scenario())
    assert answers.replayed
    assert isinstance(answers.outcomes[0], Recorded)
    assert balance(store, wallet) == 1


def test_different_keys_do_not_wait_for_each_other(store: Store, wallet: WalletId) -> None:
    """Any number of keys is carried out at once."""

    async def scenario() -> list[Answers]:
        async with running(store) as engine:
            return await asyncio.gather(
                *(engine.submit_all(keyed(deposit(wallet, 1), key=str(each))) for each in range(100))
            )

    assert not any(each.replayed for each in run(scenario()))
    assert balance(store, wallet) == 100


def test_a_full_queue_claims_nothing(store: Store, faulty: Faulty, wallet: WalletId) -> None:
    """A key whose request was turned away is free at once."""

    async def scenario() -> Answers:
        async with running(faulty, queue_limit=2) as engine:
            faulty.gate.clear()
            first = asyncio.create_task(engine.submit(deposit(wallet, 1)))
            await asyncio.sleep(0)
            await happened(lambda: nothing_waits(engine))
            rest = asyncio.create_task(engine.submit_all(Submission((deposit(wallet, 1), deposit(wallet, 1)))))
            await asyncio.sleep(0)
            for _ in range(2):
                with pytest.raises(QueueFullError):
                    await engine.submit_all(keyed(deposit(wallet, 10)))
            faulty.gate.set()
            await asyncio.gather(first, rest)
            return await engine.submit_all(keyed(deposit(wallet, 10)))

    assert not run(scenario()).replayed
    assert balance(store, wallet) == 13


async def nothing_waits(engine: Engine) -> bool:
    """Tell whether the queue is empty: what was in it is being committed."""
    return not engine._queue  # noqa: SLF001


def test_what_was_not_stored_claims_nothing(store: Store, faulty: Faulty, wallet: WalletId) -> None:
    """A batch that was rolled back leaves neither event nor claim, and the key is free for the next try."""

    async def scenario() -> Answers:
        async with running(faulty) as engine:
            faulty.before.append(NotStoredError("The disk is full"))
            with pytest.raises(NotStoredError):
                await engine.submit_all(keyed(deposit(wallet, 1)))
            assert not await claimed_now()
            return await engine.submit_all(keyed(deposit(wallet, 1)))

    async def claimed_now() -> bool:
        digest = claiming("k").key
        async with store.transaction() as transaction:
            state, _ = await transaction.load(Touched(claims={digest}))
            return bool(state.claims)

    assert not run(scenario()).replayed
    assert balance(store, wallet) == 1


def test_an_error_that_nobody_foresaw_claims_nothing(store: Store, wallet: WalletId) -> None:
    """A command that upsets its batch fails alone; its key stays free, and its neighbours' keys are claimed."""

    async def scenario() -> list[BaseException | Answers]:
        async with running(store) as engine:
            submissions = [
                keyed(deposit(wallet, 1), key="before"),
                keyed(deposit(wallet, 1, "\ud800")),
                keyed(deposit(wallet, 1), key="behind"),
            ]
            return await asyncio.gather(*map(engine.submit_all, submissions), return_exceptions=True)

    assert [type(each) for each in run(scenario())] == [Answers, UnicodeEncodeError, Answers]
    assert [is_claimed(store, key) for key in ("before", "k", "behind")] == [True, False, True]
    assert balance(store, wallet) == 2


@pytest.mark.parametrize("error", [CommitUnknownError, AnswerLostError])
def test_a_commit_whose_answer_was_lost_is_found(
    store: Store, faulty: Faulty, wallet: WalletId, error: type[StoreError]
) -> None:
    """Events and claims that were committed though COMMIT seemed to fail are found, and answered as they are."""

    async def scenario() -> tuple[Answers, Answers]:
        async with running(faulty) as engine:
            faulty.after.append(error("The answer is missing"))
            first = await engine.submit_all(keyed(deposit(wallet, 1)))
            return first, await engine.submit_all(keyed(deposit(wallet, 1)))

    first, again = run(scenario())
    assert not first.replayed
    assert again.replayed
    assert first.outcomes == again.outcomes
    assert balance(store, wallet) == 1


def test_a_refusal_whose_claim_was_committed_unseen(store: Store, faulty: Faulty) -> None:
    """Of a refusal no event can be looked up: whatever became of its claim, the answer is the same refusal."""
    nobody = WalletId(new_id())

    async def scenario() -> list[Answers]:
        async with running(faulty) as engine:
            faulty.after.append(AnswerLostError("The answer is missing"))
            first = await engine.submit_all(keyed(deposit(nobody, 1)))
            faulty.before.append(AnswerLostError("The connection is lost"))
            other = await engine.submit_all(keyed(deposit(nobody, 1), key="other"))
            return [first, other, await engine.submit_all(keyed(deposit(nobody, 1)))]

    assert [each.outcomes for each in run(scenario())] == [[UnknownWallet(nobody)]] * 3
    assert is_claimed(store)
    assert is_claimed(store, "other")


def test_a_drain_finishes_keyed_requests_and_takes_no_more(store: Store, faulty: Faulty, wallet: WalletId) -> None:
    """What was taken before the drain is carried out and claimed; what comes later is refused and claims nothing."""

    async def scenario() -> list[BaseException | Answers]:
        async with running(faulty) as engine:
            faulty.gate.clear()
            taken = asyncio.create_task(engine.submit_all(keyed(deposit(wallet, 1))))
            await asyncio.sleep(0)
            draining = asyncio.create_task(engine.drain())
            await asyncio.sleep(0)
            late = asyncio.create_task(engine.submit_all(keyed(deposit(wallet, 1), key="late")))
            same = asyncio.create_task(engine.submit_all(keyed(deposit(wallet, 1))))
            faulty.gate.set()
            answers = await asyncio.gather(taken, late, same, return_exceptions=True)
            await draining
            return [*answers]

    assert [type(each) for each in run(scenario())] == [Answers, EngineStoppedError, EngineStoppedError]
    assert (is_claimed(store), is_claimed(store, "late")) == (True, False)
    assert balance(store, wallet) == 1


def test_another_request_never_sees_the_first_ones_answer(store: Store, wallet: WalletId) -> None:
    """Under a key that was used another request hears that, and nothing of what the first was."""

    async def scenario() -> Answers:
        async with running(store) as engine:
            await engine.submit_all(keyed(deposit(wallet, 1)))
            return await engine.submit_all(keyed(deposit(wallet, 1), request=b"another"))

    answers = run(scenario())
    assert answers == Answers([], KeyReused())
    assert not answers.replayed


def test_what_became_of_an_atomic_submission_is_found_again(store: Store, wallet: WalletId) -> None:
    """All its events come back in their order; where none was carried out, why."""
    nobody = WalletId(new_id())

    async def scenario() -> list[Answers]:
        async with running(store) as engine:
            whole = keyed(*(deposit(wallet, units) for units in (3, 1, 2)), atomic=True)
            none = keyed(deposit(wallet, 1), deposit(nobody, 1), key="none", atomic=True)
            return [await engine.submit_all(each) for each in (whole, none, whole, none)]

    whole, none, whole_again, none_again = run(scenario())
    amounts = [cast("Recorded", each).event.amount for each in whole_again.outcomes]  # type: ignore[union-attr]
    assert amounts == [3, 1, 2]
    assert whole_again.outcomes == whole.outcomes
    assert (none_again.outcomes, none_again.refusal) == ([], none.refusal)
    assert none.refusal is not None
    assert (whole_again.replayed, none_again.replayed) == (True, True)
    assert balance(store, wallet) == 6
