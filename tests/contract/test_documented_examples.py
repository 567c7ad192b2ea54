"""The documented API's 22 examples, replayed against the running service in an order that makes each one true.

Ids and timestamps are the server's own; every other value, every key and every status is compared exactly. The one
listing whose documented transactions lack the `id` that all others have is kept with it.
"""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from monedero.api.openapi import documented_examples
from tests.ledgers import KINDS, Ledgers
from tests.support import Service

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
EXAMPLES = {
    (endpoint, example["name"]): (entry, example)
    for endpoint, entry in documented_examples().items()
    for example in entry["examples"]
}


class Story:
    """A client of an empty ledger, telling the examples one after the other."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.told: set[tuple[str, str]] = set()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request that is no example but makes one true."""
        answer = self.client.request(method, path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def tell(self, endpoint: str, name: str, ids: dict[str, str], **body: str) -> Any:
        """Send an example's request with our ids in it, and compare the answer."""
        entry, example = EXAMPLES[endpoint, name]
        self.told.add((endpoint, name))
        path = re.sub(r"{{(\w+)}}", lambda variable: ids[variable[1]], entry["path"])
        sent = {**example["request_body"], **body} if example["request_body"] else None
        answer = self.client.request(entry["method"], path, json=sent)

        assert answer.status_code == example["status"], answer.text
        compare(example["response_body"], answer.json())
        return answer.json()


def compare(documented: Any, answered: Any) -> None:
    """Compare key by key and value by value; an id matches any id, a time any time."""
    match documented:
        case dict():
            assert documented.keys() == answered.keys()
            for key, value in documented.items():
                compare(value, answered[key])
        case list():
            assert len(documented) == len(answered)
            for mine, theirs in zip(documented, answered, strict=True):
                compare(mine, theirs)
        case str() if UUID.fullmatch(documented):
            assert UUID.fullmatch(answered)
        case str() if TIME.fullmatch(documented):
            assert TIME.fullmatch(answered)
        case str() if "with id" in documented:
            assert UUID.sub("", documented) == UUID.sub("", answered)
        case _:
            assert type(documented) is type(answered)
            assert documented == answered


@pytest.fixture(params=KINDS)
def story(request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path: Path) -> Iterator[Story]:
    """Return a story told to an empty ledger of each kind in turn."""
    with Service(ledgers.new(request.param, tmp_path)) as service, service.client() as client:
        yield Story(client)


def test_the_documented_examples(story: Story) -> None:
    """A client written against the documented API works unchanged."""
    customer = story.tell("Customer signup", "Customer signup", {})
    story.tell("Customer signup", "Bad Customer signup with used email", {})
    ids = {"customer_id": customer["id"]}

    wallet = story.tell("Create customer wallet", "Create customer wallet", {}, **ids)
    story.tell("Create customer wallet", "Bad Customer Wallet creation without customer_id", {})
    ids["wallet_id"] = wallet["id"]
    story.tell("Get customer wallet", "Get customer wallet", ids)
    story.tell("Get customer wallet", "Get customer wallet with bad id", {"wallet_id": str(uuid.uuid4())})
    story.tell("Get all wallets of a customer", "Get all wallets of a customer", ids)

    story.tell("Deposit money in wallet", "Deposit money in wallet", ids)
    story.tell("Deposit money in wallet", "Deposit money in wallet with negative amount", ids)
    story.tell("Deposit money in wallet", "Deposit money in wallet", ids)
    story.tell("Get all transactions of a customer", "Get all transactions of a customer", ids)
    story.tell("Get all transactions of a customer wallet", "Get all transactions of a customer wallet", ids)

    story.tell("Business signup", "Business signup", {})
    story.call("POST", "/businesses", {"name": "Industrias Pepito", "email": "pepito@gmail.com", "phone": "687137066"})
    story.tell("Business signup", "Business signup used email", {})
    business = story.call("POST", "/businesses", {"name": "Otra", "email": "otra@gmail.com", "phone": "1"})
    ids["business_id"] = business["id"]
    opened = story.tell("Create business wallet", "Create business wallet", {}, business_id=business["id"])
    story.tell(
        "Create business wallet", "Create business wallet when there is already one", {}, business_id=business["id"]
    )
    story.tell("Create business wallet", "Bad business wallet creation without business_id", {})
    ids["business_wallet_id"] = opened["id"]
    story.tell("Get business wallet", "Get business wallet", ids)

    debit = f"/businesses/wallets/{opened['id']}/debit"
    story.call("POST", debit, {"customer_wallet_id": wallet["id"], "amount": 500, "description": "Cobro tele"})
    story.tell(
        "Debit money to customer wallet", "Debit money to customer wallet", ids, customer_wallet_id=wallet["id"]
    )  # fmt: skip
    dear = {"customer_wallet_id": wallet["id"], "amount": 40000, "description": "Compra coche"}
    assert story.client.post(debit, json=dear).status_code == 409
    story.tell(
        "Get all transactions of a customer", "Get all transactions of a customer (different transactions)", ids
    )  # fmt: skip
    story.tell("Get business wallet transactions", "Get business wallet transactions", ids)

    # The last example shows a denied debit of 500 that two deposits followed.
    other = story.call("POST", "/customers/wallets", {"customer_id": customer["id"]})["id"]
    story.tell(
        "Debit money to customer wallet", "Debit money to customer wallet without enough balance", ids,
        customer_wallet_id=other,
    )  # fmt: skip
    for _ in range(2):
        story.call("POST", f"/customers/wallets/{other}/deposit", {"amount": 500, "description": "Apertura cuenta"})
    story.tell(
        "Get all transactions of a customer wallet",
        "Get all transactions of a customer wallet (different transactions)",
        {"wallet_id": other},
    )
    assert story.told == EXAMPLES.keys()
    assert len(story.told) == 22
