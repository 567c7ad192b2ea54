"""The service is killed under load, again and again: what it acknowledged is there, once."""

import asyncio
import random
import statistics
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.world import World
from tests.support import Service

CLIENTS = 16
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
    service, witness = Service(tmp_path / "ledger.db"), Witness()
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
