"""Batches in one body: each command answered as it would be alone, or all of them or none."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from monedero.sources import new_id
from tests.api.world import World
from tests.support import Service

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
POSITION = re.compile(r'(?<="position": )\d+')
PROBLEMS = {"accept": "application/problem+json"}
JSON = {"content-type": "application/json"}

Json = dict[str, Any]


@pytest.fixture
def world(client: httpx.Client) -> World:
    """Return a customer and a business of their own."""
    return World(client)


def command(path: str, /, **body: Any) -> Json:
    """Return a command of a batch."""
    return {"path": path, "body": body}


def deposit(world: World, amount: Any, **more: Any) -> Json:
    """Return the command of a deposit into the wallet."""
    return {**command(f"/customers/wallets/{world.wallet}/deposit", amount=amount), **more}


def debit(world: World, amount: Any, **more: Any) -> Json:
    """Return the command of a debit of the wallet."""
    path = f"/businesses/wallets/{world.till}/debit"
    return {**command(path, customer_wallet_id=world.wallet, amount=amount), **more}


def batch(world: World, *commands: Json, atomic: bool = False, **headers: str) -> httpx.Response:
    """Post a batch; a header's name has underscores here."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return world.client.post("/batches", json={"commands": commands, "atomic": atomic}, headers=named)


def answers(answer: httpx.Response) -> list[Json]:
    """Return the answers of a batch, which must have been carried out."""
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()["answers"]
    return found


def statuses(answer: httpx.Response) -> list[int]:
    """Return the statuses of the answers of a batch."""
    return [each["status"] for each in answers(answer)]


def ledger(service: Service) -> str:
    """Return what an audit says of the ledger: sizes and root."""
    audit = service.run("verify")
    assert audit.returncode == 0, audit.stderr
    return audit.stdout


def every_kind(world: World) -> Iterator[Json]:
    """Yield a command of every kind that succeeds, and some that do not, as far as they need nothing of each other."""
    world.deposit(100)
    savings = world.created("/customers/wallets", customer_id=world.customer)
    newcomer = world.sign_up_business()
    yield command("/customers", name="Eva", last_name="Nueva", email=f"{new_id()}@example.com", phone="1")
    yield command("/customers", name="Eva", last_name="Nueva", email="no address")
    yield command("/customers/wallets", customer_id=world.customer)
    yield command("/customers/wallets", customer_id=new_id())
    yield command("/businesses", name="Una", email=f"{new_id()}@example.com")
    yield command("/businesses/wallets", business_id=newcomer)
    yield command("/businesses/wallets", business_id=newcomer)
    yield deposit(world, "12.5")
    yield deposit(world, 0)
    yield debit(world, 20)
    yield debit(world, 100_000)
    yield command(f"/customers/wallets/{world.wallet}/withdrawals", amount=1)
    yield command(f"/wallets/{world.wallet}/transfers", wallet_id=savings, amount=2, description="Ahorro")
    yield command(f"/wallets/{world.wallet}/transfers", wallet_id=world.wallet, amount=2)
    yield command(f"/businesses/wallets/{world.till}/holds", customer_wallet_id=world.wallet, amount=3)
    yield command(f"/businesses/wallets/{world.till}/payouts", amount=4)
    yield command(f"/holds/{world.hold}/captures", amount=0.5)
    voided = world.hold
    yield command(f"/holds/{voided}/void")
    yield {"path": f"/holds/{voided}/void"}
    yield {"path": f"/customers/wallets/{world.wallet}/deposit"}
    yield {"path": f"/customers/wallets/{world.wallet}/deposit", "body": None}
    yield {"path": f"/customers/wallets/{world.wallet}/deposit", "body": []}
    yield command(f"/transactions/{world.transaction}/refunds")
    yield command("/nowhere/at/all")


def alone(world: World, some: Json) -> httpx.Response:
    """Post a command by itself; without a body, none is sent."""
    content = json.dumps(some["body"]).encode() if "body" in some else b""
    return world.client.post(some["path"], content=content, headers={**JSON, **PROBLEMS})


def as_answer(answer: httpx.Response) -> Json:
    """Return the answer to a command alone as a batch shows it."""
    headers = answer.headers
    return {
        "status": answer.status_code,
        "body": answer.json(),
        **({"location": headers["location"]} if "location" in headers else {}),
        **({"position": 0} if "ledger-position" in headers else {}),
    }


def normal(found: list[Json]) -> Any:
    """Replace ids by their numbers in order of appearance, times and positions by one."""
    numbers: dict[str, str] = {}
    text = POSITION.sub("0", TIME.sub("<time>", json.dumps(found)))
    return json.loads(ID.sub(lambda id_: numbers.setdefault(id_[0], f"<id {len(numbers)}>"), text))


def test_every_command_is_answered_as_alone(client: httpx.Client) -> None:
    """For every kind of command, status, body, place and position are those of the same request alone, in order."""
    one, other = World(client), World(client)
    singly = [some for some in every_kind(one) if not some["path"].startswith("/nowhere")]
    together = list(every_kind(other))
    asked_alone = [as_answer(alone(one, some)) for some in singly]
    found = answers(batch(other, *together, accept=PROBLEMS["accept"]))

    *same, nowhere = found
    assert normal(same) == normal(asked_alone)
    assert (nowhere["status"], nowhere["body"]["code"]) == (404, "unknown_path")
    assert nowhere["body"]["instance"] == "/nowhere/at/all"
    positions = [each["position"] for each in found if "position" in each]
    assert positions == list(range(positions[0], positions[0] + len(positions)))
    for answer in same:
        if answer["status"] in {200, 201}:
            seen = client.get(answer["location"])
            assert (seen.status_code, seen.json()["id"]) == (200, answer["body"]["id"])


def test_bad_commands_stop_nothing(world: World) -> None:
    """What is refused or denied in the middle of a batch has its own answer, and what follows is carried out."""
    found = batch(world, deposit(world, 5), debit(world, 6), deposit(world, -1), command("/x"), debit(world, 5))

    assert statuses(found) == [201, 409, 400, 404, 201]
    assert all(list(each["body"]) == ["detail"] for each in answers(found)[1:4])
    assert world.balance(world.wallet) == "0"
    assert [each["status"] for each in world.listed(world.wallet)] == ["accepted", "denied", "accepted"]


def test_a_thousand_commands_are_done_in_their_order(world: World) -> None:
    """Each debit can be paid only by the deposit right before it."""
    found = batch(world, *[each for n in range(1, 501) for each in (deposit(world, n), debit(world, n))])

    assert statuses(found) == [201] * 1000
    assert [each["body"]["amount"] for each in answers(found)[::2]] == list(range(1, 501))


def test_a_batch_is_one_transaction(world: World) -> None:
    """However many commands it has, also each for itself, it is committed, and synced, once."""
    before = transactions(world)
    found = batch(world, *[deposit(world, 1)] * 1000)

    assert statuses(found) == [201] * 1000
    assert transactions(world) == before + 1


def transactions(world: World) -> float:
    """Return how many database transactions the service has committed."""
    name = 'monedero_batches_total{result="committed"} '
    return float(world.client.get("/metrics").text.partition(name)[2].partition("\n")[0] or 0)


@pytest.mark.parametrize(
    ("count", "said"), [(0, "length >= 1"), (1001, "length <= 1000")], ids=["none", "one too many"]
)
def test_a_batch_has_one_to_a_thousand_commands(world: World, count: int, said: str) -> None:
    """None at all and one too many are 400 as a whole, and nothing of them is done."""
    answer = batch(world, *[deposit(world, 1)] * count, accept=PROBLEMS["accept"])

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_value")
    assert answer.json()["errors"][0]["pointer"] == "/commands"
    assert said in answer.json()["detail"]
    assert world.listed(world.wallet) == []


def test_a_batch_too_large_is_refused(world: World) -> None:
    """A body over its own limit is 413; one over the limit of other bodies only is not."""
    large = deposit(world, 1)
    large["body"]["description"] = "x" * 900
    commands = [large] * 1000
    fits = batch(world, *commands)
    commands[-1] = {**large, "more": "x" * 200_000}
    answer = batch(world, *commands, accept=PROBLEMS["accept"])

    assert statuses(fits) == [201] * 1000
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert world.balance(world.wallet) == "1000"


@pytest.mark.parametrize("depth", [40, 50_000])
def test_a_body_too_deep_is_refused_by_itself(world: World, depth: int) -> None:
    """Nesting beyond the limit is 400 json_too_deep: in place, or of all where even skipping it would be too deep."""
    deep = f'{{"path": "/customers", "body": {"[" * depth}{"]" * depth}}}'
    text = f'{{"commands": [{deep}, {json.dumps(deposit(world, 1))}]}}'
    answer = world.client.post("/batches", content=text, headers={**JSON, **PROBLEMS})

    if depth == 40:
        assert statuses(answer) == [400, 201]
        assert answers(answer)[0]["body"]["code"] == "json_too_deep"
    else:
        assert (answer.status_code, answer.json()["code"]) == (400, "json_too_deep")
        assert world.balance(world.wallet) == "0"


@pytest.mark.parametrize(
    "path",
    [
        "/batches",
        "/Customers",
        "/customers/{id}",
        "/wallets/{id}",
        "/docs",
        "",
        "customers",
        "http://x/customers",
        "//",
    ],
)
def test_only_commands_have_a_place_in_a_batch(world: World, path: str) -> None:
    """Another batch, what can only be read, and what is nowhere, are 404 in place."""
    found = batch(world, {"path": path.replace("{id}", new_id()), "body": {}}, deposit(world, 1))

    assert statuses(found) == [404, 201]


def test_paths_are_read_as_alone(world: World) -> None:
    """A slash at the end, a query and capitals in ids change nothing; a query does not come back in a problem."""
    path = f"/customers/wallets/{world.wallet.upper()}/deposit"
    found = batch(
        world,
        command(f"{path}/", amount=1),
        command(f"{path}?verbose=1", amount=2),
        command(f"{path}?verbose=1", amount=0),
        accept=PROBLEMS["accept"],
    )

    assert statuses(found) == [201, 201, 400]
    assert answers(found)[2]["body"]["instance"] == path


@pytest.mark.parametrize(
    ("commands", "code", "pointer"),
    [
        ('[{"body": {}}]', "missing_key", "/commands/1/path"),
        ('[{"path": 1}]', "invalid_value", "/commands/1/path"),
        ('[{"path": "/x", "idempotency_key": 5}]', "invalid_value", "/commands/1/idempotency_key"),
        ('[{"path": "/x", "idempotencykey": "k"}]', "unknown_key", "/commands/1/idempotencykey"),
        ('["/customers"]', "invalid_value", "/commands/0"),
        ("{}", "invalid_value", "/commands"),
        ("null", "invalid_value", "/commands"),
        (f'[{{"path": "/{"x" * 500}"}}]', "invalid_value", "/commands/1/path"),
        ('[{"path": "/x"}], "atomc": true', "unknown_key", "/atomc"),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(world: World, commands: str, code: str, pointer: str) -> None:
    """Where commands are not of their shape nothing is done, not even those that are; the answer says which one."""
    commands = commands.replace("[{", f"[{json.dumps(deposit(world, 1))}, {{")
    answer = world.client.post("/batches", content=f'{{"commands": {commands}}}', headers={**JSON, **PROBLEMS})

    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["errors"][0]["pointer"]) == (code, pointer)
    assert world.balance(world.wallet) == "0"


def test_an_atomic_batch_is_done_whole(world: World) -> None:
    """Where every command succeeds the answers are those of any batch."""
    found = batch(world, deposit(world, 7), debit(world, 3), debit(world, 4), atomic=True)

    assert statuses(found) == [201, 201, 201]
    assert [world.balance(wallet) for wallet in (world.wallet, world.till)] == ["0", "7"]


@pytest.mark.parametrize(
    ("spoiling", "cause"),
    [
        (lambda world: debit(world, 8), "insufficient_funds"),
        (lambda world: command("/customers/wallets", customer_id=world.business), "unknown_customer"),
        (lambda world: deposit(world, 0), "amount_not_positive"),
        (lambda _: {"path": "/customers"}, "malformed_json"),
        (lambda _: command("/batches"), "unknown_path"),
    ],
    ids=["denied", "refused", "invalid", "no body", "no command"],
)
def test_an_atomic_batch_is_done_whole_or_not_at_all(world: World, service: Service, spoiling: Any, cause: str) -> None:
    """One bad command leaves nothing behind, not even a denial; the answer says which, and its own code."""
    before = ledger(service)
    newcomer = command("/customers", name="Eva", last_name="Nueva", email=f"{new_id()}@example.com")
    commands = newcomer, deposit(world, 7), spoiling(world), deposit(world, 1)
    answer = batch(world, *commands, atomic=True, accept=PROBLEMS["accept"])

    assert (answer.status_code, answer.json()["code"]) == (409, "batch_refused")
    assert (answer.json()["index"], answer.json()["cause"]) == (2, cause)
    assert ledger(service) == before
    assert world.listed(world.wallet) == []
    assert statuses(batch(world, newcomer, atomic=True)) == [201]


def test_a_batch_under_a_key_is_done_once(world: World) -> None:
    """The same batch under its key is answered again to the byte; another under that key is 422."""
    key = new_id()
    commands = deposit(world, 5), debit(world, 6), deposit(world, 0), debit(world, 5)
    first, again = (batch(world, *commands, Idempotency_Key=key) for _ in range(2))
    other = batch(world, *commands[:2], Idempotency_Key=key, accept=PROBLEMS["accept"])

    assert statuses(first) == [201, 409, 400, 201]
    assert again.content == first.content
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(world.listed(world.wallet)) == 3


def test_the_refusal_of_an_atomic_batch_is_kept_under_its_key(world: World) -> None:
    """What was refused is refused again under its key, though it would be possible now."""
    key = new_id()
    first = batch(world, debit(world, 5), atomic=True, Idempotency_Key=key, accept=PROBLEMS["accept"])
    world.deposit(5)
    again = batch(world, debit(world, 5), atomic=True, Idempotency_Key=key, accept=PROBLEMS["accept"])

    assert first.status_code == again.status_code == 409
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert world.balance(world.wallet) == "5"


@pytest.mark.parametrize("headers", [{"Idempotency_Key": "k"}, {"prefer": "handling=dry-run"}], ids=["key", "dry run"])
def test_a_batch_without_one_command_that_can_be_read_is_answered_in_place(
    world: World, headers: dict[str, Any]
) -> None:
    """Under a key or as a dry run too, each is refused by itself, and the key stays free."""
    headers = {name: value + new_id() if value == "k" else value for name, value in headers.items()}
    found = batch(world, command("/x"), deposit(world, 0), **headers)

    assert statuses(found) == [404, 400]
    assert statuses(batch(world, deposit(world, 1), **headers)) == [201]


def test_a_command_under_a_key_is_done_once(world: World) -> None:
    """The same command under the same key is done once, in one batch, in the next, and alone; another one is 422."""
    key, void = new_id(), new_id()
    some = deposit(world, 5, idempotency_key=key)
    first = batch(world, some, some, deposit(world, 6, idempotency_key=f'"{key}"'))
    again = batch(world, some)
    by_itself = world.client.post(
        some["path"], content=raw(first, some["body"]), headers={**JSON, "Idempotency-Key": key}
    )
    bare = batch(world, {"path": f"/holds/{world.hold}/void", "idempotency_key": void})

    assert statuses(first) == [201, 201, 422]
    done, repeated, _ = answers(first)
    assert repeated == {**done, "replayed": True}
    assert answers(again) == [repeated]
    assert by_itself.json() == done["body"]
    assert by_itself.headers["idempotency-replayed"] == "true"
    assert by_itself.headers["ledger-position"] == str(done["position"])
    path = json.loads(bare.request.content)["commands"][0]["path"]
    assert world.client.post(path, headers={"Idempotency-Key": void}).headers["idempotency-replayed"] == "true"
    assert [each["amount"] for each in world.listed(world.wallet) if each.get("kind") is None] == [1, 5]


def raw(answer: httpx.Response, body: Json) -> bytes:
    """Return the bytes of a body as they were sent within a batch."""
    sent = answer.request.content
    encoded = httpx.Request("POST", "http://x", json=body).content
    assert encoded in sent
    return encoded


@pytest.mark.parametrize("key", ["", "a b", "á", "x" * 256, "\n"])
def test_a_key_that_is_none_is_refused_in_place(world: World, key: str) -> None:
    """A key of a command that its header would not take is 400, and nothing is done."""
    found = batch(world, deposit(world, 1, idempotency_key=key), deposit(world, 2, idempotency_key=None))

    assert statuses(found) == [400, 201]
    assert world.balance(world.wallet) == "2"


@pytest.mark.parametrize(
    ("atomic", "headers"),
    [(True, {}), (False, {"Idempotency_Key": "abc"}), (False, {"prefer": "handling=dry-run"})],
    ids=["atomic", "key", "dry run"],
)
def test_keys_of_commands_are_refused_where_the_batch_is_one(
    world: World, atomic: bool, headers: dict[str, str]
) -> None:
    """A batch that is decided as one takes no key for a part of it: 400, and nothing is done."""
    commands = deposit(world, 1), deposit(world, 2, idempotency_key=new_id())
    answer = batch(world, *commands, atomic=atomic, accept=PROBLEMS["accept"], **headers)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "/commands/1/idempotency_key"
    assert world.balance(world.wallet) == "0"


@pytest.mark.parametrize("atomic", [False, True])
def test_a_dry_run_sees_what_it_would_have_done(world: World, service: Service, atomic: bool) -> None:
    """Its commands build on one another; nothing is recorded, no position and no place are told."""
    before = ledger(service)
    commands = deposit(world, 7), debit(world, 3), debit(world, 4)
    found = batch(world, *commands, atomic=atomic, prefer="handling=dry-run")
    too_much = batch(world, *commands, debit(world, 1), atomic=atomic, prefer="handling=dry-run")

    assert statuses(found) == [201] * 3
    assert not any({"location", "position"} & set(each) for each in answers(found))
    assert found.headers["preference-applied"] == "handling=dry-run"
    assert (too_much.status_code if atomic else statuses(too_much)[3]) == 409
    assert ledger(service) == before


def test_a_batch_may_be_answered_in_full(world: World) -> None:
    """`Prefer: return=representation` holds for each command of it."""
    found = batch(world, deposit(world, 7), debit(world, 3), prefer="return=representation")

    assert found.headers["preference-applied"] == "return=representation"
    assert [each["body"]["kind"] for each in answers(found)] == ["deposit", "debit"]
    assert answers(found)[1]["body"]["payer"]["balance"] == 4


def test_a_batch_is_on_no_wallet(world: World) -> None:
    """`If-Match` is refused, as wherever the path names no wallet."""
    answer = batch(world, deposit(world, 1), If_Match='"0"', accept=PROBLEMS["accept"])

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_if_match")


def test_a_batch_for_which_there_is_no_room_is_not_queued(tmp_path: Path) -> None:
    """Each command of it is told queue_full, an atomic one as a whole, and nothing of it is done."""
    with Service(tmp_path / "ledger.db", MONEDERO_QUEUE_LIMIT_COMMANDS="2") as service, service.client() as client:
        world = World(client)
        fits = batch(world, deposit(world, 1), deposit(world, 1))
        found = batch(world, *[deposit(world, 1)] * 3, accept=PROBLEMS["accept"])
        atomic = batch(world, *[deposit(world, 1)] * 3, atomic=True)

        assert statuses(fits) == [201, 201]
        assert [(each["status"], each["body"]["code"]) for each in answers(found)] == [(503, "queue_full")] * 3
        assert (atomic.status_code, atomic.headers["retry-after"]) == (503, "1")
        assert world.balance(world.wallet) == "2"
