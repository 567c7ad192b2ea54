"""Holds: money set aside now and taken later, in parts, up to its amount and its time."""

from monedero.ledger.commands import Capture, ExpireHold, PlaceHold, VoidHold
from monedero.ledger.errors import BalanceLimit, CaptureTooLarge, HoldClosed, HoldNotDue, Refusal, UnknownHold
from monedero.ledger.events import CaptureAccepted, HoldDenied, HoldExpired, HoldPlaced, HoldVoided
from monedero.ledger.money import BALANCE_LIMIT, Units
from monedero.ledger.parties import after, as_is, customer_and_business, denial
from monedero.ledger.state import Hold, State


def place_hold(state: State, command: PlaceHold) -> HoldPlaced | HoldDenied | Refusal:
    """Set money aside that is available."""
    parties = customer_and_business(state, command)
    if isinstance(parties, Refusal):
        return parties
    if command.expires_at <= command.at:
        return HoldClosed("expired", command.expires_at)
    customer, business = parties
    head = command.id, command.at, command.amount
    if reason := denial(command.amount, customer, None):
        return HoldDenied(*head, as_is(customer), as_is(business), reason, command.description)
    held = after(customer, 0, held=command.amount)
    return HoldPlaced(*head, held, as_is(business), command.expires_at, command.description)


def capture(state: State, command: Capture) -> CaptureAccepted | Refusal:
    """Move money that was set aside, up to the hold's amount."""
    hold = _open_hold(state, command)
    if isinstance(hold, Refusal):
        return hold
    amount = hold.capturable if command.amount is None else command.amount
    if amount > hold.capturable:
        return CaptureTooLarge(amount, hold.capturable)
    customer, business = state.wallets[hold.payer], state.wallets[hold.payee]
    if business.balance + amount > BALANCE_LIMIT:
        return BalanceLimit()
    final = command.final or amount == hold.capturable
    return CaptureAccepted(
        command.id,
        command.at,
        amount,
        after(customer, -amount, held=-hold.capturable if final else -amount),
        after(business, amount),
        hold.id,
        Units(hold.captured + amount),
        final,
    )


def release(state: State, command: VoidHold | ExpireHold) -> HoldVoided | HoldExpired | Refusal:
    """Free what is left of a hold: because the business asks for it, or its time is over."""
    hold = _open_hold(state, command)
    if isinstance(hold, Refusal):
        return hold
    if isinstance(command, ExpireHold) and command.at < hold.expires_at:
        return HoldNotDue()
    released = HoldVoided if isinstance(command, VoidHold) else HoldExpired
    return released(
        command.id,
        command.at,
        hold.capturable,
        after(state.wallets[hold.payer], 0, held=-hold.capturable),
        as_is(state.wallets[hold.payee]),
        hold.id,
    )


def _open_hold(state: State, command: Capture | VoidHold | ExpireHold) -> Hold | Refusal:
    """Return the hold if it can still move money: by its own time, recorded or not, it is over."""
    hold = state.holds.get(command.hold_id)
    if hold is None:
        return UnknownHold(command.hold_id)
    if hold.status != "open":
        return HoldClosed(hold.status, hold.expires_at)
    if command.at >= hold.expires_at and not isinstance(command, ExpireHold):
        return HoldClosed("expired", hold.expires_at)
    return hold
