"""The read side of the embedded store.

A point read takes about as long as handing it to a thread would, so it runs where it is asked; a listing
touches a page of the file for each row, so it runs in a thread of its own (docs/decisions/0004).
"""

import asyncio
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from operator import attrgetter
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from typing import TypeVar

import apsw
import msgspec

from monedero.ledger.events import Event, Recorded
from monedero.ledger.evolve import debited
from monedero.ledger.ids import HoldId, OwnerId, TransactionId, WalletId
from monedero.ledger.merkle import Head, KeptRoot
from monedero.ledger.money import ZERO, Units
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Debited, Hold, Wallet
from monedero.storage.hot import HotWallets
from monedero.storage.sqlite import statements
from monedero.storage.sqlite.connection import open_reader
from monedero.storage.sqlite.migrate import expected_schema, require_migrated
from monedero.storage.sqlite.rows import (
    Row,
    id_bytes,
    id_text,
    to_event_row,
    to_hold,
    to_owner,
    to_recorded,
    to_wallet,
)
from monedero.storage.store import (
    NEWEST,
    EventRow,
    Import,
    OwnerPage,
    StoreBrokenError,
    StoredOwner,
    WalletTransactions,
    page_items,
)

LISTING_THREADS = 2
INSPECTION_STEPS = 1_000_000
"""Of SQLite's machine, a fraction of a second: how often an inspection looks whether it is still wanted."""
LIMIT_EVENTS = 32_768
"""Of those that listings showed lately, about 25 MB. Beyond it all are forgotten; an event never changes."""

Answer = TypeVar("Answer")


class _Item(msgspec.Struct, frozen=True, gc=False):
    """An event in an owner's history, with the number of the wallet whose history it belongs to."""

    wallet: int
    position: int
    event: Event


_by_position = attrgetter("position")
_positions: msgspec.json.Decoder[list[int]] = msgspec.json.Decoder(list[int])
_recorded: msgspec.json.Decoder[list[Recorded]] = msgspec.json.Decoder(list[Recorded])
_items: msgspec.json.Decoder[list[_Item]] = msgspec.json.Decoder(list[_Item])


class Reader:
    """Read-only connections: one for point reads, one for each thread that lists."""

    def __init__(self, path: Path, hot: HotWallets) -> None:
        self._hot = hot
        self._events: dict[int, Recorded] = {}
        self._points = open_reader(path)
        self._idle: SimpleQueue[apsw.Connection] = SimpleQueue()
        for _ in range(LISTING_THREADS):
            self._idle.put(open_reader(path))
        self._threads = ThreadPoolExecutor(LISTING_THREADS, thread_name_prefix="monedero-listing")

    async def owner(self, kind: OwnerKind, owner_id: OwnerId) -> StoredOwner | None:
        """See Queries.owner."""
        row = self._points.execute(statements.OWNER_BY_ID, (id_bytes(owner_id), kind)).fetchone()
        return to_owner(row) if row else None

    async def wallet(self, wallet_id: WalletId) -> Wallet | None:
        """See Queries.wallet."""
        return self._hot.get(wallet_id) or _wallet(self._points, wallet_id)

    async def event(self, event_id: str) -> Recorded | None:
        """See Queries.event."""
        row = self._points.execute(statements.EVENT_BY_ID, (id_bytes(event_id),)).fetchone()
        return to_recorded(row) if row else None

    async def events(self, positions: Sequence[int]) -> list[Recorded]:
        """See Queries.events."""
        if not positions:
            return []  # Nothing has no address, and the array of it may be taken for misaligned.
        return await self._list(lambda connection: _events_by_position(connection, positions))

    async def size(self) -> int:
        """See Queries.size."""
        return int(self._points.execute(statements.SIZE).get)

    async def hold(self, hold_id: HoldId) -> Hold | None:
        """See Queries.hold."""
        ids = apsw.carray((id_bytes(hold_id),), flags=apsw.SQLITE_CARRAY_BLOB)
        row = self._points.execute(statements.LOAD_HOLDS, (ids,)).fetchone()
        return to_hold(row) if row else None

    async def refunded(self, number: int) -> Units:
        """See Queries.refunded."""
        row = self._points.execute(statements.REFUNDED, (number,)).fetchone()
        return Units(row[0]) if row else ZERO

    async def open_holds(self, limit: int) -> int:
        """See Queries.open_holds."""
        return int(self._points.execute(statements.OPEN_HOLDS, (limit,)).get)

    async def expiring(self, limit: int) -> list[tuple[HoldId, int]]:
        """See Queries.expiring."""
        rows: list[Row] = self._points.execute(statements.EXPIRING, (limit,)).fetchall()
        return [(HoldId(TransactionId(id_text(hold))), expires_at) for hold, expires_at in rows]

    async def head(self) -> Head:
        """See Queries.head."""
        return Head(*self._points.execute(statements.READ_HEAD).get)

    async def payloads(self, start: int, end: int) -> list[bytes]:
        """See Queries.payloads."""
        return await self._list(lambda connection: _blobs(connection, statements.PAYLOADS, (start, end)))

    async def roots(self, height: int, start: int, end: int) -> list[bytes]:
        """See Queries.roots."""
        return await self._list(lambda connection: _blobs(connection, statements.ROOTS, (height, start, end)))

    async def wallets(self, kind: OwnerKind, owner_id: OwnerId, limit: int) -> list[Wallet] | None:
        """See Queries.wallets."""
        return await self._list(lambda connection: _wallets(connection, kind, owner_id, limit))

    async def wallet_transactions(
        self, kind: OwnerKind, wallet_id: WalletId, before: int, limit: int
    ) -> WalletTransactions | None:
        """See Queries.wallet_transactions. Only events that were not read lately are read, in a thread."""
        wallet = await self.wallet(wallet_id)
        if wallet is None or wallet.owner_kind is not kind:
            return None
        page = self._points.execute(statements.WALLET_POSITIONS, (wallet.number, before, limit)).get
        # SQLite keeps the order of what it concatenates, but does not promise it; sorting what is sorted costs little.
        positions = sorted(_positions.decode(page), reverse=True) if page else []
        events = self._events
        if missing := tuple(position for position in positions if position not in events):
            if len(events) > LIMIT_EVENTS:
                events = self._events = {}
                missing = tuple(positions)
            found = await self._list(lambda connection: _events_at(connection, missing))
            events.update((recorded.position, recorded) for recorded in found)
        return WalletTransactions(wallet, [events[position] for position in positions])

    async def owner_transactions(self, kind: OwnerKind, owner_id: OwnerId, before: int, limit: int) -> OwnerPage | None:
        """See Queries.owner_transactions."""
        return await self._list(lambda connection: _owner_transactions(connection, kind, owner_id, before, limit))

    async def movements(
        self, number: int, first: int, end: int, limit: int, *, oldest_first: bool = False
    ) -> list[Recorded]:
        """See Queries.movements."""
        statement = statements.OLDEST_MOVEMENTS if oldest_first else statements.NEWEST_MOVEMENTS
        page = await self._list(lambda connection: connection.execute(statement, (number, first, end, limit)).get)
        return sorted(_recorded.decode(page), key=_by_position, reverse=not oldest_first) if page else []

    async def _list(self, query: Callable[[apsw.Connection], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, query)

    def _run(self, query: Callable[[apsw.Connection], Answer]) -> Answer:
        connection = self._idle.get()
        try:
            connection.execute("BEGIN")
            return query(connection)
        finally:
            # After some errors SQLite has ended the transaction by itself.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._idle.put(connection)

    def close(self) -> None:
        """Finish what is being read and close the connections."""
        self._threads.shutdown()
        self._points.close()
        while not self._idle.empty():
            self._idle.get().close()


class FileSnapshot:
    """One read transaction over the whole file."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def head(self) -> Head:
        """See Snapshot.head."""
        for head in _read(self._connection, statements.READ_HEAD, lambda row: Head(*row)):
            return head
        raise StoreBrokenError("The head of the log is missing")

    def rows(self) -> Iterator[EventRow]:
        """See Snapshot.rows."""
        return _read(self._connection, statements.ALL_EVENTS, to_event_row)

    def roots(self) -> Iterator[KeptRoot]:
        """See Snapshot.roots."""
        return _read(self._connection, statements.ALL_ROOTS, lambda row: KeptRoot(*row))

    def wallets(self) -> Iterator[Wallet]:
        """See Snapshot.wallets."""
        return _read(self._connection, statements.ALL_WALLETS, to_wallet)

    def owners(self) -> Iterator[StoredOwner]:
        """See Snapshot.owners."""
        return _read(self._connection, statements.ALL_OWNERS, to_owner)

    def holds(self) -> Iterator[Hold]:
        """See Snapshot.holds."""
        return _read(self._connection, statements.ALL_HOLDS, to_hold)

    def refunds(self) -> Iterator[tuple[int, Units]]:
        """See Snapshot.refunds."""
        return _read(self._connection, statements.ALL_REFUNDS, lambda row: (row[0], Units(row[1])))

    def debited(self, ids: Iterable[TransactionId]) -> list[Debited]:
        """See Snapshot.debited."""
        wanted = apsw.carray(tuple(map(id_bytes, ids)), flags=apsw.SQLITE_CARRAY_BLOB)
        found = _read(self._connection, statements.EVENTS_BY_ID, lambda row: debited(to_recorded(row)), (wanted,))
        return [debit for debit in found if debit]

    def importing(self) -> Import | None:
        """See Snapshot.importing."""
        return next(_read(self._connection, statements.READ_IMPORT, lambda row: Import(*row)), None)

    @contextmanager
    def inspection(self) -> Iterator[Callable[[], str | None]]:
        """See Snapshot.inspection. It takes a core, but hardly the interpreter: for SQLite it is one step."""
        ended = Flag()
        with closing(open_reader(Path(self._connection.filename))) as connection, ThreadPoolExecutor(1) as thread:
            connection.set_progress_handler(ended.is_set, INSPECTION_STEPS)
            try:
                yield thread.submit(_damage, connection).result
            finally:
                ended.set()


@contextmanager
def snapshot(path: Path) -> Iterator[FileSnapshot]:
    """Open the file at one moment; other processes may go on writing. Raises StoreUnavailableError."""
    require_migrated(path)
    connection = open_reader(path)
    try:
        with connection:
            yield FileSnapshot(connection)
    finally:
        connection.close()


def _read(
    connection: apsw.Connection, statement: str, convert: Callable[[Row], Answer], parameters: Sequence[object] = ()
) -> Iterator[Answer]:
    """Yield each row as a value. Raises StoreBrokenError for one that the database or we cannot read."""
    try:
        yield from map(convert, connection.execute(statement, parameters))
    except (apsw.Error, ValueError, TypeError, AttributeError) as error:
        raise StoreBrokenError(f"A stored row cannot be read: {error}") from None


def _damage(connection: apsw.Connection) -> str | None:
    if list(_read(connection, statements.SCHEMA, tuple)) != expected_schema():
        return "its tables and indexes are not those that the migrations make"
    (found,) = _read(connection, statements.INTEGRITY, lambda row: str(row[0]))
    return None if found == "ok" else found


def _wallet(connection: apsw.Connection, wallet_id: WalletId) -> Wallet | None:
    row = connection.execute(statements.WALLET_BY_ID, (id_bytes(wallet_id),)).fetchone()
    return to_wallet(row) if row else None


def _wallets(connection: apsw.Connection, kind: OwnerKind, owner_id: OwnerId, limit: int) -> list[Wallet] | None:
    owner = id_bytes(owner_id)
    rows = connection.execute(statements.WALLETS_OF_OWNER, (owner, kind, limit)).fetchall()
    if not rows and not connection.execute(statements.OWNER_BY_ID, (owner, kind)).fetchone():
        return None
    return [to_wallet(row) for row in rows]


def _blobs(connection: apsw.Connection, statement: str, bounds: tuple[int, ...]) -> list[bytes]:
    joined = connection.execute(statement, bounds).get
    return [bytes.fromhex(each) for each in joined.split(" ")] if joined else []


def _events_at(connection: apsw.Connection, positions: tuple[int, ...]) -> list[Recorded]:
    return _recorded.decode(connection.execute(statements.EVENTS_AT, (apsw.carray(array("q", positions)),)).get)


def _events_by_position(connection: apsw.Connection, positions: Sequence[int]) -> list[Recorded]:
    if not positions:
        return []  # An empty array has no address that SQLite could take.
    wanted = apsw.carray(array("q", positions))
    return [to_recorded(row) for row in connection.execute(statements.EVENTS_BY_POSITION, (wanted,))]


def _owner_transactions(
    connection: apsw.Connection, kind: OwnerKind, owner_id: OwnerId, before: int, limit: int
) -> OwnerPage | None:
    wallets = _wallets(connection, kind, owner_id, NEWEST)
    if wallets is None:
        return None
    page = connection.execute(statements.OWNER_TRANSACTIONS, (id_bytes(owner_id), before, limit + 2, kind)).get
    found = sorted(_items.decode(page), key=_by_position, reverse=True) if page else []
    items = found[: page_items([item.position for item in found], limit)]
    pages: dict[int, list[Recorded]] = {}
    for item in items:
        transactions = pages.setdefault(item.wallet, [])
        if item.position != item.wallet:
            transactions.append(Recorded(item.position, item.event))
    return OwnerPage(
        [WalletTransactions(wallet, pages[wallet.number]) for wallet in wallets if wallet.number in pages],
        items[-1].position if items else 0,
        len(found) > len(items),
    )
