"""The rules of holds, each given a hold or the money for one, when a command comes, then an event or a refusal."""

from typing import Literal

import pytest

from monedero.ledger.commands import Command, ExpireHold, PlaceHold, VoidHold
from monedero.ledger.decide import decide
from monedero.ledger.errors import (
    BalanceLimit,
    CaptureTooLarge,
    CurrencyMismatch,
    ExpiryNotAhead,
    HoldClosed,
    HoldNotDue,
    Refusal,
    UnknownHold,
    UnknownWallet,
)
from monedero.ledger.events import (
    CaptureAccepted,
    DebitAccepted,
    DebitDenied,
    HoldDenied,
    HoldExpired,
    HoldPlaced,
    HoldVoided,
    Posting,
    Recorded,
    WithdrawalDenied,
)
from monedero.ledger.evolve import evolve
from monedero.ledger.ids import HoldId
from monedero.ledger.money import BALANCE_LIMIT, ZERO, Units
from tests.ledger.given import EXPIRES, HOLD, NOBODYS, NOTHING, PAYEE, PAYER, captured, given, new_hold, with_hold
from tests.support import capture, debit, expiry, void, withdrawal

UNKNOWN = HoldId(NOTHING)


def test_a_hold_sets_money_aside() -> None:
    """The balance stays, what is held grows; nothing happens to the business's wallet."""
    command = new_hold(30)

    assert decide(given(100, 5, held=10), command) == HoldPlaced(
        HOLD,
        command.at,
        Units(30),
        Posting(PAYER, Units(100), 2, Units(40)),
        Posting(PAYEE, Units(5), 1),
        EXPIRES,
        "Reserva",
    )


@pytest.mark.parametrize(("units", "kind"), [(90, HoldPlaced), (91, HoldDenied)])
def test_a_hold_may_take_the_last_unit_that_is_available(units: int, kind: type[object]) -> None:
    """What is held already cannot be held again."""
    assert isinstance(decide(given(100, held=10), new_hold(units)), kind)


def test_a_denied_hold_says_why() -> None:
    """The denial states both wallets as they stay."""
    command = new_hold(91)

    assert decide(given(100, 5, held=10), command) == HoldDenied(
        HOLD,
        command.at,
        Units(91),
        Posting(PAYER, Units(100), 1, Units(10)),
        Posting(PAYEE, Units(5), 1),
        "insufficient_funds",
        "Reserva",
    )


def test_a_hold_asks_nothing_of_the_business() -> None:
    """That the business's wallet is full matters once money comes, not before."""
    assert isinstance(decide(given(10, BALANCE_LIMIT), new_hold(10)), HoldPlaced)


@pytest.mark.parametrize(("expires_at", "refused"), [(4, True), (5, True), (6, False)])
def test_a_hold_ends_after_it_begins(expires_at: int, refused: bool) -> None:
    """A hold that would be over when it is placed is none."""
    command = PlaceHold(HOLD, 5, PAYEE, PAYER, Units(1), expires_at, None)

    assert (decide(given(1), command) == ExpiryNotAhead()) is refused


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (new_hold(1, business=NOBODYS), UnknownWallet(NOBODYS)),
        (new_hold(1, customer=NOBODYS), UnknownWallet(NOBODYS, "customer wallet")),
        (new_hold(1, business=PAYER), UnknownWallet(PAYER)),
        (new_hold(1, customer=PAYEE), UnknownWallet(PAYEE, "customer wallet")),
        (capture(NOTHING), UnknownHold(UNKNOWN)),
        (void(NOTHING), UnknownHold(UNKNOWN)),
        (expiry(NOTHING, 5), UnknownHold(UNKNOWN)),
    ],
)
def test_what_is_not_there_is_unknown(command: Command, refusal: Refusal) -> None:
    """A wallet of the wrong kind is unknown, and a hold that nobody placed."""
    assert decide(given(100), command) == refusal


def test_money_of_two_currencies_is_not_held() -> None:
    """What could never be captured is not set aside."""
    assert decide(given(100, currency="USD"), new_hold(1)) == CurrencyMismatch("EUR", "USD")


@pytest.mark.parametrize(("units", "accepted"), [(70, True), (71, False)])
def test_held_money_cannot_be_spent(units: int, accepted: bool) -> None:
    """Neither a debit nor a withdrawal gets at what is held."""
    state = given(100, held=30)

    assert isinstance(decide(state, debit(PAYEE, PAYER, units)), DebitAccepted if accepted else DebitDenied)
    assert isinstance(decide(state, withdrawal(PAYER, units)), WithdrawalDenied) is not accepted


def test_a_capture_takes_a_part_and_leaves_the_rest_held() -> None:
    """A capture of a part takes it out of the balance and out of what is held; the hold stays open."""
    command = captured(10)

    assert decide(with_hold(given(100, 5, held=25), captured=5), command) == CaptureAccepted(
        command.id,
        command.at,
        Units(10),
        Posting(PAYER, Units(90), 2, Units(15)),
        Posting(PAYEE, Units(15), 2),
        HOLD,
        Units(15),
        final=False,
    )


@pytest.mark.parametrize(("units", "amount"), [(None, 25), (25, 25), (10, 10)])
def test_a_final_capture_frees_the_rest(units: int | None, amount: int) -> None:
    """What a final capture leaves of the hold is the customer's to spend again."""
    event = decide(with_hold(given(100, held=25), captured=5), captured(units, final=True))

    assert isinstance(event, CaptureAccepted)
    assert (event.amount, event.captured, event.final) == (amount, 5 + amount, True)
    assert event.payer == Posting(PAYER, Units(100 - amount), 2, ZERO)


@pytest.mark.parametrize("units", [None, 25])
def test_a_capture_of_all_is_final(units: int | None) -> None:
    """A hold of which nothing is left is over, whether it was said or not."""
    event = decide(with_hold(given(100, held=25), captured=5), captured(units))

    assert isinstance(event, CaptureAccepted)
    assert event.final


def test_a_capture_never_takes_more_than_is_left() -> None:
    """All captures of a hold together are never more than it, however much the customer has."""
    assert decide(with_hold(given(1000, held=25), captured=5), captured(26)) == CaptureTooLarge(Units(26), Units(25))


@pytest.mark.parametrize(("units", "accepted"), [(7, True), (8, False)])
def test_a_capture_may_fill_the_business_to_the_limit(units: int, accepted: bool) -> None:
    """A balance that would pass 64 bits is refused; the money stays held."""
    decision = decide(with_hold(given(30, BALANCE_LIMIT - 7, held=30)), captured(units))

    assert (decision == BalanceLimit()) is not accepted


@pytest.mark.parametrize(("command", "kind"), [(void(HOLD, 5), HoldVoided), (expiry(HOLD, EXPIRES), HoldExpired)])
def test_what_is_left_of_a_hold_is_freed(command: VoidHold | ExpireHold, kind: type[HoldVoided | HoldExpired]) -> None:
    """A hold that is given up, or whose time is over, frees what was not captured, and no money moves."""
    assert decide(with_hold(given(100, 5, held=25), captured=5), command) == kind(
        command.id, command.at, Units(25), Posting(PAYER, Units(100), 2), Posting(PAYEE, Units(5), 1), HOLD
    )


@pytest.mark.parametrize("status", ["captured", "voided", "expired"])
@pytest.mark.parametrize("command", [captured(1), captured(at=EXPIRES), void(HOLD), expiry(HOLD, EXPIRES)])
def test_a_hold_ends_once(command: Command, status: Literal["captured", "voided", "expired"]) -> None:
    """What has ended, however it ended, is neither captured nor given up nor expired."""
    assert decide(with_hold(given(100, held=30), status=status), command) == HoldClosed(status, EXPIRES)


@pytest.mark.parametrize(("at", "open_"), [(EXPIRES - 1, True), (EXPIRES, False), (EXPIRES + 1, False)])
def test_a_hold_ends_at_its_time_whether_that_was_noted_or_not(at: int, open_: bool) -> None:
    """From its time on, a hold whose expiry is not recorded yet is over for captures and voids."""
    state = with_hold(given(100, held=30))
    over = HoldClosed("expired", EXPIRES)

    assert (decide(state, captured(1, at)) == over) is not open_
    assert (decide(state, void(HOLD, at)) == over) is not open_


@pytest.mark.parametrize(("at", "due"), [(EXPIRES - 1, False), (EXPIRES, True)])
def test_a_hold_does_not_expire_before_its_time(at: int, due: bool) -> None:
    """The ledger itself cannot end a hold early."""
    assert (decide(with_hold(given(100, held=30)), expiry(HOLD, at)) == HoldNotDue()) is not due


def test_a_hold_from_beginning_to_end() -> None:
    """Placed, captured in two parts, then voided: each step is what the next one is held against."""
    state = given(100)
    commands: list[Command] = [new_hold(30), captured(10), captured(5), void(HOLD, EXPIRES - 1)]
    for position, command in enumerate(commands, 10):
        event = decide(state, command)
        assert isinstance(event, HoldPlaced | CaptureAccepted | HoldVoided)
        state.apply(evolve(state, Recorded(position, event)))
        assert state.holds[HOLD].position == position

    kept = state.holds[HOLD]
    assert (kept.status, kept.captured, kept.capturable, kept.number, kept.position) == ("voided", 15, 0, 10, 13)
    payer, payee = state.wallets[PAYER], state.wallets[PAYEE]
    assert (payer.balance, payer.held, payer.available, payee.balance) == (85, 0, 85, 15)
    assert (payer.version, payee.version) == (1 + 4, 1 + 2)
