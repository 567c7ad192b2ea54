"""What a decision needs to know: the wallets, owners, e-mails, holds and refunds that a command touches."""

from typing import Literal

import msgspec

from monedero.ledger.claims import Claim
from monedero.ledger.ids import HoldId, OwnerId, TransactionId, WalletId
from monedero.ledger.money import ZERO, Units
from monedero.ledger.profiles import OwnerKind


class Wallet(msgspec.Struct, frozen=True, gc=False):
    """A wallet as its last event left it.

    `number` is the position of the event that opened it and `position` that of the last one that changed
    its money, of which `held` is set aside; `version` counts those. Times are microseconds since 1970 in UTC.
    """

    id: WalletId
    number: int
    owner_kind: OwnerKind
    owner_id: OwnerId
    currency: str
    balance: Units
    version: int
    created_at: int
    modified_at: int
    position: int
    held: Units = ZERO

    @property
    def available(self) -> Units:
        """What can be taken: the balance without what is held."""
        return Units(self.balance - self.held)


class Owner(msgspec.Struct, frozen=True, gc=False):
    """A registered customer or business, as far as decisions care. `has_money`: before the batch."""

    id: OwnerId
    kind: OwnerKind
    has_wallet: bool
    has_money: bool = False


class Erased(msgspec.Struct, frozen=True, gc=False):
    """The decision to forget an owner's personal data: it leaves no event, since the log has none of it."""

    id: OwnerId


HoldStatus = Literal["open", "captured", "voided", "expired"]


class Hold(msgspec.Struct, frozen=True, gc=False):
    """Money set aside in the customer's wallet `payer` for the business's wallet `payee`.

    `number` is the position of the event that placed it, `position` that of the last one that changed it. Only an
    open hold holds anything: what has not been captured of it.
    """

    id: HoldId
    number: int
    payer: WalletId
    payee: WalletId
    amount: Units
    expires_at: int
    captured: Units
    status: HoldStatus
    position: int

    @property
    def capturable(self) -> Units:
        """What can still be taken."""
        return Units(self.amount - self.captured) if self.status == "open" else ZERO


class Debited(msgspec.Struct, frozen=True, gc=False):
    """An accepted debit or capture, at the position `number`, and how much of it has been refunded."""

    id: TransactionId
    number: int
    payer: WalletId
    payee: WalletId
    amount: Units
    refunded: Units

    @property
    def refundable(self) -> Units:
        """What can still be given back."""
        return Units(self.amount - self.refunded)


Record = Wallet | Owner | Hold | Debited


class State(msgspec.Struct):
    """The working set of a batch. What is absent here does not exist in the ledger.

    Only `apply` changes it; the records in it are frozen.
    """

    wallets: dict[WalletId, Wallet] = {}
    owners: dict[OwnerId, Owner] = {}
    emails: set[tuple[OwnerKind, str]] = set()
    holds: dict[HoldId, Hold] = {}
    debited: dict[TransactionId, Debited] = {}
    claims: dict[bytes, Claim] = {}
    not_debited: set[TransactionId] = set()
    """Transactions that were looked for as debits, and are none."""

    def apply(self, changes: tuple[Record, ...]) -> None:
        """Put each record in the place of the one it follows."""
        for record in changes:
            match record:
                case Wallet():
                    self.wallets[record.id] = record
                case Owner():
                    self.owners[record.id] = record
                case Hold():
                    self.holds[record.id] = record
                case Debited():
                    self.debited[record.id] = record

    @property
    def parties(self) -> set[WalletId]:
        """The wallets that the holds and debits are between."""
        both: tuple[Hold | Debited, ...] = (*self.holds.values(), *self.debited.values())
        return {wallet for each in both for wallet in (each.payer, each.payee)}

    def copy(self) -> "State":
        """Return a state that may go its own way."""
        return State(
            dict(self.wallets),
            dict(self.owners),
            set(self.emails),
            dict(self.holds),
            dict(self.debited),
            dict(self.claims),
            set(self.not_debited),
        )


class Touched(msgspec.Struct):
    """Everything that a batch of commands needs to know before it is decided.

    Wallets that a hold or a debit names need not be named here. `claims` are digests of idempotency keys.
    """

    wallets: set[WalletId] = set()
    owners: set[OwnerId] = set()
    emails: set[tuple[OwnerKind, str]] = set()
    holds: set[HoldId] = set()
    debited: set[TransactionId] = set()
    claims: set[bytes] = set()
