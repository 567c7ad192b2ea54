"""Idempotency-Key over HTTP: which values are keys, what is replayed, and what claims nothing."""

from typing import Any

import httpx
import pytest

from monedero.api.times import timestamp
from monedero.sources import new_id, now_microseconds
from tests.api.world import World

JSON = {"content-type": "application/json"}
FULL = {"accept": "application/problem+json"}


@pytest.fixture
def world(client: httpx.Client) -> World:
    """Return a customer and a business with their wallets, on the shared service."""
    return World(client)


def keyed(world: World, key: str | bytes, path: str | None = None, /, **body: Any) -> httpx.Response:
    """Post a body under a key; without a path, a deposit of 1."""
    path = path or f"/customers/wallets/{world.wallet}/deposit"
    return world.client.post(path, json=body or {"amount": 1}, headers=[(b"idempotency-key", _bytes(key))])


def _bytes(key: str | bytes) -> bytes:
    return key if isinstance(key, bytes) else key.encode()


def new_key() -> str:
    """Return a key that nobody has used."""
    return f'"{new_id()}"'


def is_replay_of(again: httpx.Response, first: httpx.Response) -> None:
    """Check that an answer is the first one again, and says so."""
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("location", "ledger-position", "content-type", "preference-applied"):
        assert again.headers.get(name) == first.headers.get(name)


@pytest.mark.parametrize(
    "key",
    [
        b"%s",
        b'"%s"',
        b'"%s with spaces, commas; and \\"quotes\\" and \\\\"',
        b"%s!#$%%&'()*+-./:<=>?@[]^_`{|}~",
        b"%s" + b"x" * 219,
        b'"%s' + b"x" * 219 + b'"',
        b'"%s' + b'\\"' * 219 + b'"',
    ],
)
def test_what_is_a_key(world: World, key: bytes) -> None:
    """A string of up to 255 characters, quoted as the draft of the IETF has it or bare, is a key."""
    key = key % new_id().encode()
    first, again = keyed(world, key), keyed(world, key)

    assert first.status_code == 201
    is_replay_of(again, first)
    assert world.balance(world.wallet) == "1"


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b'""',
        b'"',
        b'"a',
        b'a"',
        b"a b",
        b"a,b",
        b"a;b",
        b"a\\b",
        b'"a\\b"',
        b'"a"b"',
        b'"a", "b"',
        b"x" * 256,
        b'"' + b"x" * 256 + b'"',
        b"\xc3\xb1",
        b'"\xc3\xb1"',
        b'"\xff"',
        b'"a\tb"',
    ],
)
def test_what_is_no_key(world: World, key: bytes) -> None:
    """Anything else is refused, and nothing is done."""
    answer = world.client.post(
        f"/customers/wallets/{world.wallet}/deposit", json={"amount": 1}, headers=[(b"idempotency-key", key), *_full()]
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")
    assert world.balance(world.wallet) == "0"


def _full() -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in FULL.items()]


def test_two_keys_are_none(world: World) -> None:
    """A request has one key."""
    key = new_key().encode()
    answer = world.client.post(
        f"/customers/wallets/{world.wallet}/deposit", json={"amount": 1}, headers=[(b"idempotency-key", key)] * 2
    )

    assert answer.status_code == 400
    assert world.balance(world.wallet) == "0"


def test_quoted_or_bare_is_one_key(world: World) -> None:
    """The quotes belong to the header, not to the key, and so do the escapes."""
    key = new_id()
    first = keyed(world, key)
    is_replay_of(keyed(world, f'"{key}"'), first)

    first = keyed(world, f'"{key}\\\\"')
    assert first.headers.get("idempotency-replayed") is None
    assert world.balance(world.wallet) == "2"


def test_every_success_is_replayed(world: World) -> None:
    """Whatever a request made, the same request under its key makes it once and answers the same again."""
    world.deposit(1000)
    debit = world.transaction
    second = world.created("/customers/wallets", customer_id=world.customer)
    held = {"customer_wallet_id": world.wallet, "amount": 5}
    till, wallet = f"/businesses/wallets/{world.till}", f"/customers/wallets/{world.wallet}"
    for path, body in (
        ("/customers", {"name": "A", "last_name": "B", "email": f"{new_id()}@x.org"}),
        ("/businesses", {"name": "A", "email": f"{new_id()}@x.org"}),
        ("/customers/wallets", {"customer_id": world.customer}),
        ("/businesses/wallets", {"business_id": world.sign_up_business()}),
        (f"{wallet}/deposit", {"amount": "1.5", "description": "x"}),
        (f"{till}/debit", held),
        (f"/transactions/{debit}/refunds", {"amount": 1}),
        (f"{till}/holds", held),
        (f"/holds/{world.hold}/captures", {"amount": "0.5"}),
        (f"/holds/{world.hold}/void", {}),
        (f"{till}/payouts", {"amount": 1}),
        (f"{wallet}/withdrawals", {"amount": 1}),
        (f"/wallets/{world.wallet}/transfers", {"amount": 1, "wallet_id": second}),
    ):
        headers = {"idempotency-key": new_key()}
        first, again = (world.client.post(path, json=body, headers=headers) for _ in range(2))

        assert first.status_code in {200, 201}, (path, first.text)
        is_replay_of(again, first)


def test_a_first_answer_stands_though_the_world_has_moved_on(world: World) -> None:
    """A replay shows what was done then: the balance at that time, nothing refunded yet, a hold still open."""
    world.deposit(100)
    headers = {"idempotency-key": new_key(), "prefer": "return=representation"}
    first = world.debit(10, headers=headers)
    world.created(f"/transactions/{first.json()['id']}/refunds", amount=4)
    is_replay_of(world.debit(10, headers=headers), first)
    assert (first.json()["refundable"], first.json()["payer"]["balance"]) == (10, 90)

    body = {"customer_wallet_id": world.wallet, "amount": 5}
    path, key = f"/businesses/wallets/{world.till}/holds", new_key()
    placed = keyed(world, key, path, **body)
    assert world.post(f"/holds/{placed.json()['id']}/void").status_code == 201
    is_replay_of(keyed(world, key, path, **body), placed)
    assert placed.json()["status"] == "open"


def test_a_hold_is_replayed_after_its_time(world: World) -> None:
    """Whoever asks again for a hold that has expired meanwhile hears that it was placed, not that it is too late."""
    world.deposit(1)
    end = now_microseconds() + 1_500_000
    soon = timestamp(end)
    body = {"customer_wallet_id": world.wallet, "amount": 1, "expires_at": soon}
    path, key = f"/businesses/wallets/{world.till}/holds", new_key()
    first = keyed(world, key, path, **body)
    assert first.status_code == 201
    while now_microseconds() < end:
        world.client.get(f"/holds/{first.json()['id']}")

    is_replay_of(keyed(world, key, path, **body), first)
    late = world.client.post(path, json=body, headers=FULL)
    assert (late.status_code, late.json()["code"]) == (400, "expiry_not_ahead")


def test_a_denial_is_replayed(world: World) -> None:
    """A denied debit is recorded once and denied again with the same sentence and place, though it could be paid."""
    key, path = new_key(), f"/businesses/wallets/{world.till}/debit"
    first = keyed(world, key, path, customer_wallet_id=world.wallet, amount=5)
    world.deposit(100)
    again = keyed(world, key, path, customer_wallet_id=world.wallet, amount=5)

    assert first.status_code == 409
    is_replay_of(again, first)
    assert [each["status"] for each in world.listed(world.wallet)] == ["accepted", "denied"]


def test_a_refusal_is_replayed(world: World) -> None:
    """What was refused stays so under its key, with its data, though it would be accepted by now."""
    email = f"{new_id()}@x.org"
    world.created("/businesses", name="A", email=email)
    taken, unknown = new_key(), new_key()
    body = {"name": "A", "email": email}
    for key, path, asked, status in (
        (taken, "/businesses", body, 409),
        (unknown, f"/customers/wallets/{new_id()}/deposit", {"amount": 1}, 404),
        (new_key(), f"/holds/{world.hold}/captures", {"amount": 7}, 409),
        (new_key(), f"/transactions/{world.transaction}/refunds", {"amount": 7}, 409),
    ):
        headers = {"idempotency-key": key, **FULL}
        first, again = (world.client.post(path, json=asked, headers=headers) for _ in range(2))

        assert first.status_code == status
        is_replay_of(again, first)


@pytest.mark.parametrize("other", ["body", "path", "method of writing"])
def test_a_key_of_another_request_is_refused(world: World, other: str) -> None:
    """The same key with another body, another path, or the same body written otherwise is 422, and does nothing."""
    key, path = new_key(), f"/customers/wallets/{world.wallet}/deposit"
    world.client.post(path, content=b'{"amount": 1}', headers={"idempotency-key": key, **JSON})
    content = {"body": b'{"amount": 2}', "path": b'{"amount": 1}'}.get(other, b'{"amount":1}')
    path = f"/customers/wallets/{World(world.client).wallet}/deposit" if other == "path" else path
    answer = world.client.post(path, content=content, headers={"idempotency-key": key, **JSON, **FULL})

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert "idempotency-replayed" not in answer.headers
    assert world.balance(world.wallet) == "1"


def test_the_same_resource_is_the_same_request(world: World) -> None:
    """An id in capitals, or a slash at the end, makes no other request of it."""
    key = new_key()
    first = keyed(world, key)

    is_replay_of(keyed(world, key, f"/customers/wallets/{world.wallet.upper()}/deposit/", amount=1), first)


def test_what_is_malformed_claims_nothing(world: World) -> None:
    """After 400, 404 for what is no id, 412 and 415 the key is free: the corrected request is carried out."""
    path, key = f"/customers/wallets/{world.wallet}/deposit", new_key()
    headers = {"idempotency-key": key}
    attempts = [
        (path, b"{", JSON, 400),
        (path, b'{"amount": -1}', JSON, 400),
        (path, b"{}", JSON, 400),
        (path, b'{"amount": 1}', {"content-type": "text/plain"}, 415),
        (path, b'{"amount": 1}', {**JSON, "if-match": "x"}, 400),
        (path, b'{"amount": 1}', {**JSON, "if-match": '"77"'}, 412),
        ("/customers/wallets/nobody/deposit", b'{"amount": 1}', JSON, 404),
    ]
    for asked, content, more, status in attempts:
        assert world.client.post(asked, content=content, headers={**headers, **more}).status_code == status

    answer = world.client.post(path, content=b'{"amount": 1}', headers={**headers, **JSON})
    assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (201, None)
    assert world.balance(world.wallet) == "1"


def test_a_key_on_a_read_means_nothing(world: World) -> None:
    """Reads are repeated as often as one likes."""
    answer = world.client.get(f"/wallets/{world.wallet}", headers={"idempotency-key": '""'})

    assert answer.status_code == 200
    assert "idempotency-replayed" not in answer.headers
