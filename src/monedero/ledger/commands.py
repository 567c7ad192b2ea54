"""What can be asked of the ledger. Ids and times come in with the command, so that deciding stays pure.

Every `id` is new and becomes the id of the event; every `at` is microseconds since 1970 in UTC.
"""

import msgspec

from monedero.ledger.ids import OwnerId, TransactionId, WalletId
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind, Profile


class RegisterOwner(msgspec.Struct, frozen=True, gc=False):
    """Sign up a customer or a business. `salt` is 16 random bytes for the profile's digest."""

    id: OwnerId
    at: int
    kind: OwnerKind
    profile: Profile
    salt: bytes


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


Command = RegisterOwner | OpenWallet | Deposit | Debit
