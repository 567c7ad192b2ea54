"""What cannot follow from the events before it is not believed, whatever it is: refunds, holds and what leaves."""

import msgspec
import pytest

from monedero.ledger.events import (
    CaptureAccepted,
    Event,
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
    WithdrawalAccepted,
    WithdrawalDenied,
)
from monedero.ledger.evolve import HistoryError, debited, evolve, placed
from monedero.ledger.ids import HoldId, TransactionId, WalletId
from monedero.ledger.money import BALANCE_LIMIT, Units
from monedero.ledger.state import HoldStatus, State
from tests.ledger.given import (
    DEBIT,
    EXPIRES,
    HOLD,
    NOBODYS,
    NOTHING,
    PAYEE,
    PAYER,
    SECOND,
    STRANGERS,
    given,
    with_debit,
    with_hold,
)

POSITION = 20
UNKNOWN = HoldId(NOTHING)


def before(status: HoldStatus = "open", refunded: int = 5) -> State:
    """Return 100 units, 25 of them held, with the customer; 50 with the business; a debit and a hold of 30, 5 done."""
    state = given(100, 50, held=25 if status == "open" else 0, second=7)
    return with_hold(with_debit(state, refunded=refunded), captured=5, status=status)


def payer(balance: int, held: int = 25, version: int = 2, wallet: WalletId = PAYER) -> Posting:
    """Return the customer's side."""
    return Posting(wallet, Units(balance), version, Units(held))


def payee(balance: int, version: int = 2, held: int = 0, wallet: WalletId = PAYEE) -> Posting:
    """Return the business's side."""
    return Posting(wallet, Units(balance), version, Units(held))


def refunded(
    amount: int, total: int, debit: TransactionId = DEBIT, back: WalletId = PAYER, off: int = 0
) -> RefundAccepted:
    """Return a refund that leaves the wallets as it should, or `off` by so much."""
    to = payer(100 + amount, wallet=back) if back == PAYER else payer(amount, 0, wallet=back)
    return RefundAccepted(TransactionId("r"), 9, Units(amount), payee(50 - amount + off), to, debit, Units(total))


def taken(
    amount: int,
    total: int,
    *,
    hold: HoldId = HOLD,
    held: int | None = None,
    final: bool = False,
    at: int = EXPIRES - 1,
    wallet: WalletId = PAYEE,
) -> CaptureAccepted:
    """Return a capture that leaves the wallets as it should, or with another sum held."""
    kept = (0 if final else 25 - amount) if held is None else held
    receives = payee(amount + (50 if wallet == PAYEE else 0), wallet=wallet)
    return CaptureAccepted(
        TransactionId("t"), at, Units(amount), payer(100 - amount, kept), receives, hold, Units(total), final
    )


def freed(kind: type[HoldVoided | HoldExpired], at: int, amount: int = 25, held: int = 0, **wrong: Posting) -> Event:
    """Return the end of a hold that leaves the wallets as it should, or another side."""
    sides = {"payer": payer(100, held), "payee": payee(50, 1), **wrong}
    return kind(TransactionId("e"), at, Units(amount), sides["payer"], sides["payee"], HOLD)


def put(units: int, held: int, expires_at: int = EXPIRES, back: Posting | None = None) -> HoldPlaced:
    """Return a hold of so many units that leaves so much held."""
    return HoldPlaced(TransactionId("h"), 9, Units(units), payer(100, held), back or payee(50, 1), expires_at)


def paid_out(amount: int, balance: int, version: int = 2, held: int = 0, wallet: WalletId = PAYEE) -> PayoutAccepted:
    """Return a payout."""
    return PayoutAccepted(TransactionId("p"), 9, Units(amount), payee(balance, version, held, wallet))


def moved(amount: int, to: WalletId = SECOND, first: int | None = None, second: int | None = None) -> TransferAccepted:
    """Return a transfer that leaves the wallets as it should, or with other sums."""
    left = 100 - amount if first is None else first
    other = payee(7 + amount if second is None else second, wallet=to)
    return TransferAccepted(TransactionId("m"), 9, Units(amount), payer(left), other)


@pytest.mark.parametrize(
    "event",
    [
        refunded(10, 15),
        refunded(25, 30),
        taken(10, 15),
        taken(10, 15, final=True),
        taken(25, 30, final=True),
        freed(HoldVoided, EXPIRES - 1),
        freed(HoldExpired, EXPIRES),
        put(75, 100),
        paid_out(50, 0),
        moved(75),
    ],
)
def test_what_follows_is_believed(event: Event) -> None:
    """The events that the impossible ones below differ from are possible, each of them."""
    assert evolve(before(), Recorded(POSITION, event))


@pytest.mark.parametrize(
    "event",
    [
        # Of a refund: its debit, that debit's wallets, the sum of all refunds, both balances.
        refunded(10, 15, NOTHING),
        refunded(10, 15, back=STRANGERS),
        refunded(10, 14),
        refunded(10, 16),
        refunded(26, 31),
        refunded(10, 15, off=1),
        RefundAccepted(TransactionId("r"), 9, Units(1), payee(49), payee(51), DEBIT, Units(6)),
        # Of a capture: its hold, that hold's wallets and time, the sum of all captures, what stays held.
        taken(10, 15, hold=UNKNOWN),
        taken(10, 15, wallet=STRANGERS),
        taken(10, 15, at=EXPIRES),
        taken(10, 14),
        taken(26, 31, held=-1),
        taken(25, 30, held=0, final=False),
        taken(10, 15, held=16),
        taken(10, 15, held=5, final=True),
        taken(10, 15, held=15, final=True),
        # Of an end: what is free again, when, and that no money moves.
        freed(HoldVoided, EXPIRES),
        freed(HoldExpired, EXPIRES - 1),
        freed(HoldVoided, 9, amount=24, held=1),
        freed(HoldVoided, 9, amount=26, held=-1),
        freed(HoldVoided, 9, held=1),
        freed(HoldVoided, 9, payer=payer(99, 0)),
        freed(HoldVoided, 9, payee=payee(51, 1)),
        freed(HoldVoided, 9, payee=payee(50, 2)),
        freed(HoldVoided, 9, payee=payee(0, 1, wallet=STRANGERS)),
        # Of a hold: that the money is there, what is held by then, when it ends, that the business has nothing of it.
        put(76, 101),
        put(10, 34),
        put(10, 35, expires_at=9),
        put(10, 35, back=payee(60, 1)),
        put(10, 35, back=payee(50, 2)),
        put(10, 35, back=payer(100, 25, 1)),
        put(10, 35, back=payee(0, 1, wallet=NOBODYS)),
        # Of what leaves: the balance, the version, what is held of it.
        paid_out(51, -1),
        paid_out(10, 41),
        paid_out(10, 40, version=3),
        paid_out(10, 40, held=1),
        paid_out(1, -1, wallet=NOBODYS),
        WithdrawalAccepted(TransactionId("w"), 9, Units(76), payer(24)),
        WithdrawalAccepted(TransactionId("w"), 9, Units(10), payer(90, 24)),
        moved(76),
        moved(10, first=91),
        moved(10, second=18),
        moved(10, to=PAYER),
        moved(10, to=NOBODYS),
        TransferAccepted(TransactionId("m"), 9, Units(1), payer(99, 24), payee(8, wallet=SECOND)),
        # Of what was denied: that both sides stand as they did.
        RefundDenied(TransactionId("d"), 9, Units(99), payee(51, 1), payer(100, 25, 1), DEBIT, "insufficient_funds"),
        RefundDenied(TransactionId("d"), 9, Units(99), payee(50, 1), payer(100), DEBIT, "insufficient_funds"),
        HoldDenied(TransactionId("d"), 9, Units(99), payer(100, 24, 1), payee(50, 1), "insufficient_funds"),
        HoldDenied(TransactionId("d"), 9, Units(99), payer(100, 25, 1), payee(49, 1), "insufficient_funds"),
        PayoutDenied(TransactionId("d"), 9, Units(99), payee(49, 1), "insufficient_funds"),
        WithdrawalDenied(TransactionId("d"), 9, Units(99), payer(100, 24, 1), "insufficient_funds"),
        TransferDenied(
            TransactionId("d"), 9, Units(99), payer(100, 24, 1), payee(7, 1, wallet=SECOND), "insufficient_funds"
        ),
        TransferDenied(
            TransactionId("d"), 9, Units(99), payer(100, 25, 1), payee(8, 1, wallet=SECOND), "insufficient_funds"
        ),
    ],
)  # fmt: skip
def test_an_impossible_event_is_not_believed(event: Event) -> None:
    """Folding the log finds an event that cannot follow from those before it."""
    with pytest.raises(HistoryError):
        evolve(before(), Recorded(POSITION, event))


@pytest.mark.parametrize("status", ["captured", "voided", "expired"])
@pytest.mark.parametrize(
    "event",
    [
        CaptureAccepted(TransactionId("t"), 9, Units(1), payer(99, 0), payee(51), HOLD, Units(6), final=False),
        freed(HoldVoided, 9, amount=0),
        freed(HoldExpired, EXPIRES, amount=0),
    ],
)
def test_nothing_happens_to_a_hold_that_has_ended(event: Event, status: HoldStatus) -> None:
    """A log in which an ended hold moves money, or ends again, is not believed."""
    with pytest.raises(HistoryError, match=f"which was {status}"):
        evolve(before(status), Recorded(POSITION, event))


def test_a_capture_takes_nothing_of_another_hold() -> None:
    """A capture beyond its hold is not believed, though so much and more is held."""
    state = with_hold(given(100, 50, held=60), captured=5)

    assert evolve(state, Recorded(POSITION, taken(25, 30, held=35, final=True)))
    with pytest.raises(HistoryError, match="31 units captured"):
        evolve(state, Recorded(POSITION, taken(26, 31, held=35, final=True)))


@pytest.mark.parametrize("event", [refunded(1, 6), taken(1, 6)])
def test_money_does_not_change_its_currency(event: Event) -> None:
    """What goes from a wallet in one currency into a wallet in another is not believed, by debit or by capture."""
    state = before()
    assert evolve(state, Recorded(POSITION, event))

    state.wallets[PAYEE] = msgspec.structs.replace(state.wallets[PAYEE], currency="USD")
    with pytest.raises(HistoryError, match="which holds"):
        evolve(state, Recorded(POSITION, event))


def test_more_is_not_freed_than_is_held() -> None:
    """What is held of a wallet never falls below nothing, whatever the event states."""
    state = with_hold(given(100, 50))

    with pytest.raises(HistoryError):
        evolve(state, Recorded(POSITION, taken(10, 10, held=-10)))


def test_a_debit_is_refunded_after_it_was_made() -> None:
    """A refund that stands in the log before its debit is not believed, though the debit is known."""
    with pytest.raises(HistoryError, match="no debit between"):
        evolve(before(), Recorded(7, refunded(10, 15)))


def test_a_capture_past_the_limit_is_not_believed() -> None:
    """No balance passes 64 bits, whatever the event states."""
    state = with_hold(given(30, BALANCE_LIMIT - 9, held=30))
    event = CaptureAccepted(
        TransactionId("t"), 9, Units(10), payer(20, 20), payee(BALANCE_LIMIT + 1), HOLD, Units(10), final=False
    )

    with pytest.raises(HistoryError):
        evolve(state, Recorded(POSITION, event))


def test_what_can_be_refunded_and_what_is_a_hold() -> None:
    """Of all events only debits and captures can be refunded, and only a placed hold is a hold."""
    recorded = Recorded(POSITION, taken(10, 15))
    found = debited(recorded, Units(3))

    assert found is not None
    assert (found.number, found.payer, found.payee, found.amount, found.refunded) == (POSITION, PAYER, PAYEE, 10, 3)
    assert debited(Recorded(POSITION, refunded(10, 15))) is None
    with pytest.raises(ValueError, match="position 20 places no hold"):
        placed(recorded)
