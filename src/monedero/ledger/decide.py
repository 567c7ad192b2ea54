"""State and command in, one event or a refusal out: each rule of money stands here, once."""

from collections.abc import Iterable
from typing import assert_never

from monedero.ledger.commands import Command, Debit, Deposit, OpenWallet, RegisterOwner
from monedero.ledger.errors import (
    BalanceLimit,
    BusinessHasWallet,
    CurrencyMismatch,
    EmailTaken,
    Refusal,
    UnknownOwner,
    UnknownWallet,
)
from monedero.ledger.events import (
    BusinessRegistered,
    CustomerRegistered,
    DebitAccepted,
    DebitDenied,
    DenialReason,
    DepositAccepted,
    Event,
    Posting,
    WalletOpened,
)
from monedero.ledger.ids import WalletId
from monedero.ledger.money import BALANCE_LIMIT, Units
from monedero.ledger.profiles import OwnerKind, profile_digest
from monedero.ledger.state import State, Touched, Wallet


def touched(commands: Iterable[Command]) -> Touched:
    """Name what must be loaded before these commands can be decided."""
    needs = Touched()
    for command in commands:
        match command:
            case Debit():
                needs.wallets.add(command.business_wallet_id)
                needs.wallets.add(command.customer_wallet_id)
            case Deposit():
                needs.wallets.add(command.wallet_id)
            case OpenWallet():
                needs.owners.add(command.owner_id)
            case RegisterOwner():
                needs.emails.add((command.kind, command.profile.email_key))
            case _:
                assert_never(command)
    return needs


def decide(state: State, command: Command) -> Event | Refusal:
    """Answer a command with the event that follows from it, or with the refusal. Changes nothing."""
    match command:
        case Debit():
            return _debit(state, command)
        case Deposit():
            return _deposit(state, command)
        case OpenWallet():
            return _open_wallet(state, command)
        case RegisterOwner():
            return _register_owner(state, command)
        case _:
            assert_never(command)


def _debit(state: State, command: Debit) -> DebitAccepted | DebitDenied | Refusal:
    business = _wallet(state, command.business_wallet_id, OwnerKind.BUSINESS)
    if business is None:
        return UnknownWallet(command.business_wallet_id)
    customer = _wallet(state, command.customer_wallet_id, OwnerKind.CUSTOMER)
    if customer is None:
        return UnknownWallet(command.customer_wallet_id, "customer wallet")
    if customer.currency != business.currency:
        return CurrencyMismatch(customer.currency, business.currency)
    if command.amount > customer.balance:
        return _deny(command, customer, "insufficient_funds")
    if business.balance + command.amount > BALANCE_LIMIT:
        return _deny(command, customer, "balance_limit")
    return DebitAccepted(
        command.id,
        command.at,
        command.amount,
        Posting(customer.id, Units(customer.balance - command.amount), customer.version + 1),
        Posting(business.id, Units(business.balance + command.amount), business.version + 1),
        command.description,
    )


def _deny(command: Debit, customer: Wallet, reason: DenialReason) -> DebitDenied:
    return DebitDenied(
        command.id,
        command.at,
        command.amount,
        command.customer_wallet_id,
        command.business_wallet_id,
        reason,
        customer.balance,
        command.description,
    )


def _deposit(state: State, command: Deposit) -> DepositAccepted | Refusal:
    wallet = _wallet(state, command.wallet_id, OwnerKind.CUSTOMER)
    if wallet is None:
        return UnknownWallet(command.wallet_id)
    balance = Units(wallet.balance + command.amount)
    if balance > BALANCE_LIMIT:
        return BalanceLimit()
    return DepositAccepted(
        command.id, command.at, command.amount, Posting(wallet.id, balance, wallet.version + 1), command.description
    )


def _open_wallet(state: State, command: OpenWallet) -> WalletOpened | Refusal:
    owner = state.owners.get(command.owner_id)
    if owner is None or owner.kind is not command.owner_kind:
        return UnknownOwner(command.owner_kind, command.owner_id)
    if owner.kind is OwnerKind.BUSINESS and owner.has_wallet:
        return BusinessHasWallet()
    return WalletOpened(command.id, command.at, command.owner_kind, command.owner_id, command.currency)


def _register_owner(state: State, command: RegisterOwner) -> CustomerRegistered | BusinessRegistered | Refusal:
    if (command.kind, command.profile.email_key) in state.emails:
        return EmailTaken()
    registered = CustomerRegistered if command.kind is OwnerKind.CUSTOMER else BusinessRegistered
    return registered(command.id, command.at, profile_digest(command.profile, command.salt))


def _wallet(state: State, wallet_id: WalletId, kind: OwnerKind) -> Wallet | None:
    """Return the wallet if it exists and is of that kind: another kind is unknown there."""
    wallet = state.wallets.get(wallet_id)
    return wallet if wallet is not None and wallet.owner_kind is kind else None
