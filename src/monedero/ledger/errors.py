"""The refusals of the ledger: values, not exceptions, each with its data, a stable code and a sentence.

    Refusal
    ├── UnknownOwner        unknown_customer, unknown_business
    ├── UnknownWallet       unknown_wallet, unknown_customer_wallet
    ├── UnknownTransaction  unknown_transaction
    ├── UnknownHold         unknown_hold
    ├── EmailTaken          email_taken
    ├── MoneyLeft           money_left
    ├── BusinessHasWallet   business_has_wallet
    ├── CurrencyMismatch    currency_mismatch
    ├── BalanceLimit        balance_limit
    ├── NotRefundable       not_refundable
    ├── RefundTooLarge      refund_too_large
    ├── CaptureTooLarge     capture_too_large
    ├── HoldClosed          hold_captured, hold_voided, hold_expired
    ├── ExpiryNotAhead      expiry_not_ahead
    ├── HoldNotDue          hold_not_due
    ├── SelfTransfer        self_transfer
    ├── NotOneCustomer      not_one_customer
    ├── VersionMismatch     version_mismatch
    ├── KeyReused           idempotency_key_reused
    └── BatchRefused        batch_refused

What lacks the money is no refusal: it is recorded, as an event such as `debit.denied`.
"""

from typing import Literal

import msgspec

from monedero.ledger.ids import HoldId, OwnerId, TransactionId, WalletId
from monedero.ledger.money import BALANCE_LIMIT, Units, render_amount
from monedero.ledger.profiles import OwnerKind

_LIMIT_SENTENCE = f"No wallet can hold more than {render_amount(BALANCE_LIMIT)}"

DENIALS = {
    "insufficient_funds": "The amount debited must be less than the existing balance",
    "balance_limit": _LIMIT_SENTENCE,
}
"""The sentence for each reason of a denied debit. The first is the contract's, kept word for word."""


def denial_sentence(kind: str, reason: str) -> str:
    """Return what a person reads of a denied movement of that kind."""
    if kind != "debit" and reason == "insufficient_funds":
        return f"The amount of the {kind} is more than what is available in the wallet"
    return DENIALS[reason]


class Refusal(msgspec.Struct, frozen=True, tag_field="refusal"):
    """A command that the rules refuse: nothing was recorded. Its fields are data for programs."""

    @property
    def code(self) -> str:
        """A stable name for programs."""
        raise NotImplementedError  # Each kind of refusal has its own.

    @property
    def sentence(self) -> str:
        """What a person reads."""
        raise NotImplementedError  # Each kind of refusal has its own.


class UnknownOwner(Refusal, frozen=True, tag=True):
    """No customer or business has that id."""

    kind: OwnerKind
    id: OwnerId

    @property
    def code(self) -> str:
        """See Refusal.code."""
        return f"unknown_{self.kind}"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"There is no {self.kind} with id {self.id}"


class UnknownWallet(Refusal, frozen=True, tag=True):
    """No wallet of the asked kind has that id; `noun` is how the contract speaks of it in that place."""

    id: WalletId
    noun: str = "wallet"

    @property
    def code(self) -> str:
        """See Refusal.code."""
        return f"unknown_{self.noun.replace(' ', '_')}"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"There is no {self.noun} with id {self.id}"


class UnknownTransaction(Refusal, frozen=True, tag=True):
    """No transaction has that id."""

    id: TransactionId

    code = "unknown_transaction"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"There is no transaction with id {self.id}"


class EmailTaken(Refusal, frozen=True, tag=True):
    """Another owner of the same kind has signed up with that e-mail."""

    code = "email_taken"
    sentence = "That email has already been used to create another account"


class MoneyLeft(Refusal, frozen=True, tag=True):
    """An owner is to be forgotten who still has money."""

    kind: OwnerKind

    code = "money_left"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"The {self.kind} still has money: withdraw it first"


class BusinessHasWallet(Refusal, frozen=True, tag=True):
    """A business has one wallet and asked for a second."""

    code = "business_has_wallet"
    sentence = "There can only be one wallet per business"


class CurrencyMismatch(Refusal, frozen=True, tag=True):
    """The two wallets hold different currencies; the ledger never converts."""

    payer: str
    payee: str

    code = "currency_mismatch"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"A wallet in {self.payer} cannot pay a wallet in {self.payee}"


class BalanceLimit(Refusal, frozen=True, tag=True):
    """The balance would leave the range of 64 bits."""

    code = "balance_limit"
    sentence = _LIMIT_SENTENCE


class UnknownHold(Refusal, frozen=True, tag=True):
    """No hold has that id."""

    id: HoldId

    code = "unknown_hold"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"There is no hold with id {self.id}"


class NotRefundable(Refusal, frozen=True, tag=True):
    """The transaction is no accepted debit and no capture."""

    id: TransactionId

    code = "not_refundable"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"The transaction {self.id} is no accepted debit or capture: it cannot be refunded"


class RefundTooLarge(Refusal, frozen=True, tag=True):
    """More should be given back than is left of the debit; units of 1/10,000. Without an amount, nothing is left."""

    required: Units | None
    refundable: Units

    code = "refund_too_large"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"Of the debit {render_amount(self.refundable)} can still be refunded"


class CaptureTooLarge(Refusal, frozen=True, tag=True):
    """More should be captured than is left of the hold; units of 1/10,000."""

    required: Units
    capturable: Units

    code = "capture_too_large"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"Of the hold {render_amount(self.capturable)} can still be captured"


class HoldClosed(Refusal, frozen=True, tag=True):
    """The hold is over and moves no money any more. `expires_at` is microseconds since 1970 in UTC."""

    status: Literal["captured", "voided", "expired"]
    expires_at: int

    @property
    def code(self) -> str:
        """See Refusal.code."""
        return f"hold_{self.status}"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"The hold is over: it was {self.status}" if self.status != "expired" else "The hold has expired"


class ExpiryNotAhead(Refusal, frozen=True, tag=True):
    """A hold was to expire before it began."""

    code = "expiry_not_ahead"
    sentence = "The value of 'expires_at' must lie in the future"


class HoldNotDue(Refusal, frozen=True, tag=True):
    """The time of the hold is not over."""

    code = "hold_not_due"
    sentence = "The hold has not expired"


class SelfTransfer(Refusal, frozen=True, tag=True):
    """Payer and payee are one wallet."""

    code = "self_transfer"
    sentence = "A wallet cannot transfer money to itself"


class NotOneCustomer(Refusal, frozen=True, tag=True):
    """The two wallets of a transfer belong to different customers."""

    code = "not_one_customer"
    sentence = "Money is transferred between wallets of one customer only"


class VersionMismatch(Refusal, frozen=True, tag=True):
    """The wallet is not at the version that the request is meant for."""

    version: int

    code = "version_mismatch"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"The wallet is at version {self.version}"


class KeyReused(Refusal, frozen=True, tag=True):
    """The idempotency key has been used for another request."""

    code = "idempotency_key_reused"
    sentence = "This Idempotency-Key has been used for another request"


class BatchRefused(Refusal, frozen=True, tag=True):
    """One command of an atomic batch was refused, or denied, so that none was carried out.

    `index` counts from 0; `cause` is the code of that refusal or the reason of that denial.
    """

    index: int
    cause: str
    reason: str

    code = "batch_refused"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"Nothing was done, because of the command at index {self.index}: {self.reason}"


AnyRefusal = (
    UnknownOwner
    | UnknownWallet
    | UnknownTransaction
    | UnknownHold
    | EmailTaken
    | MoneyLeft
    | BusinessHasWallet
    | CurrencyMismatch
    | BalanceLimit
    | NotRefundable
    | RefundTooLarge
    | CaptureTooLarge
    | HoldClosed
    | ExpiryNotAhead
    | HoldNotDue
    | SelfTransfer
    | NotOneCustomer
    | VersionMismatch
    | KeyReused
    | BatchRefused
)
"""Every refusal, for reading one back."""
