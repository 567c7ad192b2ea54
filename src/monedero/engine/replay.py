"""Folding a whole log from its first event: what `verify`, `rebuild` and `import` have in common."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from monedero.engine.batch import wallet_numbers
from monedero.ledger.events import (
    BusinessRegistered,
    CustomerRegistered,
    DebitAccepted,
    DepositAccepted,
    EventUnreadableError,
    Recorded,
    decode,
)
from monedero.ledger.evolve import HistoryError, evolve
from monedero.ledger.ids import OwnerId, WalletId, canonical_id
from monedero.ledger.merkle import EMPTY, Head, KeptRoot, seal
from monedero.ledger.state import Owner, State, Wallet
from monedero.storage.store import EventRow

SEAL_AT_ONCE = 256
Progress = Callable[[int], None]
"""Called with how many more events have been read."""


def ignore_progress(_count: int) -> None:
    """Show nothing."""


class DiscrepancyError(Exception):
    """The first place where a ledger, stored or on its way in, is not what its log makes of it."""


class Replay:
    """The log folded from its first event: head, state, and the money that the world outside has put in.

    `world` is the balance of the world outside in units: minus what was deposited. `roots` are those to keep over what
    was run, one for each 256 events and fewer above.
    """

    def __init__(self) -> None:
        self.head: Head = EMPTY
        self.roots: list[KeptRoot] = []
        self.state = State()
        self.world = 0
        self.registrations: dict[OwnerId, tuple[int, CustomerRegistered | BusinessRegistered]] = {}
        self.transactions = 0

    def run(self, rows: Iterable[EventRow], progress: Progress = ignore_progress) -> None:
        """Fold stored rows. Raises DiscrepancyError at the first that is out of place, altered or impossible."""
        for chunk in _chunks(rows):
            head, links, roots = seal(self.head, [row.payload for row in chunk])
            for expected, (row, link) in enumerate(zip(chunk, links, strict=True), self.head.size):
                if row.position != expected:
                    raise DiscrepancyError(f"position {expected} is missing: the log goes on at {row.position}")
                right, _ = self._fold(expected, row.payload, link)
                if row != right:
                    raise DiscrepancyError(f"position {expected}: {_difference(row, right)}")
            self.head = head
            self.roots += roots
            progress(len(chunk))

    def extend(self, payloads: Sequence[bytes]) -> tuple[list[EventRow], list[Wallet], list[KeptRoot]]:
        """Fold the events that follow; return the rows that they are stored as, what they changed, the roots to keep.

        Raises DiscrepancyError at the first that is no event or does not follow from those before.
        """
        head, links, roots = seal(self.head, payloads)
        rows: list[EventRow] = []
        wallets: dict[WalletId, Wallet] = {}
        for position, (payload, link) in enumerate(zip(payloads, links, strict=True), self.head.size):
            row, changes = self._fold(position, payload, link)
            if canonical_id(row.id) != row.id:
                raise DiscrepancyError(f"position {position}: {row.id!r} is no id")
            rows.append(row)
            wallets.update((record.id, record) for record in changes if isinstance(record, Wallet))
        self.head = head
        return rows, list(wallets.values()), roots

    def expect(self, head: Head) -> None:
        """Raise DiscrepancyError unless the stored head is the one over the rows that were folded."""
        for name in head.__struct_fields__:
            if getattr(head, name) != getattr(self.head, name):
                raise DiscrepancyError(f"the head's {name} is not that of the {self.head.size} events in the log")

    def _fold(self, position: int, payload: bytes, link: bytes) -> tuple[EventRow, tuple[Wallet | Owner, ...]]:
        """Fold one event; return how it is stored and what it changed."""
        try:
            fact = Recorded(position, decode(payload))
            changes = evolve(self.state, fact)
        except (EventUnreadableError, HistoryError) as error:
            raise DiscrepancyError(f"position {position}: {error}") from None
        self.state.apply(changes)
        event = fact.event
        match event:
            case CustomerRegistered() | BusinessRegistered():
                self.registrations[event.id] = position, event
            case DepositAccepted():
                self.world -= event.amount
                self.transactions += 1
            case DebitAccepted():
                self.transactions += 1
            case _:
                pass
        return EventRow(position, event.id, *wallet_numbers(self.state, fact), payload, link), changes


def _difference(row: EventRow, right: EventRow) -> str:
    if row.id != right.id:
        return f"the column id says {row.id}, the event {right.id}"
    if (row.payer, row.payee) != (right.payer, right.payee):
        return "the columns payer and payee are not the wallets of the event"
    return "the payload or the chain's link was altered"


def _chunks(rows: Iterable[EventRow]) -> Iterator[list[EventRow]]:
    stream = iter(rows)
    while chunk := list(islice(stream, SEAL_AT_ONCE)):
        yield chunk
