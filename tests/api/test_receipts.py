"""Receipts and checkpoints over HTTP, from both stores: what is answered convinces somebody who has only the key."""

import json
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from monedero.ledger.events import (
    CaptureAccepted,
    DebitAccepted,
    DebitDenied,
    DepositAccepted,
    HoldPlaced,
    HoldVoided,
    PayoutAccepted,
    PayoutDenied,
    RefundAccepted,
    WithdrawalAccepted,
)
from monedero.ledger.merkle import proves_consistency
from monedero.proofs.checkpoint import Checkpoint
from monedero.proofs.keyring import create_keyring, read_keyring, rotate_keyring
from monedero.proofs.note import VerifierKey
from monedero.proofs.receipt import verify_receipt
from tests.api.world import World
from tests.ledgers import BOTH, Ledgers
from tests.support import Service

FULL = {"accept": "application/problem+json"}


@pytest.fixture(scope="module", params=BOTH)
def signing(
    request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Return a service with a signing key, on either kind of ledger."""
    folder = tmp_path_factory.mktemp("signing")
    create_keyring(folder / "keys", 1, "example.com/ledger")
    with Service(ledgers.new(request.param, folder), MONEDERO_SIGNING_KEY_FILE=str(folder / "keys")) as running:
        yield running


@pytest.fixture
def world(signing: Service) -> Iterator[World]:
    """Return a customer and a business with their wallets."""
    with signing.client() as client:
        yield World(client)


def key_of(world: World) -> VerifierKey:
    """Return the key that signs now, as anybody can learn it."""
    return VerifierKey.parse(world.client.get("/checkpoints/keys").json()["keys"][0]["key"])


def checkpoint(world: World) -> Checkpoint:
    """Return the latest checkpoint, its signature checked."""
    return Checkpoint.open(world.client.get("/checkpoints/latest").text, key_of(world))


def test_every_kind_of_transaction_has_a_receipt(world: World) -> None:
    """Whatever moves, holds or is denied money has one that verifies, with the event, its place and a later size."""
    till, refunds = f"/businesses/wallets/{world.till}", f"/transactions/{world.transaction}/refunds"
    answers = {
        DepositAccepted: world.deposit("19.90"),
        DebitAccepted: world.debit("5.25"),
        DebitDenied: world.debit(100),
        RefundAccepted: world.post(refunds, amount="0.5"),
        HoldPlaced: world.post(f"{till}/holds", customer_wallet_id=world.wallet, amount=1),
        CaptureAccepted: world.post(f"/holds/{world.hold}/captures"),
        HoldVoided: world.post(f"/holds/{world.hold}/void"),
        PayoutAccepted: world.post(f"{till}/payouts", amount=1),
        PayoutDenied: world.post(f"{till}/payouts", amount=1000),
        WithdrawalAccepted: world.post(f"/customers/wallets/{world.wallet}/withdrawals", amount=1),
    }
    for kind, answer in answers.items():
        transaction = answer.headers["location"].rpartition("/")[2]  # A hold's is found under /holds, too.
        receipt = world.client.get(f"/transactions/{transaction}/receipt")
        proven = verify_receipt(receipt.content, key_of(world))

        assert receipt.headers["content-type"] == "application/json"
        assert isinstance(proven.movement, kind)
        assert proven.movement.id == transaction
        assert str(proven.position) == answer.headers["ledger-position"]
        assert proven.checkpoint.size > proven.position
        assert proven.checkpoint.origin == "example.com/ledger"


def test_a_receipt_shows_no_personal_data(world: World) -> None:
    """Neither name, e-mail nor phone of anybody is in it, only ids."""
    person = world.client.get(f"/customers/{world.customer}").json()
    receipt = world.client.get(f"{world.deposit(3).headers['location']}/receipt").json()
    text = json.dumps(receipt) + b64decode(receipt["event_bytes"]).decode()

    assert world.wallet in text
    assert not [value for value in (person["name"], person["email"], person["id"]) if value in text]


def test_receipts_verify_while_others_write(world: World) -> None:
    """However the log grows meanwhile, each receipt is whole: its proof is for the size that it signs."""
    key = key_of(world)
    place = world.deposit(1000).headers["location"]

    def ask(number: int) -> int:
        if number % 2:
            world.debit(1)
        return verify_receipt(world.client.get(f"{place}/receipt").content, key).checkpoint.size

    with ThreadPoolExecutor(8) as threads:
        sizes = list(threads.map(ask, range(200)))

    assert len(set(sizes)) > 10


def test_the_latest_checkpoint_is_a_note_or_json(world: World) -> None:
    """It is plain text unless JSON is accepted by name, and says the same in both, over everything recorded so far."""
    position = int(world.deposit(1).headers["ledger-position"])
    text = world.client.get("/checkpoints/latest")
    body = world.client.get("/checkpoints/latest", headers={"accept": "application/json"}).json()
    found = checkpoint(world)

    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert body["note"] == text.text
    assert (body["origin"], body["size"], b64decode(body["root"])) == (found.origin, found.size, found.root)
    assert found.size == position + 1


def test_two_checkpoints_are_of_one_log(world: World) -> None:
    """Between any two sizes there is a proof that nothing was rewritten; the later one may be left out: the latest."""
    noted = []
    for _ in range(4):
        noted.append(checkpoint(world))
        world.deposit(1)
    last = checkpoint(world)
    for first in noted:
        for second in (*(each for each in noted if each.size >= first.size), last):
            query = f"from={first.size}" + (f"&to={second.size}" if second is not last else "")
            answer = world.client.get(f"/checkpoints/consistency?{query}").json()
            proof = [b64decode(node) for node in answer["proof"]]

            assert (answer["from"], answer["to"]) == (first.size, second.size)
            assert proves_consistency(first.size, first.root, second.size, second.root, proof)


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("", "from"), ("to=1", "from"), ("from=", "from"), ("from=0", "from"), ("from=-1", "from"), ("from=x", "from"),
        ("from=1.0", "from"), ("from=2&to=1", "from"), ("from=%C2%B2", "from"), ("from=1&to=999999999", "to"),
        ("from=999999999", "from"), ("from=1&to=0", "to"), ("from=1&to=", "to"), (f"from={'1' * 5000}", "from"),
    ],
)  # fmt: skip
def test_a_bad_range_is_refused(world: World, query: str, wrong: str) -> None:
    """Sizes are whole numbers from 1 to that of the log, and the first is not the larger one."""
    answer = world.client.get(f"/checkpoints/consistency?{query}", headers=FULL)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_value")
    assert answer.json()["errors"][0]["pointer"] == f"/{wrong}"


def test_what_is_no_transaction_has_no_receipt(world: World) -> None:
    """An unknown id, no id at all, and the id of a wallet are unknown transactions."""
    for nobody in (world.business, world.wallet, "x"):
        answer = world.client.get(f"/transactions/{nobody}/receipt", headers=FULL)

        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_transaction")


def test_a_receipt_can_be_asked_for_from_a_position_on(world: World) -> None:
    """A read that demands a position gets a checkpoint that covers it, or 412."""
    written = world.deposit(1)
    place, position = written.headers["location"], written.headers["ledger-position"]
    covered = world.client.get(f"{place}/receipt", headers={"ledger-min-position": position})

    assert verify_receipt(covered.content, key_of(world)).checkpoint.size > int(position)
    for path in (f"{place}/receipt", "/checkpoints/latest", "/checkpoints/consistency?from=1"):
        assert world.client.get(path, headers={"ledger-min-position": "999999999"}).status_code == 412


@pytest.mark.parametrize("kind", BOTH[1:])
def test_without_a_key_nothing_is_signed(ledgers: Ledgers, tmp_path: Path, kind: str) -> None:
    """A service without a signing key says so, and does everything else."""
    with Service(ledgers.new(kind, tmp_path)) as service, service.client() as client:
        world = World(client)
        place = world.deposit(1).headers["location"]
        for path in (f"{place}/receipt", "/checkpoints/latest", "/checkpoints/keys"):
            answer = client.get(path, headers=FULL)
            assert (answer.status_code, answer.json()["code"]) == (404, "no_signing_key")
        assert client.get("/checkpoints/consistency?from=1").status_code == 200


def test_an_old_receipt_verifies_after_a_rotation(ledgers: Ledgers, tmp_path: Path) -> None:
    """A new key signs after the next start; the key before it stays listed with its time, and its receipts verify."""
    with Service(ledgers.new(BOTH[0], tmp_path)) as service:
        with service.client() as client:
            place = World(client).deposit(1).headers["location"]
            old = client.get(f"{place}/receipt").content
        assert service.stop() == 0
        path = tmp_path / "ledger.db.keys"
        before = read_keyring(path).key.verifier_key
        rotate_keyring(path, 2_000_000_000_000_000)
        with service.start().client() as client:
            first, second = client.get("/checkpoints/keys").json()["keys"]
            new = client.get(f"{place}/receipt").content

    assert (first["retired_at"], second["retired_at"]) == (None, "2033-05-18T03:33:20.000000Z")
    assert verify_receipt(old, VerifierKey.parse(second["key"])).position == 4
    assert verify_receipt(new, VerifierKey.parse(first["key"])).position == 4
    assert second["key"] == str(before)


def test_an_empty_ledger_has_a_checkpoint(ledgers: Ledgers, tmp_path: Path) -> None:
    """Over no events the root is that of the empty tree, and there is no range to prove."""
    with Service(ledgers.new(BOTH[0], tmp_path)) as service, service.client() as client:
        body = client.get("/checkpoints/latest", headers={"accept": "application/json"}).json()
        refused: httpx.Response = client.get("/checkpoints/consistency?from=1")

    assert (body["size"], b64decode(body["root"]).hex()[:8]) == (0, "e3b0c442")
    assert refused.status_code == 400
