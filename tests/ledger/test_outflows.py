"""The rules of payouts, withdrawals and transfers, each given a state, when a command comes, then what follows."""

import pytest

from monedero.ledger.commands import Command
from monedero.ledger.decide import decide, touched
from monedero.ledger.errors import CurrencyMismatch, NotOneCustomer, Refusal, SelfTransfer, UnknownWallet
from monedero.ledger.events import (
    PayoutAccepted,
    PayoutDenied,
    Posting,
    TransferAccepted,
    TransferDenied,
    WithdrawalAccepted,
    WithdrawalDenied,
)
from monedero.ledger.money import BALANCE_LIMIT, Units
from tests.ledger.given import DOLLARS, NOBODYS, PAYEE, PAYER, SECOND, STRANGERS, given
from tests.support import payout, transfer, withdrawal


def test_a_payout_takes_money_out_of_the_business() -> None:
    """The money leaves the ledger: there is no other side."""
    command = payout(PAYEE, 30)

    assert decide(given(0, 100), command) == PayoutAccepted(
        command.id, command.at, Units(30), Posting(PAYEE, Units(70), 2), "Pago"
    )


def test_a_withdrawal_takes_money_out_of_the_customer() -> None:
    """What is held stays held."""
    command = withdrawal(PAYER, 30)

    assert decide(given(100, held=20), command) == WithdrawalAccepted(
        command.id, command.at, Units(30), Posting(PAYER, Units(70), 2, Units(20)), "Retirada"
    )


def test_a_transfer_moves_money_between_two_wallets_of_one_customer() -> None:
    """Both sides are stated as they are afterwards."""
    command = transfer(PAYER, SECOND, 30)

    assert decide(given(100, second=5, held=20), command) == TransferAccepted(
        command.id,
        command.at,
        Units(30),
        Posting(PAYER, Units(70), 2, Units(20)),
        Posting(SECOND, Units(35), 2),
        "Traspaso",
    )


def test_what_lacks_the_money_is_denied_with_the_wallets_as_they_stay() -> None:
    """Each denial is an event of its own kind."""
    out, back, across = payout(PAYEE, 41), withdrawal(PAYER, 81), transfer(PAYER, SECOND, 81)
    state = given(100, 40, held=20)
    business, customer = Posting(PAYEE, Units(40), 1), Posting(PAYER, Units(100), 1, Units(20))

    assert decide(state, out) == PayoutDenied(out.id, out.at, Units(41), business, "insufficient_funds", "Pago")
    assert decide(state, back) == WithdrawalDenied(
        back.id, back.at, Units(81), customer, "insufficient_funds", "Retirada"
    )
    assert decide(state, across) == TransferDenied(
        across.id, across.at, Units(81), customer, Posting(SECOND, Units(0), 1), "insufficient_funds", "Traspaso"
    )


@pytest.mark.parametrize("command", [payout(PAYEE, 40), withdrawal(PAYER, 80), transfer(PAYER, SECOND, 80)], ids=type)
def test_the_last_unit_that_is_available_may_go(command: Command) -> None:
    """All but what is held can be taken."""
    accepted = PayoutAccepted | WithdrawalAccepted | TransferAccepted

    assert isinstance(decide(given(100, 40, held=20), command), accepted)


def test_a_transfer_past_the_limit_is_denied() -> None:
    """A balance that would pass 64 bits is refused, not wrapped."""
    event = decide(given(10, second=BALANCE_LIMIT - 9), transfer(PAYER, SECOND, 10))

    assert isinstance(event, TransferDenied)
    assert event.reason == "balance_limit"


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (payout(NOBODYS, 1), UnknownWallet(NOBODYS)),
        (payout(PAYER, 1), UnknownWallet(PAYER)),
        (withdrawal(NOBODYS, 1), UnknownWallet(NOBODYS)),
        (withdrawal(PAYEE, 1), UnknownWallet(PAYEE)),
        (transfer(NOBODYS, PAYER, 1), UnknownWallet(NOBODYS)),
        (transfer(PAYEE, PAYER, 1), UnknownWallet(PAYEE)),
        (transfer(PAYER, NOBODYS, 1), UnknownWallet(NOBODYS, "customer wallet")),
        (transfer(PAYER, PAYEE, 1), UnknownWallet(PAYEE, "customer wallet")),
        (transfer(PAYER, PAYER, 1), SelfTransfer()),
        (transfer(PAYER, STRANGERS, 1), NotOneCustomer()),
        (transfer(PAYER, DOLLARS, 1), CurrencyMismatch("EUR", "USD")),
    ],
)
def test_what_is_refused(command: Command, refusal: Refusal) -> None:
    """Each rule refuses with its own value, and a wallet of the wrong kind is unknown."""
    assert decide(given(100, 100), command) == refusal


def test_what_they_need_loaded() -> None:
    """Every wallet that is named is loaded, and locked."""
    commands: list[Command] = [payout(PAYEE, 1), withdrawal(PAYER, 1), transfer(SECOND, STRANGERS, 1)]

    assert touched(commands).wallets == {PAYEE, PAYER, SECOND, STRANGERS}
