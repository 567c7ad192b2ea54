"""The states that the rules of money are tried on."""

from monedero.ledger.commands import Capture, PlaceHold
from monedero.ledger.ids import HoldId, OwnerId, TransactionId, WalletId
from monedero.ledger.money import ZERO, Units
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Debited, Hold, HoldStatus, Owner, State, Wallet
from tests.support import capture

CUSTOMER, OTHER, BUSINESS = OwnerId("c"), OwnerId("o"), OwnerId("b")
PAYER, SECOND, DOLLARS, STRANGERS, PAYEE = (WalletId(each) for each in ("payer", "second", "dollars", "other", "payee"))
DEBIT, HOLD = TransactionId("debit"), HoldId(TransactionId("hold"))
NOBODYS, NOTHING = WalletId("x"), TransactionId("x")
PLACED, EXPIRES = 5, 1_000
"""When the hold of these states was placed, and when it ends."""


def given(payer: int = 0, payee: int = 0, *, held: int = 0, second: int = 0, currency: str = "EUR") -> State:
    """Return a customer's wallets and a business's with these balances in units; `held` of the payer's is held."""
    wallets = [
        Wallet(PAYER, 2, OwnerKind.CUSTOMER, CUSTOMER, "EUR", Units(payer), 1, 5, 5, 2, Units(held)),
        Wallet(PAYEE, 3, OwnerKind.BUSINESS, BUSINESS, currency, Units(payee), 1, 5, 5, 3),
        Wallet(SECOND, 4, OwnerKind.CUSTOMER, CUSTOMER, "EUR", Units(second), 1, 5, 5, 4),
        Wallet(DOLLARS, 5, OwnerKind.CUSTOMER, CUSTOMER, "USD", ZERO, 1, 5, 5, 5),
        Wallet(STRANGERS, 6, OwnerKind.CUSTOMER, OTHER, "EUR", ZERO, 1, 5, 5, 6),
    ]
    owners = [
        Owner(CUSTOMER, OwnerKind.CUSTOMER, has_wallet=True),
        Owner(OTHER, OwnerKind.CUSTOMER, has_wallet=True),
        Owner(BUSINESS, OwnerKind.BUSINESS, has_wallet=True),
    ]
    return State({each.id: each for each in wallets}, {each.id: each for each in owners})


def with_debit(state: State, amount: int = 30, refunded: int = 0) -> State:
    """Return the state with a debit of which so much has been refunded."""
    state.debited[DEBIT] = Debited(DEBIT, 7, PAYER, PAYEE, Units(amount), Units(refunded))
    return state


def with_hold(state: State, amount: int = 30, captured: int = 0, status: HoldStatus = "open") -> State:
    """Return the state with a hold until EXPIRES, of which so much has been captured."""
    state.holds[HOLD] = Hold(HOLD, 8, PAYER, PAYEE, Units(amount), EXPIRES, Units(captured), status, 8)
    return state


def new_hold(units: int, business: WalletId = PAYEE, customer: WalletId = PAYER) -> PlaceHold:
    """Return a command that holds until the time of the holds of these states, and comes early enough."""
    return PlaceHold(HOLD, PLACED, business, customer, Units(units), EXPIRES, "Reserva")


def captured(units: int | None = None, at: int = EXPIRES - 1, *, final: bool = False) -> Capture:
    """Return a capture of the hold of these states, by default at the last moment."""
    return capture(HOLD, units, at, final=final)
