"""The service is killed under load, again and again: what it acknowledged is there, once."""

import asyncio
import random
import socket
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from monedero.settings import load_settings
from monedero.sources import new_id
from monedero.stores import open_snapshot
from tests.api.world import World
from tests.ledgers import BOTH, EMBEDDED, Ledgers
from tests.support import Service, until

CLIENTS = 16
OVERLAPPING = {"MONEDERO_BATCH_LIMIT_COMMANDS": "4"}
"""So few that a batch is nearly always decided while the one before it is being written."""
RESTART_SECONDS = 2.0
"""For the median restart, so that a busy machine's worst moment decides nothing."""


class Witness:
    """What the clients were told: the ids of acknowledged movements, with their amounts."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, int] = {}
        self.denied: set[str] = set()
        self.unanswered = 0


async def load(service: Service, world: World, witness: Witness, seed: int) -> None:
    """Deposit and debit until the service is gone."""

    async def client_loop(client: httpx.AsyncClient, chance: random.Random) -> None:
        while True:
            amount = chance.randint(1, 9)
            try:
                if chance.random() < 0.5:
                    answer = await client.post(f"/customers/wallets/{world.wallet}/deposit", json={"amount": amount})
                else:
                    body = {"customer_wallet_id": world.wallet, "amount": amount}
                    answer = await client.post(f"/businesses/wallets/{world.till}/debit", json=body)
                    amount = -amount
            except httpx.TransportError:
                witness.unanswered += 1
                return
            if answer.status_code == 201:
                witness.acknowledged[answer.json()["id"]] = amount
            else:
                assert answer.status_code == 409, answer.text
                witness.denied.add(answer.headers["location"].rpartition("/")[2])

    async with httpx.AsyncClient(base_url=service.base, timeout=20) as client:
        chance = random.Random(seed)
        loops = [asyncio.create_task(client_loop(client, random.Random(seed * 100 + each))) for each in range(CLIENTS)]
        await asyncio.sleep(chance.uniform(0.02, 0.4))  # The moment of the crash, not a wait for anything.
        service.process.kill()
        await asyncio.gather(*loops)


@pytest.mark.timeout(1800)
def test_what_was_acknowledged_survives_every_crash(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """After each kill -9 every acknowledged operation is there exactly once, and the ledger verifies."""
    crashes = request.config.getoption("--crashes")
    service, witness = Service(tmp_path / "ledger.db", **OVERLAPPING), Witness()
    assert service.run("migrate").returncode == 0
    with service.start().client() as client:
        world = World(client)
    restarts = []
    for crash in range(crashes):
        asyncio.run(load(service, world, witness, crash))
        service.process.communicate(timeout=10)
        before = time.monotonic()
        service.start()
        restarts.append(time.monotonic() - before)

    audit = service.run("verify")
    assert audit.returncode == 0, audit.stderr
    with service.client() as client:
        stored = everything(client, world.wallet)
        balance = client.get(f"/wallets/{world.wallet}").json()["balance"]
    assert service.stop() == 0
    accepted = {each["id"]: each["amount"] * (-1 if "business_wallet_id" in each else 1) for each in stored
                if each["status"] == "accepted"}  # fmt: skip
    denied = {each["id"] for each in stored if each["status"] == "denied"}
    assert len(accepted) + len(denied) == len(stored)
    assert witness.acknowledged.items() <= accepted.items()
    assert witness.denied <= denied
    assert balance == sum(accepted.values())
    # What was never answered may have happened or not, but no client had more than one such.
    assert len(stored) <= len(witness.acknowledged) + len(witness.denied) + witness.unanswered
    assert len(witness.acknowledged) > crashes
    assert statistics.median(restarts) < RESTART_SECONDS


def everything(client: httpx.Client, wallet: str) -> list[dict[str, Any]]:
    """Return all transactions of a wallet."""
    address, found = f"/customers/wallets/{wallet}/transactions?limit=1000", []
    while address:
        page = client.get(address).json()
        found += page["transactions"]
        address = page.get("next")
    return found


class Once:
    """Requests, each under its own key, and the first answer that each of them got."""

    def __init__(self, world: World) -> None:
        deposits, debits = f"/customers/wallets/{world.wallet}/deposit", f"/businesses/wallets/{world.till}/debit"
        self.kinds: list[tuple[str, dict[str, object]]] = [
            (deposits, {"amount": 2}),
            (debits, {"amount": 1, "customer_wallet_id": world.wallet}),
            (debits, {"amount": 10**9, "customer_wallet_id": world.wallet}),
        ]
        self.open: dict[str, tuple[str, dict[str, object]]] = {}
        self.answered: dict[str, tuple[tuple[str, dict[str, object]], bytes]] = {}
        self.found = 0

    async def send(self, client: httpx.AsyncClient, key: str) -> httpx.Response:
        """Send what belongs to a key; what it answers is what it answered before."""
        path, body = asked = self.open.get(key) or self.answered[key][0]
        answer = await client.post(path, json=body, headers={"idempotency-key": key})
        assert answer.status_code in {201, 409}, answer.text
        _, first = self.answered.setdefault(key, (asked, answer.content))
        assert answer.content == first
        self.open.pop(key, None)
        return answer


async def load_under_keys(service: Service, once: Once, seed: int) -> None:
    """Send what is open and then new requests until the service is gone."""

    async def client_loop(client: httpx.AsyncClient, chance: random.Random, left: list[str]) -> None:
        try:
            while left:
                once.found += "idempotency-replayed" in (await once.send(client, left.pop())).headers
            while True:
                once.open[key := new_id()] = chance.choice(once.kinds)
                await once.send(client, key)
        except httpx.TransportError:
            return

    async with httpx.AsyncClient(base_url=service.base, timeout=20) as client:
        chance, left = random.Random(seed), list(once.open)
        parts = [left[each::CLIENTS] for each in range(CLIENTS)]
        loops = [
            asyncio.create_task(client_loop(client, random.Random(seed + each), parts[each])) for each in range(CLIENTS)
        ]
        await asyncio.sleep(chance.uniform(0.05, 0.4))  # The moment of the crash, not a wait for anything.
        service.process.kill()
        await asyncio.gather(*loops)


@pytest.mark.timeout(1800)
def test_what_is_asked_again_after_a_crash_happens_once(
    tmp_path: Path, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    """After each kill -9 what was not answered is sent again under its key: each key has one effect and one answer."""
    crashes = max(1, request.config.getoption("--crashes") // 4)
    service = Service(tmp_path / "ledger.db", **OVERLAPPING)
    assert service.run("migrate").returncode == 0
    with service.start().client() as client:
        world = World(client)
    once = Once(world)
    for crash in range(crashes):
        asyncio.run(load_under_keys(service, once, crash))
        service.process.communicate(timeout=10)
        service.start()

    async def settle() -> None:
        async with httpx.AsyncClient(base_url=service.base, timeout=20) as client:
            for key in [*once.open, *list(once.answered)[-200:]]:
                await once.send(client, key)

    asyncio.run(settle())
    audit = service.run("verify")
    assert audit.returncode == 0, audit.stderr
    with service.client() as client:
        stored = everything(client, world.wallet)
    assert service.stop() == 0
    assert not once.open
    assert len(stored) == len(once.answered)
    record_property("said", f"crashes: {once.found} of {len(once.answered)} keys had their effect but no answer")


@pytest.mark.parametrize("kind", BOTH)
def test_a_crash_between_commit_and_answer(ledgers: Ledgers, tmp_path: Path, kind: str) -> None:
    """The process dies when the write is committed and before its client has heard of it: the key has the answer."""
    url = ledgers.new(kind, tmp_path)
    service = Service(Path(url.removeprefix("sqlite:///")) if kind == EMBEDDED else url).start()
    with service.client() as client:
        world = World(client)
    body = b'{"amount": 5}'
    path, key = f"/customers/wallets/{world.wallet}/deposit", new_id()
    host, _, port = service.base.removeprefix("http://").rpartition(":")
    before = size(url)
    with socket.create_connection((host, int(port))) as line:
        head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\nidempotency-key: {key}\r\ncontent-type: application/json\r\n"
        line.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        until(lambda: size(url) > before)
        service.kill()

    with service.start().client() as client:
        headers = {"idempotency-key": key, "content-type": "application/json"}
        answers = [client.post(path, content=body, headers=headers) for _ in range(2)]
        listed = everything(client, world.wallet)
    audit = service.run("verify")
    assert service.stop() == 0
    assert audit.returncode == 0, audit.stderr
    assert [answer.headers.get("idempotency-replayed") for answer in answers] == ["true"] * 2
    assert [answer.json()["id"] for answer in answers] == [listed[0]["id"]] * 2
    assert len(listed) == 1


def size(url: str) -> int:
    """Return how many events are committed."""
    with open_snapshot(load_settings(database_url=url)) as snapshot:
        return snapshot.head().size
