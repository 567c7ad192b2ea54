"""The rules of refunds, each given a debit, when a refund comes, then an event or a refusal."""

import pytest

from monedero.ledger.commands import Command
from monedero.ledger.decide import decide, touched
from monedero.ledger.errors import NotRefundable, RefundTooLarge, UnknownTransaction
from monedero.ledger.events import Posting, Recorded, RefundAccepted, RefundDenied
from monedero.ledger.evolve import evolve
from monedero.ledger.ids import HoldId, TransactionId
from monedero.ledger.money import BALANCE_LIMIT, Units
from monedero.ledger.state import Touched
from tests.ledger.given import DEBIT, HOLD, NOTHING, PAYEE, PAYER, captured, given, with_debit, with_hold
from tests.support import refund


def test_a_refund_moves_the_money_back() -> None:
    """A part of a debit goes from the business back to the customer, and the event says how much has by now."""
    command = refund(DEBIT, 12)

    assert decide(with_debit(given(70, 30), refunded=3), command) == RefundAccepted(
        command.id,
        command.at,
        Units(12),
        Posting(PAYEE, Units(18), 2),
        Posting(PAYER, Units(82), 2),
        DEBIT,
        Units(15),
        "Devolucion",
    )


def test_a_refund_without_an_amount_is_of_all_that_is_left() -> None:
    """What was not refunded before is."""
    event = decide(with_debit(given(70, 30), refunded=3), refund(DEBIT))

    assert isinstance(event, RefundAccepted)
    assert (event.amount, event.refunded) == (27, 30)


@pytest.mark.parametrize(
    ("units", "refunded", "accepted"),
    [(30, 0, True), (31, 0, False), (1, 29, True), (2, 29, False), (1, 30, False), (None, 30, False), (None, 29, True)],
)
def test_a_refund_may_take_the_last_unit_and_not_one_more(units: int | None, refunded: int, accepted: bool) -> None:
    """All refunds of a debit together are never more than it, however much money the business has."""
    decision = decide(with_debit(given(0, 1000), 30, refunded), refund(DEBIT, units))

    assert isinstance(decision, RefundAccepted) is accepted
    if not accepted:
        assert decision == RefundTooLarge(None if units is None else Units(units), Units(30 - refunded))


@pytest.mark.parametrize("units", [0, -1])
def test_a_refund_of_nothing_or_less_is_refused(units: int) -> None:
    """No refund takes money from the customer."""
    assert decide(with_debit(given(10, 30)), refund(DEBIT, units)) == RefundTooLarge(Units(units), Units(30))


def test_a_refund_that_the_business_lacks_the_money_for_is_denied() -> None:
    """The denial states both wallets as they stay, and the debit."""
    command = refund(DEBIT, 30)

    assert decide(with_debit(given(70, 29)), command) == RefundDenied(
        command.id,
        command.at,
        Units(30),
        Posting(PAYEE, Units(29), 1),
        Posting(PAYER, Units(70), 1),
        DEBIT,
        "insufficient_funds",
        "Devolucion",
    )


def test_a_refund_past_the_limit_of_the_customer_is_denied() -> None:
    """A balance that would pass 64 bits is refused, not wrapped."""
    event = decide(with_debit(given(BALANCE_LIMIT - 29, 30)), refund(DEBIT, 30))

    assert isinstance(event, RefundDenied)
    assert event.reason == "balance_limit"


def test_too_large_comes_before_too_poor() -> None:
    """A refund beyond the debit is refused and leaves no event, also where the business has nothing."""
    assert decide(with_debit(given(100, 0)), refund(DEBIT, 31)) == RefundTooLarge(Units(31), Units(30))


def test_what_is_no_debit_is_not_refunded() -> None:
    """An id that names no transaction is unknown; one of another transaction than a debit or capture is refused."""
    state = with_debit(given(70, 30))
    assert decide(state, refund(NOTHING, 1)) == UnknownTransaction(NOTHING)
    state.not_debited.add(NOTHING)
    assert decide(state, refund(NOTHING, 1)) == NotRefundable(NOTHING)


def test_what_follows_from_a_refund_is_what_the_next_one_is_held_against() -> None:
    """Folding a refund makes the debit smaller for the next, and no other debit."""
    state = with_debit(given(70, 30))
    event = decide(state, refund(DEBIT, 20))
    assert isinstance(event, RefundAccepted)
    state.apply(evolve(state, Recorded(9, event)))

    assert state.debited[DEBIT].refunded == 20
    assert (state.wallets[PAYER].balance, state.wallets[PAYEE].balance) == (90, 10)
    assert decide(state, refund(DEBIT, 11)) == RefundTooLarge(Units(11), Units(10))


def test_what_a_refund_needs_loaded() -> None:
    """A refund and a capture name what they are of; the wallets follow from that."""
    commands: list[Command] = [refund(DEBIT), captured()]

    assert touched(commands) == Touched(holds={HoldId(TransactionId(HOLD))}, debited={DEBIT})
    assert with_hold(with_debit(given())).parties == {PAYER, PAYEE}
