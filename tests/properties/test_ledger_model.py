"""Random commands against the simplest model of a ledger there is: a balance and a history for each wallet."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from monedero.engine.rebuild import rebuild
from monedero.engine.verify import verify
from monedero.engine.work import Outcome
from monedero.ledger.commands import Command, Debit, Deposit
from monedero.ledger.errors import BalanceLimit, BusinessHasWallet, EmailTaken, UnknownWallet
from monedero.ledger.events import DebitAccepted, DebitDenied, DepositAccepted, Movement, Recorded
from monedero.ledger.ids import OwnerId, WalletId
from monedero.ledger.money import BALANCE_LIMIT
from monedero.ledger.profiles import OwnerKind
from monedero.storage.store import NEWEST
from tests.ledgers import EMBEDDED, POSTGRES, Ledgers, opened
from tests.support import commit, debit, deposit, opening, registration, run

UNITS = st.one_of(st.integers(1, 20), st.integers(1, 10**19 - 1), st.just(BALANCE_LIMIT))
KINDS = st.sampled_from(OwnerKind)
STEPS = 50

History = list[tuple[str, str, int]]


class LedgerMachine(RuleBasedStateMachine):
    """The real engine and store beside the model; after each step both must say the same."""

    ledgers: Ledgers
    kind: str

    owners: Bundle[tuple[OwnerKind, OwnerId]] = Bundle("owners")
    customers: Bundle[WalletId] = Bundle("customers")
    businesses: Bundle[WalletId] = Bundle("businesses")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-model-"))
        self.url = self.ledgers.new(self.kind, self.folder)
        self.store = opened(self.url)
        self.kinds: dict[WalletId, OwnerKind] = {}
        self.balances: dict[WalletId, int] = {}
        self.histories: dict[WalletId, History] = {}
        self.emails: set[tuple[OwnerKind, str]] = set()
        self.with_wallet: set[OwnerId] = set()
        self.events = 0
        self.touched: set[WalletId] = set()

    def teardown(self) -> None:
        before = self.stored_wallets()
        rebuild(self.store)
        assert self.stored_wallets() == before
        run(self.store.close())
        self.ledgers.drop(self.url)
        shutil.rmtree(self.folder)

    @rule(target=owners, kind=KINDS, email=st.sampled_from(["a@x.org", "A@x.org", "b@x.org", "ß@x.org", "SS@x.org"]))
    def register(
        self, kind: OwnerKind, email: str
    ) -> MultipleResults[tuple[OwnerKind, OwnerId]] | tuple[OwnerKind, OwnerId]:
        command = registration(kind, email)
        (outcome,) = commit(self.store, [command])
        key = kind, email.casefold()
        if key in self.emails:
            assert outcome == EmailTaken()
            return multiple()
        self.emails.add(key)
        self.events += 1
        return kind, command.id

    @rule(target=customers, owner=owners)
    def open_customer_wallet(self, owner: tuple[OwnerKind, OwnerId]) -> MultipleResults[WalletId] | WalletId:
        return self.open(owner) if owner[0] is OwnerKind.CUSTOMER else multiple()

    @rule(target=businesses, owner=owners)
    def open_business_wallet(self, owner: tuple[OwnerKind, OwnerId]) -> MultipleResults[WalletId] | WalletId:
        return self.open(owner) if owner[0] is OwnerKind.BUSINESS else multiple()

    def open(self, owner: tuple[OwnerKind, OwnerId]) -> MultipleResults[WalletId] | WalletId:
        kind, owner_id = owner
        command = opening(owner_id, kind)
        (outcome,) = commit(self.store, [command])
        if kind is OwnerKind.BUSINESS and owner_id in self.with_wallet:
            assert outcome == BusinessHasWallet()
            return multiple()
        self.with_wallet.add(owner_id)
        self.kinds[command.id] = kind
        self.balances[command.id] = 0
        self.histories[command.id] = []
        self.events += 1
        return command.id

    @rule(wallet=st.one_of(customers, customers, businesses), units=UNITS)
    def deposit(self, wallet: WalletId, units: int) -> None:
        self.perform(deposit(wallet, units))

    @rule(business=businesses, customer=customers, units=UNITS)
    def debit(self, business: WalletId, customer: WalletId, units: int) -> None:
        self.perform(debit(business, customer, units))

    @rule(business=customers, customer=businesses, units=UNITS)
    def debit_the_wrong_way(self, business: WalletId, customer: WalletId, units: int) -> None:
        self.perform(debit(business, customer, units))

    @rule(business=businesses, customer=customers, other=customers, steps=st.lists(st.tuples(st.integers(0, 2), UNITS)))
    def batch(self, business: WalletId, customer: WalletId, other: WalletId, steps: list[tuple[int, int]]) -> None:
        makers = (
            lambda units: deposit(customer, units),
            lambda units: debit(business, customer, units),
            lambda units: debit(business, other, units),
        )
        self.perform(*(makers[which](units) for which, units in steps))

    def perform(self, *commands: Command) -> None:
        for command, outcome in zip(commands, commit(self.store, commands), strict=True):
            if isinstance(command, Deposit):
                self.expect_deposit(command, outcome)
            elif isinstance(command, Debit):
                self.expect_debit(command, outcome)

    def expect_deposit(self, command: Deposit, outcome: Outcome) -> None:
        wallet, amount = command.wallet_id, command.amount
        if self.kinds[wallet] is OwnerKind.BUSINESS:
            assert outcome == UnknownWallet(wallet)
        elif self.balances[wallet] + amount > BALANCE_LIMIT:
            assert outcome == BalanceLimit()
        else:
            self.balances[wallet] += amount
            self.note("deposit", "accepted", amount, outcome, wallet)

    def expect_debit(self, command: Debit, outcome: Outcome) -> None:
        payer, payee, amount = command.customer_wallet_id, command.business_wallet_id, command.amount
        if self.kinds[payee] is not OwnerKind.BUSINESS or self.kinds[payer] is not OwnerKind.CUSTOMER:
            assert isinstance(outcome, UnknownWallet)
        elif self.balances[payer] < amount or self.balances[payee] + amount > BALANCE_LIMIT:
            self.note("debit", "denied", amount, outcome, payer, payee)
        else:
            self.balances[payer] -= amount
            self.balances[payee] += amount
            self.note("debit", "accepted", amount, outcome, payer, payee)

    def note(self, kind: str, status: str, amount: int, outcome: Outcome, *wallets: WalletId) -> None:
        assert isinstance(outcome, Recorded)
        assert outcome.position == self.events
        self.events += 1
        for wallet in wallets:
            self.histories[wallet].append((kind, status, amount))
        self.touched.update(wallets)

    def stored_wallets(self) -> list[object]:
        with self.store.snapshot() as snapshot:
            return list(snapshot.wallets())

    @invariant()
    def projection_is_the_replay_and_the_model(self) -> None:
        with self.store.snapshot() as snapshot:
            assert verify(snapshot).events == self.events
            stored = {wallet.id: wallet.balance for wallet in snapshot.wallets()}
        assert stored == self.balances
        assert all(balance >= 0 for balance in stored.values())

    @invariant()
    def listings_are_the_models(self) -> None:
        for wallet in self.touched:
            listed = run(self.store.queries.wallet_transactions(self.kinds[wallet], wallet, NEWEST, 10_000))
            assert listed is not None
            assert [shown(recorded) for recorded in reversed(listed.transactions)] == self.histories[wallet]
        self.touched.clear()


def shown(recorded: Recorded) -> tuple[str, str, int]:
    """Return what the model notes of a transaction."""
    event = recorded.event
    assert isinstance(event, Movement)
    kind = "deposit" if isinstance(event, DepositAccepted) else "debit"
    assert kind == "deposit" or isinstance(event, DebitAccepted | DebitDenied)
    return kind, "denied" if isinstance(event, DebitDenied) else "accepted", event.amount


# In parts, so that every processor takes some; each part explores on its own. An example on PostgreSQL takes ten
# times as long.
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("kind", "share", "part"), [*((EMBEDDED, 4, part) for part in range(4)), (POSTGRES[0], 10, 4)])
def test_the_ledger_is_its_model(
    kind: str, share: int, part: int, request: pytest.FixtureRequest, ledgers: Ledgers
) -> None:
    """After every command no wallet is negative, all sums are zero, and projection, replay and listings agree."""
    examples = max(1, request.config.getoption("--examples") // share)
    machine = type(f"LedgerMachine{part}", (LedgerMachine,), {"ledgers": ledgers, "kind": kind})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        ),
    )
