"""A customer with several wallets and a business, and everything that may happen between them, by small numbers."""

from collections.abc import Callable
from typing import NamedTuple

from hypothesis import strategies as st

from monedero.ledger.commands import Command
from monedero.ledger.events import Recorded
from monedero.ledger.ids import OwnerId, WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.standing import OPENED, Standing
from monedero.storage.store import Store
from tests.support import (
    accepted,
    capture,
    commit,
    debit,
    deposit,
    hold,
    new_wallet,
    opening,
    payout,
    refund,
    registration,
    run,
    transfer,
    void,
    withdrawal,
)

KINDS = (
    "deposit", "debit", "debit", "hold", "capture", "void", "transfer", "transfer", "withdrawal", "payout", "refund",
    "open",
)  # fmt: skip
WALLETS = (0, 0, 0, 1, 2)
"""Mostly the first, so that a history becomes long enough to have pages."""


class Move(NamedTuple):
    """What is tried next: between which wallets, and over how many units."""

    kind: str
    first: int
    second: int
    units: int


_MOVE = st.builds(
    Move, st.sampled_from(KINDS), st.sampled_from(WALLETS), st.sampled_from(WALLETS[2:]), st.integers(1, 12)
)
FEW_MOVES = st.lists(_MOVE, max_size=8)
MOVES = st.lists(_MOVE, min_size=10, max_size=30).map(lambda moves: [Move("deposit", 0, 0, 20), *moves])


class Town:
    """Tries moves on a ledger, and notes after each event how every wallet stands, by the store's own rows."""

    def __init__(self, store: Store, wallets: int = 3) -> None:
        self.store = store
        owner = registration(OwnerKind.CUSTOMER)
        self.owner: OwnerId = owner.id
        accepted(store, owner)
        self.wallets: list[WalletId] = []
        self.holds: list[str] = []
        self.debits: list[str] = []
        self.stood: dict[WalletId, list[Standing]] = {}
        """How each wallet stood after so many events, from its opening on."""
        self.opened: dict[WalletId, int] = {}
        self.events: list[Recorded] = []
        self.till = new_wallet(store, OwnerKind.BUSINESS)
        self.length = run(store.queries.size())
        self.opened[self.till], self.stood[self.till] = self.length - 1, [OPENED]
        for _ in range(wallets):
            self.open()

    def open(self) -> None:
        """Open another wallet for the customer."""
        command = opening(self.owner, OwnerKind.CUSTOMER)
        self.wallets.append(command.id)
        (recorded,) = accepted(self.store, command)
        self.opened[command.id], self.stood[command.id] = recorded.position, []
        self.note(recorded)

    def play(self, moves: list[Move]) -> None:
        """Try moves, one after the other. Those that the ledger refuses leave nothing."""
        for move in moves:
            if move.kind == "open":
                self.open()
            elif command := self.command(move):
                (outcome,) = commit(self.store, [command])
                if isinstance(outcome, Recorded):
                    self.note(outcome)

    def command(self, move: Move) -> Command | None:
        """Return what a move asks for; None: there is nothing that it could be about."""
        first, second = (self.wallets[number % len(self.wallets)] for number in (move.first, move.second))
        needed = {"capture": self.holds, "void": self.holds, "refund": self.debits}
        if not needed.get(move.kind, [""]):
            return None
        makers: dict[str, Callable[[], Command]] = {
            "deposit": lambda: deposit(first, move.units),
            "debit": lambda: debit(self.till, first, move.units),
            "hold": lambda: hold(self.till, first, move.units),
            "capture": lambda: capture(self.holds[0], final=move.first == 0),
            "void": lambda: void(self.holds[-1]),
            "transfer": lambda: transfer(first, second, move.units),
            "withdrawal": lambda: withdrawal(first, move.units),
            "payout": lambda: payout(self.till, move.units),
            "refund": lambda: refund(self.debits[-1], move.units),
        }
        return makers[move.kind]()

    def note(self, recorded: Recorded) -> None:
        """Take down what an event left."""
        self.length = recorded.position + 1
        self.events.append(recorded)
        name = str(type(recorded.event).__struct_config__.tag)
        if name.startswith("hold.placed"):
            self.holds.append(recorded.event.id)
        if name.startswith("debit.accepted"):
            self.debits.append(recorded.event.id)
        for wallet, stood in self.stood.items():
            now = run(self.store.queries.wallet(wallet))
            assert now is not None
            stood.append(Standing(now.balance, now.held, now.version))

    def after(self, wallet: WalletId, length: int) -> Standing | None:
        """Return how a wallet stood after so many events of the log; None: it was not open."""
        place = length - 1 - self.opened[wallet]
        return self.stood[wallet][place] if place >= 0 else None
