"""What a batch leaves in a store, whichever store it is."""

import json
from io import BytesIO

import pytest

from monedero.engine.batch import commit as engine_commit
from monedero.engine.export import export
from monedero.engine.rebuild import rebuild
from monedero.engine.verify import verify
from monedero.engine.work import Answers, Submission
from monedero.ledger.claims import claiming
from monedero.ledger.errors import BusinessHasWallet, EmailTaken, UnknownWallet
from monedero.ledger.events import DebitAccepted, DebitDenied, Recorded, encode
from monedero.ledger.ids import WalletId
from monedero.ledger.merkle import EMPTY, Head, seal
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Touched
from monedero.sources import new_id
from monedero.storage.store import NotStoredError, Store
from tests.support import accepted, commit, debit, deposit, new_wallet, opening, registration, run, submitted


def test_an_empty_ledger_verifies(store: Store) -> None:
    """A ledger without events has the empty tree's root."""
    with store.snapshot() as snapshot:
        found = verify(snapshot)

    assert (found.events, found.root) == (0, EMPTY.root.hex())


def test_commands_of_one_batch_see_each_other(store: Store) -> None:
    """Within a batch, what one command changed is what the next one decides on."""
    customer, business = new_wallet(store, OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.BUSINESS)
    outcomes = commit(
        store, [deposit(customer, 10), debit(business, customer, 7), debit(business, customer, 7), deposit(customer, 4)]
    )

    events = [outcome.event for outcome in outcomes if isinstance(outcome, Recorded)]
    assert [type(event) for event in events[1:3]] == [DebitAccepted, DebitDenied]
    assert balance(store, customer) == 7


def test_a_refusal_leaves_nothing_and_stops_nobody(store: Store) -> None:
    """A refused command takes no position, and the rest of its batch is recorded."""
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    before = head(store).size
    refused, recorded = commit(store, [deposit(nobodys(), 5), deposit(customer, 5)])

    assert isinstance(refused, UnknownWallet)
    assert isinstance(recorded, Recorded)
    assert (recorded.position, head(store).size) == (before, before + 1)


def test_a_batch_of_refusals_writes_nothing(store: Store) -> None:
    """Nothing is appended, and the head stays, when every command is refused."""
    before = head(store)
    commit(store, [deposit(nobodys(), 5)])

    assert head(store) == before


def test_an_email_is_taken_within_its_own_batch(store: Store) -> None:
    """Two sign-ups with one e-mail in one batch: the first has it."""
    first, second = registration(OwnerKind.CUSTOMER, "same@x.org"), registration(OwnerKind.CUSTOMER, "SAME@x.org")
    outcomes = commit(store, [first, second])

    assert isinstance(outcomes[0], Recorded)
    assert outcomes[1] == EmailTaken()


def test_a_business_gets_one_wallet_within_one_batch(store: Store) -> None:
    """Two openings for one business in one batch: the first is opened."""
    owner = registration(OwnerKind.BUSINESS)
    accepted(store, owner)
    outcomes = commit(store, [opening(owner.id, OwnerKind.BUSINESS), opening(owner.id, OwnerKind.BUSINESS)])

    assert isinstance(outcomes[0], Recorded)
    assert outcomes[1] == BusinessHasWallet()


def test_an_owner_a_wallet_and_money_in_one_batch(store: Store) -> None:
    """An owner and a wallet can be used by the commands that follow in the same batch."""
    owner = registration(OwnerKind.CUSTOMER)
    wallet = opening(owner.id, OwnerKind.CUSTOMER)
    accepted(store, owner, wallet, deposit(wallet.id, 5))

    assert balance(store, wallet.id) == 5
    with store.snapshot() as snapshot:
        assert verify(snapshot).events == 3


def test_the_head_seals_what_is_stored(store: Store) -> None:
    """Committed means sealed: the head is the tree and chain over the stored bytes, at every batch size."""
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    for size in (1, 2, 3, 5, 8, 13):
        accepted(store, *(deposit(customer, 1) for _ in range(size)))

    with store.snapshot() as snapshot:
        rows = list(snapshot.rows())
        expected, links, _ = seal(EMPTY, [row.payload for row in rows])
        assert snapshot.head() == expected
    assert [row.link for row in rows] == links
    assert [row.position for row in rows] == list(range(34))


def test_an_exception_inside_the_transaction_leaves_nothing(store: Store) -> None:
    """What a batch had begun to write is gone with an exception, and the store goes on."""
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    before = head(store)

    async def upset() -> None:
        async with store.transaction() as transaction:
            await transaction.load(Touched({customer}))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        run(upset())
    assert head(store) == before
    accepted(store, deposit(customer, 1))


def test_rebuild_arrives_at_the_same_rows(store: Store) -> None:
    """The projection made anew from the log is the projection that was there."""
    customer, business = new_wallet(store, OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.BUSINESS)
    accepted(store, deposit(customer, 100), debit(business, customer, 30), debit(business, customer, 300))
    with store.snapshot() as snapshot:
        before = list(snapshot.wallets())
    assert rebuild(store) == 2

    with store.snapshot() as snapshot:
        assert list(snapshot.wallets()) == before
        assert verify(snapshot).wallets == 2


def test_export_is_the_log(store: Store) -> None:
    """The export says how long the log is and its root, then gives every event's bytes as they were sealed."""
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    accepted(store, deposit(customer, 100, 'con "comillas" y ñ'))
    out = BytesIO()
    with store.snapshot() as snapshot:
        export(snapshot, out)
        stored = [row.payload for row in snapshot.rows()]

    first, *lines = out.getvalue().splitlines()
    root = head(store).root.hex()
    assert json.loads(first) == {"format": "monedero-log", "version": 1, "size": 3, "root": root, "owners": 0}
    assert [json.loads(line)["position"] for line in lines] == [0, 1, 2]
    prefix = len(b'{"position":0,"event":')
    assert [line[prefix:-1] for line in lines] == stored


def test_reads_do_not_wait_for_a_transaction(store: Store) -> None:
    """While a batch is being written, queries answer from what was committed before it."""
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    accepted(store, deposit(customer, 5))

    async def read() -> int:
        async with store.transaction() as transaction:
            await transaction.load(Touched())
            wallet = await store.queries.wallet(customer)
            assert wallet is not None
            return wallet.balance

    assert run(read()) == 5


def test_stored_tells_which_events_exist(store: Store) -> None:
    """Looking a batch up by its ids finds what is stored and nothing else."""
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    there, absent = deposit(customer, 5), deposit(customer, 5)
    accepted(store, there)

    assert run(store.stored([there.id, absent.id])) == {there.id}


def test_the_same_id_twice_is_no_second_event(store: Store) -> None:
    """A command sent to the log twice under one id is recorded once, and its batch is rolled back whole."""
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    command = deposit(customer, 5)
    accepted(store, command)
    with pytest.raises(Exception, match=r"(?i)unique") as raised:
        commit(store, [deposit(customer, 1), command])

    assert not isinstance(raised.value, NotStoredError)
    assert balance(store, customer) == 5


def test_an_event_is_found_by_its_id(store: Store) -> None:
    """Every event can be read back by id, as it was recorded."""
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    (recorded,) = accepted(store, deposit(customer, 5))

    found = run(store.queries.event(recorded.event.id))
    assert found == recorded
    assert encode(found.event) == encode(recorded.event)


def test_what_is_added_to_a_batch_is_decided_on_all_that_is_stored(store: Store) -> None:
    """What a batch is topped up with is looked up too: wallets, an owner, a key that was used before."""
    customer, other = new_wallet(store, OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.CUSTOMER)
    till, owner = new_wallet(store, OwnerKind.BUSINESS), registration(OwnerKind.BUSINESS)
    accepted(store, owner, deposit(other, 10))
    used = Submission((deposit(customer, 5),), claiming("used"))
    submitted(store, used)

    def topped_up(added: Submission) -> list[Answers]:
        answers, _ = added_to(store, Submission((deposit(customer, 1),), claiming(new_id())), added)
        return answers

    debited, opened, replayed = (
        topped_up(Submission((debit(till, other, 10),)))[1],
        topped_up(Submission((opening(owner.id, OwnerKind.BUSINESS),)))[1],
        topped_up(used)[1],
    )
    assert [isinstance(each.outcomes[0], Recorded) for each in (debited, opened)] == [True, True]
    assert replayed.replayed
    assert (balance(store, customer), balance(store, other), balance(store, till)) == (8, 0, 10)
    with store.snapshot() as snapshot:
        verify(snapshot)


def test_what_was_looked_up_after_all_is_no_guess(store: Store) -> None:
    """A key that was taken to be new is found when what is added has to be looked up: that settles it, at once."""
    customer, owner = new_wallet(store, OwnerKind.CUSTOMER), registration(OwnerKind.BUSINESS)
    accepted(store, owner)
    used = Submission((deposit(customer, 5),), claiming("used"))
    submitted(store, used)
    submitted(store, Submission((deposit(customer, 1),), claiming(new_id())))
    (replayed, opened), attempts = added_to(store, used, Submission((opening(owner.id, OwnerKind.BUSINESS),)))

    assert replayed.replayed
    assert isinstance(opened.outcomes[0], Recorded)
    assert attempts == 1


def added_to(store: Store, first: Submission, added: Submission) -> tuple[list[Answers], int]:
    """Commit a batch to which something is added on the way; return the answers, and how many attempts it took."""
    submissions, attempts = [first], 0

    def top_up() -> bool:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            submissions.append(added)
        return attempts == 1

    return run(engine_commit(store, submissions, top_up=top_up)).answers, attempts


def nobodys() -> WalletId:
    """Return the id of no wallet."""
    return WalletId(new_id())


def head(store: Store) -> Head:
    """Return the stored head."""
    with store.snapshot() as snapshot:
        return snapshot.head()


def balance(store: Store, wallet_id: WalletId) -> int:
    """Return a wallet's balance in units."""
    wallet = run(store.queries.wallet(wallet_id))
    assert wallet is not None
    return wallet.balance
