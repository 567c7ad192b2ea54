"""Write the examples that the documented ones do not have: answers of the real service, told as one story.

The service is started on a ledger of its own. Ids and times are new each time; everything else is the same for the
same API, and a test tells the story again and compares. Receipts and checkpoints are not in it: what they sign and the
key differ each time, and a ledger in PostgreSQL has no key until one is made. Their types have examples instead.
"""

import json
import re
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from monedero.api.routes import OPERATIONS
from tools.postman.run import MONEDERO, served

Json = dict[str, Any]

TARGET = Path(__file__).resolve().parents[1] / "src" / "monedero" / "api" / "more_examples.json"
EXPIRY_SECONDS = 30
_NOWHERE = "00000000-0000-7000-8000-000000000000"
_PROBLEMS = {"accept": "application/problem+json"}


class Story:
    """A client of an empty ledger; what it asks by name is kept as an example."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self._operations = {each.name: each for each in OPERATIONS}
        self.told: dict[str, Json] = {}

    def tell(
        self,
        endpoint: str,
        name: str,
        *ids: str,
        body: Json | None = None,
        headers: dict[str, str] | None = None,
        query: dict[str, int] | None = None,
    ) -> Json:
        """Ask for what becomes an example; problems are answered in full."""
        operation = self._operations[endpoint]
        variables = iter(ids)
        path = re.sub(r"{\w+}", lambda _: next(variables), operation.path)
        answer = self._client.request(
            operation.method, path, json=body, headers={**_PROBLEMS, **(headers or {})}, params=query
        )
        answer.read()
        entry = self.told.setdefault(
            endpoint,
            {
                "endpoint": endpoint,
                "method": operation.method,
                "path": operation.path.replace("{", "{{").replace("}", "}}"),
                "examples": [],
            },
        )
        answered: Json | None = answer.json() if answer.content else None
        entry["examples"].append(
            {"name": name, "request_body": body, "status": answer.status_code, "response_body": answered}
        )
        return answered or {}

    def make(self, path: str, /, **body: str | int) -> str:
        """Ask for what is no example but makes one true; return its id."""
        answer = self._client.post(path, json=body).raise_for_status()
        return str(answer.json()["id"])

    def wait_for_expiry(self, hold: str) -> None:
        """Wait until the ledger has ended a hold by itself."""
        deadline = time.monotonic() + EXPIRY_SECONDS
        while self._client.get(f"/holds/{hold}").json()["status"] != "expired":
            if time.monotonic() > deadline:
                raise TimeoutError(f"the hold {hold} did not expire")
            time.sleep(0.05)


def main() -> None:
    """Write the examples where the service finds them."""
    codes: list[int] = []
    with tempfile.TemporaryDirectory() as directory:
        database = ["--database-url", f"sqlite:///{directory}/examples.db"]
        subprocess.run([MONEDERO, "migrate", *database], check=True)
        with served(database, codes) as base_url, httpx.Client(base_url=base_url) as client:
            examples = told(client)
    TARGET.write_text(json.dumps(examples, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def told(client: httpx.Client) -> list[Json]:
    """Tell the story to an empty ledger and return the endpoints with their examples, in the order of the routes."""
    story = Story(client)
    ada = story.make("/customers", name="Ada", last_name="Lovelace", email="ada@example.com")
    wallet = story.make("/customers/wallets", customer_id=ada)
    shop = story.make("/businesses", name="Bookshop", email="till@example.com")
    till = story.make("/businesses/wallets", business_id=shop)
    story.make(f"/customers/wallets/{wallet}/deposit", amount=500, description="Pocket money")
    _owners(story, ada, shop)
    _holds(story, wallet, till)
    _debits(story, wallet, till)
    _payments(story, ada, wallet, till)
    past = "Get the balance of a wallet at some time"
    story.tell(past, past, wallet, query={"at": 4})
    story.tell(past, "Get the balance of a wallet before it was opened", wallet, query={"at": 0})
    story.tell("Get a statement of a wallet", "Get a statement of a wallet", wallet, query={"limit": 2})
    story.tell("Get wallet", "Get wallet of a customer", wallet)
    story.tell("Get wallet", "Get wallet of a business", till)
    story.tell("Get wallet", "Get wallet with bad id", _NOWHERE)
    story.tell("Get all transactions of a customer wallet", "Get all transactions of a wallet (all kinds)", wallet)
    story.tell("Get business wallet transactions", "Get business wallet transactions (all kinds)", till)
    _batches(story, wallet, till)
    _erasures(story, ada)
    return [story.told[each.name] for each in OPERATIONS if each.name in story.told]


def _owners(story: Story, ada: str, shop: str) -> None:
    story.tell("Get customer", "Get customer", ada)
    story.tell("Get customer", "Get customer with bad id", _NOWHERE)
    story.tell("Get business", "Get business", shop)
    story.tell("Get business", "Get business with bad id", _NOWHERE)
    story.tell(
        "Create customer wallet", "Create customer wallet for nobody", body={"customer_id": _NOWHERE}
    )  # fmt: skip


def _holds(story: Story, wallet: str, till: str) -> None:
    def reservation(amount: int, **more: str) -> Json:
        return {"customer_wallet_id": wallet, "amount": amount, "description": "A dictionary", **more}

    def at(**away: int) -> str:
        return (datetime.now(UTC) + timedelta(**away)).isoformat().replace("+00:00", "Z")

    hold, capture, void = "Hold money of a customer wallet", "Capture a hold", "Void a hold"
    soon = story.make(f"/businesses/wallets/{till}/holds", **reservation(10, expires_at=at(seconds=1)))
    story.wait_for_expiry(soon)
    story.tell("Get hold", "Get hold that has expired", soon)
    story.tell(capture, "Capture a hold that has expired", soon, body={})
    story.tell("Get hold", "Get hold with bad id", _NOWHERE)

    booked = story.tell(hold, hold, till, body=reservation(80))["id"]
    story.tell(hold, "Hold until a given time", till, body=reservation(20, expires_at=at(days=2)))
    in_full = {"prefer": "return=representation"}
    story.tell(
        hold, "Hold, answered in full (Prefer: return=representation)", till, body=reservation(5), headers=in_full
    )
    story.tell(hold, "Hold more than is available", till, body=reservation(500))
    story.tell(hold, "Hold until a time that is past", till, body=reservation(20, expires_at=at(days=-1)))
    story.tell("Get hold", "Get hold", booked)
    story.tell(capture, capture, booked, body={"amount": 50})
    story.tell(capture, "Capture more than the hold", booked, body={"amount": 50})
    story.tell(capture, "Capture for the last time", booked, body={"amount": 10, "final": True})
    story.tell(capture, "Capture a hold that is over", booked, body={})
    story.tell("Get hold", "Get hold that was captured", booked)
    given_up = story.make(f"/businesses/wallets/{till}/holds", **reservation(30))
    story.tell(void, void, given_up, body={})
    story.tell(void, "Void a hold that is over", given_up, body={})
    story.tell(void, "Void a hold with bad id", _NOWHERE, body={})


def _debits(story: Story, wallet: str, till: str) -> None:
    deposit, debit, refund = "Deposit money in wallet", "Debit money to customer wallet", "Refund a debit"
    gift = {"amount": 25.5, "description": "Birthday"}
    key = {"idempotency-key": '"birthday-2026"'}
    filled = story.tell(deposit, "Deposit under an Idempotency-Key", wallet, body=gift, headers=key)
    other = {**gift, "amount": 26}
    story.tell(deposit, "Deposit under a key that was used for another request", wallet, body=other, headers=key)
    story.tell(deposit, "Deposit with too many decimals", wallet, body={"amount": 0.12345})
    story.tell(deposit, "Deposit only while the wallet is at a version", wallet, body=gift, headers={"if-match": '"1"'})
    in_full, dry_run = {"prefer": "return=representation"}, {"prefer": "handling=dry-run"}
    book = {"customer_wallet_id": wallet, "amount": 40, "description": "A book"}
    bought = story.tell(
        debit, "Debit, answered in full (Prefer: return=representation)", till, body=book, headers=in_full
    )
    story.tell(debit, "Debit that is only tried (Prefer: handling=dry-run)", till, body=book, headers=dry_run)
    dear = {**book, "amount": 1000}
    denied = story.tell(debit, "Debit more than is available", till, body=dear)
    nobody = {**book, "customer_wallet_id": _NOWHERE}
    story.tell(debit, "Debit the wallet of nobody", till, body=nobody)

    story.tell(refund, refund, bought["id"], body={"amount": 15, "description": "A torn page"})
    story.tell("Get transaction", "Get transaction", bought["id"])
    story.tell("Get transaction", "Get transaction that was denied", denied["transaction_id"])
    story.tell("Get transaction", "Get transaction with bad id", _NOWHERE)
    story.tell(refund, "Refund more than is left of the debit", bought["id"], body={"amount": 30})
    story.tell(refund, "Refund what is no debit", filled["id"], body={})
    story.make(f"/businesses/wallets/{till}/payouts", amount=85)
    story.tell(refund, "Refund what the business does not have", bought["id"], body={})
    story.make(f"/customers/wallets/{wallet}/deposit", amount=100)
    story.make(f"/businesses/wallets/{till}/debit", customer_wallet_id=wallet, amount=60)
    story.tell(refund, "Refund all that is left", bought["id"], body={})


def _payments(story: Story, ada: str, wallet: str, till: str) -> None:
    savings = story.make("/customers/wallets", customer_id=ada)
    charles = story.make("/customers", name="Charles", last_name="Babbage", email="charles@example.com")
    his = story.make("/customers/wallets", customer_id=charles)
    payout, withdrawal = "Pay out from a business wallet", "Withdraw from a customer wallet"
    for endpoint, source in ((payout, till), (withdrawal, wallet)):
        story.tell(endpoint, endpoint, source, body={"amount": 20, "description": "To the bank"})
        story.tell(endpoint, f"{endpoint} more than is available", source, body={"amount": 5000})
        story.tell(endpoint, f"{endpoint} with bad id", _NOWHERE, body={"amount": 20})
    transfer = "Transfer between wallets of a customer"
    story.tell(transfer, transfer, wallet, body={"wallet_id": savings, "amount": 30, "description": "Savings"})
    story.tell(transfer, "Transfer more than is available", wallet, body={"wallet_id": savings, "amount": 5000})
    story.tell(transfer, "Transfer to the wallet itself", wallet, body={"wallet_id": wallet, "amount": 30})
    story.tell(transfer, "Transfer to another customer", wallet, body={"wallet_id": his, "amount": 30})
    story.tell(transfer, "Transfer to a wallet that is unknown", wallet, body={"wallet_id": _NOWHERE, "amount": 30})


def _batches(story: Story, wallet: str, till: str) -> None:
    batch = "Submit a batch"
    fill = {"path": f"/customers/wallets/{wallet}/deposit", "body": {"amount": 60, "description": "Pocket money"}}
    path = f"/businesses/wallets/{till}/debit"
    ink = {"path": path, "body": {"customer_wallet_id": wallet, "amount": 45, "description": "Ink"}}
    press = {"path": path, "body": {"customer_wallet_id": wallet, "amount": 9000, "description": "A printing press"}}
    story.tell(batch, batch, body={"commands": [fill, ink]})
    again = {**fill, "idempotency_key": "pocket-money-2026-11"}
    story.tell(batch, "Submit a batch with a key for each command", body={"commands": [again, again]})
    story.tell(batch, "Submit a batch of which some fail", body={"commands": [press, {"path": "/nowhere"}, ink]})
    story.tell(batch, "Submit a batch that is done whole", body={"commands": [fill, ink], "atomic": True})
    story.tell(
        batch, "Submit a batch that is done whole or not at all", body={"commands": [fill, press], "atomic": True}
    )
    dry_run = {"prefer": "handling=dry-run"}
    story.tell(batch, "Submit a batch that is only tried", body={"commands": [fill, ink]}, headers=dry_run)
    story.tell(batch, "Submit a batch without a command", body={"commands": []})


def _erasures(story: Story, ada: str) -> None:
    erase = "Erase customer"
    mary = story.make("/customers", name="Mary", last_name="Somerville", email="mary@example.com")
    story.tell(erase, erase, mary)
    story.tell("Get customer", "Get customer who was erased", mary)
    story.tell(erase, "Erase customer who has money left", ada)
    story.tell(erase, "Erase customer with bad id", _NOWHERE)


if __name__ == "__main__":
    main()
