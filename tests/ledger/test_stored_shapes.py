"""The bytes that are stored of what was added after the first release: they are read, and written, as they stand."""

from typing import cast

import pytest

from monedero.ledger.claims import Claiming, claiming, decode_answers, encode_answers
from monedero.ledger.errors import (
    AnyRefusal,
    BalanceLimit,
    BatchRefused,
    BusinessHasWallet,
    CaptureTooLarge,
    CurrencyMismatch,
    EmailTaken,
    HoldClosed,
    HoldNotDue,
    NotOneCustomer,
    NotRefundable,
    RefundTooLarge,
    Refusal,
    SelfTransfer,
    UnknownHold,
    UnknownOwner,
    UnknownWallet,
)
from monedero.ledger.events import Event, decode, encode, kind_and_status, sides
from monedero.ledger.ids import HoldId, OwnerId, TransactionId, WalletId
from monedero.ledger.money import ZERO, Units
from monedero.ledger.profiles import OwnerKind

SIDES = b'"payer":{"wallet":"w","balance":0,"version":2,"held":3},"payee":{"wallet":"v","balance":5,"version":1}'
PAYER = b'"payer":{"wallet":"w","balance":0,"version":2}'
EVENTS = [
    b'{"type":"debit.denied.v2","id":"t","at":1,"amount":5,%b,"reason":"insufficient_funds","description":"x"}' % SIDES,
    b'{"type":"refund.accepted.v1","id":"t","at":1,"amount":5,%b,"debit":"d","refunded":6,"description":"x"}' % SIDES,
    b'{"type":"refund.denied.v1","id":"t","at":1,"amount":5,%b,"debit":"d","reason":"balance_limit"}' % SIDES,
    b'{"type":"payout.accepted.v1","id":"t","at":1,"amount":5,%b,"description":"x"}' % PAYER,
    b'{"type":"payout.denied.v1","id":"t","at":1,"amount":5,%b,"reason":"insufficient_funds"}' % PAYER,
    b'{"type":"withdrawal.accepted.v1","id":"t","at":1,"amount":5,%b}' % PAYER,
    b'{"type":"withdrawal.denied.v1","id":"t","at":1,"amount":5,%b,"reason":"insufficient_funds","description":"x"}'
    % PAYER,
    b'{"type":"transfer.accepted.v1","id":"t","at":1,"amount":5,%b,"description":"x"}' % SIDES,
    b'{"type":"transfer.denied.v1","id":"t","at":1,"amount":5,%b,"reason":"balance_limit"}' % SIDES,
    b'{"type":"hold.placed.v1","id":"t","at":1,"amount":5,%b,"expires_at":9,"description":"x"}' % SIDES,
    b'{"type":"hold.denied.v1","id":"t","at":1,"amount":5,%b,"reason":"insufficient_funds"}' % SIDES,
    b'{"type":"capture.accepted.v1","id":"t","at":1,"amount":5,%b,"hold":"h","captured":6,"final":true}' % SIDES,
    b'{"type":"hold.voided.v1","id":"t","at":1,"amount":5,%b,"hold":"h"}' % SIDES,
    b'{"type":"hold.expired.v1","id":"t","at":1,"amount":5,%b,"hold":"h"}' % SIDES,
]


@pytest.mark.parametrize("payload", EVENTS)
def test_stored_names_and_shapes_stay(payload: bytes) -> None:
    """What this release has stored is read, and is written again to the same bytes."""
    event = decode(payload)
    kind, status = kind_and_status(event)

    assert encode(event) == payload
    assert payload.startswith(f'{{"type":"{kind}.{status}.v'.encode())
    assert sides(event) == ("w", "v" if b'"payee"' in payload else None)


def test_every_event_is_pinned() -> None:
    """No event of the log is without its stored bytes here or among the rules of the first release."""
    first = {
        "customer.registered.v1",
        "business.registered.v1",
        "wallet.opened.v1",
        "deposit.accepted.v1",
        "debit.accepted.v1",
        "debit.denied.v1",
    }
    here = {type(decode(payload)).__struct_config__.tag for payload in EVENTS}

    assert here | first == {each.__struct_config__.tag for each in Event.__args__}


REFUSALS: list[tuple[Refusal, bytes]] = [
    (UnknownOwner(OwnerKind.CUSTOMER, OwnerId("o")), b'{"refusal":"UnknownOwner","kind":"customer","id":"o"}'),
    (UnknownWallet(WalletId("w")), b'{"refusal":"UnknownWallet","id":"w","noun":"wallet"}'),
    (
        UnknownWallet(WalletId("w"), "customer wallet"),
        b'{"refusal":"UnknownWallet","id":"w","noun":"customer wallet"}',
    ),
    (UnknownHold(HoldId(TransactionId("h"))), b'{"refusal":"UnknownHold","id":"h"}'),
    (EmailTaken(), b'{"refusal":"EmailTaken"}'),
    (BusinessHasWallet(), b'{"refusal":"BusinessHasWallet"}'),
    (CurrencyMismatch("EUR", "USD"), b'{"refusal":"CurrencyMismatch","payer":"EUR","payee":"USD"}'),
    (BalanceLimit(), b'{"refusal":"BalanceLimit"}'),
    (NotRefundable(TransactionId("t")), b'{"refusal":"NotRefundable","id":"t"}'),
    (RefundTooLarge(None, ZERO), b'{"refusal":"RefundTooLarge","required":null,"refundable":0}'),
    (
        RefundTooLarge(Units(10**19 - 1), Units(1)),
        b'{"refusal":"RefundTooLarge","required":9999999999999999999,"refundable":1}',
    ),
    (
        CaptureTooLarge(Units(10**19 - 1), Units(1)),
        b'{"refusal":"CaptureTooLarge","required":9999999999999999999,"capturable":1}',
    ),
    (HoldClosed("voided", 9), b'{"refusal":"HoldClosed","status":"voided","expires_at":9}'),
    (HoldNotDue(), b'{"refusal":"HoldNotDue"}'),
    (SelfTransfer(), b'{"refusal":"SelfTransfer"}'),
    (NotOneCustomer(), b'{"refusal":"NotOneCustomer"}'),
    (
        BatchRefused(2, "self_transfer", "No"),
        b'{"refusal":"BatchRefused","index":2,"cause":"self_transfer","reason":"No"}',
    ),
]


@pytest.mark.parametrize(("refusal", "stored"), REFUSALS)
def test_what_was_answered_under_a_key_is_read_back(refusal: Refusal, stored: bytes) -> None:
    """A claimed refusal comes back as it was, to the last digit; a claimed event is its position."""
    answers = 7, cast("AnyRefusal", refusal), 2**63 - 1
    encoded = encode_answers(answers)

    assert encoded == b"[7," + stored + b",9223372036854775807]"
    assert decode_answers(encoded) == answers
    assert refusal.sentence
    assert refusal.code == refusal.code.lower()


def test_a_claim_tells_requests_apart() -> None:
    """The key is kept as its digest; the fingerprint differs with every part, and with where one part ends."""
    first = claiming("key", b"POST", b"/a", b"{}")

    assert first == claiming("key", b"POST", b"/a", b"{}")
    assert first.key == bytes.fromhex("2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683")
    others = [
        claiming("key", b"POST", b"/a", b"{ }"),
        claiming("key", b"POST", b"/a{}", b""),
        claiming("key", b"POST/a", b"{}"),
        claiming("key", b"PUT", b"/a", b"{}"),
        claiming("yek", b"POST", b"/a", b"{}"),
    ]
    assert {type(each) for each in others} == {Claiming}
    assert len({(each.key, each.fingerprint) for each in (first, *others)}) == 6
    assert len({each.fingerprint for each in others[:4]} | {first.fingerprint}) == 5
