"""A batch is decided while the one before it is being written, and that one fails: nothing rests on what is not there.

The disk holds the first batch's sync, so it is neither stored nor failed when the second one is decided.
"""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from monedero.engine.batch import Committed, alone, commit
from monedero.engine.engine import Engine, EngineStoppedError
from monedero.engine.verify import verify
from monedero.engine.work import Answers, Submission
from monedero.ledger.claims import claiming
from monedero.ledger.commands import Command
from monedero.ledger.errors import VersionMismatch
from monedero.ledger.events import DebitAccepted, DebitDenied, DepositAccepted, Recorded
from monedero.ledger.ids import WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Wallet
from monedero.storage.sqlite import SqliteStore, statements
from monedero.storage.sqlite.writer import FileTransaction
from monedero.storage.store import CommitUnknownError, NotStoredError, StoreError
from tests.disks import LIMIT_SECONDS, FailingCommit, FaultyDisk
from tests.support import debit, deposit, happened, new_wallet, run

BATCH_LIMIT = 2
"""So two commands are a full batch."""


class CountingStore(SqliteStore):
    """A store that counts the batches that were decided."""

    decided = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FileTransaction]:
        async with super().transaction() as transaction:
            yield transaction
            self.decided += 1

    async def next_decided(self) -> None:
        """Wait until one more was decided."""
        before = self.decided

        async def one_more() -> bool:
            return self.decided > before

        await happened(one_more)


@pytest.fixture
def store(database: Path, disk: FaultyDisk) -> Iterator[CountingStore]:
    """Return a ledger on that disk."""
    opened = CountingStore(database, vfs=disk.name)
    yield opened
    disk.heal()
    run(opened.close())


@pytest.fixture
def wallet(store: CountingStore) -> WalletId:
    """Return a customer's empty wallet."""
    return new_wallet(store, OwnerKind.CUSTOMER)


@pytest.fixture
def till(store: CountingStore) -> WalletId:
    """Return a business's wallet."""
    return new_wallet(store, OwnerKind.BUSINESS)


class WaitsThenFails(FailingCommit):
    """A connection of which the next COMMIT waits as if it were syncing, and then fails."""

    def __init__(self, connection: apsw.Connection, disk: FaultyDisk, *, happens: bool) -> None:
        super().__init__(connection, happens=happens, times=1)
        self._disk = disk

    def execute(self, statement: str, *arguments: Any) -> Any:
        """Run a statement."""
        if self._left and not self._happens and statement.startswith("INSERT INTO batch"):
            self._disk.syncing.set()
            self._disk.gate.wait(LIMIT_SECONDS)
        return super().execute(statement, *arguments)


class Overlapping:
    """Two batches, the second decided while the first is being written. `let_go` ends the wait."""

    def __init__(self, store: CountingStore, disk: FaultyDisk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heard: list[StoreError] = []
        self.engine = Engine(store, batch_limit=BATCH_LIMIT, queue_limit=100, on_broken=self.heard.append)
        self._store = store
        self._disk = disk
        self._monkeypatch = monkeypatch
        self._answers: list[asyncio.Task[Answers]] = []
        self.order: list[int] = []

    def spoil_the_first(self, *, happens: bool) -> None:
        """Have the first COMMIT report a failure, after it has or has not happened."""
        self.spoil(lambda connection: WaitsThenFails(connection, self._disk, happens=happens))

    def spoil(self, spoilt: Callable[[apsw.Connection], FailingCommit]) -> None:
        """Have the store write through another connection."""
        writer: Any = self._store._writer  # noqa: SLF001 - the one place where a COMMIT can be made to fail
        self._monkeypatch.setattr(writer, "_connection", spoilt(writer._connection))  # noqa: SLF001 - likewise

    async def begin(self, *batches: Submission) -> None:
        """Submit one after the other, each once the one before it was decided."""
        self.engine.start()
        self._disk.syncing.clear()
        self._disk.gate.clear()
        async with asyncio.timeout(LIMIT_SECONDS):
            for batch in batches:
                self.add(batch)
                await self._store.next_decided()
            assert await asyncio.to_thread(self._disk.syncing.wait, LIMIT_SECONDS)
        assert not any(answer.done() for answer in self._answers)

    def add(self, batch: Submission) -> None:
        """Submit one more."""
        self._answers.append(asyncio.create_task(self.engine.submit_all(batch)))

    async def until_one_waits(self) -> None:
        """Wait until the thread has something to do behind what it is doing."""
        thread: Any = self._store._writer._thread  # noqa: SLF001 - nothing else shows what waits

        async def waits() -> bool:
            return bool(thread._work_queue.qsize())  # noqa: SLF001 - likewise

        async with asyncio.timeout(LIMIT_SECONDS):
            await happened(waits)

    async def let_go(self) -> list[Answers | BaseException]:
        """Let the first one be written, or fail; return what each is told. `order` says when."""
        for number, each in enumerate(self._answers):
            each.add_done_callback(lambda _, number=number: self.order.append(number))  # type: ignore[misc]
        self._disk.gate.set()
        async with asyncio.timeout(LIMIT_SECONDS):
            answers = await asyncio.gather(*self._answers, return_exceptions=True)
            if not self.engine.stopped:
                await self.engine.drain()
        return answers


@pytest.fixture
def overlapping(store: CountingStore, disk: FaultyDisk, monkeypatch: pytest.MonkeyPatch) -> Overlapping:
    """Return what overlaps batches."""
    return Overlapping(store, disk, monkeypatch)


def full(*commands: Command) -> Submission:
    """Return a submission that is a full batch."""
    assert len(commands) == BATCH_LIMIT
    return Submission(commands)


def events(answers: Answers | BaseException) -> list[type]:
    """Return the kinds of events that a submission has left."""
    assert isinstance(answers, Answers), answers
    return [type(outcome.event) for outcome in answers.outcomes if isinstance(outcome, Recorded)]


def transactions_in(store: SqliteStore) -> int:
    """Return how many transactions a ledger has that verifies."""
    with store.snapshot() as snapshot:
        return verify(snapshot).transactions


def balances(store: SqliteStore, *wallets: WalletId) -> list[int]:
    """Return balances as a ledger that verifies has them, and as the read side shows them."""
    with store.snapshot() as snapshot:
        verify(snapshot)
        stored = {wallet.id: wallet.balance for wallet in snapshot.wallets()}
    for each in wallets:
        shown = run(store.queries.wallet(each))
        assert shown is not None
        assert shown.balance == stored[each]
    return [stored[each] for each in wallets]


def test_a_full_batch_is_decided_while_another_is_written(
    store: CountingStore, overlapping: Overlapping, wallet: WalletId, till: WalletId
) -> None:
    """It spends what the first one brings; until that one is stored, nobody sees or is told anything of either."""

    async def scenario() -> tuple[int, object, list[Answers | BaseException]]:
        before = await store.queries.size()
        await overlapping.begin(
            full(deposit(wallet, 10), deposit(wallet, 1)), full(debit(till, wallet, 9), debit(till, wallet, 1))
        )
        found = await store.queries.wallet(wallet)
        shown = await store.queries_at(before)
        assert found is not None
        return found.balance, shown, await overlapping.let_go()

    balance, shown, (first, second) = run(scenario())
    assert (balance, shown) == (0, None)
    assert events(first) == [DepositAccepted] * 2
    assert events(second) == [DebitAccepted] * 2
    assert balances(store, wallet, till) == [1, 10]
    assert run(store.queries_at(run(store.queries.size()) - 1)) is not None
    assert overlapping.order == [0, 1]


def test_what_is_not_full_waits_and_grows(store: CountingStore, overlapping: Overlapping, wallet: WalletId) -> None:
    """A batch with room left takes what comes until the one before it is committed; a drain waits for it too."""

    async def scenario() -> int:
        await overlapping.begin(full(deposit(wallet, 1), deposit(wallet, 1)))
        before = store.decided
        third = asyncio.create_task(overlapping.engine.submit(deposit(wallet, 1)))
        draining = asyncio.create_task(overlapping.engine.drain())
        for _ in range(10):
            await asyncio.sleep(0)
        decided = store.decided - before
        await overlapping.let_go()
        async with asyncio.timeout(LIMIT_SECONDS):
            await draining
            await third
        return decided

    assert run(scenario()) == 0
    assert balances(store, wallet) == [3]


def test_the_third_rests_on_the_second(
    store: CountingStore, disk: FaultyDisk, overlapping: Overlapping, wallet: WalletId
) -> None:
    """The first is stored and the second is not yet, when the third is decided; in the end nothing is kept of them."""

    async def scenario() -> Sequence[object]:
        disk.closes_again = True
        await overlapping.begin(
            full(deposit(wallet, 1), deposit(wallet, 1)), full(deposit(wallet, 10), deposit(wallet, 10))
        )
        third = asyncio.create_task(overlapping.engine.submit_all(full(deposit(wallet, 100), deposit(wallet, 100))))
        disk.gate.set()
        await store.next_decided()
        disk.closes_again = False
        return [*await overlapping.let_go(), await third]

    assert [events(each) for each in run(scenario())] == [[DepositAccepted] * 2] * 3  # type: ignore[arg-type]
    assert balances(store, wallet) == [222]
    series = store._writer._series  # noqa: SLF001 - nothing else shows what is kept
    assert series is not None
    assert not series.wallets


def test_a_batch_that_rests_on_a_lost_one_is_decided_again(
    store: CountingStore, overlapping: Overlapping, wallet: WalletId, till: WalletId
) -> None:
    """The deposit is lost, so the debit of it, accepted a moment ago, is denied; nobody was told otherwise."""

    async def scenario() -> list[Answers | BaseException]:
        await overlapping.begin(
            full(deposit(wallet, 10), deposit(wallet, 1)), full(debit(till, wallet, 9), debit(till, wallet, 2))
        )
        return await overlapping.let_go()

    overlapping.spoil_the_first(happens=False)
    first, second = run(scenario())
    assert isinstance(first, NotStoredError)
    assert events(second) == [DebitDenied] * 2
    assert balances(store, wallet, till) == [0, 0]


def test_a_batch_that_rests_on_one_of_an_unknown_end_is_decided_again(
    store: CountingStore, overlapping: Overlapping, wallet: WalletId, till: WalletId
) -> None:
    """A COMMIT that reports a failure but has happened is looked up; the next batch rests on what was found."""

    async def scenario() -> list[Answers | BaseException]:
        await overlapping.begin(
            full(deposit(wallet, 10), deposit(wallet, 1)), full(debit(till, wallet, 9), debit(till, wallet, 3))
        )
        return await overlapping.let_go()

    overlapping.spoil_the_first(happens=True)
    first, second = run(scenario())
    assert events(first) == [DepositAccepted] * 2
    assert events(second) == [DebitAccepted, DebitDenied]
    assert balances(store, wallet, till) == [2, 9]


def test_after_a_failed_sync_nothing_more_is_written(
    store: CountingStore, disk: FaultyDisk, database: Path, overlapping: Overlapping, wallet: WalletId
) -> None:
    """Of the first batch nobody knows; the second was never written, though the disk would take it again."""

    async def scenario() -> list[Answers | BaseException]:
        await overlapping.begin(
            full(deposit(wallet, 1), deposit(wallet, 1)), full(deposit(wallet, 10), deposit(wallet, 10))
        )
        disk.failing_syncs = 1
        return await overlapping.let_go()

    first, second = run(scenario())
    disk.heal()
    run(store.close())
    again = SqliteStore(database)
    try:
        assert isinstance(first, CommitUnknownError)
        assert isinstance(second, EngineStoppedError)
        assert len(overlapping.heard) == 1
        assert balances(again, wallet)[0] in {0, 2}
    finally:
        run(again.close())


@pytest.mark.parametrize("lost", [False, True])
def test_a_refusal_waits_for_what_it_rests_on(
    store: CountingStore, overlapping: Overlapping, wallet: WalletId, lost: bool
) -> None:
    """A batch that writes nothing is answered after the one before it, and decided again if that one is lost."""
    found = run(store.queries.wallet(wallet))
    assert found is not None
    on_condition = Submission((deposit(wallet, 10), deposit(wallet, 10)), versions=(wallet, (found.version,)))

    async def scenario() -> list[Answers | BaseException]:
        await overlapping.begin(full(deposit(wallet, 1), deposit(wallet, 1)), on_condition)
        return await overlapping.let_go()

    if lost:
        overlapping.spoil_the_first(happens=False)
    first, second = run(scenario())
    assert isinstance(second, Answers)
    if lost:
        assert isinstance(first, NotStoredError)
        assert events(second) == [DepositAccepted] * 2
    else:
        assert second.refusal == VersionMismatch(found.version + 2)
    assert balances(store, wallet) == [20 if lost else 2]


def test_after_what_cannot_be_decided_all_before_it_counts(
    store: CountingStore, disk: FaultyDisk, wallet: WalletId
) -> None:
    """One is being written and one waits to be when a third fails for an unforeseen reason: a fourth sees both."""

    async def scenario() -> list[Committed | BaseException]:
        disk.gate.clear()
        tasks = []
        async with asyncio.timeout(LIMIT_SECONDS):
            for amount in (1, 10):
                tasks.append(asyncio.create_task(commit(store, alone(deposit(wallet, amount)))))
                await store.next_decided()
            hundreds = [deposit(wallet, 100, description) for description in ("\ud800", "fine")]
            tasks += [asyncio.create_task(commit(store, alone(each))) for each in hundreds]
            await asyncio.wait([tasks[2]])
            disk.gate.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, third, fourth = run(scenario())
    assert isinstance(third, UnicodeEncodeError)
    assert all(isinstance(each, Committed) for each in (first, second, fourth))
    assert balances(store, wallet) == [111]


def test_a_batch_that_cannot_be_decided_harms_no_neighbour(
    store: CountingStore, overlapping: Overlapping, wallet: WalletId
) -> None:
    """While one is written the next fails for an unforeseen reason: what is decided after it rests on the first."""
    upsetting = deposit(wallet, 100, "\ud800")

    async def scenario() -> Sequence[object]:
        await overlapping.begin(full(deposit(wallet, 1), deposit(wallet, 1)))
        rest = [asyncio.create_task(overlapping.engine.submit(each)) for each in (deposit(wallet, 10), upsetting)]
        await asyncio.sleep(0)
        answers = await overlapping.let_go()
        return [*answers, *await asyncio.gather(*rest, return_exceptions=True)]

    first, second, third = run(scenario())
    assert isinstance(first, Answers)
    assert isinstance(second, Recorded)
    assert isinstance(third, UnicodeEncodeError)
    assert balances(store, wallet) == [12]


@pytest.mark.parametrize("failing_syncs", [1, 2])
def test_what_is_tried_again_is_not_written_to_a_failed_disk(
    store: CountingStore, disk: FaultyDisk, overlapping: Overlapping, wallet: WalletId, failing_syncs: int
) -> None:
    """A batch that could not be decided is tried in parts just when the one before it meets the failing disk."""

    async def scenario() -> Sequence[object]:
        await overlapping.begin(full(deposit(wallet, 1), deposit(wallet, 1)))
        upsetting = deposit(wallet, 100, "\ud800")
        rest = [asyncio.create_task(overlapping.engine.submit(each)) for each in (deposit(wallet, 10), upsetting)]
        await overlapping.until_one_waits()
        disk.failing_syncs = failing_syncs
        answers = await overlapping.let_go()
        return [*answers, *await asyncio.gather(*rest, return_exceptions=True)]

    told = [type(each) for each in run(scenario())]
    disk.heal()
    assert told == [CommitUnknownError, EngineStoppedError, EngineStoppedError]
    assert transactions_in(store) in {0, 2}


class FailingReads(FailingCommit):
    """A connection whose first COMMIT happens and reports a failure, and some reads of which meet a failing disk."""

    def __init__(self, connection: apsw.Connection, *failing: str) -> None:
        super().__init__(connection, happens=True, times=1)
        self._failing = list(failing)

    def execute(self, statement: str, *arguments: Any) -> Any:
        """Run a statement."""
        if statement in self._failing:
            self._failing.remove(statement)
            raise apsw.IOError
        return super().execute(statement, *arguments)


@pytest.mark.parametrize("read", [statements.EVENT_IS_STORED, statements.READ_HEAD])
def test_after_a_failed_read_nothing_more_is_written(
    store: CountingStore, overlapping: Overlapping, wallet: WalletId, read: str
) -> None:
    """A look-up, or the beginning of a new series, meets the failing disk: the batches behind it are not written."""

    async def scenario() -> list[Answers | BaseException]:
        await overlapping.begin(
            full(deposit(wallet, 1), deposit(wallet, 1)), full(deposit(wallet, 10), deposit(wallet, 10))
        )
        overlapping.add(full(deposit(wallet, 100), deposit(wallet, 100)))
        return await overlapping.let_go()

    overlapping.spoil(lambda connection: FailingReads(connection, read))
    first, second, third = run(scenario())
    if read == statements.EVENT_IS_STORED:
        assert isinstance(first, CommitUnknownError)
    else:
        assert isinstance(first, Answers)
    assert {type(second), type(third)} <= {CommitUnknownError, EngineStoppedError}
    assert len(overlapping.heard) == 1
    assert transactions_in(store) == 2


def test_a_look_up_that_meets_a_failed_disk_says_that_nobody_knows(
    store: CountingStore, overlapping: Overlapping, wallet: WalletId
) -> None:
    """A batch is stored, but its COMMIT lied, and another one has met the disk's failure: it is not called lost."""

    async def scenario() -> list[Answers | BaseException]:
        await overlapping.begin(full(deposit(wallet, 1), deposit(wallet, 1)))
        overlapping.add(Submission((deposit(wallet, 10), deposit(wallet, 10)), claiming("k", b"request")))
        await overlapping.until_one_waits()
        return await overlapping.let_go()

    reads = statements.LOAD_CLAIMS, statements.EVENT_IS_STORED
    overlapping.spoil(lambda connection: FailingReads(connection, *reads))
    first, second = run(scenario())
    assert isinstance(first, CommitUnknownError)
    assert isinstance(second, CommitUnknownError | EngineStoppedError)
    assert transactions_in(store) == 2


def test_a_position_is_not_shown_before_its_wallets(
    store: CountingStore, wallet: WalletId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers hear of a batch's positions once its wallets are those that it leaves."""
    keep, keeping, go = store._writer._hot.keep, threading.Event(), threading.Event()  # noqa: SLF001 - the moment between

    def slowly(wallets: Iterable[Wallet]) -> None:
        keeping.set()
        go.wait(LIMIT_SECONDS)
        keep(wallets)

    async def scenario() -> list[object]:
        size = await store.queries.size()
        committing = asyncio.create_task(commit(store, alone(deposit(wallet, 10))))
        assert await asyncio.to_thread(keeping.wait, LIMIT_SECONDS)
        early = await store.queries_at(size)
        go.set()
        await committing
        return [early, await store.queries_at(size)]

    monkeypatch.setattr(store._writer._hot, "keep", slowly)  # noqa: SLF001 - likewise
    early, late = run(scenario())
    assert early is None
    assert late is not None
    assert balances(store, wallet) == [10]


def test_an_engine_that_is_abandoned_leaves_no_gap(
    store: CountingStore, database: Path, overlapping: Overlapping, wallet: WalletId
) -> None:
    """Stopped at once in the middle of two, it says that nobody knows; the log has the first, or both."""

    async def scenario() -> list[Answers | BaseException]:
        await overlapping.begin(
            full(deposit(wallet, 1), deposit(wallet, 1)), full(deposit(wallet, 10), deposit(wallet, 10))
        )
        await overlapping.engine.abandon()
        return await overlapping.let_go()

    answers = run(scenario())
    run(store.close())
    again = SqliteStore(database)
    try:
        assert [type(each) for each in answers] == [CommitUnknownError] * 2
        assert balances(again, wallet)[0] in {2, 22}
    finally:
        run(again.close())


@pytest.fixture
def sure(store: CountingStore, wallet: WalletId, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have keys be taken to be new, as after many that were."""
    monkeypatch.setattr("monedero.storage.keys.NEW_KEYS_LOOKS", 1)
    run(commit(store, [keyed("first", deposit(wallet, 100))]))


def keyed(key: str, *commands: Command) -> Submission:
    """Return a submission under a key."""
    return Submission(commands, claiming(key, b"request"))


@pytest.mark.usefixtures("sure")
def test_new_keys_do_not_hold_a_batch_up(store: CountingStore, overlapping: Overlapping, wallet: WalletId) -> None:
    """Batches of requests under keys overlap as any others: nothing is looked up behind the one being written."""

    async def scenario() -> list[Answers | BaseException]:
        await overlapping.begin(
            keyed("one", deposit(wallet, 1), deposit(wallet, 2)), keyed("two", deposit(wallet, 4), deposit(wallet, 8))
        )
        return await overlapping.let_go()

    assert [events(each) for each in run(scenario())] == [[DepositAccepted] * 2] * 2
    assert balances(store, wallet) == [115]


@pytest.mark.usefixtures("sure")
@pytest.mark.parametrize("same", [True, False])
def test_a_key_that_is_being_claimed_is_not_new(
    store: CountingStore, disk: FaultyDisk, wallet: WalletId, same: bool
) -> None:
    """Decided while the first is being written, the second finds its key used when it is written, and its answer."""
    first = keyed("k", deposit(wallet, 5))
    second = first if same else keyed("another", deposit(wallet, 5))
    decided = store.decided

    async def scenario() -> list[Committed]:
        disk.gate.clear()
        tasks = []
        async with asyncio.timeout(LIMIT_SECONDS):
            for submission in (first, second):
                tasks.append(asyncio.create_task(commit(store, [submission])))
                await store.next_decided()
            disk.gate.set()
            return await asyncio.gather(*tasks)

    one, two = run(scenario())
    assert [one.answers[0].replayed, two.answers[0].replayed] == [False, same]
    assert store.decided - decided == 2 + same
    assert balances(store, wallet) == [105 if same else 110]


def test_while_keys_come_again_they_are_looked_up(
    store: CountingStore, wallet: WalletId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only after some batches in a row with nothing but new keys is the look-up left out: no batch is decided twice."""
    monkeypatch.setattr("monedero.storage.keys.NEW_KEYS_LOOKS", 2)
    decided = store.decided
    requests = [keyed(key, deposit(wallet, 1)) for key in "aabb"]
    found = [run(commit(store, [request])).answers[0].replayed for request in requests]
    assert found == [False, True, False, True]
    assert store.decided - decided == len(requests)


@pytest.mark.usefixtures("sure")
def test_a_failed_condition_forgets_nothing(store: CountingStore, wallet: WalletId) -> None:
    """A key under a condition that fails is looked up after all, and the wallets stay in memory."""
    decided = store.decided
    late = Submission((deposit(wallet, 1),), claiming("late", b"request"), versions=(wallet, (7,)))
    assert isinstance(run(commit(store, [late])).answers[0].refusal, VersionMismatch)
    assert store.decided - decided == 2
    assert store._writer._hot.get(wallet) is not None  # noqa: SLF001 - nothing else shows it


@pytest.mark.usefixtures("sure")
def test_the_key_of_a_dry_run_does_not_matter(store: CountingStore, wallet: WalletId) -> None:
    """Nothing is claimed for it, so nothing is looked up."""
    decided = store.decided
    dry = Submission((deposit(wallet, 1),), claiming("first", b"request"), dry_run=True)
    assert events(run(commit(store, [dry])).answers[0]) == [DepositAccepted]
    assert store.decided - decided == 1


@pytest.mark.parametrize("given_up", [False, True])
def test_the_third_of_three_rests_on_both(
    store: CountingStore, disk: FaultyDisk, wallet: WalletId, given_up: bool
) -> None:
    """Should the second be given up before it was written, the third, decided on it, leaves no gap in its place."""

    async def scenario() -> list[Committed | BaseException]:
        disk.gate.clear()
        tasks = []
        async with asyncio.timeout(LIMIT_SECONDS):
            for amount in (1, 10, 100):
                tasks.append(asyncio.create_task(commit(store, alone(deposit(wallet, amount)))))
                await store.next_decided()
            if given_up:
                tasks[1].cancel()
                await asyncio.wait([tasks[1]])
            disk.gate.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, third = run(scenario())
    assert isinstance(first, Committed)
    assert isinstance(second, asyncio.CancelledError if given_up else Committed)
    assert isinstance(third, Committed)
    assert balances(store, wallet) == [101 if given_up else 111]


class MoodyCommit(FailingCommit):
    """A connection of which about every third COMMIT reports a failure, after it has or has not happened."""

    def __init__(self, connection: apsw.Connection, chance: random.Random) -> None:
        super().__init__(connection, happens=False)
        self._chance = chance

    def execute(self, statement: str, *arguments: Any) -> Any:
        """Run a statement."""
        self._left = self._chance.random() < 0.3
        self._happens = self._chance.random() < 0.5
        return super().execute(statement, *arguments)


@pytest.mark.parametrize("seed", range(10))
def test_whatever_fails_everybody_is_told_the_truth(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch, wallet: WalletId, till: WalletId, seed: int
) -> None:
    """Under many failures: what was called recorded is in the log at its place, what was called lost is not."""
    chance = random.Random(seed)
    engine = Engine(store, batch_limit=BATCH_LIMIT, queue_limit=100, on_broken=print)
    told: list[tuple[str, object]] = []

    async def client() -> None:
        for _ in range(15):
            amount = chance.randint(1, 9)
            command: Command = deposit(wallet, amount) if chance.random() < 0.5 else debit(till, wallet, amount)
            (answer,) = await asyncio.gather(engine.submit(command), return_exceptions=True)
            told.append((command.id, answer))

    async def scenario() -> None:
        engine.start()
        await asyncio.gather(*(client() for _ in range(8)))
        await engine.drain()

    writer: Any = store._writer  # noqa: SLF001 - the one place where a COMMIT can be made to fail
    monkeypatch.setattr(writer, "_connection", MoodyCommit(writer._connection, chance))  # noqa: SLF001 - likewise
    run(scenario())
    with store.snapshot() as snapshot:
        verify(snapshot)
        log = {row.id: row.position for row in snapshot.rows()}
    recorded = {number: answer.position for number, answer in told if isinstance(answer, Recorded)}
    lost = {number for number, answer in told if isinstance(answer, NotStoredError)}
    assert len(recorded) + len(lost) == len(told)
    assert recorded.items() <= log.items()
    assert not lost & log.keys()
    assert len(recorded) > len(lost) > 0
