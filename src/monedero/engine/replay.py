"""Folding a whole log from its first event: what `verify`, `rebuild` and `import` have in common."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from monedero.engine.work import wallet_numbers
from monedero.ledger.events import (
    BusinessRegistered,
    CaptureAccepted,
    CustomerRegistered,
    DebitAccepted,
    DepositAccepted,
    EventUnreadableError,
    PayoutAccepted,
    Posting,
    Recorded,
    RefundAccepted,
    TransferAccepted,
    WithdrawalAccepted,
    decode,
)
from monedero.ledger.evolve import HistoryError, debited, evolve
from monedero.ledger.ids import OwnerId, TransactionId, canonical_id
from monedero.ledger.merkle import EMPTY, Head, KeptRoot, seal
from monedero.ledger.state import Debited, Record, State
from monedero.storage.store import EventRow

SEAL_AT_ONCE = 256
Progress = Callable[[int], None]
"""Called with how many more events have been read."""
Recall = Callable[[list[TransactionId]], Iterable[Debited]]
"""Finds debits in the log that were folded before: most are never refunded, so they are not kept in memory."""


def ignore_progress(_count: int) -> None:
    """Show nothing."""


class DiscrepancyError(Exception):
    """The first place where a ledger, stored or on its way in, is not what its log makes of it."""


class Replay:
    """The log folded from its first event: head, state, and the money that came from and went to the world outside.

    `deposited` and `paid_out` are in units, by currency. `roots` are those to keep over what was run, one for each 256
    events and fewer above.
    """

    def __init__(self, recall: Recall) -> None:
        self._recall = recall
        self._last: list[Recorded] = []
        self.head: Head = EMPTY
        self.roots: list[KeptRoot] = []
        self.state = State()
        self.deposited: Counter[str] = Counter()
        self.paid_out: Counter[str] = Counter()
        self.registrations: dict[OwnerId, tuple[int, CustomerRegistered | BusinessRegistered]] = {}
        self.transactions = 0

    def run(self, rows: Iterable[EventRow], progress: Progress = ignore_progress) -> None:
        """Fold stored rows. Raises DiscrepancyError at the first that is out of place, altered or impossible."""
        for chunk in _chunks(rows):
            payloads = [row.payload for row in chunk]
            head, links, roots = seal(self.head, payloads)
            for row, link, fact in zip(chunk, links, self._read(payloads), strict=True):
                if row.position != fact.position:
                    raise DiscrepancyError(f"position {fact.position} is missing: the log goes on at {row.position}")
                self._fold(fact)
                numbers = wallet_numbers(self.state, fact)
                if row.link != link or row.id != fact.event.id or (row.payer, row.payee) != numbers:
                    raise DiscrepancyError(f"position {fact.position}: {_difference(row, fact, link)}")
            self.head = head
            self.roots += roots
            progress(len(chunk))

    def extend(self, payloads: Sequence[bytes]) -> tuple[list[EventRow], list[Record], list[KeptRoot]]:
        """Fold the events that follow; return their rows as stored, the records that they changed, the roots to keep.

        Raises DiscrepancyError at the first that is no event or does not follow from those before. Debits of the last
        call need not be recalled.
        """
        head, links, roots = seal(self.head, payloads)
        rows: list[EventRow] = []
        changed: dict[tuple[type[Record], str], Record] = {}
        facts: list[Recorded] = []
        for fact, payload, link in zip(self._read(payloads), payloads, links, strict=True):
            event_id = fact.event.id
            if canonical_id(event_id) != event_id:
                raise DiscrepancyError(f"position {fact.position}: {event_id!r} is no id")
            changed.update(((type(record), record.id), record) for record in self._fold(fact))
            rows.append(EventRow(fact.position, event_id, *wallet_numbers(self.state, fact), payload, link))
            facts.append(fact)
        self.head = head
        self._last = facts
        return rows, list(changed.values()), roots

    def expect(self, head: Head) -> None:
        """Raise DiscrepancyError unless the stored head is the one over the rows that were folded."""
        for name in head.__struct_fields__:
            if getattr(head, name) != getattr(self.head, name):
                raise DiscrepancyError(f"the head's {name} is not that of the {self.head.size} events in the log")

    def _read(self, payloads: Sequence[bytes]) -> Iterator[Recorded]:
        """Yield the events that follow, with the debits at hand that they refund."""
        facts: list[Recorded] = []
        unreadable = None
        for position, payload in enumerate(payloads, self.head.size):
            try:
                facts.append(Recorded(position, decode(payload)))
            except EventUnreadableError as error:
                unreadable = DiscrepancyError(f"position {position}: {error}")
                break
        refunded = {fact.event.debit for fact in facts if isinstance(fact.event, RefundAccepted)}
        if wanted := refunded - self.state.debited.keys():
            near = {fact.event.id: debited(fact) for fact in (*self._last, *facts) if fact.event.id in wanted}
            away = [each for each in wanted if each not in near and canonical_id(each) == each]
            found = (*near.values(), *(self._recall(away) if away else ()))
            self.state.apply(tuple(debit for debit in found if debit is not None))
        yield from facts
        if unreadable:
            raise unreadable

    def _fold(self, fact: Recorded) -> tuple[Record, ...]:
        """Fold one event; return what it changed."""
        try:
            changes = evolve(self.state, fact)
        except HistoryError as error:
            raise DiscrepancyError(f"position {fact.position}: {error}") from None
        self.state.apply(changes)
        event = fact.event
        match event:
            case DebitAccepted() | CaptureAccepted() | RefundAccepted() | TransferAccepted():
                self.transactions += 1
            case DepositAccepted():
                self.transactions += 1
                self.deposited[self._currency(event.payee)] += event.amount
            case PayoutAccepted() | WithdrawalAccepted():
                self.transactions += 1
                self.paid_out[self._currency(event.payer)] += event.amount
            case CustomerRegistered() | BusinessRegistered():
                self.registrations[event.id] = fact.position, event
            case _:
                pass
        return changes

    def _currency(self, posting: Posting) -> str:
        return self.state.wallets[posting.wallet].currency


def _difference(row: EventRow, fact: Recorded, link: bytes) -> str:
    if row.id != fact.event.id:
        return f"the column id says {row.id}, the event {fact.event.id}"
    if row.link != link:
        return "the payload or the chain's link was altered"
    return "the columns payer and payee are not the wallets of the event"


def _chunks(rows: Iterable[EventRow]) -> Iterator[list[EventRow]]:
    stream = iter(rows)
    while chunk := list(islice(stream, SEAL_AT_ONCE)):
        yield chunk
