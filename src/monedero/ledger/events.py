"""What happened: the facts of the log, their stable names and the canonical bytes that are hashed.

An event's name ends in its version. A stored event is never edited: a changed shape gets a new name, and
`decode` upcasts the old one. Times are microseconds since 1970 in UTC, amounts units of 1/10,000.
"""

from typing import Literal

import msgspec

from monedero.ledger.ids import HoldId, OwnerId, TransactionId, WalletId
from monedero.ledger.money import ZERO, Units
from monedero.ledger.profiles import OwnerKind

DenialReason = Literal["insufficient_funds", "balance_limit"]


class _Fact(
    msgspec.Struct,
    frozen=True,
    gc=False,
    kw_only=True,
    tag_field="type",
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """What all events share: the encoding, in which fields stand in the order in which they are declared, these last.

    `trace` is the id of the trace that the request belongs to which caused the event, if one was recorded (W3C).
    """

    trace: str | None = None


class Posting(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """One side of a transaction: the wallet, with the balance, version and held money that it has afterwards."""

    wallet: WalletId
    balance: Units
    version: int
    held: Units = ZERO


class _Outwards(_Fact, frozen=True):
    """What leaves the ledger, or should have."""

    id: TransactionId
    at: int
    amount: Units
    payer: Posting


class _Between(_Outwards, frozen=True):
    """What goes from one wallet to another, or should have."""

    payee: Posting


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


class DebitAccepted(_Between, frozen=True, tag="debit.accepted.v1"):
    """Money went from a customer's wallet (the payer) into a business's wallet (the payee)."""

    description: str | None = None


class DebitDenied(_Between, frozen=True, tag="debit.denied.v2"):
    """A debit was refused and nothing moved: both wallets stand as stated."""

    reason: DenialReason
    description: str | None = None


class DebitDeniedV1(_Fact, frozen=True, tag="debit.denied.v1"):
    """A denied debit as it was recorded before there were holds: of the payee it names the wallet alone."""

    id: TransactionId
    at: int
    amount: Units
    payer: WalletId
    payee: WalletId
    reason: DenialReason
    available: Units
    description: str | None = None


class RefundAccepted(_Between, frozen=True, tag="refund.accepted.v1"):
    """Money of a debit or a capture went back to the customer; `refunded` is how much of it has, all in all."""

    debit: TransactionId
    refunded: Units
    description: str | None = None


class RefundDenied(_Between, frozen=True, tag="refund.denied.v1"):
    """A refund was refused and nothing moved."""

    debit: TransactionId
    reason: DenialReason
    description: str | None = None


class PayoutAccepted(_Outwards, frozen=True, tag="payout.accepted.v1"):
    """Money went from a business's wallet to the world outside."""

    description: str | None = None


class PayoutDenied(_Outwards, frozen=True, tag="payout.denied.v1"):
    """A payout was refused and nothing moved."""

    reason: DenialReason
    description: str | None = None


class WithdrawalAccepted(_Outwards, frozen=True, tag="withdrawal.accepted.v1"):
    """Money went from a customer's wallet to the world outside."""

    description: str | None = None


class WithdrawalDenied(_Outwards, frozen=True, tag="withdrawal.denied.v1"):
    """A withdrawal was refused and nothing moved."""

    reason: DenialReason
    description: str | None = None


class TransferAccepted(_Between, frozen=True, tag="transfer.accepted.v1"):
    """Money went from one wallet of a customer into another one."""

    description: str | None = None


class TransferDenied(_Between, frozen=True, tag="transfer.denied.v1"):
    """A transfer was refused and nothing moved."""

    reason: DenialReason
    description: str | None = None


class HoldPlaced(_Between, frozen=True, tag="hold.placed.v1"):
    """Money in the customer's wallet (the payer) was set aside for the business (the payee, unchanged)."""

    expires_at: int
    description: str | None = None


class HoldDenied(_Between, frozen=True, tag="hold.denied.v1"):
    """A hold was refused and nothing was set aside."""

    reason: DenialReason
    description: str | None = None


class CaptureAccepted(_Between, frozen=True, tag="capture.accepted.v1"):
    """Held money went into the business's wallet: `captured` of the hold so far.

    `final` says that the hold is over, and what was left of it free again.
    """

    hold: HoldId
    captured: Units
    final: bool
    description: str | None = None


class HoldVoided(_Between, frozen=True, tag="hold.voided.v1"):
    """The business gave up what was left of a hold: `amount` is free again."""

    hold: HoldId
    description: str | None = None


class HoldExpired(_Between, frozen=True, tag="hold.expired.v1"):
    """The time of a hold was over: `amount`, what was left of it, is free again."""

    hold: HoldId
    description: str | None = None


Denied = DebitDenied | RefundDenied | PayoutDenied | WithdrawalDenied | TransferDenied | HoldDenied
"""What was refused for the money, which is recorded: both sides are stated as they stay."""
AnyDenied = Denied | DebitDeniedV1
"""The denied debits of before too, which state only what was available."""
Accepted = (
    DepositAccepted
    | DebitAccepted
    | RefundAccepted
    | PayoutAccepted
    | WithdrawalAccepted
    | TransferAccepted
    | CaptureAccepted
)
"""What moved money."""
Movement = Accepted | HoldPlaced | HoldVoided | HoldExpired | AnyDenied
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
        case DepositAccepted():
            return None, event.payee.wallet
        case CustomerRegistered() | BusinessRegistered() | WalletOpened():
            return None, None
        case DebitDeniedV1():
            return event.payer, event.payee
        case PayoutAccepted() | PayoutDenied() | WithdrawalAccepted() | WithdrawalDenied():
            return event.payer.wallet, None
        case _:
            return event.payer.wallet, event.payee.wallet


def kind_and_status(event: Event) -> tuple[str, str]:
    """Return the two words of an event's name: `debit` and `accepted`, `hold` and `placed`."""
    kind, status, _ = str(type(event).__struct_config__.tag).split(".")
    return kind, status
