"""Random commands against the simplest model of a ledger there is, beside the real engine and store."""

import copy
import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from monedero.engine.rebuild import rebuild
from monedero.engine.verify import Turnover, verify
from monedero.engine.work import Outcome, Submission
from monedero.ledger.claims import claiming
from monedero.ledger.commands import Command
from monedero.ledger.errors import BatchRefused, KeyReused
from monedero.ledger.events import Recorded, kind_and_status
from monedero.ledger.ids import WalletId
from monedero.ledger.money import BALANCE_LIMIT
from monedero.ledger.profiles import OwnerKind
from monedero.sources import new_id
from monedero.storage.store import NEWEST
from tests.ledgers import EMBEDDED, POSTGRES, Ledgers, opened
from tests.properties.model import Model
from tests.support import (
    capture,
    debit,
    deposit,
    expiry,
    hold,
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

STEPS = 40
SECOND = 1_000_000
START = 1_000_000_000 * SECOND
DECIDED = ("accepted", "placed", "voided", "expired", "registered", "opened")

UNITS = st.one_of(st.integers(1, 20), st.integers(1, 20), st.integers(1, 10**19 - 1), st.just(BALANCE_LIMIT))
PART = st.one_of(st.none(), UNITS)
PICK = st.integers(0, 63)
"""Which of what there is: taken around the corner, so that it fits however much there is."""
KINDS = (
    "deposit",
    "debit",
    "debit the wrong way",
    "refund",
    "hold",
    "capture",
    "final",
    "void",
    "expire",
    "payout",
    "withdrawal",
    "transfer",
    "register",
    "open",
)
STEP = st.tuples(st.sampled_from(KINDS), PICK, PICK, PART)
REQUESTS = st.one_of(st.none(), st.tuples(st.sampled_from("ab"), st.sampled_from([b"1", b"1", b"2"])))

Step = tuple[str, int, int, int | None]


class LedgerMachine(RuleBasedStateMachine):
    """The real engine and store beside the model; after each step both must say the same."""

    ledgers: Ledgers
    kind: str

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-model-"))
        self.url = self.ledgers.new(self.kind, self.folder)
        self.store = opened(self.url)
        self.model = Model()
        self.now = START
        self.claims: dict[str, tuple[bytes, object]] = {}
        self.listed: dict[WalletId, int] = {}

    def teardown(self) -> None:
        before = self.projections()
        rebuild(self.store)
        assert self.projections() == before
        run(self.store.close())
        self.ledgers.drop(self.url)
        shutil.rmtree(self.folder)

    @initialize()
    def people(self) -> None:
        """Let there be a business and a customer with two wallets, so that most commands mean something."""
        business, customer = registration(OwnerKind.BUSINESS, "a@x.org"), registration(OwnerKind.CUSTOMER, "a@x.org")
        wallets = [opening(customer.id, OwnerKind.CUSTOMER) for _ in range(2)]
        self.submit(business, customer, opening(business.id, OwnerKind.BUSINESS), *wallets)
        self.submit(*(deposit(wallet.id, 50) for wallet in wallets))

    @rule(step=STEP)
    def one(self, step: Step) -> None:
        self.submit(self.made(step))

    @rule(steps=st.lists(STEP, min_size=1, max_size=6), atomic=st.booleans(), tried=st.booleans(), request=REQUESTS)
    def several(self, steps: list[Step], atomic: bool, tried: bool, request: tuple[str, bytes] | None) -> None:
        self.submit(*map(self.made, steps), atomic=atomic, tried=tried, request=request)

    @rule(step=STEP, request=REQUESTS)
    def under_a_key(self, step: Step, request: tuple[str, bytes] | None) -> None:
        self.submit(self.made(step), request=request)

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    def made(self, step: Step) -> Command:
        """Return the command of a step, with the time that it is."""
        kind, first, second, part = step
        command = self.command(kind, first, second, part)
        return msgspec.structs.replace(command, at=self.now)

    def command(self, kind: str, first: int, second: int, part: int | None) -> Command:  # noqa: C901, PLR0911, PLR0912
        wallets, units = list(self.model.wallets), part or 10
        customers = [each for each in wallets if self.model.wallets[each].kind is OwnerKind.CUSTOMER]
        businesses = [each for each in wallets if self.model.wallets[each].kind is OwnerKind.BUSINESS]
        customer, business = customers[first % len(customers)], businesses[second % len(businesses)]
        anyone = wallets[first % len(wallets)]
        holds, paid = [*self.model.holds, new_id()], [*self.model.paid, new_id()]
        held, debited = holds[first % len(holds)], paid[first % len(paid)]
        match kind:
            case "deposit":
                return deposit(anyone, units)
            case "debit":
                return debit(business, customer, units)
            case "debit the wrong way":
                return debit(customer, business, units)
            case "refund":
                return refund(debited, part)
            case "hold":
                return hold(business, customer, units, self.now + second * SECOND)
            case "capture" | "final":
                return capture(held, part, final=kind == "final")
            case "void":
                return void(held)
            case "expire":
                return expiry(held, self.now)
            case "payout":
                return payout(anyone, units)
            case "withdrawal":
                return withdrawal(anyone, units)
            case "transfer":
                return transfer(customer, wallets[second % len(wallets)], units)
            case "register":
                email = ("a@x.org", "A@x.org", "b@x.org", "ß@x.org", "SS@x.org")[second % 5]
                return registration(list(OwnerKind)[first % 2], email)
            case _:
                owners = list(self.model.owners)
                return opening(owners[first % len(owners)], list(OwnerKind)[second % 2])

    def submit(
        self, *commands: Command, atomic: bool = False, tried: bool = False, request: tuple[str, bytes] | None = None
    ) -> None:
        """Have a submission decided by both, and compare what became of it."""
        claim = None if request is None else claiming(request[0], request[1])
        (answers,) = submitted(self.store, Submission(commands, claim, atomic, tried))
        given = answers.refusal or answers.outcomes
        if request is not None and not tried and request[0] in self.claims:
            fingerprint, first = self.claims[request[0]]
            assert given == (first if fingerprint == request[1] else KeyReused())
            assert answers.replayed is (fingerprint == request[1])
            return
        assert not answers.replayed
        after = copy.deepcopy(self.model)
        said = [after.perform(command) for command in commands]
        if atomic and (failed := next((each for each in said if each not in DECIDED), None)):
            assert isinstance(answers.refusal, BatchRefused)
            assert answers.refusal.index == said.index(failed)
            after = self.model
        else:
            assert [what(outcome) for outcome in answers.outcomes] == said
            positions = [outcome.position for outcome in answers.outcomes if isinstance(outcome, Recorded)]
            assert positions == list(range(self.model.events, after.events))
        if tried:
            return
        self.model = after
        if request is not None:
            self.claims[request[0]] = request[1], given

    def projections(self) -> list[object]:
        with self.store.snapshot() as snapshot:
            return [*snapshot.wallets(), *snapshot.holds(), *snapshot.refunds()]

    @invariant()
    def projection_is_the_replay_and_the_model(self) -> None:
        with self.store.snapshot() as snapshot:
            found = verify(snapshot)
            wallets = {wallet.id: (wallet.balance, wallet.held) for wallet in snapshot.wallets()}
            holds = {hold.id: (hold.status, hold.captured, hold.amount) for hold in snapshot.holds()}
            refunds = [refunded for _, refunded in snapshot.refunds()]
        model = self.model
        money = found.turnover.get("EUR", Turnover(0, 0))
        assert (found.events, money) == (model.events, Turnover(model.deposited, model.paid_out))
        assert wallets == {each: (wallet.balance, wallet.held) for each, wallet in model.wallets.items()}
        assert holds == {each: (hold.status, hold.captured, hold.amount) for each, hold in model.holds.items()}
        assert refunds == [paid.refunded for paid in model.paid.values() if paid.refunded]
        assert all(0 <= held <= balance for balance, held in wallets.values())
        assert sum(balance for balance, _ in wallets.values()) == model.deposited - model.paid_out

    @invariant()
    def listings_are_the_models(self) -> None:
        for wallet_id, wallet in self.model.wallets.items():
            if self.listed.get(wallet_id, 0) < len(wallet.history):
                listed = run(self.store.queries.wallet_transactions(wallet.kind, wallet_id, NEWEST, 10_000))
                assert listed is not None
                assert [shown(recorded) for recorded in reversed(listed.transactions)] == wallet.history
                self.listed[wallet_id] = len(wallet.history)
        expiring = [expires_at for _, expires_at in run(self.store.queries.expiring(1000))]
        assert expiring == sorted(each.expires_at for each in self.model.holds.values() if each.status == "open")


def what(outcome: Outcome) -> str:
    """Return what the model says of an outcome: its status, or the refusal's name."""
    return kind_and_status(outcome.event)[1] if isinstance(outcome, Recorded) else type(outcome).__name__


def shown(recorded: Recorded) -> tuple[str, str, int]:
    """Return what the model notes of a transaction."""
    return *kind_and_status(recorded.event), recorded.event.amount  # type: ignore[union-attr]


@pytest.fixture(autouse=True)
def soon_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a process rely on what it remembers, and on keys being new, soon, and read after it was wrong."""
    monkeypatch.setattr("monedero.storage.postgres.memory.CALM_LOOKS", 1)
    monkeypatch.setattr("monedero.storage.keys.NEW_KEYS_LOOKS", 1)


# In parts, so that every processor takes some; each part explores on its own. An example on PostgreSQL takes ten
# times as long.
@pytest.mark.no_cover
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("kind", "share", "part"), [*((EMBEDDED, 4, part) for part in range(4)), (POSTGRES[0], 10, 4)])
def test_the_ledger_is_its_model(
    kind: str,
    share: int,
    part: int,
    request: pytest.FixtureRequest,
    ledgers: Ledgers,
) -> None:
    """After every command no wallet is negative, all sums are zero, and projections, replay and listings agree."""
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
