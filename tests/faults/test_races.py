"""Many clients at once, over real connections: nothing is lost, nothing is spent twice."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

import httpx
import pytest

from monedero.sources import new_id
from tests.api.world import World
from tests.ledgers import EMBEDDED, POSTGRES, Ledgers
from tests.support import Service

CONNECTIONS = 64
PROBLEM = "application/problem+json"
KINDS = {EMBEDDED: (), POSTGRES[0]: ("--workers", "4")}
SETTINGS = {"MONEDERO_KEEP_ALIVE_SECONDS": "60", "MONEDERO_BATCH_LIMIT_COMMANDS": "16"}
"""A batch is full before all wait for it, so that on the embedded store one is decided while another is written."""

Answer = TypeVar("Answer")
Body = dict[str, object]


@pytest.fixture(scope="module", params=KINDS)
def service(
    request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Return the program, embedded and as several processes on one database."""
    url = ledgers.new(request.param, tmp_path_factory.mktemp("races"))
    with Service(url, *KINDS[request.param], **SETTINGS) as running:
        yield running


def at_once(service: Service, calls: Iterable[Callable[[httpx.AsyncClient], Awaitable[Answer]]]) -> list[Answer]:
    """Make all calls over 64 connections as fast as they go, and return their answers."""
    waiting = iter(calls)
    answers: list[Answer] = []

    async def run() -> None:
        limits = httpx.Limits(max_connections=CONNECTIONS)
        async with httpx.AsyncClient(base_url=service.base, timeout=60, limits=limits) as client:

            async def connection() -> None:
                answers.extend([await call(client) for call in waiting])

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


def refund(debit_id: str, amount: int) -> Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]:
    """Return a call that refunds."""
    return lambda client: client.post(f"/transactions/{debit_id}/refunds", json={"amount": amount})


def capture(hold_id: str, amount: int) -> Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]:
    """Return a call that captures."""
    return lambda client: client.post(f"/holds/{hold_id}/captures", json={"amount": amount})


def under_key(
    key: str, path: str, body: Body, retries: Counter[str]
) -> Callable[[httpx.AsyncClient], Awaitable[tuple[str, httpx.Response]]]:
    """Return a call that posts under a key until it is told what became of it."""

    async def call(client: httpx.AsyncClient) -> tuple[str, httpx.Response]:
        while True:
            answer = await client.post(path, json=body, headers={"idempotency-key": key, "accept": PROBLEM})
            if answer.status_code != 409 or answer.json()["code"] != "idempotency_key_in_use":
                return key, answer
            retries["in use"] += 1

    return call


def test_two_hundred_keys_each_sent_ten_times(service: Service, client: httpx.Client) -> None:
    """Of 10 requests under one key, at once and at different processes, one has an effect; all have its answer."""
    world, chance, retries = World(client), random.Random(11), Counter[str]()
    world.deposit(1000)
    deposits, debits = f"/customers/wallets/{world.wallet}/deposit", f"/businesses/wallets/{world.till}/debit"
    in_, out, too_much, wrong = (
        (deposits, Body(amount=1)),
        (debits, Body(customer_wallet_id=world.wallet, amount=2)),
        (debits, Body(customer_wallet_id=world.wallet, amount=10**9)),
        (debits, Body(customer_wallet_id=world.till, amount=1)),
    )
    keys = {new_id(): each for each in [in_] * 80 + [out] * 80 + [too_much] * 20 + [wrong] * 20}
    calls = [under_key(key, path, body, retries) for key, (path, body) in keys.items() for _ in range(10)]
    # Near each other, so that they meet, and not in a row.
    calls = [call for start in range(0, len(calls), 100) for call in chance.sample(calls[start : start + 100], 100)]
    answers: dict[str, list[httpx.Response]] = {key: [] for key in keys}
    for key, answer in at_once(service, calls):
        answers[key].append(answer)

    assert [len(each) for each in answers.values()] == [10] * 200
    for each in answers.values():
        assert len({(answer.status_code, answer.content, answer.headers.get("location")) for answer in each}) == 1
        assert sum("idempotency-replayed" not in answer.headers for answer in each) == 1
    statuses = Counter(each[0].status_code for each in answers.values())
    assert statuses == {201: 160, 409: 20, 404: 20}
    assert world.balance(world.wallet) == str(1000 + 80 - 160)
    assert world.balance(world.till) == "160"
    listed = client.get(f"/customers/wallets/{world.wallet}/transactions?limit=1000").json()["transactions"]
    assert len(listed) == 1 + 80 + 80 + 20
    verified(service)


def test_one_debit_is_never_refunded_beyond_it(service: Service, client: httpx.Client) -> None:
    """Of 64 simultaneous refunds of 3 of a debit of 100, 33 are accepted, though the business could pay them all."""
    world = World(client)
    world.deposit(1000)
    debits = [str(world.debit(100).json()["id"]) for _ in range(5)]
    answers = at_once(service, [refund(debits[0], 3)] * 64)

    assert sorted(answer.status_code for answer in answers) == [201] * 33 + [409] * 31
    shown = client.get(f"/transactions/{debits[0]}").json()
    assert (shown["refunded"], shown["refundable"]) == (99, 1)
    assert (world.balance(world.wallet), world.balance(world.till)) == ("599", "401")
    verified(service)


def test_one_hold_is_never_captured_beyond_it(service: Service, client: httpx.Client) -> None:
    """Of 64 simultaneous captures of 3 of a hold of 100, 33 are accepted, though the customer has more."""
    world = World(client)
    world.deposit(1000)
    holds = f"/businesses/wallets/{world.till}/holds"
    hold = world.created(holds, customer_wallet_id=world.wallet, amount=100)
    answers = at_once(service, [capture(hold, 3)] * 64)

    assert sorted(answer.status_code for answer in answers) == [201] * 33 + [409] * 31
    shown = client.get(f"/holds/{hold}").json()
    assert (shown["status"], shown["captured"], shown["capturable"]) == ("open", 99, 1)
    wallet = client.get(f"/wallets/{world.wallet}").json()
    assert (wallet["balance"], wallet["held"], world.balance(world.till)) == (901, 1, "99")
    verified(service)


def test_captures_and_voids_race_for_one_hold(service: Service, client: httpx.Client) -> None:
    """A hold that is captured and voided at once ends once, and what was not captured is free."""
    world = World(client)
    world.deposit(100)
    holds = f"/businesses/wallets/{world.till}/holds"
    for _ in range(5):
        hold = world.created(holds, customer_wallet_id=world.wallet, amount=5)
        void = f"/holds/{hold}/void"
        answers = at_once(service, [*[capture(hold, 1)] * 6, *[lambda c, void=void: c.post(void)] * 6])
        captured = sum(answer.status_code == 201 for answer in answers if "/captures" in str(answer.url))
        voided = sum(answer.status_code == 201 for answer in answers if "/void" in str(answer.url))
        shown = client.get(f"/holds/{hold}").json()

        assert (shown["status"], shown["captured"]) == ("voided" if voided else "captured", captured)
        assert captured + voided <= 6
        assert voided + (captured == 5) == 1
    wallet = client.get(f"/wallets/{world.wallet}").json()
    assert wallet["held"] == 0
    assert wallet["balance"] + float(world.balance(world.till)) == 100
    verified(service)


def test_holds_debits_and_withdrawals_race_for_the_same_money(service: Service, client: httpx.Client) -> None:
    """Whoever comes first has the money: what is held, paid and withdrawn is together what there was."""
    world = World(client)
    world.deposit(20)
    holds, body = f"/businesses/wallets/{world.till}/holds", {"customer_wallet_id": world.wallet, "amount": 1}
    calls = [
        *[lambda c: c.post(holds, json=body)] * 25,
        *[debit(world.till, world.wallet, 1)] * 25,
        *[lambda c: c.post(f"/customers/wallets/{world.wallet}/withdrawals", json={"amount": 1})] * 25,
    ]
    random.Random(3).shuffle(calls)
    answers = at_once(service, calls)

    done = Counter(str(answer.url).rpartition("/")[2] for answer in answers if answer.status_code == 201)
    assert {answer.status_code for answer in answers} == {201, 409}
    assert done.total() == 20
    wallet = client.get(f"/wallets/{world.wallet}").json()
    assert (wallet["balance"], wallet["held"], wallet["available"]) == (done["holds"], done["holds"], 0)
    assert world.balance(world.till) == str(done["debit"])
    verified(service)


def test_of_fifty_writes_for_one_version_one_is_carried_out(service: Service, client: httpx.Client) -> None:
    """If-Match is decided with the write, not before it: 49 of 50 simultaneous ones come too late."""
    world = World(client)
    world.deposit(100)
    path, body = f"/customers/wallets/{world.wallet}/deposit", {"amount": 1}
    answers = at_once(service, [lambda c: c.post(path, json=body, headers={"if-match": '"1"'})] * 50)

    assert sorted(answer.status_code for answer in answers) == [201] + [412] * 49
    assert world.balance(world.wallet) == "101"
