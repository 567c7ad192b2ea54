"""A customer and a business with a wallet each, and the calls that most tests make."""

from typing import Any

import httpx

from monedero.sources import new_id


class World:
    """Everything is new, so that tests can share one service."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        person = {"name": "Pablo", "last_name": "Guirado", "email": f"{new_id()}@example.com"}
        self.customer = self.created("/customers", **person)
        self.wallet = self.created("/customers/wallets", customer_id=self.customer)
        self.business = self.sign_up_business()
        self.till = self.created("/businesses/wallets", business_id=self.business)

    @property
    def transaction(self) -> str:
        """A debit that can be refunded."""
        self.deposit(1)
        return str(self.debit(1).json()["id"])

    @property
    def hold(self) -> str:
        """A hold that can be captured."""
        self.deposit(1)
        return self.created(f"/businesses/wallets/{self.till}/holds", customer_wallet_id=self.wallet, amount=1)

    def sign_up_business(self) -> str:
        """Sign up another business and return its id."""
        return self.created("/businesses", name="Industrias Pepito", email=f"{new_id()}@example.com")

    def post(self, path: str, /, **body: Any) -> httpx.Response:
        """Post a body."""
        return self.client.post(path, json=body)

    def raw(self, path: str, body: str) -> httpx.Response:
        """Post a text as JSON, whatever it is."""
        return self.client.post(path, content=body.encode(), headers={"content-type": "application/json"})

    def created(self, path: str, **body: Any) -> str:
        """Post what must succeed and return the id."""
        answer = self.post(path, **body)
        assert answer.status_code in {200, 201}, answer.text
        return str(answer.json()["id"])

    def deposit(self, amount: Any, status: int = 201) -> httpx.Response:
        """Deposit into the wallet."""
        answer = self.post(f"/customers/wallets/{self.wallet}/deposit", amount=amount, description="Apertura cuenta")
        assert answer.status_code == status, answer.text
        return answer

    def debit(
        self,
        amount: Any,
        description: str = "Cobro tele",
        wallet: str | None = None,
        till: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Debit the wallet into the till."""
        body = {"customer_wallet_id": wallet or self.wallet, "amount": amount, "description": description}
        return self.client.post(f"/businesses/wallets/{till or self.till}/debit", json=body, headers=headers)

    def both(self, member: str) -> tuple[httpx.Response, httpx.Response]:
        """Post a member of the body as it stands to a deposit and to a debit."""
        return (
            self.raw(f"/customers/wallets/{self.wallet}/deposit", f"{{{member}}}"),
            self.raw(f"/businesses/wallets/{self.till}/debit", f'{{"customer_wallet_id": "{self.wallet}", {member}}}'),
        )

    def balance(self, wallet: str) -> str:
        """Return a balance as the text of its JSON number."""
        return self.client.get(f"/wallets/{wallet}").text.partition('"balance":')[2].partition(",")[0]

    def listed(self, wallet: str, kind: str = "customers") -> list[dict[str, Any]]:
        """Return a wallet's newest transactions."""
        listed: list[dict[str, Any]] = self.client.get(f"/{kind}/wallets/{wallet}/transactions").json()["transactions"]
        return listed
