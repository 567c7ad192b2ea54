"""What happened: the facts of the log, their stable names and the canonical bytes that are hashed.

An event's name ends in its version. A stored event is never edited: a changed shape gets a new name, and
`decode` upcasts the old one. Times are microseconds since 1970 in UTC, amounts units of 1/10,000.
"""

from typing import Literal

import msgspec

from monedero.ledger.ids import OwnerId, TransactionId, WalletId
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind

DenialReason = Literal["insufficient_funds", "balance_limit"]


class _Fact(msgspec.Struct, frozen=True, gc=False, tag_field="type", omit_defaults=True, forbid_unknown_fields=True):
    """What all events share: the encoding. Fields are written in the order in which they are declared."""


class Posting(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One side of a transaction: the wallet, with the balance and version that it has afterwards."""

    wallet: WalletId
    balance: Units
    version: int


class CustomerRegistered(_Fact, frozen=True, tag="customer.registered.v1"):
    """A customer signed up; `profile_digest` seals the personal data, which is not in the log."""

    id: OwnerId
    at: int
    profile_digest: str


class BusinessRegistered(_Fact, frozen=True, tag="business.registered.v1"):
    """A business signed up; `profile_digest` seals the personal data, which is not in the log."""

    id: OwnerId
    at: int
    profile_digest: str


class WalletOpened(_Fact, frozen=True, tag="wallet.opened.v1"):
    """An owner got a wallet, empty, in one currency for ever."""

    id: WalletId
    at: int
    owner_kind: OwnerKind
    owner_id: OwnerId
    currency: str


class DepositAccepted(_Fact, frozen=True, tag="deposit.accepted.v1"):
    """Money came from the world outside into a customer's wallet."""

    id: TransactionId
    at: int
    amount: Units
    payee: Posting
    description: str | None = None


class DebitAccepted(_Fact, frozen=True, tag="debit.accepted.v1"):
    """Money went from a customer's wallet (the payer) into a business's wallet (the payee)."""

    id: TransactionId
    at: int
    amount: Units
    payer: Posting
    payee: Posting
    description: str | None = None


class DebitDenied(_Fact, frozen=True, tag="debit.denied.v1"):
    """A debit was refused and nothing moved; `amount` was required, `available` was there."""

    id: TransactionId
    at: int
    amount: Units
    payer: WalletId
    payee: WalletId
    reason: DenialReason
    available: Units
    description: str | None = None


Movement = DepositAccepted | DebitAccepted | DebitDenied
"""An event that a listing of transactions shows."""
Event = CustomerRegistered | BusinessRegistered | WalletOpened | Movement


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """An event at its place in the log: `position` counts from 0 without a gap and is the Merkle leaf's index."""

    position: int
    event: Event


class EventUnreadableError(ValueError):
    """Stored bytes that are no event this version knows."""


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """Return the canonical bytes: compact JSON, fields in declared order, absent where None."""
    return _encoder.encode(event)


def decode(payload: bytes) -> Event:
    """Read an event back from its canonical bytes. Raises EventUnreadableError."""
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventUnreadableError(str(error)) from None


def sides(event: Event) -> tuple[WalletId | None, WalletId | None]:
    """Return the wallets that an event concerns as payer and payee; None is the world outside or nobody."""
    match event:
        case DebitAccepted():
            return event.payer.wallet, event.payee.wallet
        case DebitDenied():
            return event.payer, event.payee
        case DepositAccepted():
            return None, event.payee.wallet
        case CustomerRegistered() | BusinessRegistered() | WalletOpened():
            return None, None
