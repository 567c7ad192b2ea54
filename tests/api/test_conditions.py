"""Prefer, If-Match, If-None-Match and dry runs over HTTP."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from monedero.engine.verify import verify
from monedero.settings import load_settings
from monedero.sources import new_id
from monedero.stores import open_snapshot
from tests.api.world import World
from tests.support import Service

FULL = {"accept": "application/problem+json"}
TRY = {"prefer": "handling=dry-run"}


@pytest.fixture
def world(client: httpx.Client) -> World:
    """Return a customer and a business with their wallets, on the shared service."""
    return World(client)


def everything(service: Service) -> list[object]:
    """Return all that is stored in a ledger that verifies, its root first."""
    with open_snapshot(load_settings(database_url=service.url)) as snapshot:
        root = verify(snapshot).root
        return [
            root,
            snapshot.head(),
            *snapshot.rows(),
            *snapshot.wallets(),
            *snapshot.owners(),
            *snapshot.holds(),
            *snapshot.refunds(),
        ]


def deposit(world: World, amount: Any = 1, **headers: str) -> httpx.Response:
    """Deposit with headers."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/customers/wallets/{world.wallet}/deposit"
    return world.client.post(path, json={"amount": amount}, headers={**names, **FULL})


def test_a_try_is_answered_and_changes_nothing(service: Service, world: World) -> None:
    """A dry run of every write is answered as the write would be, without a place, and every table stays as it was."""
    world.deposit(100)
    second = world.created("/customers/wallets", customer_id=world.customer)
    debit, hold, other = world.transaction, world.hold, world.hold
    shop = world.sign_up_business()
    till, wallet = f"/businesses/wallets/{world.till}", f"/customers/wallets/{world.wallet}"
    writes: list[tuple[str, dict[str, Any]]] = [
        ("/customers", {"name": "A", "last_name": "B", "email": f"{new_id()}@x.org"}),
        ("/businesses", {"name": "A", "email": f"{new_id()}@x.org"}),
        ("/customers/wallets", {"customer_id": world.customer}),
        ("/businesses/wallets", {"business_id": shop}),
        (f"{wallet}/deposit", {"amount": 1}),
        (f"{till}/debit", {"customer_wallet_id": world.wallet, "amount": 1}),
        (f"/transactions/{debit}/refunds", {}),
        (f"{till}/holds", {"customer_wallet_id": world.wallet, "amount": 1}),
        (f"/holds/{hold}/captures", {}),
        (f"/holds/{other}/void", {}),
        (f"{till}/payouts", {"amount": 1}),
        (f"{wallet}/withdrawals", {"amount": 1}),
        (f"/wallets/{world.wallet}/transfers", {"amount": 1, "wallet_id": second}),
    ]
    before = everything(service)
    tries = [world.client.post(path, json=body, headers={**TRY, "idempotency-key": new_id()}) for path, body in writes]
    assert everything(service) == before

    for answer, (path, body) in zip(tries, writes, strict=True):
        real = world.client.post(path, json=body)
        assert (answer.status_code, answer.json().keys()) == (real.status_code, real.json().keys()), path
        assert answer.headers["preference-applied"] == "handling=dry-run"
        assert not {"location", "ledger-position", "idempotency-replayed"} & answer.headers.keys()
    assert everything(service) != before


def test_a_try_tells_of_refusals_and_denials(service: Service, world: World) -> None:
    """What would be denied or refused is, with its data; a denial that was not recorded names no transaction."""
    before = everything(service)
    till = f"/businesses/wallets/{world.till}"
    denied = world.client.post(
        f"{till}/debit", json={"customer_wallet_id": world.wallet, "amount": 5}, headers={**TRY, **FULL}
    )
    refused = world.client.post(f"/holds/{new_id()}/captures", json={}, headers={**TRY, **FULL})
    late = deposit(world, prefer="handling=dry-run", if_match='"7"')

    assert (denied.status_code, denied.json()["code"]) == (409, "insufficient_funds")
    assert (denied.json()["required"], denied.json()["available"]) == (5, 0)
    assert "transaction_id" not in denied.json()
    assert "location" not in denied.headers
    assert (refused.status_code, late.status_code, late.json()["version"]) == (404, 412, 0)
    for answer in (denied, refused, late):
        assert answer.headers["preference-applied"] == "handling=dry-run"
    assert everything(service) == before


def test_a_try_leaves_the_key_free(world: World) -> None:
    """What was tried under a key can be done under it, and what was done under it can be tried."""
    key = new_id()
    tried = deposit(world, prefer="handling=dry-run", idempotency_key=key)
    done = deposit(world, idempotency_key=key)
    again = deposit(world, 2, prefer="handling=dry-run", idempotency_key=key)

    assert [each.status_code for each in (tried, done, again)] == [201] * 3
    assert "idempotency-replayed" not in done.headers
    assert tried.json()["id"] != done.json()["id"]
    assert world.balance(world.wallet) == "1"


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("return=representation", "return=representation"),
        ('return="representation"', "return=representation"),
        ("Return = REPRESENTATION", "return=representation"),
        ("respond-async, return=representation; x=y", "return=representation"),
        ("handling=dry-run", "handling=dry-run"),
        ("return=representation, handling=dry-run", "return=representation, handling=dry-run"),
        ("handling=dry-run,return=representation", "return=representation, handling=dry-run"),
        ("return=minimal, return=representation", None),
        ("handling=lenient", None),
        ("handling=strict, handling=dry-run", None),
        ("dry-run", None),
        ("", None),
        (",;=", None),
    ],
)
def test_what_is_preferred(world: World, prefer: str, applied: str | None) -> None:
    """Preferences that are known are honoured and named, the first of each; others are ignored (RFC 7240)."""
    answer = deposit(world, 7, prefer=prefer)

    assert answer.status_code == 201
    assert answer.headers.get("preference-applied") == applied
    assert ("payee" in answer.json()) is ("return" in (applied or ""))
    assert world.balance(world.wallet) == ("0" if "dry-run" in (applied or "") else "7")


def test_preferences_may_stand_in_two_headers(world: World) -> None:
    """Two header lines are one list."""
    answer = world.client.post(
        f"/customers/wallets/{world.wallet}/deposit",
        json={"amount": 1},
        headers=[("prefer", "return=representation"), ("prefer", "handling=dry-run")],
    )

    assert answer.headers["preference-applied"] == "return=representation, handling=dry-run"


def test_a_whole_transaction_is_the_one_that_is_shown_later(world: World) -> None:
    """What a write answers in full is what reading it answers."""
    answer = deposit(world, prefer="return=representation")

    assert answer.json() == world.client.get(answer.headers["location"]).json()


def test_a_tag_changes_with_what_it_is_of(world: World) -> None:
    """Wallets, holds, transactions: an unchanged one need not be sent again, a changed one is."""
    world.deposit(100)
    debit, hold = str(world.debit(10).json()["id"]), world.hold
    changes: list[tuple[str, Callable[[], object]]] = [
        (f"/wallets/{world.wallet}", lambda: world.deposit(1)),
        (f"/customers/wallets/{world.wallet}", lambda: world.deposit(1)),
        (f"/businesses/wallets/{world.till}", lambda: world.debit(1)),
        (f"/holds/{hold}", lambda: world.created(f"/holds/{hold}/captures", amount="0.5")),
        (f"/transactions/{debit}", lambda: world.created(f"/transactions/{debit}/refunds", amount=1)),
    ]
    for path, change in changes:
        first = world.client.get(path)
        tag = first.headers["etag"]
        for seen in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            unchanged = world.client.get(path, headers={"if-none-match": seen})
            assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)
        change()
        changed = world.client.get(path, headers={"if-none-match": tag})

        assert changed.status_code == 200
        assert changed.headers["etag"] != tag
        assert changed.json() != first.json()


@pytest.mark.parametrize("match", ['"{0}"', '"x", "{0}"', '"{0}"  ,"9999"', "*"])
def test_a_write_at_the_right_version(world: World, match: str) -> None:
    """A write that names the version of its wallet, among others or as any, is carried out."""
    world.deposit(100)
    tag = world.client.get(f"/wallets/{world.wallet}").headers["etag"].strip('"')

    assert deposit(world, if_match=match.format(tag)).status_code == 201


@pytest.mark.parametrize("match", ['"0"', 'W/"1"', '"x"', '"01"', '"+1"', '"99999999999999999999"', '"0", W/"1"', '""'])
def test_a_write_at_another_version(world: World, match: str) -> None:
    """A write for another version is refused with the version that there is; weak tags match nothing (RFC 9110)."""
    world.deposit(100)
    answer = deposit(world, if_match=match)

    assert (answer.status_code, answer.json()["code"], answer.json()["version"]) == (412, "version_mismatch", 1)
    assert world.balance(world.wallet) == "100"


@pytest.mark.parametrize("match", ["1", "", '"1', '"1" "2"', '*, "1"', "W/1"])
def test_what_is_no_list_of_tags(world: World, match: str) -> None:
    """A condition that cannot be read is refused, not ignored."""
    answer = deposit(world, if_match=match)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_if_match")
    assert world.balance(world.wallet) == "0"


def test_conditions_belong_to_wallets(world: World) -> None:
    """The condition is on the wallet of the path, the payer's or the business's; elsewhere there is none to name."""
    world.deposit(100)
    hold = world.hold
    for path, body in ((f"/holds/{hold}/void", {}), ("/customers", {"name": "A", "last_name": "B", "email": "x@y.z"})):
        answer = world.client.post(path, json=body, headers={"if-match": '"1"', **FULL})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_if_match")

    till = world.client.get(f"/wallets/{world.till}").json()["version"]
    assert world.debit(1, headers={"if-match": f'"{till}"'}).status_code == 201
    assert world.debit(1, headers={"if-match": f'"{till}"'}).status_code == 412
    unknown = world.client.post(
        f"/customers/wallets/{new_id()}/deposit", json={"amount": 1}, headers={"if-match": '"1"'}
    )
    assert unknown.status_code == 404


def test_of_two_writes_for_one_version_one_is_carried_out(world: World) -> None:
    """Each write changes the version that the next one has to name."""
    statuses = [deposit(world, if_match='"0"').status_code for _ in range(2)]

    assert statuses == [201, 412]
    assert world.balance(world.wallet) == "1"


def test_a_denial_leaves_the_version(world: World) -> None:
    """What was denied changed nothing, so what was seen before it still stands."""
    world.deposit(1)
    assert world.debit(100).status_code == 409

    assert deposit(world, if_match='"1"').status_code == 201
