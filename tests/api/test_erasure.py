"""Erasing a customer: the person is forgotten, the ledger is not."""

from pathlib import Path

import httpx
import pytest

from monedero.sources import new_id
from tests.api.world import World
from tests.support import Service


@pytest.fixture
def world(client: httpx.Client) -> World:
    """Return a customer and a business of their own."""
    return World(client)


def test_who_has_money_is_not_erased(world: World) -> None:
    """Nothing changes while a wallet holds any money; once it is empty, the customer may go."""
    world.deposit(1)
    answer = world.client.delete(f"/customers/{world.customer}", headers={"accept": "application/problem+json"})

    assert (answer.status_code, answer.json()["code"]) == (409, "money_left")
    assert world.client.get(f"/customers/{world.customer}").status_code == 200
    assert world.debit(1).status_code == 201
    assert world.client.delete(f"/customers/{world.customer}").status_code == 204


def test_an_erased_customer_is_forgotten_and_the_ledger_is_not(world: World) -> None:
    """Name, mail and phone are gone; wallets and transactions are as they were, and the e-mail is free again."""
    email = world.client.get(f"/customers/{world.customer}").json()["email"]
    world.deposit(2)
    world.debit(2)
    before = world.client.get(f"/customers/{world.customer}/transactions").json()

    answer = world.client.delete(f"/customers/{world.customer}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert world.client.get(f"/customers/{world.customer}").status_code == 410
    assert world.client.get(f"/customers/{world.customer}/transactions").json() == before
    assert world.client.get(f"/wallets/{world.wallet}").json()["balance"] == 0
    again = world.post("/customers", name="Eva", last_name="Nueva", email=email.upper())
    assert again.status_code == 201
    assert world.client.delete(f"/customers/{world.customer}").status_code == 204
    assert world.client.get(f"/customers/{again.json()['id']}").json()["name"] == "Eva"


def test_only_a_customer_that_exists_is_erased(world: World) -> None:
    """Another id, a business's id and what is no id are unknown."""
    for other in (new_id(), world.business, "x"):
        assert world.client.delete(f"/customers/{other}").status_code == 404
    assert world.client.get(f"/businesses/{world.business}").status_code == 200


def test_the_file_keeps_nothing_and_the_root_stays(tmp_path: Path) -> None:
    """After an erasure and a stop no byte of the person is in the file, and the audit finds the same root."""
    with Service(tmp_path / "ledger.db") as service, service.client() as client:
        person = {"name": "Wilhelmina", "last_name": "Unverwechselbar", "email": "wilhelmina@unverwechselbar.example"}
        erased = client.post("/customers", json={**person, "phone": "555-0123-4567"}).json()["id"]
        client.post("/customers/wallets", json={"customer_id": erased})
        before = service.run("verify").stdout
        assert client.delete(f"/customers/{erased}").status_code == 204
        after = service.run("verify").stdout
        service.stop()

        assert root(before) == root(after)
        assert "1 owners whose personal data is not kept here" in after
        left = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        for kept in (b"ilhelmina", b"nverwechselbar", b"0123-4567"):
            assert kept not in left


def test_an_erasure_can_be_tried(world: World) -> None:
    """As a dry run it is answered as in earnest and forgets nobody; `If-Match` is refused: there is no wallet."""
    path, tried = f"/customers/{world.customer}", {"prefer": "handling=dry-run"}
    answer = world.client.delete(path, headers=tried)
    tagged = world.client.delete(path, headers={"if-match": '"0"'})
    world.deposit(1)

    assert (answer.status_code, answer.headers["preference-applied"]) == (204, "handling=dry-run")
    assert tagged.status_code == 400
    assert world.client.get(path).status_code == 200
    assert world.client.delete(path, headers=tried).status_code == 409


def root(said: str) -> str:
    """Return the Merkle root that an audit printed."""
    return said.partition("Merkle root ")[2].strip()
