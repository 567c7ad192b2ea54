"""State and event in, the changed records out: how every balance follows from the log."""

from sys import intern
from typing import assert_never

import msgspec

from monedero.ledger.events import (
    BusinessRegistered,
    CaptureAccepted,
    CustomerRegistered,
    DebitAccepted,
    DebitDenied,
    DebitDeniedV1,
    DepositAccepted,
    HoldDenied,
    HoldExpired,
    HoldPlaced,
    HoldVoided,
    PayoutAccepted,
    PayoutDenied,
    Posting,
    Recorded,
    RefundAccepted,
    RefundDenied,
    TransferAccepted,
    TransferDenied,
    WalletOpened,
    WithdrawalAccepted,
    WithdrawalDenied,
)
from monedero.ledger.ids import HoldId, WalletId
from monedero.ledger.money import BALANCE_LIMIT, ZERO, Units
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Debited, Hold, Owner, Record, State, Wallet

_Parties = tuple[Wallet, Wallet]


class HistoryError(Exception):
    """An event that cannot follow from the events before it: the log is not what it was."""


def evolve(state: State, recorded: Recorded) -> tuple[Record, ...]:  # noqa: C901, PLR0911, PLR0912 - a line for each event
    """Return the records as the event leaves them. Changes nothing.

    Recomputes what the event states, and raises HistoryError where the two differ: a balance that does
    not follow, a version that skips, a wallet, an owner, a hold or a debit that is not there.
    """
    event = recorded.event
    match event:
        case DebitAccepted() | TransferAccepted():
            return _paid(state, event, recorded)
        case DepositAccepted():
            return (_moved(state, event.payee, event.amount, recorded),)
        case PayoutAccepted() | WithdrawalAccepted():
            return (_moved(state, event.payer, -event.amount, recorded),)
        case RefundAccepted():
            return *_paid(state, event, recorded), _refunded(state, event, recorded.position)
        case CaptureAccepted():
            return _captured(state, event, recorded)
        case HoldPlaced():
            return _placed(state, event, recorded)
        case HoldVoided() | HoldExpired():
            return _released(state, event, recorded)
        case DebitDenied() | TransferDenied() | RefundDenied() | HoldDenied():
            _as_is(state, event.payer)
            _as_is(state, event.payee)
            return ()
        case PayoutDenied() | WithdrawalDenied():
            _as_is(state, event.payer)
            return ()
        case DebitDeniedV1():
            return _denied_v1(state, event)
        case WalletOpened():
            return _opened(state, event, recorded.position)
        case CustomerRegistered():
            return (Owner(event.id, OwnerKind.CUSTOMER, has_wallet=False),)
        case BusinessRegistered():
            return (Owner(event.id, OwnerKind.BUSINESS, has_wallet=False),)
        case _:
            assert_never(event)


def _paid(state: State, event: DebitAccepted | TransferAccepted | RefundAccepted, recorded: Recorded) -> _Parties:
    if event.payer.wallet == event.payee.wallet:
        raise HistoryError("a wallet pays itself")
    payer = _moved(state, event.payer, -event.amount, recorded)
    payee = _moved(state, event.payee, event.amount, recorded)
    _require_one_currency(payer, payee)
    return payer, payee


def _moved(state: State, posting: Posting, amount: int, recorded: Recorded, held: int = 0) -> Wallet:
    """Return the wallet with `amount` more in it and `held` more of it set aside."""
    wallet = _known(state, posting.wallet)
    balance, version, held = wallet.balance + amount, wallet.version + 1, wallet.held + held
    agrees = posting.balance == balance and posting.version == version and posting.held == held
    if not (agrees and 0 <= held <= balance <= BALANCE_LIMIT):
        raise HistoryError(
            f"leaves wallet {wallet.id} with {posting.balance} units, {posting.held} of them held, at version "
            f"{posting.version}, but the events before it make {balance}, {held} held, at version {version}"
        )
    return msgspec.structs.replace(
        wallet,
        balance=balance,
        version=version,
        modified_at=recorded.event.at,
        position=recorded.position,
        held=held,
    )


def _require_one_currency(payer: Wallet, payee: Wallet) -> None:
    if payer.currency != payee.currency:
        raise HistoryError(f"moves {payer.currency} into wallet {payee.id}, which holds {payee.currency}")


def _as_is(state: State, posting: Posting) -> None:
    """Check the side of a wallet that nothing happened to."""
    wallet = _known(state, posting.wallet)
    if (posting.balance, posting.version, posting.held) != (wallet.balance, wallet.version, wallet.held):
        raise HistoryError(
            f"states {posting.balance} units, {posting.held} of them held, at version {posting.version} in wallet "
            f"{wallet.id}, which had {wallet.balance}, {wallet.held} held, at version {wallet.version}"
        )


def _refunded(state: State, event: RefundAccepted, position: int) -> Debited:
    debit = state.debited.get(event.debit)
    parties = event.payee.wallet, event.payer.wallet
    if debit is None or debit.number >= position or (debit.payer, debit.payee) != parties:
        raise HistoryError(f"refunds {event.debit}, which is no debit between these wallets")
    refunded = debit.refunded + event.amount
    if event.refunded != refunded or refunded > debit.amount:
        raise HistoryError(
            f"states {event.refunded} units refunded of the debit {debit.id}, but of its {debit.amount} the events "
            f"before it make {refunded}"
        )
    return msgspec.structs.replace(debit, refunded=Units(refunded))


def _placed(state: State, event: HoldPlaced, recorded: Recorded) -> tuple[Wallet, Hold]:
    if event.payer.wallet == event.payee.wallet:
        raise HistoryError("a wallet holds money for itself")
    if event.expires_at <= event.at:
        raise HistoryError("places a hold whose time is over")
    _as_is(state, event.payee)
    payer = _moved(state, event.payer, 0, recorded, event.amount)
    return payer, placed(recorded)


def _captured(state: State, event: CaptureAccepted, recorded: Recorded) -> tuple[Wallet, Wallet, Hold]:
    hold = _open_hold(state, event)
    captured = hold.captured + event.amount
    if event.captured != captured or captured > hold.amount or (captured == hold.amount and not event.final):
        raise HistoryError(
            f"states {event.captured} units captured of the hold {hold.id}, but of its {hold.amount} the events before "
            f"it make {captured}"
        )
    freed = hold.capturable if event.final else event.amount
    payer = _moved(state, event.payer, -event.amount, recorded, -freed)
    payee = _moved(state, event.payee, event.amount, recorded)
    _require_one_currency(payer, payee)
    status = "captured" if event.final else "open"
    return (
        payer,
        payee,
        msgspec.structs.replace(hold, captured=event.captured, status=status, position=recorded.position),
    )


def _released(state: State, event: HoldVoided | HoldExpired, recorded: Recorded) -> tuple[Wallet, Hold]:
    hold = _open_hold(state, event)
    if event.amount != hold.capturable:
        raise HistoryError(f"frees {event.amount} units of the hold {hold.id}, which held {hold.capturable}")
    _as_is(state, event.payee)
    payer = _moved(state, event.payer, 0, recorded, -event.amount)
    status = "voided" if isinstance(event, HoldVoided) else "expired"
    return payer, msgspec.structs.replace(hold, status=status, position=recorded.position)


def _open_hold(state: State, event: CaptureAccepted | HoldVoided | HoldExpired) -> Hold:
    hold = state.holds.get(event.hold)
    if hold is None or (hold.payer, hold.payee) != (event.payer.wallet, event.payee.wallet):
        raise HistoryError(f"concerns the hold {event.hold}, which is not between these wallets")
    if hold.status != "open":
        raise HistoryError(f"concerns the hold {hold.id}, which was {hold.status}")
    if isinstance(event, HoldExpired) is (event.at < hold.expires_at):
        when = "before" if isinstance(event, HoldExpired) else "after"
        raise HistoryError(f"concerns the hold {hold.id} {when} the end of its time")
    return hold


def _denied_v1(state: State, event: DebitDeniedV1) -> tuple[Record, ...]:
    payer = _known(state, event.payer)
    _known(state, event.payee)
    if event.available != payer.available:
        raise HistoryError(f"states {event.available} units available in {payer.id}, which had {payer.available}")
    return ()


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


def placed(recorded: Recorded) -> Hold:
    """Return the hold that an event placed. Raises ValueError: it did not."""
    event, position = recorded.event, recorded.position
    if not isinstance(event, HoldPlaced):
        raise ValueError(f"the event at position {position} places no hold")  # noqa: TRY004 - the value of a log
    payer, payee = event.payer.wallet, event.payee.wallet
    return Hold(HoldId(event.id), position, payer, payee, event.amount, event.expires_at, ZERO, "open", position)


def debited(recorded: Recorded, refunded: Units = ZERO) -> Debited | None:
    """Return what can be refunded of an event: of an accepted debit or capture; `refunded` of it has been."""
    event = recorded.event
    if not isinstance(event, DebitAccepted | CaptureAccepted):
        return None
    return Debited(event.id, recorded.position, event.payer.wallet, event.payee.wallet, event.amount, refunded)
