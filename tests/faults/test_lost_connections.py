"""The connection to PostgreSQL is cut around a COMMIT, or goes silent: nobody is told a guess."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from monedero.engine.engine import Engine
from monedero.engine.verify import verify
from monedero.engine.work import Answers, Submission, Work
from monedero.ledger.claims import claiming
from monedero.ledger.commands import Deposit
from monedero.ledger.decide import touched
from monedero.ledger.events import Recorded
from monedero.ledger.ids import WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Touched
from monedero.sources import new_id
from monedero.storage.postgres import PostgresStore
from monedero.storage.store import CommitUnknownError, NotStoredError, StoreError, StoreUnavailableError, TransientError
from tests.ledgers import POSTGRES, Ledgers, migrate, opened
from tests.postgres import Server, server_folder, servers
from tests.proxy import FaultProxy
from tests.support import accepted, capture, debit, deposit, hold, new_wallet, refund, run, until

CLIENTS = 8
LIMIT_SECONDS = 60


@pytest.fixture
def url(ledgers: Ledgers, tmp_path: Path) -> str:
    """Return the address of an empty ledger."""
    return ledgers.new(POSTGRES[0], tmp_path)


@pytest.fixture
def wallet(url: str) -> WalletId:
    """Return a customer's wallet in it."""
    store = opened(url)
    made = new_wallet(store, OwnerKind.CUSTOMER)
    run(store.close())
    return made


@pytest.fixture(params=["reads", "remembers"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a process rely on what it remembers never, or as soon as it may."""
    calm = 1 if request.param == "remembers" else 1_000_000
    monkeypatch.setattr("monedero.storage.postgres.memory.CALM_LOOKS", calm)


@asynccontextmanager
async def engine_over(url: str, **settings: Any) -> AsyncIterator[tuple[Engine, PostgresStore]]:
    """Start an engine on a ledger, drain and close it in the end."""
    store = await asyncio.to_thread(opened, url, **settings)  # It connects while a proxy on this loop has to answer.
    assert isinstance(store, PostgresStore)

    def on_broken(error: StoreError) -> None:
        raise AssertionError(error)

    engine = Engine(store, batch_limit=256, queue_limit=1000, on_broken=on_broken)
    engine.start()
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            yield engine, store
    finally:
        await engine.drain()
        await store.close()


@asynccontextmanager
async def behind_proxy(url: str, **settings: Any) -> AsyncIterator[tuple[FaultProxy, Engine, PostgresStore]]:
    """Start an engine that reaches the ledger through a proxy."""
    parts = urlsplit(url)
    async with FaultProxy(parts.port or 0) as proxy:
        address = f"postgresql://postgres@127.0.0.1:{proxy.port}{parts.path}"
        async with engine_over(address, **settings) as (engine, store):
            yield proxy, engine, store


async def answers(engine: Engine, commands: Sequence[Deposit]) -> list[Any]:
    """Submit all at once and return what each was answered."""
    return await asyncio.gather(*(engine.submit(command) for command in commands), return_exceptions=True)


def stored(url: str) -> tuple[set[str], int]:
    """Return the ids of all events and the sum of all deposits, of a ledger that verifies."""
    store = opened(url)
    with store.snapshot() as snapshot:
        found = verify(snapshot)
        ids = [row.id for row in snapshot.rows()]
    run(store.close())
    assert len(ids) == len(set(ids))
    return set(ids), found.turnover["EUR"].deposited


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("either")
def test_a_cut_around_commit_is_found_out(url: str, wallet: WalletId, request: pytest.FixtureRequest) -> None:
    """Cut before COMMIT, in the middle of it or after it: everybody is acknowledged, everything is there once."""
    cuts = request.config.getoption("--cuts")
    commands: list[Deposit] = []

    async def scenario() -> None:
        async with behind_proxy(url) as (proxy, engine, store):
            for cut in range(cuts):
                proxy.plan = ("before", "sent", "after")[cut % 3]
                batch = [deposit(wallet, 1) for _ in range(CLIENTS)]
                commands.extend(batch)
                given = await answers(engine, batch)
                assert [answer.event.id for answer in given] == [command.id for command in batch]
            assert proxy.cuts == cuts
            assert store.counts["reconnects"] == cuts

    run(scenario())
    ids, deposited = stored(url)
    assert {command.id for command in commands} <= ids
    assert deposited == len(commands) == cuts * CLIENTS


def keyed(wallet: WalletId, key: str) -> Submission:
    """Return a deposit under a key."""
    return Submission((deposit(wallet, 1),), claiming(key, b""))


@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("either")
def test_keys_survive_a_cut_around_commit(url: str, wallet: WalletId, request: pytest.FixtureRequest) -> None:
    """Cut around COMMIT, keyed requests have one effect, and the same keys find their answers; refusals do too."""
    cuts = request.config.getoption("--cuts") // 4
    nobody = WalletId(new_id())

    async def scenario() -> None:
        async with behind_proxy(url) as (proxy, engine, _):
            for cut in range(cuts):
                proxy.plan = ("before", "sent", "after")[cut % 3]
                refusals_alone = cut % 2 == 0
                to = nobody if refusals_alone else wallet
                keys = [f"{cut} {each}" for each in range(CLIENTS)]
                first = await asyncio.gather(*(engine.submit_all(keyed(to, key)) for key in keys))
                proxy.plan = ("after", "before", "sent")[cut % 3]
                again = await asyncio.gather(*(engine.submit_all(keyed(to, key)) for key in [*keys, f"{cut} more"]))

                assert [each.outcomes for each in again[:-1]] == [each.outcomes for each in first]
                assert [each.replayed for each in again] == [True] * CLIENTS + [refusals_alone and again[-1].replayed]
            assert proxy.cuts == 2 * cuts

    run(scenario())
    assert stored(url)[1] == sum(CLIENTS + 1 for cut in range(cuts) if cut % 2)


def test_a_key_whose_outcome_is_unknown_is_asked_again(url: str, wallet: WalletId) -> None:
    """COMMIT was done and the server is away: nobody knows; once it is back, the same key has the answer."""
    settings = {"reconnect_seconds": 0.5, "idle_in_transaction_timeout_seconds": 0.4}

    async def scenario() -> Answers:
        async with behind_proxy(url, **settings) as (proxy, engine, _):
            await engine.submit(deposit(wallet, 10))
            proxy.plan, proxy.refuse = "after", True
            with pytest.raises(CommitUnknownError):
                await engine.submit_all(keyed(wallet, "k"))
            proxy.refuse = False
            return await engine.submit_all(keyed(wallet, "k"))

    answers = run(scenario())
    assert answers.replayed
    assert isinstance(answers.outcomes[0], Recorded)
    assert stored(url)[1] == 11


def test_what_another_process_commits_meanwhile_is_seen(url: str, wallet: WalletId) -> None:
    """A refund waits for its turn while another process commits the debit: what it then reads has the debit."""
    setup = opened(url)
    business = new_wallet(setup, OwnerKind.BUSINESS)
    accepted(setup, deposit(wallet, 100))
    run(setup.close())
    paying = debit(business, wallet, 30)
    holding = hold(business, wallet, 30)

    async def scenario() -> list[Any]:
        async with engine_over(url) as (engine, _), engine_over(url) as (_, other):
            async with other.transaction() as transaction:
                state, head = await transaction.load(touched([paying, holding]))
                work = Work(state, head.size)
                work.answer(Submission((paying, holding)))
                asked = asyncio.create_task(engine.submit_all(Submission((refund(paying.id), capture(holding.id)))))
                await until_locked(url)
                batch = work.batch(head, 0)
                assert batch is not None
                transaction.append(batch)
            return (await asked).outcomes

    assert [type(each) for each in run(scenario())] == [Recorded, Recorded]


def test_what_cannot_be_looked_up_stays_unknown(url: str, wallet: WalletId) -> None:
    """COMMIT was sent and the server is gone: the outcome is unknown, and what came later was not recorded."""
    settings = {"reconnect_seconds": 0.5, "idle_in_transaction_timeout_seconds": 0.4}

    async def scenario() -> list[Any]:
        async with behind_proxy(url, **settings) as (proxy, engine, _):
            given = await answers(engine, [deposit(wallet, 1)])
            proxy.plan, proxy.refuse = "after", True
            for amount in (10, 100):
                given += await answers(engine, [deposit(wallet, amount)])
            return given

    before, during, after = run(scenario())
    assert isinstance(before, Recorded)
    assert isinstance(during, CommitUnknownError)
    assert isinstance(after, NotStoredError)
    assert stored(url)[1] == 11


def test_a_look_up_waits_for_the_transaction_in_doubt(url: str, wallet: WalletId) -> None:
    """While a transaction that may yet commit lives, its batch is not called absent."""

    async def scenario() -> set[str]:
        store = opened(url)
        command = deposit(wallet, 5)
        async with await psycopg.AsyncConnection.connect(url) as doubtful:
            await doubtful.execute("SELECT size FROM head FOR UPDATE")
            await doubtful.execute(
                "INSERT INTO events (position, id, payload, link) VALUES (99, %s, '', '')", (command.id,)
            )
            looking = asyncio.create_task(store.stored([command.id]))
            assert not (await asyncio.wait([looking], timeout=0.3))[0]
            await doubtful.commit()
            found = await asyncio.wait_for(looking, LIMIT_SECONDS)
        await store.close()
        return found

    assert len(run(scenario())) == 1


def test_sessions_that_the_server_ended_are_replaced(url: str, wallet: WalletId) -> None:
    """Connections that were lost while nobody used them cost nobody an error, neither a write nor a read."""

    async def scenario() -> list[Any]:
        async with engine_over(url) as (engine, store):
            given = []
            for _ in range(3):
                given += await answers(engine, [deposit(wallet, 1)])
                reads = await asyncio.gather(*(store.queries.wallet(wallet) for _ in range(CLIENTS)))
                given += [read.balance for read in reads if read]
                async with await psycopg.AsyncConnection.connect(url, autocommit=True) as admin:
                    await admin.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
            assert store.counts["reconnects"] == 2
            return given

    given = run(scenario())
    assert [answer for answer in given if isinstance(answer, Exception)] == []
    assert [answer for answer in given if isinstance(answer, int)] == [1] * CLIENTS + [2] * CLIENTS + [3] * CLIENTS


def test_a_deadlock_is_retried_and_counted(url: str, wallet: WalletId) -> None:
    """Somebody who locks our rows in another order costs a retry, which is counted, and no error."""

    async def scenario() -> list[Any]:
        async with engine_over(url) as (engine, store):
            async with await psycopg.AsyncConnection.connect(url) as stranger:
                await stranger.execute("SET deadlock_timeout = '1h'")  # So that it is the other who finds the deadlock.
                await stranger.execute("SELECT 1 FROM wallets FOR UPDATE")
                waiting = asyncio.create_task(engine.submit(deposit(wallet, 5)))
                await until_locked(url)
                closing = asyncio.create_task(stranger.execute("SELECT 1 FROM head FOR UPDATE"))
                await closing
                await stranger.rollback()
                given = await waiting
            assert store.counts["conflicts"] >= 1
            return [given]

    assert isinstance(run(scenario())[0], Recorded)


async def until_locked(url: str) -> None:
    """Wait until somebody waits for a lock in the database."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as admin, asyncio.timeout(LIMIT_SECONDS):
        while True:
            cursor = await admin.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if (await cursor.fetchone() or (0,))[0]:
                return


def test_a_lock_that_is_not_had_in_time(url: str, wallet: WalletId) -> None:
    """A batch that waits too long for a lock is refused as not recorded, and the next one goes through."""

    async def scenario() -> list[Any]:
        async with engine_over(url, lock_timeout_seconds=0.2) as (engine, _):
            async with await psycopg.AsyncConnection.connect(url) as stranger:
                await stranger.execute("SELECT 1 FROM wallets FOR UPDATE")
                during = await answers(engine, [deposit(wallet, 1)])
            return during + await answers(engine, [deposit(wallet, 1)])

    during, after = run(scenario())
    assert isinstance(during, NotStoredError)
    assert isinstance(after, Recorded)


@pytest.fixture
def own() -> Iterator[tuple[Server, str, WalletId]]:
    """Return a server of one's own with a ledger and a customer's wallet in it."""
    binaries = servers()[POSTGRES[0].removeprefix("postgres-")]
    with server_folder() as folder, Server(binaries, folder / "server") as server:
        url = server.create_database("ledger")
        migrate(url)
        store = opened(url)
        wallet = new_wallet(store, OwnerKind.CUSTOMER)
        run(store.close())
        yield server, url, wallet


def test_a_process_that_stops_in_the_middle_holds_nobody_up(url: str, wallet: WalletId) -> None:
    """A transaction that has gone silent is ended by the server: others wait that long, and it commits nothing."""
    silent = opened(url, idle_in_transaction_timeout_seconds=0.3)

    async def begin_and_wait(engine: Engine, given: list[Any]) -> None:
        async with silent.transaction() as transaction:
            await transaction.load(Touched({wallet}))
            given += await answers(engine, [deposit(wallet, 1)])
            await transaction.load(Touched({wallet}))

    async def scenario() -> list[Any]:
        given: list[Any] = []
        async with engine_over(url) as (engine, _):
            with pytest.raises(TransientError):
                await begin_and_wait(engine, given)
        await silent.close()
        return given

    assert isinstance(run(scenario())[0], Recorded)


def test_a_statement_that_takes_too_long_is_ended(url: str) -> None:
    """A read that the server cannot answer in time is given up, and the next one is answered."""
    store = opened(url, statement_timeout_seconds=0.2)
    assert isinstance(store, PostgresStore)
    ask = store._router.ask  # noqa: SLF001 - where every read passes

    async def scenario() -> int:
        with pytest.raises(StoreUnavailableError, match="statement timeout"):
            await ask(lambda connection: connection.execute("SELECT pg_sleep(60)"))
        return len(await ask(fetched))

    assert run(scenario()) == 1
    run(store.close())


async def fetched(connection: psycopg.AsyncConnection[Any]) -> list[Any]:
    """Return a row."""
    return await (await connection.execute("SELECT 1")).fetchall()


def test_a_standby_that_does_not_confirm_is_no_success(own: tuple[Server, str, WalletId]) -> None:
    """Where the wait for the synchronous standby is cancelled, COMMIT only warns: nobody is told that it is safe."""
    server, url, wallet = own
    server.sql("ALTER SYSTEM SET synchronous_standby_names = 'absent'")
    server.sql("SELECT pg_reload_conf()")
    until(lambda: server.sql("SHOW synchronous_standby_names") == [("absent",)])
    cancelled = []

    async def scenario() -> Any:
        limits = {"reconnect_seconds": 0.5, "idle_in_transaction_timeout_seconds": 0.4}
        async with engine_over(url, **limits) as (engine, _):
            waiting = asyncio.create_task(engine.submit(deposit(wallet, 7)))
            while not waiting.done():
                found = await asyncio.to_thread(
                    server.sql, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                )
                cancelled.extend(found)
            return (await asyncio.gather(waiting, return_exceptions=True))[0]

    assert isinstance(run(scenario()), CommitUnknownError)
    assert cancelled


def test_a_server_that_goes_silent_is_given_up(
    own: tuple[Server, str, WalletId], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that neither answers nor hangs up is left after a bounded time, by reads and writes alike."""
    server, url, wallet = own
    monkeypatch.setattr("monedero.storage.postgres.connection.SILENCE_SECONDS", 0.3)
    limits = {
        "statement_timeout_seconds": 0.2,
        "lock_timeout_seconds": 0.2,
        "reconnect_seconds": 0.5,
        "idle_in_transaction_timeout_seconds": 0.4,
    }

    async def scenario() -> list[Any]:
        async with engine_over(f"{url}?connect_timeout=2", **limits) as (engine, store):
            await answers(engine, [deposit(wallet, 1)])
            await store.queries.wallet(wallet)
            server.suspend()
            write = asyncio.create_task(answers(engine, [deposit(wallet, 1)]))
            with pytest.raises(StoreUnavailableError):
                await store.queries.wallet(wallet)
            given = await write
            server.resume()
            return given + await answers(engine, [deposit(wallet, 1)])

    during, after = run(scenario())
    assert isinstance(during, NotStoredError)
    assert isinstance(after, Recorded)


def test_a_full_queue_of_sessions_is_no_error_of_ours(url: str, wallet: WalletId) -> None:
    """Many more reads than connections wait for each other and are all answered."""

    async def scenario() -> list[Any]:
        async with engine_over(url, pool_limit_connections=2) as (_, store):
            return await asyncio.gather(*(store.queries.wallet(wallet) for _ in range(500)))

    assert {found.id for found in run(scenario())} == {wallet}


@pytest.mark.usefixtures("either")
def test_two_processes_never_spend_the_same_money(url: str, wallet: WalletId) -> None:
    """Two engines on one ledger, each with its own connection: what both decide on is what the other left."""
    setup = opened(url)
    business = new_wallet(setup, OwnerKind.BUSINESS)
    accepted(setup, deposit(wallet, 100))
    run(setup.close())

    async def scenario() -> list[Any]:
        async with engine_over(url) as (first, one), engine_over(url) as (second, other):
            given = await asyncio.gather(
                *(engine.submit(debit(business, wallet, 1)) for _ in range(200) for engine in (first, second))
            )
            assert one.counts["conflicts"] == other.counts["conflicts"] == 0
            return given

    given = run(scenario())
    assert sum(type(answer.event).__name__ == "DebitAccepted" for answer in given) == 100
    assert sorted(answer.position for answer in given) == list(range(5, 405))
