"""The simplest ledger there is: a few dictionaries, and what each command does to them."""

from dataclasses import dataclass, field
from typing import assert_never

from monedero.ledger.commands import (
    Capture,
    Command,
    Debit,
    Deposit,
    EraseOwner,
    ExpireHold,
    OpenWallet,
    Payout,
    PlaceHold,
    Refund,
    RegisterOwner,
    Transfer,
    VoidHold,
    Withdraw,
)
from monedero.ledger.ids import OwnerId, WalletId
from monedero.ledger.money import BALANCE_LIMIT
from monedero.ledger.profiles import OwnerKind

CUSTOMER, BUSINESS = OwnerKind.CUSTOMER, OwnerKind.BUSINESS


@dataclass
class Wallet:
    """What there is, what of it is held, and the history: kind, status and amount of each transaction."""

    kind: OwnerKind
    owner: OwnerId
    balance: int = 0
    held: int = 0
    history: list[tuple[str, str, int]] = field(default_factory=list)


@dataclass
class Hold:
    """What is held for whom, until when, and what has become of it."""

    payer: WalletId
    payee: WalletId
    amount: int
    expires_at: int
    captured: int = 0
    status: str = "open"


@dataclass
class Paid:
    """A debit or capture, and how much of it has been given back."""

    payer: WalletId
    payee: WalletId
    amount: int
    refunded: int = 0


class Model:
    """Wallets, owners, holds and what can be refunded; how much came in and went out; how many events there are."""

    def __init__(self) -> None:
        self.wallets: dict[WalletId, Wallet] = {}
        self.owners: dict[OwnerId, OwnerKind] = {}
        self.emails: set[tuple[OwnerKind, str]] = set()
        self.holds: dict[str, Hold] = {}
        self.paid: dict[str, Paid] = {}
        self.deposited = 0
        self.paid_out = 0
        self.events = 0

    def perform(self, command: Command) -> str:  # noqa: C901, PLR0911, PLR0912 - a line for each
        """Do what a command asks; return the status of what was recorded, or the name of the refusal."""
        match command:
            case RegisterOwner():
                return self._register(command)
            case OpenWallet():
                return self._open(command)
            case Deposit():
                return self._deposit(command)
            case Debit():
                return self._debit(command)
            case Refund():
                return self._refund(command)
            case PlaceHold():
                return self._hold(command)
            case Capture():
                return self._capture(command)
            case VoidHold() | ExpireHold():
                return self._end(command)
            case Payout():
                return self._leave("payout", command, BUSINESS)
            case Withdraw():
                return self._leave("withdrawal", command, CUSTOMER)
            case Transfer():
                return self._transfer(command)
            case EraseOwner():
                raise TypeError("an erasure moves nothing: tests/api/test_erasure.py")
            case _:
                assert_never(command)

    def _register(self, command: RegisterOwner) -> str:
        key = command.kind, command.profile.email.casefold()
        if key in self.emails:
            return "EmailTaken"
        self.emails.add(key)
        self.owners[command.id] = command.kind
        self.events += 1
        return "registered"

    def _open(self, command: OpenWallet) -> str:
        if self.owners.get(command.owner_id) is not command.owner_kind:
            return "UnknownOwner"
        if command.owner_kind is BUSINESS and any(each.owner == command.owner_id for each in self.wallets.values()):
            return "BusinessHasWallet"
        self.wallets[command.id] = Wallet(command.owner_kind, command.owner_id)
        self.events += 1
        return "opened"

    def _deposit(self, command: Deposit) -> str:
        if not self._is(command.wallet_id, CUSTOMER):
            return "UnknownWallet"
        wallet = self.wallets[command.wallet_id]
        if wallet.balance + command.amount > BALANCE_LIMIT:
            return "BalanceLimit"
        wallet.balance += command.amount
        self.deposited += command.amount
        return self._note("deposit", "accepted", command.amount, command.wallet_id)

    def _debit(self, command: Debit) -> str:
        payer, payee = command.customer_wallet_id, command.business_wallet_id
        if not self._is(payee, BUSINESS) or not self._is(payer, CUSTOMER):
            return "UnknownWallet"
        status = self._move("debit", command.amount, payer, payee)
        if status == "accepted":
            self.paid[command.id] = Paid(payer, payee, command.amount)
        return status

    def _refund(self, command: Refund) -> str:
        paid = self.paid.get(command.debit_id)
        if paid is None:
            return "UnknownTransaction"
        left = paid.amount - paid.refunded
        amount = left if command.amount is None else command.amount
        if amount > left or left == 0:
            return "RefundTooLarge"
        status = self._move("refund", amount, paid.payee, paid.payer)
        if status == "accepted":
            paid.refunded += amount
        return status

    def _hold(self, command: PlaceHold) -> str:
        payer, payee = command.customer_wallet_id, command.business_wallet_id
        if not self._is(payee, BUSINESS) or not self._is(payer, CUSTOMER):
            return "UnknownWallet"
        if command.expires_at <= command.at:
            return "ExpiryNotAhead"
        if command.amount > self._available(payer):
            return self._note("hold", "denied", command.amount, payer, payee)
        self.wallets[payer].held += command.amount
        self.holds[command.id] = Hold(payer, payee, command.amount, command.expires_at)
        return self._note("hold", "placed", command.amount, payer, payee)

    def _capture(self, command: Capture) -> str:
        hold = self.holds.get(command.hold_id)
        if hold is None:
            return "UnknownHold"
        if hold.status != "open" or command.at >= hold.expires_at:
            return "HoldClosed"
        left = hold.amount - hold.captured
        amount = left if command.amount is None else command.amount
        if amount > left:
            return "CaptureTooLarge"
        payer, payee = self.wallets[hold.payer], self.wallets[hold.payee]
        if payee.balance + amount > BALANCE_LIMIT:
            return "BalanceLimit"
        hold.captured += amount
        over = command.final or amount == left
        hold.status = "captured" if over else "open"
        payer.held -= left if over else amount
        payer.balance -= amount
        payee.balance += amount
        self.paid[command.id] = Paid(hold.payer, hold.payee, amount)
        return self._note("capture", "accepted", amount, hold.payer, hold.payee)

    def _end(self, command: VoidHold | ExpireHold) -> str:
        hold = self.holds.get(command.hold_id)
        if hold is None:
            return "UnknownHold"
        over = command.at >= hold.expires_at
        if hold.status != "open" or (over and isinstance(command, VoidHold)):
            return "HoldClosed"
        if not over and isinstance(command, ExpireHold):
            return "HoldNotDue"
        left = hold.amount - hold.captured
        self.wallets[hold.payer].held -= left
        hold.status = "expired" if over else "voided"
        return self._note("hold", hold.status, left, hold.payer, hold.payee)

    def _leave(self, kind: str, command: Payout | Withdraw, owner: OwnerKind) -> str:
        if not self._is(command.wallet_id, owner):
            return "UnknownWallet"
        if command.amount > self._available(command.wallet_id):
            return self._note(kind, "denied", command.amount, command.wallet_id)
        self.wallets[command.wallet_id].balance -= command.amount
        self.paid_out += command.amount
        return self._note(kind, "accepted", command.amount, command.wallet_id)

    def _transfer(self, command: Transfer) -> str:
        payer, payee = command.payer_wallet_id, command.payee_wallet_id
        if not self._is(payer, CUSTOMER) or not self._is(payee, CUSTOMER):
            return "UnknownWallet"
        if payer == payee:
            return "SelfTransfer"
        if self.wallets[payer].owner != self.wallets[payee].owner:
            return "NotOneCustomer"
        return self._move("transfer", command.amount, payer, payee)

    def _move(self, kind: str, amount: int, payer: WalletId, payee: WalletId) -> str:
        if amount > self._available(payer) or self.wallets[payee].balance + amount > BALANCE_LIMIT:
            return self._note(kind, "denied", amount, payer, payee)
        self.wallets[payer].balance -= amount
        self.wallets[payee].balance += amount
        return self._note(kind, "accepted", amount, payer, payee)

    def _note(self, kind: str, status: str, amount: int, *wallets: WalletId) -> str:
        for wallet in wallets:
            self.wallets[wallet].history.append((kind, status, amount))
        self.events += 1
        return status

    def _is(self, wallet: WalletId, kind: OwnerKind) -> bool:
        return wallet in self.wallets and self.wallets[wallet].kind is kind

    def _available(self, wallet: WalletId) -> int:
        return self.wallets[wallet].balance - self.wallets[wallet].held
