"""Refunds, holds and what leaves, over HTTP: what is answered, and what programs are told of a refusal."""

from typing import Any

import httpx
import pytest

from monedero.api.times import timestamp
from monedero.sources import new_id, now_microseconds
from tests.api.world import World
from tests.support import until

FULL = {"accept": "application/problem+json"}


@pytest.fixture
def world(client: httpx.Client) -> World:
    """Return a customer with 100 in the wallet and a business with a till, on the shared service."""
    made = World(client)
    made.deposit(100)
    return made


def problem(world: World, path: str, /, **body: Any) -> dict[str, Any]:
    """Post what is refused and return the problem document."""
    answer = world.client.post(path, json=body, headers=FULL)
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == answer.status_code
    assert document["type"] == f"urn:monedero:problem:{document['code']}"
    return document


def members(document: dict[str, Any]) -> dict[str, Any]:
    """Return what a problem says besides what all say."""
    return {
        name: value for name, value in document.items() if name not in {"detail", "type", "title", "instance", "status"}
    }


def held(world: World) -> tuple[Any, Any, Any]:
    """Return balance, held and available of the customer's wallet."""
    body = world.client.get(f"/wallets/{world.wallet}").json()
    return body["balance"], body["held"], body["available"]


def test_a_debit_is_refunded_in_parts(world: World) -> None:
    """Each refund is a transaction of its own, and the debit shows what is left of it."""
    debit = world.debit(30).json()["id"]
    first = world.post(f"/transactions/{debit}/refunds", amount="0.5", description="Devolucion")
    rest = world.post(f"/transactions/{debit}/refunds")

    assert (first.status_code, rest.status_code) == (201, 201)
    body = first.json()
    assert (body["kind"], body["status"], body["amount"], body["debit_id"]) == ("refund", "accepted", 0.5, debit)
    assert (body["payer"]["wallet_id"], body["payee"]["wallet_id"]) == (world.till, world.wallet)
    assert rest.json()["amount"] == 29.5
    shown = world.client.get(f"/transactions/{debit}").json()
    assert (shown["refunded"], shown["refundable"]) == (30, 0)
    assert (world.balance(world.wallet), world.balance(world.till)) == ("100", "0")


def test_a_hold_is_captured_and_what_is_left_of_it_freed(world: World) -> None:
    """What is held is not available; captures take it, a final one frees the rest."""
    placed = world.post(f"/businesses/wallets/{world.till}/holds", customer_wallet_id=world.wallet, amount=40)
    hold = placed.json()["id"]
    assert placed.headers["location"] == f"/holds/{hold}"
    assert held(world) == (100, 40, 60)
    assert world.debit(61).status_code == 409

    part = world.post(f"/holds/{hold}/captures", amount=10).json()
    assert (part["kind"], part["amount"], part["captured"], part["hold_id"]) == ("capture", 10, 10, hold)
    assert held(world) == (90, 30, 60)
    last = world.post(f"/holds/{hold}/captures", amount=5, final=True)
    assert last.status_code == 201
    assert held(world) == (85, 0, 85)
    shown = world.client.get(f"/holds/{hold}").json()
    assert (shown["status"], shown["amount"], shown["captured"], shown["capturable"]) == ("captured", 40, 15, 0)
    assert world.client.get(f"/transactions/{hold}").json()["status"] == "placed"
    refunded = world.post(f"/transactions/{last.json()['id']}/refunds")
    assert refunded.json()["amount"] == 5


def test_a_hold_expires_by_itself(world: World) -> None:
    """Within seconds of its time the money is free again, the expiry is in the history, and the hold says so."""
    soon = timestamp(now_microseconds() + 300_000)
    path = f"/businesses/wallets/{world.till}/holds"
    hold = world.created(path, customer_wallet_id=world.wallet, amount=40, expires_at=soon)
    until(lambda: world.client.get(f"/holds/{hold}").json()["status"] == "expired")

    assert held(world) == (100, 0, 100)
    newest = world.listed(world.wallet)[0]
    assert (newest["kind"], newest["status"], newest["amount"]) == ("hold", "expired", 40)
    assert members(problem(world, f"/holds/{hold}/captures")) == {"code": "hold_expired", "expired_at": soon}
    assert members(problem(world, f"/holds/{hold}/void")) == {"code": "hold_expired", "expired_at": soon}


def test_a_misspelt_amount_does_not_mean_all(world: World) -> None:
    """Without an amount all that is left moves, so a key that a refund or a capture cannot have is refused."""
    paths = f"/transactions/{world.transaction}/refunds", f"/holds/{world.hold}/captures"
    before = held(world)
    found = [members(problem(world, path, ammount=1)) for path in paths]

    assert [each["code"] for each in found] == ["unknown_key"] * 2
    assert [each["errors"][0]["pointer"] for each in found] == ["/ammount"] * 2
    assert held(world) == before


def test_money_leaves_and_crosses(world: World) -> None:
    """Payouts and withdrawals have one side, transfers two of one customer."""
    second = world.created("/customers/wallets", customer_id=world.customer)
    world.debit(30)
    out = world.post(f"/businesses/wallets/{world.till}/payouts", amount=20).json()
    back = world.post(f"/customers/wallets/{world.wallet}/withdrawals", amount=10).json()
    across = world.post(f"/wallets/{world.wallet}/transfers", amount=15, wallet_id=second).json()

    assert [each["kind"] for each in (out, back, across)] == ["payout", "withdrawal", "transfer"]
    assert "payee" not in out
    assert "payee" not in back
    assert (across["payer"]["balance"], across["payee"]["balance"]) == (45, 15)
    assert [world.balance(each) for each in (world.wallet, second, world.till)] == ["45", "15", "10"]


def test_what_a_program_is_told_of_a_refusal(world: World) -> None:
    """A problem document has the amounts as JSON numbers, the limits that count, and a stable code."""
    debit, hold = str(world.debit(30).json()["id"]), world.hold
    voided = world.hold
    world.created(f"/holds/{voided}/void")
    refunds, captures = f"/transactions/{debit}/refunds", f"/holds/{hold}/captures"
    till, wallet, nobody = f"/businesses/wallets/{world.till}", f"/customers/wallets/{world.wallet}", new_id()
    world.created(refunds, amount=1)
    for path, body, status, expected in (
        (refunds, {"amount": "29.5"}, 409, {"code": "refund_too_large", "required": 29.5, "refundable": 29}),
        (f"/transactions/{nobody}/refunds", {}, 404, {"code": "unknown_transaction"}),
        (f"/transactions/{voided}/refunds", {}, 409, {"code": "not_refundable"}),
        (captures, {"amount": 2}, 409, {"code": "capture_too_large", "required": 2, "capturable": 1}),
        (f"/holds/{voided}/captures", {}, 409, {"code": "hold_voided"}),
        (f"/holds/{nobody}/captures", {}, 404, {"code": "unknown_hold"}),
        (f"/holds/{nobody}/void", {}, 404, {"code": "unknown_hold"}),
        (
            f"/wallets/{world.wallet}/transfers",
            {"amount": 1, "wallet_id": world.wallet},
            409,
            {"code": "self_transfer"},
        ),
        (
            f"/wallets/{world.wallet}/transfers",
            {"amount": 1, "wallet_id": World(world.client).wallet},
            409,
            {"code": "not_one_customer"},
        ),
        (f"{till}/holds", {"customer_wallet_id": nobody, "amount": 1}, 404, {"code": "unknown_customer_wallet"}),
        (f"{wallet}/withdrawals", {"amount": 1e15}, 400, None),
    ):
        document = problem(world, path, **body)

        assert document["status"] == status, document
        assert expected is None or members(document) == expected
    world.created(refunds)
    assert members(problem(world, refunds)) == {"code": "refund_too_large", "refundable": 0}


def test_what_a_program_is_told_of_a_denial(world: World) -> None:
    """A denial has what was asked for, what there was, and where it is recorded."""
    second = world.created("/customers/wallets", customer_id=world.customer)
    debit = str(world.debit(30).json()["id"])
    world.created(f"/businesses/wallets/{world.till}/payouts", amount=29)
    for path, body, available in (
        (f"/transactions/{debit}/refunds", {"amount": 2}, 1),
        (f"/businesses/wallets/{world.till}/payouts", {"amount": 2}, 1),
        (f"/businesses/wallets/{world.till}/holds", {"customer_wallet_id": world.wallet, "amount": 71}, 70),
        (f"/customers/wallets/{world.wallet}/withdrawals", {"amount": 71}, 70),
        (f"/wallets/{world.wallet}/transfers", {"amount": 71, "wallet_id": second}, 70),
    ):
        document = problem(world, path, **body)
        transaction = world.client.get(f"/transactions/{document['transaction_id']}").json()

        assert members(document) == {
            "code": "insufficient_funds",
            "required": body["amount"],
            "available": available,
            "transaction_id": transaction["id"],
        }
        assert (transaction["status"], transaction["error"]) == ("denied", document["detail"])


@pytest.mark.parametrize(
    ("expires_at", "status"),
    [("2020-01-01T00:00:00Z", 400), ("2999-01-01T00:00:00Z", 400), ("tomorrow", 400), ("2030-01-01T00:00:00", 400)],
)
def test_when_a_hold_may_end(world: World, expires_at: str, status: int) -> None:
    """A hold ends in the future, at most 366 days away, at a time with its zone."""
    path = f"/businesses/wallets/{world.till}/holds"
    document = problem(world, path, customer_wallet_id=world.wallet, amount=1, expires_at=expires_at)

    assert document["status"] == status
    assert held(world) == (100, 0, 100)
