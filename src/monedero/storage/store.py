"""The port: what the engine, the audit and the API ask of a store, and the errors they may meet.

StoreError
├── StoreUnavailableError   it cannot be opened as asked: in use, not migrated, too new, unreachable
├── NotStoredError          the transaction is certainly rolled back
│   └── TransientError      rolled back by what may be over already: worth deciding and committing again
├── CommitUnknownError      COMMIT failed: whether the batch is stored has to be looked up
│   └── AnswerLostError     because the connection was lost
└── StoreBrokenError        the disk failed under it: nothing more may be written by this process
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol

import msgspec

from monedero.ledger.claims import Claim
from monedero.ledger.events import Recorded
from monedero.ledger.ids import HoldId, OwnerId, TransactionId, WalletId
from monedero.ledger.merkle import Head, KeptRoot
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind, PersonalData
from monedero.ledger.state import Debited, Hold, State, Touched, Wallet

FORGET_CLAIMS = 2
"""More than one, so that old claims become fewer while new ones come."""
NEWEST = 2**63 - 1
"""As the bound `before` of a listing: from the newest event on."""


class StoreError(Exception):
    """The root of what a store raises. Each message is a sentence for the operator."""


class StoreUnavailableError(StoreError):
    """The store cannot be opened, or read, as asked."""


class NotStoredError(StoreError):
    """The transaction is rolled back: nothing of it is, or ever will be, stored."""


class TransientError(NotStoredError):
    """The transaction is rolled back because of another one, or because the connection was lost."""


class CommitUnknownError(StoreError):
    """COMMIT failed, which does not say whether the batch is stored."""


class AnswerLostError(CommitUnknownError):
    """COMMIT was sent and the connection lost: where the batch turns out to be absent, it is worth another try."""


class StoreBrokenError(StoreError):
    """The disk failed to write or sync: this process must stop writing, a new one recovers."""


class EventRow(msgspec.Struct, frozen=True, gc=False):
    """One row of the log. `payer` and `payee` are wallet numbers, so that listings are index scans."""

    position: int
    id: str
    payer: int | None
    payee: int | None
    payload: bytes
    link: bytes


class StoredOwner(msgspec.Struct, frozen=True):
    """A customer or business with the personal data that the log does not hold, if it is kept here.

    `number` is the position of the event that registered the owner.
    """

    id: OwnerId
    number: int
    kind: OwnerKind
    created_at: int
    personal: PersonalData | None


class Batch(msgspec.Struct):
    """What one transaction writes: the log's new rows, the head over them, and the rows that follow.

    With each claim up to FORGET_CLAIMS older ones that were made before `forget_before` are removed. The personal data
    of `erased` owners is removed.
    """

    rows: list[EventRow]
    head: Head
    wallets: list[Wallet] = []
    owners: list[StoredOwner] = []
    holds: list[Hold] = []
    debited: list[Debited] = []
    claims: list[Claim] = []
    forget_before: int = 0
    erased: list[OwnerId] = []
    roots: list[KeptRoot] = []

    @property
    def opened(self) -> list[Wallet]:
        """The wallets that did not exist before the batch."""
        first = self.head.size - len(self.rows)
        return [wallet for wallet in self.wallets if wallet.number >= first]

    @property
    def moved(self) -> list[Wallet]:
        """The wallets that existed, in the order of their numbers."""
        first = self.head.size - len(self.rows)
        return sorted((wallet for wallet in self.wallets if wallet.number < first), key=lambda wallet: wallet.number)

    @property
    def forget(self) -> int:
        """How many old claims are removed at most."""
        return FORGET_CLAIMS * len(self.claims)


class Import(msgspec.Struct, frozen=True):
    """An import that has begun: how many events and owners with personal data come, and the root over the events.

    Whoever finds this in a ledger knows that it is not whole yet.
    """

    size: int
    root: bytes
    owners: int


class WalletTransactions(msgspec.Struct, frozen=True):
    """A wallet and a page of its transactions, newest first."""

    wallet: Wallet
    transactions: list[Recorded]


class OwnerPage(msgspec.Struct, frozen=True):
    """A page of an owner's history over all wallets, the openings of wallets counted among its items.

    `last` is the lowest position on the page, where the next one goes on, and `more` says whether it exists.
    """

    wallets: list[WalletTransactions]
    last: int
    more: bool


def page_items(positions: Sequence[int], limit: int) -> int:
    """Return how many of the items at these positions, newest first, make a page: a transfer's two stay together."""
    parted = limit < len(positions) and positions[limit - 1] == positions[limit]
    return min(limit, len(positions)) + parted


class Transaction(Protocol):
    """The write side of one batch.

    What was loaded is so until the batch is committed; where it was not, the batch is rolled back with TransientError.
    Every method raises NotStoredError and StoreBrokenError.
    """

    async def load(self, touched: Touched) -> tuple[State, Head]:
        """Return what exists of `touched`, and the head of the log, under which it does.

        Asked again, for more, it answers for all of that. With a hold or a debit come the wallets that it is between.
        """

    def append(self, batch: Batch) -> None:
        """Have the batch written when the transaction ends. At most once."""


class Queries(Protocol):
    """The read side. Every method answers from committed data and never waits for the writer.

    Raises StoreUnavailableError where the data is away at the moment.
    """

    async def owner(self, kind: OwnerKind, owner_id: OwnerId) -> StoredOwner | None:
        """Return an owner of that kind."""

    async def wallet(self, wallet_id: WalletId) -> Wallet | None:
        """Return a wallet of either kind."""

    async def wallets(self, kind: OwnerKind, owner_id: OwnerId, limit: int) -> list[Wallet] | None:
        """Return an owner's wallets, last changed first; None: no such owner.

        Of two that one transaction changed, the one that was opened later comes first.
        """

    async def wallet_transactions(
        self, kind: OwnerKind, wallet_id: WalletId, before: int, limit: int
    ) -> WalletTransactions | None:
        """Return a page of a wallet's transactions below a position; None: no wallet of that kind."""

    async def owner_transactions(self, kind: OwnerKind, owner_id: OwnerId, before: int, limit: int) -> OwnerPage | None:
        """Return a page of an owner's history below a position; None: no such owner.

        A transfer between two wallets of the owner is an item of each. A page that ends between the two holds one
        item more than `limit`, so that the next one can go on below a position.
        """

    async def movements(
        self, number: int, first: int, end: int, limit: int, *, oldest_first: bool = False
    ) -> list[Recorded]:
        """Return transactions of the wallet with that number, at positions from `first` to below `end`.

        The newest ones, newest first, unless the oldest ones are asked for. For reading through a history: what is
        read is not remembered.
        """

    async def event(self, event_id: str) -> Recorded | None:
        """Return the event with that id."""

    async def events(self, positions: Sequence[int]) -> list[Recorded]:
        """Return the events at these positions, as far as they exist, in the order of positions."""

    async def size(self) -> int:
        """Return how many events the log has."""

    async def hold(self, hold_id: HoldId) -> Hold | None:
        """Return a hold."""

    async def refunded(self, number: int) -> Units:
        """Return how much has been refunded of the debit at a position."""

    async def open_holds(self, limit: int) -> int:
        """Return how many holds are open; not more than `limit` are counted."""

    async def expiring(self, limit: int) -> list[tuple[HoldId, int]]:
        """Return the open holds that expire first, with the times when they do."""

    async def head(self) -> Head:
        """Return the head of the log."""

    async def payloads(self, start: int, end: int) -> list[bytes]:
        """Return the canonical bytes at the positions from `start` on and below `end`, as far as the log goes."""

    async def roots(self, height: int, start: int, end: int) -> list[bytes]:
        """Return the kept roots of a height, over the subtrees numbered from `start` on and below `end`."""


class Snapshot(Protocol):
    """One moment of the whole ledger, for the audit: the log and what was made of it, unmoved by writers.

    One thing is read at a time: what one method yields is taken in, or left for good, before the next one is called.
    """

    def head(self) -> Head:
        """Return the sealed head. Raises, as every method here, StoreBrokenError for what cannot be read."""

    def rows(self) -> Iterator[EventRow]:
        """Yield the log as stored, in order of position."""

    def roots(self) -> Iterator[KeptRoot]:
        """Yield every kept root as stored, in order of height and number."""

    def wallets(self) -> Iterator[Wallet]:
        """Yield every wallet as stored, in order of number."""

    def owners(self) -> Iterator[StoredOwner]:
        """Yield every owner as stored, in order of number."""

    def holds(self) -> Iterator[Hold]:
        """Yield every hold as stored, in order of number."""

    def refunds(self) -> Iterator[tuple[int, Units]]:
        """Yield how much has been refunded of every debit that was refunded, in order of the debits' positions."""

    def debited(self, ids: Iterable[TransactionId]) -> list[Debited]:
        """Return what exists of these debits as they were at first, with nothing refunded."""

    def importing(self) -> Import | None:
        """Return the import into this ledger that is not finished."""

    def inspection(self) -> AbstractContextManager[Callable[[], str | None]]:
        """Look at the database itself, its files, tables and indexes, beside what is read inside the block.

        Yields what to call for what is wrong with it, or None; the call waits until all of it was looked at. It may be
        looked at a moment later than the rest. Leaving the block ends it.
        """


class Overhaul(Snapshot, Protocol):
    """The whole ledger while nobody else can write it."""

    def replace_projections(self, wallets: Iterable[Wallet], holds: Iterable[Hold], debited: Iterable[Debited]) -> None:
        """Drop the projections and write them anew. Raises NotStoredError: the wallets do not fit the owners."""

    def replace_roots(self, roots: Iterable[KeptRoot]) -> None:
        """Drop the kept roots and write them anew."""

    def begin_import(self, begun: Import) -> None:
        """Mark the ledger as not whole: from the commit on it opens only for the import."""

    def end_import(self) -> None:
        """Remove the mark."""


class Store(Protocol):
    """A store, as one process opens it."""

    @property
    def queries(self) -> Queries:
        """The read side, as fresh as it is configured to be."""

    @property
    def transactions_at_once(self) -> int:
        """How many transactions this process may have open at a time.

        With more than one, the next one waits at its beginning until the one before it is being committed. It is
        decided on what that one leaves, commits after it, and raises TransientError if that one was not committed.
        """

    async def queries_at(self, position: int) -> Queries | None:
        """Return a read side that shows the event at `position`; None: the log is not that long.

        Raises StoreUnavailableError.
        """

    async def ping(self) -> None:
        """Make sure that it can be reached, is to be written, and has exactly this release's schema.

        Raises StoreUnavailableError, also while it is being migrated.
        """

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction that commits at the end of the block and rolls back on an exception.

        Raises NotStoredError, StoreBrokenError, and CommitUnknownError when COMMIT itself failed.
        """

    async def stored(self, event_ids: Iterable[str]) -> set[str]:
        """Return which of these events are stored, to settle an unknown commit. Raises StoreError."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """Open a consistent view. Raises StoreUnavailableError."""

    def overhaul(self) -> AbstractContextManager[Overhaul]:
        """Keep all writers out and open one transaction, which commits at the end of the block. Raises StoreError."""

    async def close(self) -> None:
        """Give everything back. Safe to call twice."""
