"""What a decision needs to know: the wallets, owners and e-mails that a command touches."""

import msgspec

from monedero.ledger.ids import OwnerId, WalletId
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind


class Wallet(msgspec.Struct, frozen=True, gc=False):
    """A wallet as its last event left it.

    `number` is the position of the event that opened it and `position` that of the last one that moved
    its money; `version` counts those. Times are microseconds since 1970 in UTC.
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


class Owner(msgspec.Struct, frozen=True, gc=False):
    """A registered customer or business, as far as decisions care."""

    id: OwnerId
    kind: OwnerKind
    has_wallet: bool


class State(msgspec.Struct):
    """The working set of a batch. What is absent here does not exist in the ledger.

    Only `apply` changes it; the records in it are frozen.
    """

    wallets: dict[WalletId, Wallet] = {}
    owners: dict[OwnerId, Owner] = {}
    emails: set[tuple[OwnerKind, str]] = set()

    def apply(self, changes: tuple[Wallet | Owner, ...]) -> None:
        """Put each record in the place of the one it follows."""
        for record in changes:
            if isinstance(record, Wallet):
                self.wallets[record.id] = record
            else:
                self.owners[record.id] = record


class Touched(msgspec.Struct):
    """Everything that a batch of commands needs loaded, and locked, before it is decided."""

    wallets: set[WalletId] = set()
    owners: set[OwnerId] = set()
    emails: set[tuple[OwnerKind, str]] = set()
