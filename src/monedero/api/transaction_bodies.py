"""How transactions and holds are shown."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from monedero.api.schemas import AmountOut, Id, Timestamp, amount_out
from monedero.api.times import timestamp
from monedero.ledger.errors import denial_sentence
from monedero.ledger.events import (
    AnyDenied,
    CaptureAccepted,
    DebitDeniedV1,
    DepositAccepted,
    HoldExpired,
    HoldPlaced,
    HoldVoided,
    Movement,
    PayoutAccepted,
    PayoutDenied,
    Posting,
    RefundAccepted,
    RefundDenied,
    TransferAccepted,
    TransferDenied,
    WithdrawalAccepted,
    WithdrawalDenied,
    kind_and_status,
    sides,
)
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Debited, Hold

_DOCUMENTED = {"deposit", "debit"}
"""The kinds whose listed bodies are the contract's, which names no kind."""

KINDS = ("deposit", "debit", "refund", "payout", "withdrawal", "transfer", "hold", "capture")
STATUSES = ("accepted", "denied", "placed", "voided", "expired")
Kind = Annotated[str, Meta(extra_json_schema={"enum": list(KINDS)})]
Status = Annotated[str, Meta(extra_json_schema={"enum": list(STATUSES)})]


class TransactionBody(msgspec.Struct, frozen=True):
    """A transaction in a listing: `error` is there when it was denied, and the other side's wallet if there is one.

    `kind` is there for all but deposits and debits.
    """

    amount: AmountOut
    description: str | None
    status: Status
    created_at: Timestamp
    id: Id
    error: str | UnsetType = UNSET
    business_wallet_id: Id | UnsetType = UNSET
    customer_wallet_id: Id | UnsetType = UNSET
    kind: Kind | UnsetType = UNSET
    payer_wallet_id: Id | UnsetType = UNSET
    payee_wallet_id: Id | UnsetType = UNSET


class TransactionsBody(msgspec.Struct, frozen=True):
    """A page of transactions, newest first; `next` is there when more follow."""

    transactions: list[TransactionBody]
    next: str | UnsetType = UNSET


class WalletTransactionsBody(msgspec.Struct, frozen=True):
    """A wallet and those of its transactions that are on this page, newest first."""

    id: Id
    transactions: list[TransactionBody]


class CustomerTransactionsBody(msgspec.Struct, frozen=True):
    """A page of a customer's history over all wallets; `next` is there when more follows."""

    wallets: list[WalletTransactionsBody]
    next: str | UnsetType = UNSET


class SideBody(msgspec.Struct, frozen=True):
    """One side of a transaction: the wallet as the transaction left it."""

    wallet_id: Id
    balance: AmountOut
    held: AmountOut
    version: Annotated[int, Meta(ge=0)]


class TransactionDetailBody(msgspec.Struct, frozen=True):
    """Everything about a transaction; `position` is its place in the log.

    `payer` and `payee` are absent where that side is the world outside. A debit and a capture show what was refunded of
    them and what still can be, a refund the debit that it gives back, what happens to a hold the hold.
    """

    id: Id
    kind: Kind
    status: Status
    amount: AmountOut
    description: str | None
    created_at: Timestamp
    customer_wallet_id: Id | None
    business_wallet_id: Id | None
    error: str | None
    position: Annotated[int, Meta(ge=0)]
    payer: SideBody | UnsetType = UNSET
    payee: SideBody | UnsetType = UNSET
    refunded: AmountOut | UnsetType = UNSET
    refundable: AmountOut | UnsetType = UNSET
    debit_id: Id | UnsetType = UNSET
    hold_id: Id | UnsetType = UNSET
    captured: AmountOut | UnsetType = UNSET
    expires_at: Timestamp | UnsetType = UNSET


class HoldBody(msgspec.Struct, frozen=True):
    """A hold: `capturable` is what it still holds."""

    id: Id
    status: Annotated[str, Meta(extra_json_schema={"enum": ["open", "captured", "voided", "expired"]})]
    amount: AmountOut
    captured: AmountOut
    capturable: AmountOut
    customer_wallet_id: Id
    business_wallet_id: Id
    expires_at: Timestamp


def transaction_body(movement: Movement, seen_by: OwnerKind) -> TransactionBody:
    """Show a transaction in the listing of a customer's or a business's wallet."""
    kind, status = kind_and_status(movement)
    customer_wallet_id, business_wallet_id = _parties(movement)
    payer, payee = sides(movement) if isinstance(movement, TransferAccepted | TransferDenied) else (None, None)
    by_customer = seen_by is OwnerKind.CUSTOMER
    return TransactionBody(
        amount_out(movement.amount),
        movement.description,
        status,
        timestamp(movement.at),
        movement.id,
        _error(movement) or UNSET,
        business_wallet_id or UNSET if by_customer else UNSET,
        UNSET if by_customer else customer_wallet_id or UNSET,
        UNSET if kind in _DOCUMENTED else kind,
        payer or UNSET,
        payee or UNSET,
    )


def transaction_detail_body(movement: Movement, position: int, debit: Debited | None = None) -> TransactionDetailBody:
    """Show everything about a transaction; `debit` is what there is to be refunded of it."""
    kind, status = kind_and_status(movement)
    customer_wallet_id, business_wallet_id = _parties(movement)
    payer, payee = (None, None) if isinstance(movement, DebitDeniedV1) else _sides(movement)
    return TransactionDetailBody(
        movement.id,
        kind,
        status,
        amount_out(movement.amount),
        movement.description,
        timestamp(movement.at),
        customer_wallet_id,
        business_wallet_id,
        _error(movement),
        position,
        _side(payer),
        _side(payee),
        UNSET if debit is None else amount_out(debit.refunded),
        UNSET if debit is None else amount_out(debit.refundable),
        movement.debit if isinstance(movement, RefundAccepted | RefundDenied) else UNSET,
        movement.hold if isinstance(movement, CaptureAccepted | HoldVoided | HoldExpired) else UNSET,
        amount_out(movement.captured) if isinstance(movement, CaptureAccepted) else UNSET,
        timestamp(movement.expires_at) if isinstance(movement, HoldPlaced) else UNSET,
    )


def hold_body(hold: Hold) -> HoldBody:
    """Show a hold."""
    return HoldBody(
        hold.id,
        hold.status,
        amount_out(hold.amount),
        amount_out(hold.captured),
        amount_out(hold.capturable),
        hold.payer,
        hold.payee,
        timestamp(hold.expires_at),
    )


def available(movement: AnyDenied) -> Units:
    """Return what could have been taken of the payer's wallet when a movement was denied."""
    if isinstance(movement, DebitDeniedV1):
        return movement.available
    return Units(movement.payer.balance - movement.payer.held)


def _error(movement: Movement) -> str | None:
    """Return why a transaction was denied, None when it was not."""
    if not isinstance(movement, AnyDenied):
        return None
    return denial_sentence(kind_and_status(movement)[0], movement.reason)


def _parties(movement: Movement) -> tuple[str | None, str | None]:
    """Return the customer's wallet, of two the payer's, and the business's."""
    payer, payee = sides(movement)
    match movement:
        case DepositAccepted():
            return payee, None
        case PayoutAccepted() | PayoutDenied():
            return None, payer
        case RefundAccepted() | RefundDenied():
            return payee, payer
        case WithdrawalAccepted() | WithdrawalDenied() | TransferAccepted() | TransferDenied():
            return payer, None
        case _:
            return payer, payee


def _sides(movement: Movement) -> tuple[Posting | None, Posting | None]:
    return getattr(movement, "payer", None), getattr(movement, "payee", None)


def _side(posting: Posting | None) -> SideBody | UnsetType:
    if posting is None:
        return UNSET
    return SideBody(posting.wallet, amount_out(posting.balance), amount_out(posting.held), posting.version)
