"""State and event in, the changed records out: how every balance follows from the log."""

from sys import intern
from typing import assert_never

import msgspec

from monedero.ledger.events import (
    BusinessRegistered,
    CustomerRegistered,
    DebitAccepted,
    DebitDenied,
    DepositAccepted,
    Posting,
    Recorded,
    WalletOpened,
)
from monedero.ledger.ids import WalletId
from monedero.ledger.money import BALANCE_LIMIT, ZERO
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Owner, State, Wallet


class HistoryError(Exception):
    """An event that cannot follow from the events before it: the log is not what it was."""


def evolve(state: State, recorded: Recorded) -> tuple[Wallet | Owner, ...]:
    """Return the records as the event leaves them. Changes nothing.

    Recomputes what the event states, and raises HistoryError where the two differ: a balance that does
    not follow, a version that skips, a wallet or an owner that is not there.
    """
    event = recorded.event
    match event:
        case DebitAccepted():
            if event.payer.wallet == event.payee.wallet:
                raise HistoryError("a wallet pays itself")
            payer = _moved(state, event.payer, -event.amount, recorded)
            return payer, _moved(state, event.payee, event.amount, recorded)
        case DepositAccepted():
            return (_moved(state, event.payee, event.amount, recorded),)
        case DebitDenied():
            payer = _known(state, event.payer)
            _known(state, event.payee)
            if event.available != payer.balance:
                raise HistoryError(f"states {event.available} units available in {payer.id}, which had {payer.balance}")
            return ()
        case WalletOpened():
            return _opened(state, event, recorded.position)
        case CustomerRegistered():
            return (Owner(event.id, OwnerKind.CUSTOMER, has_wallet=False),)
        case BusinessRegistered():
            return (Owner(event.id, OwnerKind.BUSINESS, has_wallet=False),)
        case _:
            assert_never(event)


def _moved(state: State, posting: Posting, amount: int, recorded: Recorded) -> Wallet:
    wallet = _known(state, posting.wallet)
    balance, version = wallet.balance + amount, wallet.version + 1
    if posting.balance != balance or posting.version != version or not 0 <= balance <= BALANCE_LIMIT:
        raise HistoryError(
            f"leaves wallet {wallet.id} with {posting.balance} units at version {posting.version}, "
            f"but the events before it make {balance} at version {version}"
        )
    return msgspec.structs.replace(
        wallet, balance=balance, version=version, modified_at=recorded.event.at, position=recorded.position
    )


def _opened(state: State, event: WalletOpened, position: int) -> tuple[Wallet, Owner]:
    owner = state.owners.get(event.owner_id)
    if owner is None or owner.kind is not event.owner_kind:
        raise HistoryError(f"opens a wallet for the {event.owner_kind} {event.owner_id}, which is not registered")
    # Of every wallet there is one in memory while a log is audited: it shares these texts with others.
    wallet = Wallet(
        event.id, position, event.owner_kind, owner.id, intern(event.currency), ZERO, 0, event.at, event.at, position
    )
    return wallet, Owner(owner.id, owner.kind, has_wallet=True)


def _known(state: State, wallet_id: WalletId) -> Wallet:
    wallet = state.wallets.get(wallet_id)
    if wallet is None:
        raise HistoryError(f"concerns wallet {wallet_id}, which was never opened")
    return wallet
