"""The refusals of the ledger: values, not exceptions, each with its data, a stable code and a sentence.

    Refusal
    ├── UnknownOwner        unknown_customer, unknown_business
    ├── UnknownWallet       unknown_wallet, unknown_customer_wallet
    ├── UnknownTransaction  unknown_transaction
    ├── EmailTaken          email_taken
    ├── BusinessHasWallet   business_has_wallet
    ├── CurrencyMismatch    currency_mismatch
    └── BalanceLimit        balance_limit

A debit that lacks the money is no refusal: it is recorded, as the event `debit.denied`.
"""

import msgspec

from monedero.ledger.ids import OwnerId, TransactionId, WalletId
from monedero.ledger.money import BALANCE_LIMIT, render_amount
from monedero.ledger.profiles import OwnerKind

_LIMIT_SENTENCE = f"No wallet can hold more than {render_amount(BALANCE_LIMIT)}"

DENIALS = {
    "insufficient_funds": "The amount debited must be less than the existing balance",
    "balance_limit": _LIMIT_SENTENCE,
}
"""The sentence for each reason of a denied debit. The first is the contract's, kept word for word."""


class Refusal(msgspec.Struct, frozen=True):
    """A command that the rules refuse: nothing was recorded."""

    @property
    def code(self) -> str:
        """A stable name for programs."""
        raise NotImplementedError  # Each kind of refusal has its own.

    @property
    def sentence(self) -> str:
        """What a person reads."""
        raise NotImplementedError  # Each kind of refusal has its own.


class UnknownOwner(Refusal, frozen=True):
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


class UnknownWallet(Refusal, frozen=True):
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


class UnknownTransaction(Refusal, frozen=True):
    """No deposit or debit has that id."""

    id: TransactionId

    code = "unknown_transaction"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"There is no transaction with id {self.id}"


class EmailTaken(Refusal, frozen=True):
    """Another owner of the same kind has signed up with that e-mail."""

    code = "email_taken"
    sentence = "That email has already been used to create another account"


class BusinessHasWallet(Refusal, frozen=True):
    """A business has one wallet and asked for a second."""

    code = "business_has_wallet"
    sentence = "There can only be one wallet per business"


class CurrencyMismatch(Refusal, frozen=True):
    """The two wallets hold different currencies; the ledger never converts."""

    payer: str
    payee: str

    code = "currency_mismatch"

    @property
    def sentence(self) -> str:
        """See Refusal.sentence."""
        return f"A wallet in {self.payer} cannot pay a wallet in {self.payee}"


class BalanceLimit(Refusal, frozen=True):
    """The balance would leave the range of 64 bits."""

    code = "balance_limit"
    sentence = _LIMIT_SENTENCE
