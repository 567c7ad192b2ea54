"""Rendered transactions are kept, and are never another one's or another side's."""

import msgspec
import pytest

from monedero.api import shown
from monedero.api.shown import Shown
from monedero.api.transaction_bodies import transaction_body
from monedero.ledger.events import DebitAccepted, DebitDenied, DepositAccepted, Movement, Posting, Recorded
from monedero.ledger.ids import TransactionId, WalletId
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind

CUSTOMER, BUSINESS = Posting(WalletId("c"), Units(1), 1), Posting(WalletId("b"), Units(2), 1)


def movements() -> list[Movement]:
    """Return one of each kind, with ids of their own."""
    amount = Units(50_000)
    return [
        DepositAccepted(TransactionId("1"), 10, amount, CUSTOMER),
        DebitAccepted(TransactionId("2"), 20, amount, CUSTOMER, BUSINESS, "A book"),
        DebitDenied(TransactionId("3"), 30, amount, CUSTOMER, BUSINESS, "insufficient_funds"),
    ]


@pytest.mark.parametrize("limit", [0, 2, 1000])
def test_each_side_sees_its_own_however_much_is_kept(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first and every further time both listings show what they would show without the memory."""
    monkeypatch.setattr(shown, "LIMIT_TRANSACTIONS", limit)
    page = [Recorded(position, movement) for position, movement in enumerate(movements())]
    memory = Shown()
    for _ in range(3):
        for kind in OwnerKind:
            expected = [transaction_body(movement, kind) for movement in movements()]

            assert msgspec.json.encode(memory.transactions(page, kind)) == msgspec.json.encode(expected)
