"""A process on PostgreSQL goes by what it remembers, and is wrong: others have written, or its own batch failed."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from monedero.engine.batch import Committed, alone, commit
from monedero.engine.engine import Engine
from monedero.engine.rebuild import rebuild
from monedero.engine.verify import verify
from monedero.engine.work import Outcome, Submission, Work
from monedero.ledger.claims import claiming
from monedero.ledger.decide import touched
from monedero.ledger.errors import EmailTaken, UnknownWallet, VersionMismatch
from monedero.ledger.events import DebitAccepted, DebitDenied, Recorded
from monedero.ledger.ids import WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.sources import new_id
from monedero.storage.postgres import PostgresStore
from monedero.storage.postgres.transaction import WriteTransaction
from monedero.storage.store import NotStoredError, TransientError
from tests.ledgers import POSTGRES, Ledgers, opened
from tests.support import (
    accepted,
    capture,
    debit,
    deposit,
    happened,
    hold,
    new_wallet,
    opening,
    refund,
    registration,
    run,
)

LIMIT_SECONDS = 60
CALM = 2


class CountingStore(PostgresStore):
    """A store that counts the batches that were decided, and those of them that nothing was read for."""

    decided = 0
    remembered = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[WriteTransaction]:
        async with super().transaction() as transaction:
            yield transaction
            self.decided += 1
            self.remembered += transaction.remembers


@pytest.fixture
def url(ledgers: Ledgers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address of an empty ledger, whose processes soon go by what they remember."""
    monkeypatch.setattr("monedero.storage.postgres.memory.CALM_LOOKS", CALM)
    monkeypatch.setattr("monedero.storage.keys.NEW_KEYS_LOOKS", CALM)
    return ledgers.new(POSTGRES[0], tmp_path)


@pytest.fixture
def wallet(url: str) -> WalletId:
    """Return a customer's wallet with 100 units."""
    setup = opened(url)
    made = new_wallet(setup, OwnerKind.CUSTOMER)
    accepted(setup, deposit(made, 100))
    run(setup.close())
    return made


@pytest.fixture
def till(url: str) -> WalletId:
    """Return a business's wallet."""
    setup = opened(url)
    made = new_wallet(setup, OwnerKind.BUSINESS)
    run(setup.close())
    return made


@pytest.fixture
def ours(url: str, wallet: WalletId, till: WalletId) -> Iterator[CountingStore]:
    """Return a process that remembers both wallets, which moved in turn until it could."""
    store = opened(url)
    limits = store._writer._limits  # type: ignore[attr-defined]  # noqa: SLF001 - as the settings make them
    run(store.close())
    counting = CountingStore(url, limits)
    for number in range(CALM + 1):
        run(commit(counting, [Submission((debit(till, wallet, 1),), claiming(f"ours {number}", b""))]))
    yield counting
    run(counting.close())


@pytest.fixture
def theirs(url: str, ours: CountingStore) -> Iterator[PostgresStore]:
    """Return another process."""
    assert ours.decided == CALM + 1
    store = opened(url)
    assert isinstance(store, PostgresStore)
    yield store
    run(store.close())


def balances(store: PostgresStore, *wallets: WalletId) -> list[int]:
    """Return the balances of wallets in a ledger that verifies."""
    with store.snapshot() as snapshot:
        verify(snapshot)
        found = {wallet.id: wallet.balance for wallet in snapshot.wallets()}
    return [found[wallet] for wallet in wallets]


def test_a_process_alone_reads_nothing(ours: CountingStore, wallet: WalletId, till: WalletId) -> None:
    """Debits of wallets that it knows, with and without a key, take no reading; the balances are right."""
    for number in range(5):
        accepted(ours, debit(till, wallet, 1))
        keyed = Submission((deposit(wallet, 10),), claiming(str(number), b""))
        assert isinstance(run(commit(ours, [keyed])).answers[0].outcomes[0], Recorded)
    assert ours.remembered == 10
    assert ours.counts["overtaken"] == 0
    assert balances(ours, wallet, till) == [100 - (CALM + 1) - 5 + 50, CALM + 1 + 5]


def test_what_is_not_remembered_is_read(ours: CountingStore, till: WalletId) -> None:
    """A wallet that never moved here, or that nobody has, is asked for; then the process remembers as before."""
    fresh = new_wallet(ours, OwnerKind.CUSTOMER)
    read = ours.decided
    assert ours.remembered == 0
    (missing,) = run(commit(ours, alone(debit(till, WalletId(new_id()), 1)))).answers
    assert isinstance(missing.outcomes[0], UnknownWallet)
    accepted(ours, deposit(fresh, 7))
    accepted(ours, debit(till, fresh, 3))
    assert (ours.decided, ours.remembered) == (read + 3, 2)
    assert balances(ours, fresh) == [4]


def test_what_a_wallet_is_not_enough_for_is_read(ours: CountingStore, wallet: WalletId, till: WalletId) -> None:
    """Owners, e-mails, holds and debits are looked at whatever is remembered of the wallets."""
    paid, reserved = debit(till, wallet, 5), hold(till, wallet, 10)
    accepted(ours, paid)
    accepted(ours, reserved)
    accepted(ours, refund(paid.id))
    accepted(ours, capture(reserved.id, 4))
    owner = registration(OwnerKind.CUSTOMER, "twice@example.com")
    accepted(ours, owner)
    accepted(ours, opening(owner.id, OwnerKind.CUSTOMER))
    again = registration(OwnerKind.CUSTOMER, "twice@example.com")
    (answers,) = run(commit(ours, alone(again))).answers
    assert isinstance(answers.outcomes[0], EmailTaken)
    assert (ours.remembered, ours.counts) == (2, {})
    assert balances(ours, wallet, till) == [100 - (CALM + 1) - 4, CALM + 1 + 4]


@pytest.mark.parametrize("same", [True, False])
def test_a_process_that_was_overtaken_decides_again(
    ours: CountingStore, theirs: PostgresStore, wallet: WalletId, till: WalletId, same: bool
) -> None:
    """Somebody else has taken the money, or written something else: it is decided on that, on the same connection."""
    left = balances(theirs, wallet)[0]
    if same:
        accepted(theirs, debit(till, wallet, left))
    else:
        new_wallet(theirs, OwnerKind.CUSTOMER)
    (answers,) = run(commit(ours, alone(debit(till, wallet, left)))).answers
    (outcome,) = answers.outcomes
    assert isinstance(outcome, Recorded)
    assert isinstance(outcome.event, DebitDenied if same else DebitAccepted)
    assert ours.counts == {"overtaken": 1}
    assert ours.remembered == 1
    assert balances(ours, wallet) == [0]


def test_whoever_was_overtaken_reads_until_it_is_calm(
    ours: CountingStore, theirs: PostgresStore, wallet: WalletId
) -> None:
    """While two processes write by turns neither guesses; once one is alone for a while, it does."""
    for _ in range(5):
        accepted(theirs, deposit(wallet, 1))
        accepted(ours, deposit(wallet, 1))
    assert ours.counts == {"overtaken": 1}
    for _ in range(CALM + 1):
        accepted(ours, deposit(wallet, 1))
    assert ours.remembered == 2


def test_a_refusal_is_not_decided_on_what_is_over(ours: CountingStore, theirs: PostgresStore, wallet: WalletId) -> None:
    """A batch that would write nothing, on what another process has changed, is decided again too."""
    run(commit(ours, alone(deposit(wallet, 1))))
    accepted(theirs, deposit(wallet, 1))
    now = run(theirs.queries.wallet(wallet))
    assert now is not None
    submission = Submission((deposit(wallet, 5),), versions=(wallet, (now.version,)))
    (answers,) = run(commit(ours, [submission])).answers
    assert answers.refusal is None
    assert ours.counts == {"overtaken": 1}


def test_a_refusal_of_now_needs_no_second_thought(ours: CountingStore, wallet: WalletId) -> None:
    """Nobody else has written, so what is refused by memory is refused."""
    before = ours.decided
    (answers,) = run(commit(ours, [Submission((deposit(wallet, 5),), versions=(wallet, (0,)))])).answers
    assert isinstance(answers.refusal, VersionMismatch)
    assert (ours.decided, ours.remembered) == (before + 1, 1)
    assert ours.counts["overtaken"] == 0


def test_a_key_that_was_used_is_found(ours: CountingStore, wallet: WalletId) -> None:
    """A key is taken to be new; one that is not is carried out no second time, and its answer is found."""
    submission = Submission((deposit(wallet, 5),), claiming("k", b"request"))
    (first,) = run(commit(ours, [submission])).answers
    (again,) = run(commit(ours, [submission])).answers
    assert not first.replayed
    assert again.replayed
    assert ours.remembered == 2
    assert ours.counts == {}
    assert balances(ours, wallet) == [100 - (CALM + 1) + 5]


def test_keys_that_come_again_are_looked_up(ours: CountingStore, wallet: WalletId) -> None:
    """Only the first of many retries is taken for new, and a failed condition under a key costs one batch a look."""
    submission = Submission((deposit(wallet, 5),), claiming("k", b"request"))
    late = Submission((deposit(wallet, 5),), claiming("late", b""), versions=(wallet, (0,)))
    run(commit(ours, [submission]))
    before = ours.decided
    for _ in range(5):
        assert run(commit(ours, [submission])).answers[0].replayed
    assert ours.decided == before + 6
    for _ in range(3 * CALM):
        accepted(ours, deposit(wallet, 1))
        run(commit(ours, [Submission((deposit(wallet, 1),), claiming(f"new {ours.decided}", b""))]))
    before, remembered = ours.decided, ours.remembered
    assert isinstance(run(commit(ours, [late])).answers[0].refusal, VersionMismatch)
    accepted(ours, deposit(wallet, 1))
    assert (ours.decided - before, ours.remembered - remembered) == (3, 2)
    assert ours.counts == {}


def test_what_was_looked_up_and_not_found_never_comes(
    ours: CountingStore, theirs: PostgresStore, wallet: WalletId
) -> None:
    """A batch that was sent before it was looked up, and comes to the server after that, is refused."""
    command = deposit(wallet, 5)

    async def scenario() -> None:
        async with ours.transaction() as transaction:
            state, head = await transaction.load(touched([command]))
            work = Work(state, head.size)
            work.answer(Submission((command,)))
            batch = work.batch(head, 0)
            assert batch is not None
            transaction.append(batch)
            assert await theirs.stored([command.id]) == set()

    with pytest.raises(TransientError):
        run(scenario())
    assert ours.remembered == 1
    assert run(theirs.stored([command.id])) == set()
    accepted(ours, command)
    assert balances(ours, wallet) == [100 - (CALM + 1) + 5]


def test_who_looks_up_starts_anew(ours: CountingStore, wallet: WalletId) -> None:
    """A look-up raises the fence, so what was remembered under the one before is not relied on."""
    assert run(ours.stored([new_id()])) == set()
    accepted(ours, deposit(wallet, 1))
    assert (ours.remembered, ours.counts) == (0, {})


def test_a_rebuild_meets_a_batch_that_waits(
    url: str, ours: CountingStore, theirs: PostgresStore, wallet: WalletId, till: WalletId
) -> None:
    """The batch was sent while the rows of all wallets were written anew: it changes the new ones."""
    left = balances(ours, wallet)[0]
    begun, go_on = threading.Event(), threading.Event()

    def hold_up(_events: int) -> None:
        begun.set()
        go_on.wait(LIMIT_SECONDS)

    async def scenario() -> Committed:
        async with asyncio.timeout(LIMIT_SECONDS):
            rebuilding = asyncio.create_task(asyncio.to_thread(rebuild, theirs, hold_up))
            await asyncio.to_thread(begun.wait, LIMIT_SECONDS)
            writing = asyncio.create_task(commit(ours, alone(debit(till, wallet, left))))
            await until_one_waits(url)
            go_on.set()
            await rebuilding
            return await writing

    run(scenario())
    assert ours.remembered == 1
    assert balances(ours, wallet) == [0]
    (again,) = run(commit(theirs, alone(debit(till, wallet, left)))).answers
    assert isinstance(again.outcomes[0], Recorded)
    assert isinstance(again.outcomes[0].event, DebitDenied)
    assert balances(ours, wallet) == [0]


async def until_one_waits(url: str) -> None:
    """Wait until a session in the database waits for a lock."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as admin:

        async def waits() -> bool:
            cursor = await admin.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
            return await cursor.fetchone() is not None

        await happened(waits)


@pytest.mark.parametrize("fails", [False, True])
def test_batches_overlap_and_rest_on_each_other(
    url: str, ours: CountingStore, wallet: WalletId, till: WalletId, fails: bool
) -> None:
    """The second is decided while the first waits to be written; with the first failing, both are done again."""
    left = balances(ours, wallet)[0]
    before = ours.decided

    async def decided(more: int) -> None:
        async def are() -> bool:
            return ours.decided == before + more

        await happened(are)

    async def scenario() -> tuple[Outcome, Outcome]:
        engine = Engine(ours, batch_limit=1, queue_limit=10, on_broken=print)
        engine.start()
        async with asyncio.timeout(LIMIT_SECONDS), await psycopg.AsyncConnection.connect(url) as stranger:
            await stranger.execute("SELECT 1 FROM head FOR UPDATE")
            first = asyncio.create_task(engine.submit(debit(till, wallet, left)))
            await decided(1)
            await until_one_waits(url)
            second = asyncio.create_task(engine.submit(debit(till, wallet, 1)))
            await decided(2)
            assert not first.done()
            await stranger.execute("SELECT 1 FROM wallets FOR UPDATE NOWAIT")
            if fails:
                await stranger.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
            await stranger.rollback()
            outcomes = await asyncio.gather(first, second)
            await engine.drain()
            return outcomes

    outcomes = run(scenario())
    assert ours.remembered == 2
    assert ours.counts == ({"reconnects": 1} if fails else {})
    events = [each.event for each in outcomes if isinstance(each, Recorded)]
    if not fails:
        assert [type(each) for each in events] == [DebitAccepted, DebitDenied]
    (now,) = balances(ours, wallet)
    assert now == left - sum(each.amount for each in events if isinstance(each, DebitAccepted)) >= 0


def test_a_log_of_the_same_length_is_not_the_same(
    url: str, ours: CountingStore, theirs: PostgresStore, wallet: WalletId
) -> None:
    """A failover has lost our last batch, and another process has written as much in its place: ours follows that."""
    left = balances(ours, wallet)[0]
    with psycopg.connect(url, autocommit=True) as standby:
        standby.execute("CREATE TABLE kept_head AS TABLE head")
        standby.execute("CREATE TABLE kept_wallets AS TABLE wallets")
        accepted(ours, deposit(wallet, 10))
        standby.execute("DELETE FROM events WHERE position = (SELECT size FROM kept_head)")
        standby.execute("DELETE FROM head")
        standby.execute("INSERT INTO head TABLE kept_head")
        standby.execute("DELETE FROM wallets")
        standby.execute("INSERT INTO wallets TABLE kept_wallets")
        standby.execute("DROP TABLE kept_head, kept_wallets")
    accepted(theirs, deposit(wallet, 20))
    accepted(ours, deposit(wallet, 40))
    assert ours.counts == {"overtaken": 1}
    assert balances(ours, wallet) == [left + 20 + 40]


def test_however_many_batches_come_each_rests_on_the_one_before(
    url: str, ours: CountingStore, wallet: WalletId, till: WalletId
) -> None:
    """While the first waits to be written others come: each is decided once, on what the one before it leaves."""
    before, left = ours.decided, balances(ours, wallet)[0]

    async def scenario() -> None:
        async with asyncio.timeout(LIMIT_SECONDS), await psycopg.AsyncConnection.connect(url) as stranger:
            await stranger.execute("SELECT 1 FROM head FOR UPDATE")
            tasks = [asyncio.create_task(commit(ours, alone(debit(till, wallet, 1)))) for _ in range(5)]
            await until_one_waits(url)
            await stranger.rollback()
            await asyncio.gather(*tasks)

    run(scenario())
    assert (ours.decided, ours.counts) == (before + 5, {})
    assert balances(ours, wallet) == [left - 5]


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_everybody_is_told_the_truth(
    url: str, theirs: PostgresStore, wallet: WalletId, till: WalletId, seed: int
) -> None:
    """Two processes, with sessions that are ended at any moment: what was called recorded is in the log."""
    chance = random.Random(seed)
    told: list[tuple[str, object]] = []
    stores = [opened(url), theirs]
    engines = [Engine(store, batch_limit=2, queue_limit=100, on_broken=print) for store in stores]

    async def client(engine: Engine, pause: int) -> None:
        for _ in range(60):
            for _ in range(chance.randint(0, pause)):
                await asyncio.sleep(0)
            command = deposit(wallet, 3) if chance.random() < 0.5 else debit(till, wallet, chance.randint(1, 9))
            (answer,) = await asyncio.gather(engine.submit(command), return_exceptions=True)
            told.append((command.id, answer))

    async def killer() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as admin:
            while True:
                await admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.1"
                )
                for _ in range(chance.randint(1, 200)):
                    await asyncio.sleep(0)

    async def scenario() -> None:
        for engine in engines:
            engine.start()
        killing = asyncio.create_task(killer())
        async with asyncio.timeout(LIMIT_SECONDS):
            await asyncio.gather(*(client(engines[0], 2) for _ in range(6)), client(engines[1], 100))
            killing.cancel()
            for engine in engines:
                await engine.drain()
        await stores[0].close()

    run(scenario())
    with theirs.snapshot() as snapshot:
        verify(snapshot)
        log = {row.id: row.position for row in snapshot.rows()}
    recorded = {number: answer.position for number, answer in told if isinstance(answer, Recorded)}
    lost = {number for number, answer in told if isinstance(answer, NotStoredError)}
    assert len(recorded) + len(lost) == len(told)
    assert recorded.items() <= log.items()
    assert not lost & log.keys()
    assert len(recorded) > len(lost)
