"""Holds, refunds, what expires and the claims on idempotency keys, whichever store keeps them."""

from typing import cast

import pytest

from monedero.engine.batch import alone, commit
from monedero.engine.rebuild import rebuild
from monedero.engine.verify import verify
from monedero.engine.work import Answers, Submission
from monedero.ledger.claims import claiming
from monedero.ledger.commands import Command, Deposit
from monedero.ledger.decide import decide, touched
from monedero.ledger.errors import (
    BatchRefused,
    CaptureTooLarge,
    HoldClosed,
    HoldNotDue,
    KeyReused,
    NotRefundable,
    RefundTooLarge,
    UnknownHold,
    UnknownTransaction,
    UnknownWallet,
    VersionMismatch,
)
from monedero.ledger.events import CaptureAccepted, DebitAccepted, DebitDenied, HoldPlaced, Recorded, RefundAccepted
from monedero.ledger.ids import HoldId, OwnerId, TransactionId, WalletId
from monedero.ledger.money import ZERO, Units
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Hold, State, Touched, Wallet
from monedero.sources import new_id, now_microseconds
from monedero.storage.store import Store
from tests.support import (
    accepted,
    capture,
    debit,
    deposit,
    expiry,
    hold,
    new_wallet,
    opening,
    payout,
    refund,
    registration,
    run,
    submitted,
    transfer,
    void,
    withdrawal,
)
from tests.support import commit as committed

DAY = 24 * 60 * 60
MICROSECONDS = 1_000_000

Pair = tuple[WalletId, WalletId]


@pytest.fixture
def pair(store: Store) -> Pair:
    """Return a business's wallet and a customer's with 100 units."""
    business, customer = new_wallet(store, OwnerKind.BUSINESS), new_wallet(store, OwnerKind.CUSTOMER)
    accepted(store, deposit(customer, 100))
    return business, customer


def wallet(store: Store, wallet_id: WalletId) -> Wallet:
    """Return a wallet as it is shown."""
    found = run(store.queries.wallet(wallet_id))
    assert found is not None
    return found


def stored_hold(store: Store, hold_id: str) -> Hold:
    """Return a hold as it is shown."""
    found = run(store.queries.hold(HoldId(TransactionId(hold_id))))
    assert found is not None
    return found


def loaded(store: Store, needs: Touched) -> State:
    """Return what a batch loads that touches somebody unknown besides, so that nothing is taken from memory."""
    needs.owners.add(OwnerId(new_id()))

    async def load() -> State:
        async with store.transaction() as transaction:
            return (await transaction.load(needs))[0]

    return run(load())


def keyed(
    key: str, *commands: Command, request: bytes = b"the same", atomic: bool = False, dry_run: bool = False
) -> Submission:
    """Return a submission under a key."""
    return Submission(commands, claiming(key, request), atomic, dry_run)


def everything(store: Store) -> list[object]:
    """Return all that a snapshot of a ledger that verifies shows."""
    with store.snapshot() as snapshot:
        verify(snapshot)
        return [
            snapshot.head(),
            *snapshot.rows(),
            *snapshot.wallets(),
            *snapshot.owners(),
            *snapshot.holds(),
            *snapshot.refunds(),
        ]


def test_a_hold_is_kept_as_its_events_left_it(store: Store, pair: Pair) -> None:
    """What is shown, what a batch loads and what the audit reads are one: after placing, capturing and voiding."""
    business, customer = pair
    placing = hold(business, customer, 30)
    (placed,) = accepted(store, placing)
    expected = Hold(
        placing.id, placed.position, customer, business, Units(30), placing.expires_at, ZERO, "open", placed.position
    )
    assert stored_hold(store, placing.id) == expected
    steps: list[Command] = [capture(placing.id, 10), capture(placing.id, 5), void(placing.id)]
    for step in steps:
        (recorded,) = accepted(store, step)
        found = stored_hold(store, placing.id)

        assert found.position == recorded.position
        state = loaded(store, Touched(holds={placing.id}))
        assert state.holds == {placing.id: found}
        assert state.wallets == {each: wallet(store, each) for each in pair}
        with store.snapshot() as snapshot:
            assert list(snapshot.holds()) == [found]

    last = stored_hold(store, placing.id)
    assert (last.status, last.captured, last.amount) == ("voided", 15, 30)
    payer = wallet(store, customer)
    assert (payer.balance, payer.held, wallet(store, business).balance) == (85, 0, 15)


def test_a_hold_lives_and_ends_within_one_batch(store: Store, pair: Pair) -> None:
    """Commands on a hold that was placed in their own batch find it, and each finds what the one before left."""
    business, customer = pair
    placing = hold(business, customer, 30)
    outcomes = committed(
        store,
        [placing, capture(placing.id, 10), debit(business, customer, 71), capture(placing.id, 21), void(placing.id)],
    )

    kinds = [type(each.event) if isinstance(each, Recorded) else each for each in outcomes]
    assert kinds[:3] == [HoldPlaced, CaptureAccepted, DebitDenied]
    assert isinstance(kinds[3], CaptureTooLarge)
    assert stored_hold(store, placing.id).status == "voided"
    everything(store)


def test_what_names_no_hold_or_debit(store: Store, pair: Pair) -> None:
    """Ids of other events, and of nothing, are no hold and no debit."""
    business, customer = pair
    (paid,) = accepted(store, deposit(customer, 1))
    nothing = TransactionId(new_id())
    outcomes = committed(
        store, [capture(paid.event.id), void(nothing), refund(paid.event.id), refund(business), refund(nothing)]
    )

    assert [type(each) for each in outcomes] == [UnknownHold] * 2 + [NotRefundable] + [UnknownTransaction] * 2
    assert run(store.queries.hold(HoldId(TransactionId(paid.event.id)))) is None
    assert run(store.queries.hold(HoldId(nothing))) is None


def test_refunds_of_debits_and_captures_are_counted(store: Store, pair: Pair) -> None:
    """How much was refunded is what the next refund is held against, within its batch and after it."""
    business, customer = pair
    placing = hold(business, customer, 20)
    paid, _, taken = accepted(store, debit(business, customer, 30), placing, capture(placing.id, 15))
    for each, amount in ((paid, 30), (taken, 15)):
        assert run(store.queries.refunded(each.position)) == 0
        first, second, beyond = committed(
            store, [refund(each.event.id, 4), refund(each.event.id, 5), refund(each.event.id, amount)]
        )
        (rest,) = accepted(store, refund(each.event.id))

        assert isinstance(first, Recorded)
        assert isinstance(second, Recorded)
        assert beyond == RefundTooLarge(Units(amount), Units(amount - 9))
        assert isinstance(rest.event, RefundAccepted)
        assert (rest.event.amount, rest.event.refunded) == (amount - 9, amount)
        assert run(store.queries.refunded(each.position)) == amount
        state = loaded(store, Touched(debited={TransactionId(each.event.id)}))
        assert [debit.refunded for debit in state.debited.values()] == [amount]
    with store.snapshot() as snapshot:
        assert list(snapshot.refunds()) == [(paid.position, 30), (taken.position, 15)]
        known = snapshot.debited([TransactionId(each.event.id) for each in (paid, taken)])
        assert {(debit.number, debit.amount, debit.refunded) for debit in known} == {
            (paid.position, 30, 0),
            (taken.position, 15, 0),
        }
        assert snapshot.debited([TransactionId(new_id()), TransactionId(customer)]) == []
    everything(store)


def test_a_debit_is_not_refunded_within_its_own_batch(store: Store, pair: Pair) -> None:
    """Nobody knows a debit before it is committed: within its batch it is refunded to nobody."""
    business, customer = pair
    paying = debit(business, customer, 30)
    done, undone = committed(store, [paying, refund(paying.id)])

    assert isinstance(done, Recorded)
    assert undone == UnknownTransaction(paying.id)


def test_what_expires_first_comes_first(store: Store, pair: Pair) -> None:
    """Open holds in the order of their times, as many as are asked for, and none that has ended."""
    business, customer = pair
    now = now_microseconds()
    holds = {seconds: hold(business, customer, 1, now + seconds * MICROSECONDS) for seconds in (50, 10, 40, 20, 30)}
    accepted(store, *holds.values())
    accepted(store, void(holds[10].id), capture(holds[30].id), expiry(holds[20].id, holds[20].expires_at))

    expected = [(holds[seconds].id, holds[seconds].expires_at) for seconds in (40, 50)]
    assert run(store.queries.expiring(64)) == expected
    assert run(store.queries.expiring(1)) == expected[:1]
    assert committed(store, [expiry(holds[40].id, holds[40].expires_at - 1)]) == [HoldNotDue()]
    assert committed(store, [capture(holds[20].id)]) == [HoldClosed("expired", holds[20].expires_at)]


def test_events_are_found_by_their_positions(store: Store, pair: Pair) -> None:
    """In the order of positions, whatever the order they are asked in, and only as far as they exist."""
    recorded = accepted(store, *(deposit(pair[1], 1) for _ in range(4)))
    first = recorded[0].position

    found = run(store.queries.events([first + 3, first, first + 100, first + 2]))
    assert found == [recorded[0], recorded[2], recorded[3]]
    assert run(store.queries.events([])) == []


def test_a_key_is_carried_out_once(store: Store, pair: Pair) -> None:
    """The same request under the same key has one effect, in its own batch, later, and for what it was answered."""
    business, customer = pair
    first, again = submitted(
        store, keyed("k", debit(business, customer, 30)), keyed("k", debit(business, customer, 30))
    )
    (later,) = submitted(store, keyed("k", debit(business, customer, 30)))

    assert not first.replayed
    assert again.replayed
    assert later.replayed
    assert first.outcomes == again.outcomes == later.outcomes
    assert isinstance(cast("Recorded", later.outcomes[0]).event, DebitAccepted)
    assert wallet(store, customer).balance == 70


def test_a_key_belongs_to_one_request(store: Store, pair: Pair) -> None:
    """Another request under a key that was used is refused, in the same batch and later, and does nothing."""
    _, customer = pair
    other = keyed("k", deposit(customer, 1), request=b"another")
    first, wrong = submitted(store, keyed("k", deposit(customer, 1)), other)
    (still,) = submitted(store, other)

    assert not first.replayed
    assert wrong == still == Answers([], KeyReused())
    assert wallet(store, customer).balance == 101


def test_refusals_and_denials_are_remembered(store: Store, pair: Pair) -> None:
    """What was refused stays refused under its key, though it would be accepted by now; what was denied, denied."""
    business, customer = pair
    placing = hold(business, customer, 30)
    submissions = [
        keyed("refused", refund(placing.id)),
        keyed("denied", debit(business, customer, 101)),
        keyed("unknown", capture(placing.id)),
        keyed("all", deposit(customer, 1), deposit(business, 1), atomic=True),
        keyed("each", deposit(customer, 7), deposit(business, 1)),
    ]
    before = submitted(store, *submissions)
    accepted(store, placing, deposit(customer, 1000))
    after = submitted(store, *submissions)

    assert [each.outcomes for each in before] == [each.outcomes for each in after]
    assert [each.refusal for each in before] == [each.refusal for each in after]
    assert not any(each.replayed for each in before)
    assert all(each.replayed for each in after)
    refusal = after[3].refusal
    assert refusal == BatchRefused(1, "unknown_wallet", UnknownWallet(business).sentence)
    assert after[4].outcomes[1] == UnknownWallet(business)
    assert wallet(store, customer).balance == 1107


def test_a_batch_of_claims_alone_is_stored(store: Store) -> None:
    """A refusal leaves no event, but its claim is committed, and the head stays as it was."""
    nobody = WalletId(new_id())
    before = everything(store)
    submitted(store, keyed("k", deposit(nobody, 1)))
    (again,) = submitted(store, keyed("k", deposit(nobody, 1)))

    assert again.replayed
    assert again.outcomes == [UnknownWallet(nobody)]
    assert everything(store) == before


def test_what_a_version_forbids_claims_nothing(store: Store, pair: Pair) -> None:
    """A submission for another version of the wallet is refused; its key is free for the next try."""
    _, customer = pair
    late = Submission((deposit(customer, 5),), claiming("k", b""), versions=(customer, (7, 9)))
    right = Submission((deposit(customer, 5),), claiming("k", b""), versions=(customer, (1,)))
    nobody = WalletId(new_id())
    answers = submitted(store, late, right, Submission((deposit(nobody, 5),), versions=(nobody, (1,))))

    assert answers[0] == Answers([], VersionMismatch(1))
    assert not answers[1].replayed
    assert answers[2].outcomes == [UnknownWallet(nobody)]
    assert wallet(store, customer).balance == 105


def test_a_key_that_was_used_comes_before_a_version(store: Store, pair: Pair) -> None:
    """Sent again, a request is answered as at first, though the wallet is no longer at the version that it names."""
    _, customer = pair
    for each in range(3):
        submitted(store, keyed(f"{each}", deposit(customer, 1)))
    once = Submission((deposit(customer, 5),), claiming("k", b""), versions=(customer, (4,)))
    (first,), (again,) = submitted(store, once), submitted(store, once)

    assert (first.replayed, again.replayed) == (False, True)
    assert again.outcomes == first.outcomes
    assert wallet(store, customer).balance == 108


def test_all_or_nothing(store: Store, pair: Pair) -> None:
    """An atomic submission that is refused or denied in the middle leaves no trace, whatever stands around it."""
    business, customer = pair
    second = hold(business, customer, 20)
    commands: list[Command] = [second, capture(second.id, 5), withdrawal(customer, 20)]
    before = everything(store)
    refused, denied = submitted(
        store,
        Submission((*commands, deposit(business, 1)), atomic=True),
        Submission((*commands, debit(business, customer, 66)), atomic=True),
    )
    assert everything(store) == before

    around = deposit(customer, 1)
    one, other, whole, last = submitted(
        store,
        *alone(around),
        Submission((*commands, deposit(business, 1)), atomic=True),
        Submission(tuple(commands), atomic=True),
        *alone(debit(business, customer, 61)),
    )
    assert refused.refusal == other.refusal == BatchRefused(3, "unknown_wallet", UnknownWallet(business).sentence)
    assert isinstance(denied.refusal, BatchRefused)
    assert (denied.refusal.index, denied.refusal.cause) == (3, "insufficient_funds")
    positions = [cast("Recorded", each).position for each in (*one.outcomes, *whole.outcomes, *last.outcomes)]
    assert positions == list(range(positions[0], positions[0] + 5))
    assert wallet(store, customer).balance == 100 + 1 - 5 - 20 - 61
    assert wallet(store, customer).held == 15
    everything(store)


def test_what_is_refunded_with_all_the_rest_stays_refunded(store: Store, pair: Pair) -> None:
    """Refunds and sign-ups within an atomic submission are stored as those alone are."""
    business, customer = pair
    (paid,) = accepted(store, debit(business, customer, 30))
    owner = registration(OwnerKind.CUSTOMER)
    (whole,) = submitted(store, Submission((owner, refund(paid.event.id, 10), refund(paid.event.id, 5)), atomic=True))

    assert len(whole.outcomes) == 3
    assert run(store.queries.refunded(paid.position)) == 15
    assert committed(store, [refund(paid.event.id, 16)]) == [RefundTooLarge(Units(16), Units(15))]
    assert run(store.queries.owner(OwnerKind.CUSTOMER, owner.id)) is not None
    everything(store)


def test_a_try_changes_nothing(store: Store, pair: Pair) -> None:
    """A dry run is answered as the real thing would be and leaves nothing, not even its claim, not for its batch."""
    business, customer = pair
    placing, owner = hold(business, customer, 100), registration(OwnerKind.CUSTOMER)
    before = everything(store)
    tries = submitted(
        store,
        keyed("k", placing, capture(placing.id), payout(business, 100), dry_run=True),
        Submission((owner, withdrawal(customer, 100)), atomic=True, dry_run=True),
        Submission((withdrawal(customer, 101),), dry_run=True),
        Submission((deposit(business, 1),), atomic=True, dry_run=True),
    )
    assert everything(store) == before

    (real,) = submitted(store, keyed("k", debit(business, customer, 100)))
    (late,) = submitted(store, keyed("k", payout(business, 1), request=b"another", dry_run=True))
    assert not real.replayed
    assert (late.replayed, late.refusal, len(late.outcomes)) == (False, None, 1)
    assert isinstance(cast("Recorded", real.outcomes[0]).event, DebitAccepted)
    assert [len(each.outcomes) for each in tries] == [3, 2, 1, 0]
    assert all(isinstance(outcome, Recorded) for each in tries for outcome in each.outcomes)
    first = cast("Recorded", real.outcomes[0]).position
    assert [cast("Recorded", outcome).position for outcome in tries[0].outcomes] == [first, first + 1, first + 2]
    assert isinstance(tries[3].refusal, BatchRefused)


def test_a_rebuild_leaves_holds_and_refunds_as_they_were(store: Store, pair: Pair) -> None:
    """Every projection follows again from the log, with every kind of event in it."""
    business, customer = pair
    holds = [hold(business, customer, 5) for _ in range(3)]
    paid, *_ = accepted(store, debit(business, customer, 30), *holds)
    accepted(store, refund(paid.event.id, 3), capture(holds[0].id, 2), void(holds[1].id), payout(business, 1))
    accepted(store, withdrawal(customer, 1), refund(paid.event.id, 1), debit(business, customer, 5000))
    accepted(store, expiry(holds[2].id, holds[2].expires_at), hold(business, customer, 10**6))
    second = opening(wallet(store, customer).owner_id, OwnerKind.CUSTOMER)
    accepted(store, second, transfer(customer, second.id, 2), transfer(second.id, customer, 3))
    before = everything(store)
    rebuild(store)

    assert everything(store) == before


def test_old_claims_are_forgotten_a_few_at_a_time(store: Store, pair: Pair) -> None:
    """Each new claim takes two old ones along, the oldest first; none that is younger than what is kept goes."""
    _, customer = pair
    start = now_microseconds()

    def at(seconds: int, *keys: str) -> list[Answers]:
        moment = start + seconds * MICROSECONDS
        commands = [Deposit(TransactionId(new_id()), moment, customer, Units(1), None) for _ in keys]
        asked = [Submission((each,), claiming(key, b"")) for each, key in zip(commands, keys, strict=True)]
        return run(commit(store, asked, DAY)).answers

    at(0, "a", "b", "c", "d", "e")
    at(DAY, "young")
    assert kept(store, "abcde", "young") == {"a", "b", "c", "d", "e", "young"}
    at(DAY + 1, "next")
    assert kept(store, "abcde", "young", "next") == {"c", "d", "e", "young", "next"}
    at(DAY + 1, "one", "two")
    assert kept(store, "abcde", "young", "next", "one", "two") == {"young", "next", "one", "two"}
    at(DAY + 1, "last")
    assert kept(store, "abcde", "young", "last") == {"young", "last"}


def kept(store: Store, letters: str, *keys: str) -> set[str]:
    """Return which of these keys are claimed."""
    digests = {claiming(key).key: key for key in (*letters, *keys)}
    return {digests[key] for key in loaded(store, Touched(claims=set(digests))).claims}


def test_a_key_that_was_forgotten_is_free(store: Store, pair: Pair) -> None:
    """What is asked under it is done, as if for the first time."""
    _, customer = pair
    for key in ("early", "late"):
        run(commit(store, [keyed(key, deposit(customer, 1))], -1))
    (again,) = submitted(store, keyed("early", deposit(customer, 1)))

    assert not again.replayed
    assert wallet(store, customer).balance == 103


def test_a_claim_is_stored_whole(store: Store, pair: Pair) -> None:
    """Key, fingerprint, time and every answer of a claim come back as they were, in a batch of thousands too."""
    business, customer = pair
    many = [keyed(str(number), deposit(customer, 1), deposit(business, 1)) for number in range(1500)]
    answers = run(commit(store, many)).answers
    wanted = {each.claiming.key: each for each in many if each.claiming}
    claims = loaded(store, Touched(claims=set(wanted))).claims

    assert claims.keys() == wanted.keys()
    for submission, answer in zip(many, answers, strict=True):
        assert submission.claiming is not None
        claim = claims[submission.claiming.key]
        assert claim.fingerprint == submission.claiming.fingerprint
        assert claim.at == submission.commands[0].at
        assert claim.answers == (cast("Recorded", answer.outcomes[0]).position, UnknownWallet(business))


def test_nothing_of_a_batch_that_failed_is_claimed(store: Store, pair: Pair) -> None:
    """Where the events of a batch cannot be stored, its claims are not there either."""
    _, customer = pair
    twice = deposit(customer, 1)
    accepted(store, twice)
    with pytest.raises(Exception, match=r"(?i)unique"):
        submitted(store, keyed("k", deposit(customer, 5)), *alone(twice))

    assert kept(store, "k") == set()
    assert wallet(store, customer).balance == 101


def test_what_was_decided_and_not_appended_is_not_seen(store: Store, pair: Pair) -> None:
    """A transaction that loads holds and debits and ends without a batch leaves everything as it was."""
    business, customer = pair
    placing = hold(business, customer, 5)
    accepted(store, placing)
    before = everything(store)

    async def look() -> None:
        async with store.transaction() as transaction:
            command = capture(placing.id)
            state, _ = await transaction.load(touched([command]))
            assert isinstance(decide(state, command), CaptureAccepted)

    run(look())
    assert everything(store) == before
