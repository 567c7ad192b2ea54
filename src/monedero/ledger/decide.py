"""State and command in, one event or a refusal out: each rule of money stands here, once."""

from collections.abc import Iterable
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
from monedero.ledger.errors import (
    BalanceLimit,
    BusinessHasWallet,
    CurrencyMismatch,
    EmailTaken,
    MoneyLeft,
    NotOneCustomer,
    NotRefundable,
    RefundTooLarge,
    Refusal,
    SelfTransfer,
    UnknownOwner,
    UnknownTransaction,
    UnknownWallet,
)
from monedero.ledger.events import (
    BusinessRegistered,
    CustomerRegistered,
    DebitAccepted,
    DebitDenied,
    DepositAccepted,
    Event,
    PayoutAccepted,
    PayoutDenied,
    RefundAccepted,
    RefundDenied,
    TransferAccepted,
    TransferDenied,
    WalletOpened,
    WithdrawalAccepted,
    WithdrawalDenied,
)
from monedero.ledger.holds import capture, place_hold, release
from monedero.ledger.money import BALANCE_LIMIT, Units
from monedero.ledger.parties import after, as_is, customer_and_business, denial, wallet_of
from monedero.ledger.profiles import OwnerKind, profile_digest
from monedero.ledger.state import Erased, State, Touched


def touched(commands: Iterable[Command]) -> Touched:
    """Name what must be loaded before these commands can be decided."""
    needs = Touched()
    for command in commands:
        match command:
            case Debit() | PlaceHold():
                needs.wallets.add(command.business_wallet_id)
                needs.wallets.add(command.customer_wallet_id)
            case Deposit() | Payout() | Withdraw():
                needs.wallets.add(command.wallet_id)
            case Transfer():
                needs.wallets.add(command.payer_wallet_id)
                needs.wallets.add(command.payee_wallet_id)
            case Refund():
                needs.debited.add(command.debit_id)
            case Capture() | VoidHold() | ExpireHold():
                needs.holds.add(command.hold_id)
            case OpenWallet():
                needs.owners.add(command.owner_id)
            case EraseOwner():
                needs.owners.add(command.id)
            case RegisterOwner():
                needs.emails.add((command.kind, command.profile.email_key))
            case _:
                assert_never(command)
    return needs


def decide(state: State, command: Command) -> Event | Erased | Refusal:  # noqa: C901, PLR0911, PLR0912 - a line for each
    """Answer a command with the event that follows from it, or with the refusal; an erasure leaves no event.

    Changes nothing.
    """
    match command:
        case Debit():
            return _debit(state, command)
        case Deposit():
            return _deposit(state, command)
        case PlaceHold():
            return place_hold(state, command)
        case Capture():
            return capture(state, command)
        case VoidHold() | ExpireHold():
            return release(state, command)
        case Refund():
            return _refund(state, command)
        case Transfer():
            return _transfer(state, command)
        case Payout():
            return _pay_out(state, command)
        case Withdraw():
            return _withdraw(state, command)
        case OpenWallet():
            return _open_wallet(state, command)
        case RegisterOwner():
            return _register_owner(state, command)
        case EraseOwner():
            return _erase_owner(state, command)
        case _:
            assert_never(command)


def _debit(state: State, command: Debit) -> DebitAccepted | DebitDenied | Refusal:
    parties = customer_and_business(state, command)
    if isinstance(parties, Refusal):
        return parties
    customer, business = parties
    amount = command.amount
    if reason := denial(amount, customer, business):
        return DebitDenied(
            command.id, command.at, amount, as_is(customer), as_is(business), reason, command.description
        )
    return DebitAccepted(
        command.id, command.at, amount, after(customer, -amount), after(business, amount), command.description
    )


def _deposit(state: State, command: Deposit) -> DepositAccepted | Refusal:
    wallet = wallet_of(state, command.wallet_id, OwnerKind.CUSTOMER)
    if wallet is None:
        return UnknownWallet(command.wallet_id)
    if wallet.balance + command.amount > BALANCE_LIMIT:
        return BalanceLimit()
    return DepositAccepted(command.id, command.at, command.amount, after(wallet, command.amount), command.description)


def _refund(state: State, command: Refund) -> RefundAccepted | RefundDenied | Refusal:
    debit = state.debited.get(command.debit_id)
    if debit is None:
        return (NotRefundable if command.debit_id in state.not_debited else UnknownTransaction)(command.debit_id)
    amount = debit.refundable if command.amount is None else command.amount
    if not 0 < amount <= debit.refundable:
        return RefundTooLarge(command.amount, debit.refundable)
    business, customer = state.wallets[debit.payee], state.wallets[debit.payer]
    head = command.id, command.at, amount
    if reason := denial(amount, business, customer):
        return RefundDenied(*head, as_is(business), as_is(customer), debit.id, reason, command.description)
    total = Units(debit.refunded + amount)
    return RefundAccepted(
        *head, after(business, -amount), after(customer, amount), debit.id, total, command.description
    )


def _transfer(state: State, command: Transfer) -> TransferAccepted | TransferDenied | Refusal:  # noqa: PLR0911 - a line a rule
    payer = wallet_of(state, command.payer_wallet_id, OwnerKind.CUSTOMER)
    if payer is None:
        return UnknownWallet(command.payer_wallet_id)
    payee = wallet_of(state, command.payee_wallet_id, OwnerKind.CUSTOMER)
    if payee is None:
        return UnknownWallet(command.payee_wallet_id, "customer wallet")
    if payer.id == payee.id:
        return SelfTransfer()
    if payer.owner_id != payee.owner_id:
        return NotOneCustomer()
    if payer.currency != payee.currency:
        return CurrencyMismatch(payer.currency, payee.currency)
    head = command.id, command.at, command.amount
    if reason := denial(command.amount, payer, payee):
        return TransferDenied(*head, as_is(payer), as_is(payee), reason, command.description)
    return TransferAccepted(*head, after(payer, -command.amount), after(payee, command.amount), command.description)


def _pay_out(state: State, command: Payout) -> PayoutAccepted | PayoutDenied | Refusal:
    wallet = wallet_of(state, command.wallet_id, OwnerKind.BUSINESS)
    if wallet is None:
        return UnknownWallet(command.wallet_id)
    head = command.id, command.at, command.amount
    if reason := denial(command.amount, wallet, None):
        return PayoutDenied(*head, as_is(wallet), reason, command.description)
    return PayoutAccepted(*head, after(wallet, -command.amount), command.description)


def _withdraw(state: State, command: Withdraw) -> WithdrawalAccepted | WithdrawalDenied | Refusal:
    wallet = wallet_of(state, command.wallet_id, OwnerKind.CUSTOMER)
    if wallet is None:
        return UnknownWallet(command.wallet_id)
    head = command.id, command.at, command.amount
    if reason := denial(command.amount, wallet, None):
        return WithdrawalDenied(*head, as_is(wallet), reason, command.description)
    return WithdrawalAccepted(*head, after(wallet, -command.amount), command.description)


def _open_wallet(state: State, command: OpenWallet) -> WalletOpened | Refusal:
    owner = state.owners.get(command.owner_id)
    if owner is None or owner.kind is not command.owner_kind:
        return UnknownOwner(command.owner_kind, command.owner_id)
    if owner.kind is OwnerKind.BUSINESS and owner.has_wallet:
        return BusinessHasWallet()
    return WalletOpened(command.id, command.at, command.owner_kind, command.owner_id, command.currency)


def _erase_owner(state: State, command: EraseOwner) -> Erased | Refusal:
    owner = state.owners.get(command.id)
    if owner is None or owner.kind is not command.kind:
        return UnknownOwner(command.kind, command.id)
    if owner.has_money or any(wallet.balance > 0 for wallet in state.wallets.values() if wallet.owner_id == command.id):
        return MoneyLeft(owner.kind)
    return Erased(owner.id)


def _register_owner(state: State, command: RegisterOwner) -> CustomerRegistered | BusinessRegistered | Refusal:
    if (command.kind, command.profile.email_key) in state.emails:
        return EmailTaken()
    registered = CustomerRegistered if command.kind is OwnerKind.CUSTOMER else BusinessRegistered
    return registered(command.id, command.at, profile_digest(command.profile, command.salt))
