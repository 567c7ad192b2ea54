"""The wallets that a movement is between, and how it leaves them."""

from monedero.ledger.commands import Debit, PlaceHold
from monedero.ledger.errors import CurrencyMismatch, Refusal, UnknownWallet
from monedero.ledger.events import DenialReason, Posting
from monedero.ledger.ids import WalletId
from monedero.ledger.money import BALANCE_LIMIT, Units
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import State, Wallet


def wallet_of(state: State, wallet_id: WalletId, kind: OwnerKind) -> Wallet | None:
    """Return the wallet if it exists and is of that kind: another kind is unknown there."""
    wallet = state.wallets.get(wallet_id)
    return wallet if wallet is not None and wallet.owner_kind is kind else None


def customer_and_business(state: State, command: Debit | PlaceHold) -> tuple[Wallet, Wallet] | Refusal:
    """Return the wallets that a business and its customer name, if the one may pay the other."""
    business = wallet_of(state, command.business_wallet_id, OwnerKind.BUSINESS)
    if business is None:
        return UnknownWallet(command.business_wallet_id)
    customer = wallet_of(state, command.customer_wallet_id, OwnerKind.CUSTOMER)
    if customer is None:
        return UnknownWallet(command.customer_wallet_id, "customer wallet")
    if customer.currency != business.currency:
        return CurrencyMismatch(customer.currency, business.currency)
    return customer, business


def denial(amount: Units, payer: Wallet, payee: Wallet | None) -> DenialReason | None:
    """Return why the money cannot move."""
    if amount > payer.balance - payer.held:
        return "insufficient_funds"
    if payee is not None and payee.balance + amount > BALANCE_LIMIT:
        return "balance_limit"
    return None


def after(wallet: Wallet, amount: int, *, held: int = 0) -> Posting:
    """Return the wallet's side of a movement that adds `amount` to the balance and `held` to what is held."""
    return Posting(wallet.id, Units(wallet.balance + amount), wallet.version + 1, Units(wallet.held + held))


def as_is(wallet: Wallet) -> Posting:
    """Return the side of a wallet that nothing happens to."""
    return Posting(wallet.id, wallet.balance, wallet.version, wallet.held)
