"""The database server dies under load: what was acknowledged survives, and the service comes back by itself."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest

from monedero.engine.verify import verify
from monedero.ledger.events import DepositAccepted, decode
from monedero.sources import new_id
from tests.api.world import World
from tests.ledgers import POSTGRES, migrate, opened
from tests.postgres import Server, server_folder, servers
from tests.support import Service, run, until

CLIENTS = 16
ACKNOWLEDGED_AFTERWARDS = 200
BACK_SECONDS = 30


class Witness:
    """What the clients were told: acknowledged ids, and when, how many of them at the second try; other answers."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, float] = {}
        self.others: list[str] = []
        self.replayed = 0
        self.answered = asyncio.Event()

    def longest_pause(self) -> float:
        """Return the longest time without an acknowledgement, in seconds."""
        moments = sorted(self.acknowledged.values())
        return max(later - earlier for earlier, later in pairwise(moments))


async def load(
    base: str, wallets: list[str], witness: Witness, fault: Callable[[], Awaitable[None]], seed: int
) -> None:
    """Deposit from many clients; let the fault happen in the middle; stop some time after it is over.

    Each deposit has its key, under which it is sent until it is acknowledged.
    """
    done = asyncio.Event()

    async def client_loop(client: httpx.AsyncClient, wallet: str) -> None:
        while not done.is_set():
            headers = {"idempotency-key": new_id()}
            path = f"/customers/wallets/{wallet}/deposit"
            while (answer := await client.post(path, json={"amount": 1}, headers=headers)).status_code != 201:
                assert answer.status_code == 503, answer.text
                witness.others.append(answer.json()["detail"])
            witness.replayed += "idempotency-replayed" in answer.headers
            witness.acknowledged[answer.json()["id"]] = time.monotonic()
            witness.answered.set()

    async def acknowledged(more: int) -> None:
        wanted = len(witness.acknowledged) + more
        async with asyncio.timeout(BACK_SECONDS):
            while len(witness.acknowledged) < wanted:
                await witness.answered.wait()
                witness.answered.clear()

    async with httpx.AsyncClient(base_url=base, timeout=BACK_SECONDS) as client, asyncio.TaskGroup() as group:
        for wallet in wallets:
            group.create_task(client_loop(client, wallet))
        await acknowledged(random.Random(seed).randint(50, 500))
        await fault()
        await acknowledged(ACKNOWLEDGED_AFTERWARDS)
        done.set()


def audit(url: str, witness: Witness) -> None:
    """Assert that the ledger verifies and that each acknowledged deposit is there, once, and no other."""
    store = opened(url)
    with store.snapshot() as snapshot:
        assert verify(snapshot).events
        ids = [row.id for row in snapshot.rows() if isinstance(decode(row.payload), DepositAccepted)]
    run(store.close())
    assert len(ids) == len(set(ids))
    assert witness.acknowledged.keys() == set(ids)


@contextmanager
def primary_and_standby() -> Iterator[tuple[Server, Server]]:
    """Start a durable primary that waits for its standby at every commit."""
    binaries = servers()[POSTGRES[0].removeprefix("postgres-")]
    with server_folder() as folder, Server(binaries, folder / "primary", durable=True) as primary:
        migrate(primary.create_database("ledger"))
        with primary.standby(folder / "standby", name="standby") as standby:
            primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            primary.sql("SELECT pg_reload_conf()")
            until(lambda: primary.sql("SELECT sync_state FROM pg_stat_replication") == [("sync",)])
            yield primary, standby


def both(primary: Server, standby: Server) -> str:
    """Return the address of whichever of the two takes writes."""
    return f"postgresql://postgres@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/ledger"


@pytest.mark.timeout(1800)
def test_a_failover_loses_nothing(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    """The primary is killed, its synchronous standby promoted: what was acknowledged is there, once."""
    pauses = []
    for seed in range(request.config.getoption("--failovers")):
        with primary_and_standby() as (primary, standby), Service(both(primary, standby)) as service:
            with service.client() as client:
                wallets = [World(client).wallet for _ in range(CLIENTS)]
            witness = Witness()

            async def fail_over(primary: Server = primary, standby: Server = standby) -> None:
                await asyncio.to_thread(primary.kill)
                await asyncio.to_thread(standby.promote)

            run(load(service.base, wallets, witness, fail_over, seed))
            assert service.stop() == 0
            audit(standby.url("ledger"), witness)
            pauses.append(f"{witness.longest_pause():.2f} s ({len(witness.others)} told to try again)")
    record_property("said", f"failover: without acknowledgements for {', '.join(pauses)}")


def test_a_server_killed_and_started_again_loses_nothing(request: pytest.FixtureRequest) -> None:
    """PostgreSQL is killed with all its processes under load and recovers: what was acknowledged is there, once."""
    binaries = servers()[POSTGRES[0].removeprefix("postgres-")]
    crashes = request.config.getoption("--crashes") // 4
    with server_folder() as folder, Server(binaries, folder / "server", durable=True) as server:
        url = server.create_database("ledger")
        with Service(url, "--workers", "2") as service:
            with service.client() as client:
                wallets = [World(client).wallet for _ in range(CLIENTS)]
            witness = Witness()

            async def crash() -> None:
                server.kill()
                server.start()  # In this thread, with which the server would end.

            for seed in range(crashes):
                run(load(service.base, wallets, witness, crash, seed))
        audit(url, witness)


def test_verify_while_several_processes_write() -> None:
    """Under four processes positions have no gap and the tree is one, at every moment that is looked at."""
    binaries = servers()[POSTGRES[0].removeprefix("postgres-")]
    with server_folder() as folder, Server(binaries, folder / "server") as server:
        url = server.create_database("ledger")
        with Service(url, "--workers", "4", MONEDERO_KEEP_ALIVE_SECONDS="60") as service:
            with service.client() as client:
                wallets = [World(client).wallet for _ in range(CLIENTS)]
            witness, audits = Witness(), list[CompletedProcess[str]]()

            async def look() -> None:
                for _ in range(3):
                    audits.append(await asyncio.to_thread(service.run, "verify"))

            run(load(service.base, wallets, witness, look, 1))
            sessions: list[Any] = server.sql(
                "SELECT count(DISTINCT client_port) FROM pg_stat_activity WHERE application_name = 'monedero'"
            )
        assert [each.returncode for each in audits] == [0, 0, 0], audits
        assert sessions[0][0] >= 4
        audit(url, witness)
