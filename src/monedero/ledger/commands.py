"""What can be asked of the ledger. Ids and times come in with the command, so that deciding stays pure.

Every `id` is new and becomes the id of the event; every `at` is microseconds since 1970 in UTC.
"""

import msgspec

from monedero.ledger.ids import HoldId, OwnerId, TransactionId, WalletId
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind, Profile


class RegisterOwner(msgspec.Struct, frozen=True, gc=False):
    """Sign up a customer or a business. `salt` is 16 random bytes for the profile's digest."""

    id: OwnerId
    at: int
    kind: OwnerKind
    profile: Profile
    salt: bytes


class EraseOwner(msgspec.Struct, frozen=True, gc=False):
    """Forget who an owner is. The ledger keeps the wallets and their history, which name nobody."""

    id: OwnerId
    at: int
    kind: OwnerKind


class OpenWallet(msgspec.Struct, frozen=True, gc=False):
    """Open a wallet for a registered owner; a business has at most one. `currency` is an ISO 4217 code."""

    id: WalletId
    at: int
    owner_kind: OwnerKind
    owner_id: OwnerId
    currency: str


class Deposit(msgspec.Struct, frozen=True, gc=False):
    """Bring money from the world outside into a customer's wallet."""

    id: TransactionId
    at: int
    wallet_id: WalletId
    amount: Units
    description: str | None


class Debit(msgspec.Struct, frozen=True, gc=False):
    """Take money from a customer's wallet into a business's wallet."""

    id: TransactionId
    at: int
    business_wallet_id: WalletId
    customer_wallet_id: WalletId
    amount: Units
    description: str | None


class Refund(msgspec.Struct, frozen=True, gc=False):
    """Give a debit or a capture back to the customer, in whole or in part; without an amount, all that is left."""

    id: TransactionId
    at: int
    debit_id: TransactionId
    amount: Units | None
    description: str | None


class Payout(msgspec.Struct, frozen=True, gc=False):
    """Pay money from a business's wallet out to the world outside."""

    id: TransactionId
    at: int
    wallet_id: WalletId
    amount: Units
    description: str | None


class Withdraw(msgspec.Struct, frozen=True, gc=False):
    """Pay money from a customer's wallet out to the world outside."""

    id: TransactionId
    at: int
    wallet_id: WalletId
    amount: Units
    description: str | None


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """Move money between two wallets of one customer."""

    id: TransactionId
    at: int
    payer_wallet_id: WalletId
    payee_wallet_id: WalletId
    amount: Units
    description: str | None


class PlaceHold(msgspec.Struct, frozen=True, gc=False):
    """Set money in a customer's wallet aside for a business, until it is captured, voided or expired."""

    id: HoldId
    at: int
    business_wallet_id: WalletId
    customer_wallet_id: WalletId
    amount: Units
    expires_at: int
    description: str | None


class Capture(msgspec.Struct, frozen=True, gc=False):
    """Take held money into the business's wallet; without an amount, all that is left.

    `final` gives what is left after it back to the customer.
    """

    id: TransactionId
    at: int
    hold_id: HoldId
    amount: Units | None
    final: bool


class VoidHold(msgspec.Struct, frozen=True, gc=False):
    """Give up what is left of a hold."""

    id: TransactionId
    at: int
    hold_id: HoldId


class ExpireHold(msgspec.Struct, frozen=True, gc=False):
    """Give back what is left of a hold whose time is over. The ledger asks this of itself."""

    id: TransactionId
    at: int
    hold_id: HoldId


Movement = Deposit | Debit | Refund | Payout | Withdraw | Transfer | PlaceHold | Capture | VoidHold
"""What a client may ask to be done with money."""
Command = RegisterOwner | EraseOwner | OpenWallet | Movement | ExpireHold
