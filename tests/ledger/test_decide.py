"""The rules of money, each given a state, when a command comes, then an event or a refusal."""

import pytest

from monedero.ledger.commands import Command
from monedero.ledger.decide import decide
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
    DebitDeniedV1,
    DepositAccepted,
    Event,
    Posting,
    Recorded,
    WalletOpened,
    decode,
    encode,
)
from monedero.ledger.evolve import HistoryError, evolve
from monedero.ledger.ids import OwnerId, TransactionId, WalletId
from monedero.ledger.money import BALANCE_LIMIT, ZERO, Units
from monedero.ledger.profiles import OwnerKind, profile_digest
from monedero.ledger.state import Owner, State, Wallet
from tests.support import debit, deposit, opening, registration

CUSTOMER, BUSINESS = OwnerId("c"), OwnerId("b")
PAYER, PAYEE = WalletId("payer"), WalletId("payee")
T = TransactionId("t")


def given(payer: int = 0, payee: int = 0, currency: str = "EUR") -> State:
    """Return a customer's and a business's wallet with these balances in units."""
    return State(
        {
            PAYER: Wallet(PAYER, 2, OwnerKind.CUSTOMER, CUSTOMER, "EUR", Units(payer), 1, 5, 5, 2),
            PAYEE: Wallet(PAYEE, 3, OwnerKind.BUSINESS, BUSINESS, currency, Units(payee), 1, 5, 5, 3),
        },
        {
            CUSTOMER: Owner(CUSTOMER, OwnerKind.CUSTOMER, has_wallet=True),
            BUSINESS: Owner(BUSINESS, OwnerKind.BUSINESS, has_wallet=True),
        },
        {(OwnerKind.CUSTOMER, "taken@example.com")},
    )


def test_a_debit_moves_the_money_from_the_payer_to_the_payee() -> None:
    """A debit leaves both wallets with what the other side's change makes of them."""
    command = debit(PAYEE, PAYER, 30)

    assert decide(given(100, 5), command) == DebitAccepted(
        command.id, command.at, Units(30), Posting(PAYER, Units(70), 2), Posting(PAYEE, Units(35), 2), "Cobro tele"
    )


@pytest.mark.parametrize(("balance", "amount", "kind"), [(30, 30, DebitAccepted), (29, 30, DebitDenied)])
def test_a_debit_may_take_the_last_unit_and_not_one_more(balance: int, amount: int, kind: type[Event]) -> None:
    """The whole balance may be spent, and nothing beyond it."""
    assert isinstance(decide(given(balance), debit(PAYEE, PAYER, amount)), kind)


def test_a_denied_debit_says_why() -> None:
    """A debit beyond the balance leaves an event with what was available."""
    command = debit(PAYEE, PAYER, 30)

    assert decide(given(20), command) == DebitDenied(
        command.id,
        command.at,
        Units(30),
        Posting(PAYER, Units(20), 1),
        Posting(PAYEE, Units(0), 1),
        "insufficient_funds",
        "Cobro tele",
    )


def test_a_debit_past_the_limit_of_the_payee_is_denied() -> None:
    """A balance that would pass 64 bits is refused, not wrapped."""
    event = decide(given(10, BALANCE_LIMIT - 9), debit(PAYEE, PAYER, 10))

    assert isinstance(event, DebitDenied)
    assert event.reason == "balance_limit"


def test_a_deposit_fills_the_wallet() -> None:
    """A deposit states the balance that results."""
    command = deposit(PAYER, 25)

    assert decide(given(100), command) == DepositAccepted(
        command.id, command.at, Units(25), Posting(PAYER, Units(125), 2), "Apertura cuenta"
    )


@pytest.mark.parametrize(("amount", "accepted"), [(7, True), (8, False), (10**19 - 1, False)])
def test_a_deposit_may_fill_the_wallet_to_the_limit(amount: int, accepted: bool) -> None:
    """The largest balance is 2^63 - 1 units; a deposit beyond it is refused."""
    decision = decide(given(BALANCE_LIMIT - 7), deposit(PAYER, amount))

    assert (decision == BalanceLimit()) is not accepted


@pytest.mark.parametrize(
    ("command", "refusal"),
    [
        (debit(WalletId("x"), PAYER, 1), UnknownWallet(WalletId("x"))),
        (debit(PAYEE, WalletId("x"), 1), UnknownWallet(WalletId("x"), "customer wallet")),
        (debit(PAYER, PAYER, 1), UnknownWallet(PAYER)),
        (debit(PAYEE, PAYEE, 1), UnknownWallet(PAYEE, "customer wallet")),
        (deposit(WalletId("x"), 1), UnknownWallet(WalletId("x"))),
        (deposit(PAYEE, 1), UnknownWallet(PAYEE)),
        (opening(OwnerId("x"), OwnerKind.CUSTOMER), UnknownOwner(OwnerKind.CUSTOMER, OwnerId("x"))),
        (opening(CUSTOMER, OwnerKind.BUSINESS), UnknownOwner(OwnerKind.BUSINESS, CUSTOMER)),
        (opening(BUSINESS, OwnerKind.CUSTOMER), UnknownOwner(OwnerKind.CUSTOMER, BUSINESS)),
        (opening(BUSINESS, OwnerKind.BUSINESS), BusinessHasWallet()),
        (registration(OwnerKind.CUSTOMER, "TAKEN@example.com"), EmailTaken()),
    ],
)
def test_what_is_refused(command: Command, refusal: Refusal) -> None:
    """Each rule refuses with its own value, and a wallet of the wrong kind is unknown."""
    assert decide(given(100), command) == refusal


def test_wallets_of_two_currencies_do_not_pay_each_other() -> None:
    """The ledger never converts."""
    assert decide(given(100, currency="USD"), debit(PAYEE, PAYER, 1)) == CurrencyMismatch("EUR", "USD")


def test_a_customer_may_open_several_wallets() -> None:
    """Only a business is held to one wallet."""
    assert isinstance(decide(given(), opening(CUSTOMER, OwnerKind.CUSTOMER)), WalletOpened)


def test_an_email_is_unique_among_its_kind_only() -> None:
    """A business may sign up with a customer's e-mail."""
    command = registration(OwnerKind.BUSINESS, "taken@example.com")

    assert decide(given(), command) == BusinessRegistered(
        command.id, command.at, profile_digest(command.profile, command.salt)
    )


def test_personal_data_is_not_in_the_event() -> None:
    """The log holds a digest of the profile and nothing of the profile itself."""
    command = registration(OwnerKind.CUSTOMER)
    event = decide(given(), command)

    assert isinstance(event, CustomerRegistered)
    profile = command.profile
    for personal in (profile.name, profile.last_name, profile.email, profile.phone):
        assert str(personal).encode() not in encode(event)


EVENTS = [
    b'{"type":"customer.registered.v1","id":"c","at":1,"profile_digest":"d"}',
    b'{"type":"business.registered.v1","id":"b","at":1,"profile_digest":"d"}',
    b'{"type":"wallet.opened.v1","id":"w","at":1,"owner_kind":"customer","owner_id":"c","currency":"EUR"}',
    b'{"type":"deposit.accepted.v1","id":"t","at":1,"amount":5,"payee":{"wallet":"w","balance":5,"version":1}}',
    (
        b'{"type":"debit.accepted.v1","id":"t","at":1,"amount":5,"payer":{"wallet":"w","balance":0,"version":2},'
        b'"payee":{"wallet":"v","balance":5,"version":1},"description":"x"}'
    ),
    (
        b'{"type":"debit.denied.v1","id":"t","at":1,"amount":5,"payer":"w","payee":"v","reason":"insufficient_funds",'
        b'"available":0}'
    ),
]


@pytest.mark.parametrize("payload", EVENTS)
def test_stored_names_and_shapes_stay(payload: bytes) -> None:
    """What an earlier release has stored is read, and is written again to the same bytes."""
    assert encode(decode(payload)) == payload


@pytest.mark.parametrize(
    "event",
    [
        DepositAccepted(T, 1, Units(5), Posting(PAYER, Units(106), 2)),
        DepositAccepted(T, 1, Units(5), Posting(PAYER, Units(105), 3)),
        DepositAccepted(T, 1, Units(5), Posting(WalletId("x"), Units(5), 1)),
        DebitAccepted(T, 1, Units(101), Posting(PAYER, Units(-1), 2), Posting(PAYEE, Units(101), 2)),
        DebitAccepted(T, 1, Units(5), Posting(PAYER, Units(95), 2), Posting(PAYER, Units(105), 2)),
        DebitDeniedV1(T, 1, Units(500), PAYER, PAYEE, "insufficient_funds", Units(99)),
        DebitDeniedV1(T, 1, Units(500), PAYER, WalletId("x"), "insufficient_funds", Units(100)),
        DebitDenied(T, 1, Units(500), Posting(PAYER, Units(99), 1), Posting(PAYEE, ZERO, 1), "insufficient_funds"),
        DebitDenied(T, 1, Units(500), Posting(PAYER, Units(100), 2), Posting(PAYEE, ZERO, 1), "insufficient_funds"),
        DebitDenied(T, 1, Units(500), Posting(PAYER, Units(100), 1), Posting(PAYEE, Units(1), 1), "insufficient_funds"),
        WalletOpened(WalletId("w"), 1, OwnerKind.BUSINESS, CUSTOMER, "EUR"),
    ],
)
def test_an_impossible_event_is_not_believed(event: Event) -> None:
    """Folding the log finds an event that cannot follow from those before it."""
    with pytest.raises(HistoryError):
        evolve(given(100), Recorded(9, event))
