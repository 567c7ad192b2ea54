"""Many clients at once, over real connections: nothing is lost, nothing is spent twice."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

import httpx
import pytest

from tests.api.world import World
from tests.ledgers import EMBEDDED, POSTGRES, Ledgers
from tests.support import Service

CONNECTIONS = 64
KINDS = {EMBEDDED: (), POSTGRES[0]: ("--workers", "4")}

Answer = TypeVar("Answer")


@pytest.fixture(scope="module", params=KINDS)
def service(
    request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Return the program, embedded and as several processes on one database."""
    with Service(ledgers.new(request.param, tmp_path_factory.mktemp("races")), *KINDS[request.param]) as running:
        yield running


def at_once(service: Service, calls: Iterable[Callable[[httpx.AsyncClient], Awaitable[Answer]]]) -> list[Answer]:
    """Make all calls over 64 connections as fast as they go, and return their answers."""
    waiting = iter(calls)
    answers: list[Answer] = []

    async def connection() -> None:
        async with httpx.AsyncClient(base_url=service.base, timeout=60) as client:
            answers.extend([await call(client) for call in waiting])

    async def run() -> None:
        await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))

    asyncio.run(run())
    return answers


def deposit(wallet: str, amount: int) -> Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]:
    """Return a call that deposits."""
    return lambda client: client.post(f"/customers/wallets/{wallet}/deposit", json={"amount": amount})


def debit(till: str, wallet: str, amount: int) -> Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]:
    """Return a call that debits."""
    body = {"customer_wallet_id": wallet, "amount": amount}
    return lambda client: client.post(f"/businesses/wallets/{till}/debit", json=body)


def verified(service: Service) -> None:
    """Assert that the ledger verifies while the service runs."""
    audit = service.run("verify")
    assert audit.returncode == 0, audit.stderr


def test_fifty_debits_with_money_for_one(service: Service, client: httpx.Client) -> None:
    """Exactly one of 50 simultaneous debits is accepted; the other 49 are denied and recorded."""
    world = World(client)
    world.deposit(100)
    answers = at_once(service, [debit(world.till, world.wallet, 100)] * 50)

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    statuses = [each["status"] for each in world.listed(world.wallet)]
    assert sorted(statuses) == ["accepted"] * 2 + ["denied"] * 49
    assert (world.balance(world.wallet), world.balance(world.till)) == ("0", "100")
    verified(service)


def test_two_thousand_deposits_and_debits_on_one_pair(service: Service, client: httpx.Client) -> None:
    """After 2,000 mixed movements on two wallets the balances are exactly the sum of what was acknowledged."""
    world = World(client)
    chance = random.Random(7)
    amounts = [chance.randint(1, 30) for _ in range(2000)]
    calls = [
        deposit(world.wallet, amount) if chance.random() < 0.5 else debit(world.till, world.wallet, amount)
        for amount in amounts
    ]
    answers = at_once(service, calls)

    assert {answer.status_code for answer in answers} <= {201, 409}
    deposited = sum(a.json()["amount"] for a in answers if a.status_code == 201 and "/deposit" in str(a.url))
    debited = sum(a.json()["amount"] for a in answers if a.status_code == 201 and "/debit" in str(a.url))
    assert debited > 0
    assert (world.balance(world.wallet), world.balance(world.till)) == (str(deposited - debited), str(debited))
    verified(service)


def test_sixty_four_customers_pay_one_business(service: Service, client: httpx.Client) -> None:
    """The wallet that everybody pays into loses nothing."""
    world = World(client)
    wallets = [World(client) for _ in range(64)]
    at_once(service, [deposit(each.wallet, 20) for each in wallets])
    answers = at_once(service, [debit(world.till, each.wallet, 1) for each in wallets for _ in range(20)])

    assert {answer.status_code for answer in answers} == {201}
    assert world.balance(world.till) == str(64 * 20)
    assert {each.balance(each.wallet) for each in wallets} == {"0"}
    verified(service)


def test_one_email_signs_up_once(service: Service, client: httpx.Client) -> None:
    """Of 50 simultaneous sign-ups with one e-mail, one is accepted."""
    email = f"{World(client).customer}@example.com"
    body = {"name": "A", "last_name": "B", "email": email}
    answers = at_once(service, [lambda connected: connected.post("/customers", json=body)] * 50)

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49


def test_one_business_opens_one_wallet(service: Service, client: httpx.Client) -> None:
    """Of 50 simultaneous openings for one business, one is accepted."""
    body = {"business_id": World(client).sign_up_business()}
    answers = at_once(service, [lambda connected: connected.post("/businesses/wallets", json=body)] * 50)

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
