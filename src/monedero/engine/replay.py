"""Reading the whole log again: what `verify`, `rebuild` and `export` have in common."""

from collections.abc import Callable, Iterable, Iterator
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
from monedero.ledger.ids import OwnerId
from monedero.ledger.merkle import EMPTY, Head, seal
from monedero.ledger.state import State
from monedero.storage.store import EventRow

SEAL_AT_ONCE = 256
Progress = Callable[[int], None]
"""Called with how many more events have been read."""


def ignore_progress(_count: int) -> None:
    """Show nothing."""


class DiscrepancyError(Exception):
    """The first place where the stored ledger is not what its log makes of it."""


class Replay:
    """The log folded from its first event: head, state, and the money that the world outside has put in.

    `world` is the balance of the world outside in units: minus what was deposited.
    """

    def __init__(self) -> None:
        self.head: Head = EMPTY
        self.state = State()
        self.world = 0
        self.registrations: dict[OwnerId, tuple[int, CustomerRegistered | BusinessRegistered]] = {}
        self.transactions = 0

    def run(self, rows: Iterable[EventRow], progress: Progress = ignore_progress) -> None:
        """Fold the rows. Raises DiscrepancyError at the first that is out of place, altered or impossible."""
        for chunk in _chunks(rows):
            size = self.head.size
            head, links = seal(self.head, [row.payload for row in chunk])
            for expected, (row, link) in enumerate(zip(chunk, links, strict=True), size):
                if row.position != expected:
                    raise DiscrepancyError(f"position {expected} is missing: the log goes on at {row.position}")
                try:
                    self._fold(row)
                except (EventUnreadableError, HistoryError) as error:
                    raise DiscrepancyError(f"position {expected}: {error}") from None
                if row.link != link:
                    raise DiscrepancyError(f"position {expected}: the payload or the chain's link was altered")
            self.head = head
            progress(len(chunk))

    def expect(self, head: Head) -> None:
        """Raise DiscrepancyError unless the stored head is the one over the rows that were folded."""
        for name in head.__struct_fields__:
            if getattr(head, name) != getattr(self.head, name):
                raise DiscrepancyError(f"the head's {name} is not that of the {self.head.size} events in the log")

    def _fold(self, row: EventRow) -> None:
        fact = Recorded(row.position, decode(row.payload))
        event = fact.event
        self.state.apply(evolve(self.state, fact))
        if row.id != event.id:
            raise HistoryError(f"the column id says {row.id}, the event {event.id}")
        if (row.payer, row.payee) != wallet_numbers(self.state, fact):
            raise HistoryError("the columns payer and payee are not the wallets of the event")
        match event:
            case CustomerRegistered() | BusinessRegistered():
                self.registrations[event.id] = row.position, event
            case DepositAccepted():
                self.world -= event.amount
                self.transactions += 1
            case DebitAccepted():
                self.transactions += 1
            case _:
                pass


def _chunks(rows: Iterable[EventRow]) -> Iterator[list[EventRow]]:
    stream = iter(rows)
    while chunk := list(islice(stream, SEAL_AT_ONCE)):
        yield chunk
