"""Reads on a real streaming replica: a client sees what it wrote, and a replica that fails costs nobody an error."""

import asyncio
import re
import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from monedero.ledger.ids import WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.storage.postgres import PostgresStore
from monedero.storage.store import Queries, StoreUnavailableError
from tests.api.world import World
from tests.ledgers import POSTGRES, migrate, opened
from tests.postgres import Server, server_folder, servers
from tests.support import Service, accepted, commit, deposit, new_wallet, run, until

REPLICA_TESTS_SECONDS = 20
PASSWORD = secrets.token_hex()
FAST = {"replica_lag_seconds": 0.1, "replica_wait_seconds": 0.2}


class Pair(NamedTuple):
    """A primary with a ledger, a wallet in it, and its replica."""

    primary: Server
    replica: Server
    wallet: WalletId


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Return a running primary and replica."""
    binaries = servers()[POSTGRES[0].removeprefix("postgres-")]
    with server_folder() as folder, Server(binaries, folder / "primary") as primary:
        migrate(primary.create_database("ledger"))
        store = opened(primary.url("ledger"))
        wallet = new_wallet(store, OwnerKind.CUSTOMER)
        run(store.close())
        with primary.standby(folder / "replica", name="replica") as replica:
            yield Pair(primary, replica, wallet)


@pytest.fixture
def store(pair: Pair) -> Iterator[PostgresStore]:
    """Return the ledger with its replica, once the replica is known to be fresh."""
    store = opened(pair.primary.url("ledger"), replica_urls=pair.replica.url("ledger"), **FAST)
    assert isinstance(store, PostgresStore)
    run(until_counted(store, "replica_reads", pair.wallet))
    yield store
    run(store.close())


async def until_counted(store: PostgresStore, name: str, wallet: WalletId) -> None:
    """Read until another read is counted so."""
    before = store.counts[name]
    async with asyncio.timeout(REPLICA_TESTS_SECONDS):
        while store.counts[name] == before:
            await store.queries.wallet(wallet)


async def balance(queries: Queries | None, wallet: WalletId) -> int:
    """Return a balance in units."""
    assert queries is not None
    found = await queries.wallet(wallet)
    assert found is not None
    return found.balance


def test_who_names_a_position_sees_it_though_replay_is_paused(store: PostgresStore, pair: Pair) -> None:
    """While the replica stands still, a read without a position may be old; one with its position never is."""
    (first,) = accepted(store, deposit(pair.wallet, 1))
    assert run(balance(run(store.queries_at(first.position)), pair.wallet)) == 1
    pair.replica.pause_replay()
    (second,) = accepted(store, deposit(pair.wallet, 10))

    async def scenario() -> tuple[int, int]:
        return (
            await balance(store.queries, pair.wallet),
            await balance(await store.queries_at(second.position), pair.wallet),
        )

    assert run(scenario()) == (1, 11)
    assert store.counts["replica_behind"] >= 1
    assert run(store.queries_at(second.position + 1)) is None
    pair.replica.resume_replay()


def test_a_read_waits_for_a_replica_that_is_nearly_there(store: PostgresStore, pair: Pair) -> None:
    """A replica that catches up within the wait answers itself."""
    pair.replica.pause_replay()
    (recorded,) = accepted(store, deposit(pair.wallet, 1))

    async def scenario() -> int:
        store._router._wait_seconds = 10.0  # noqa: SLF001 - long enough for a slow machine
        reading = asyncio.create_task(store.queries_at(recorded.position))
        await asyncio.sleep(0)
        await asyncio.to_thread(pair.replica.resume_replay)
        before = store.counts["replica_reads"]
        found = await balance(await reading, pair.wallet)
        assert store.counts["replica_reads"] == before + 1
        return found

    assert run(scenario()) == 1


def test_a_replica_too_far_behind_is_left_and_taken_again(store: PostgresStore, pair: Pair) -> None:
    """Reads without a position leave a replica that lags, and come back when it has caught up."""
    pair.replica.pause_replay()
    accepted(store, deposit(pair.wallet, 5))

    async def fresh() -> None:
        async with asyncio.timeout(REPLICA_TESTS_SECONDS):
            while await balance(store.queries, pair.wallet) != 5:
                pass

    run(fresh())
    assert store.counts["replica_behind"] >= 1
    pair.replica.resume_replay()
    run(until_counted(store, "replica_reads", pair.wallet))
    assert run(balance(store.queries, pair.wallet)) == 5


def test_a_lost_replica_costs_no_error(store: PostgresStore, pair: Pair) -> None:
    """The replica dies under load: the primary answers, it is counted; once it is back it serves again."""
    pair.replica.kill()

    async def reads() -> list[int]:
        return await asyncio.gather(*(balance(store.queries, pair.wallet) for _ in range(50)))

    assert run(reads()) == [0] * 50
    assert store.counts["replica_lost"] == 1
    pair.replica.start()
    run(until_counted(store, "replica_reads", pair.wallet))


def test_reads_go_on_while_the_primary_is_away(store: PostgresStore, pair: Pair) -> None:
    """Without a primary the replica goes on answering what needs nothing newer; money waits."""
    pair.primary.kill()

    async def reads() -> list[int]:
        return [await balance(store.queries, pair.wallet) for _ in range(20)]

    assert run(reads()) == [0] * 20
    with pytest.raises(StoreUnavailableError):
        run(store.queries_at(10**6))


def test_a_replica_that_is_promoted_answers_no_more(store: PostgresStore, pair: Pair) -> None:
    """A replica that began a history of its own is left, whatever it would answer."""
    pair.replica.promote()
    accepted(store, deposit(pair.wallet, 1))

    async def reads() -> list[int]:
        return [await balance(store.queries, pair.wallet) for _ in range(20)]

    pair.replica.sql("UPDATE wallets SET balance = 999", "ledger")
    assert run(reads()) == [1] * 20
    assert store.counts["replica_lost"] == 1


def test_a_replica_is_not_asked_before_it_is_known_to_be_fresh(pair: Pair) -> None:
    """A service that starts beside a replica that stands still reads from the primary from the first read on."""
    pair.replica.pause_replay()
    first = opened(pair.primary.url("ledger"))
    accepted(first, deposit(pair.wallet, 5))
    run(first.close())
    store = opened(pair.primary.url("ledger"), replica_urls=pair.replica.url("ledger"), **FAST)

    async def reads() -> set[int]:
        return {await balance(store.queries, pair.wallet) for _ in range(200)}

    assert run(reads()) == {5}
    run(store.close())
    pair.replica.resume_replay()


def test_money_decisions_never_ask_a_replica(store: PostgresStore, pair: Pair) -> None:
    """With replay paused, every decision knows all that was decided before."""
    pair.replica.pause_replay()
    for amount in range(1, 6):
        (outcome,) = commit(store, [deposit(pair.wallet, 1)])
        assert outcome.event.payee.balance == amount  # type: ignore[union-attr]
    pair.replica.resume_replay()


def test_over_http_a_client_reads_what_it_wrote(pair: Pair) -> None:
    """A write answers with its position; the read that sends it along shows the write, replay paused or not."""
    settings: dict[str, Any] = {"MONEDERO_REPLICA_URLS": pair.replica.url("ledger")}
    with Service(pair.primary.url("ledger"), **settings) as service, service.client() as client:
        world = World(client)
        pair.replica.pause_replay()
        for amount in range(1, 4):
            answer = client.post(f"/customers/wallets/{world.wallet}/deposit", json={"amount": 1})
            position = {"Ledger-Min-Position": answer.headers["ledger-position"]}
            shown = client.get(f"/customers/wallets/{world.wallet}", headers=position).json()
            listed = client.get(f"/customers/wallets/{world.wallet}/transactions", headers=position).json()
            assert (shown["balance"], len(listed["transactions"])) == (amount, amount)
        beyond = client.get(f"/wallets/{world.wallet}", headers={"Ledger-Min-Position": "999"})
        wrong = client.get(f"/wallets/{world.wallet}", headers={"Ledger-Min-Position": "-1"})

    assert (beyond.status_code, wrong.status_code) == (412, 400)
    pair.replica.resume_replay()


def serves_reads(client: httpx.Client, wallet: WalletId) -> bool:
    """Read something; return whether the metrics say that the replica is fresh enough to answer the next read."""
    assert client.get(f"/wallets/{wallet}").status_code == 200
    return bool(
        re.search(r'^monedero_replica_usable\{.*replica="1".*\} 1\.0$', client.get("/metrics").text, re.MULTILINE)
    )


def test_a_walk_skips_nothing_though_the_replica_is_behind(pair: Pair) -> None:
    """A page goes on below what the client has seen, on a server that has seen it too."""
    settings = {"MONEDERO_REPLICA_URLS": pair.replica.url("ledger"), "MONEDERO_REPLICA_LAG_SECONDS": "60"}
    with Service(pair.primary.url("ledger"), **settings) as service, service.client() as client:
        until(lambda: serves_reads(client, pair.wallet))
        world = World(client)
        path = f"/customers/wallets/{world.wallet}/transactions"
        first = world.deposit(1)
        until(lambda: pair.replica.sql("SELECT size FROM head", "ledger")[0][0] > int(first.headers["ledger-position"]))
        pair.replica.pause_replay()
        answers = [first, *(world.deposit(1) for _ in range(5))]
        until(lambda: len(client.get(path).json()["transactions"]) == 1)
        newest = {"Ledger-Min-Position": answers[-1].headers["ledger-position"]}
        for listing in (path, f"{path}?kind=deposit", f"/customers/{world.customer}/transactions"):
            walked, headers = [], newest
            following = f"{listing}{'&' if '?' in listing else '?'}limit=2"
            while following:
                page = client.get(following, headers=headers).json()
                wallets = page.get("wallets", [page])
                walked += [each["id"] for wallet in wallets for each in wallet["transactions"]]
                following, headers = page.get("next"), {}

            assert walked == [answer.json()["id"] for answer in reversed(answers)], listing
    pair.replica.resume_replay()


@pytest.fixture
def stranger() -> Iterator[tuple[Server, Server]]:
    """Return another primary, which asks for a password, and its replica."""
    binaries = servers()[POSTGRES[0].removeprefix("postgres-")]
    with server_folder() as folder, Server(binaries, folder / "primary", password=PASSWORD) as primary:
        primary.create_database("ledger")
        with primary.standby(folder / "replica", name="other") as replica:
            yield primary, replica


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("no replica", "is no replica: it takes writes"),
        ("another's", "is a replica of another primary"),
        ("another database", "this is another database of it"),
        ("a wrong password", "password authentication failed"),
    ],
)
def test_what_is_no_replica_of_this_ledger(pair: Pair, stranger: tuple[Server, Server], wrong: str, said: str) -> None:
    """A replica that cannot be one stops the start with a sentence and exit code 2."""
    url = {
        "no replica": pair.primary.url("ledger"),
        "another's": stranger[1].url("ledger"),
        "another database": pair.replica.url("postgres"),
        "a wrong password": stranger[1].url("ledger").replace(PASSWORD, "wrong"),
    }[wrong]
    refused = Service(pair.primary.url("ledger"), MONEDERO_REPLICA_URLS=url).run("serve")

    assert refused.returncode == 2
    assert said in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_replica_that_is_down_does_not_stop_the_service(pair: Pair) -> None:
    """A service may start while a replica is away; it is warned of, and the primary answers."""
    with Service(pair.primary.url("ledger"), MONEDERO_REPLICA_URLS="postgresql://127.0.0.1:1/ledger") as service:
        with service.client() as client:
            World(client).deposit(1)
        service.process.terminate()
        assert "cannot be reached" in service.process.communicate(timeout=20)[1]
