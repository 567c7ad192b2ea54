"""Taking an export into an empty ledger: folded as it streams in, written in chunks, gone on with after a stop.

The ledger is marked before the first event and unmarked after the last, when head, root and owners are right; in
between it opens for nothing but the same import. What is there already is folded again and not written.
"""

import asyncio
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import IO

import msgspec

from monedero.engine.export import FORMAT, FORMAT_VERSION, EventLine, ExportHeader, OwnerLine
from monedero.engine.replay import DiscrepancyError, Progress, Replay, ignore_progress
from monedero.ledger.ids import OwnerId, TransactionId
from monedero.ledger.merkle import EMPTY, Head
from monedero.ledger.profiles import PersonalData, Profile, profile_digest
from monedero.ledger.state import Debited, Hold, Touched, Wallet
from monedero.storage.store import Batch, EventRow, Import, Store, StoredOwner, StoreError

CHUNK_EVENTS = 4_000
"""How many events one transaction writes."""
LINE_LIMIT_BYTES = 65_536

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_header = msgspec.json.Decoder(ExportHeader).decode
_owner_line = msgspec.json.Decoder(OwnerLine).decode
_event_line = msgspec.json.Decoder(EventLine).decode


class ImportRefusedError(Exception):
    """Nothing can be imported: this is no export that we read, or the ledger is not one to import it into."""


class Imported(msgspec.Struct, frozen=True):
    """What an import that is finished has brought; `resumed` of the events were there from one that had stopped."""

    events: int
    resumed: int
    owners: int
    owners_with_personal_data: int
    root: str


def read_header(source: IO[bytes]) -> ExportHeader:
    """Read the first line of an export. Raises ImportRefusedError."""
    line = source.readline(LINE_LIMIT_BYTES)
    if not line:
        raise ImportRefusedError("There is nothing to import: the input is empty")
    try:
        header = _header(line)
    except _UNREADABLE as error:
        raise ImportRefusedError(f"This is no export of a ledger, to judge by its first line: {error}") from None
    if header.format != FORMAT:
        raise ImportRefusedError(f"This is no export of a ledger: its format is {header.format!r}, not {FORMAT!r}")
    if header.version != FORMAT_VERSION:
        raise ImportRefusedError(f"The export is of version {header.version}; this release reads {FORMAT_VERSION}")
    return header


async def import_from(
    source: IO[bytes], header: ExportHeader, store: Store, progress: Progress = ignore_progress
) -> Imported:
    """Read what follows the header, into an empty store or into one where this import had stopped.

    Takes memory in proportion to wallets, owners, holds and refunded debits, not to events.
    Raises ImportRefusedError; DiscrepancyError naming the first line that does not follow from those before;
    StoreError. After each the store holds whole chunks and, once it has begun, the mark of the import.
    """
    begun = Import(header.size, bytes.fromhex(header.root), header.owners)
    held = _begin(store, begun)
    personal = _personal_data(source, header.owners)
    payloads = _payloads(source, header.size)
    replay = Replay(partial(_recall, store))
    for _, batch in _chunks(payloads, held.size, replay, personal):
        progress(len(batch.rows))
    if replay.head != held:
        raise ImportRefusedError(
            f"The {held.size:,} events that the ledger holds are not the first of this export: import it into a new one"
        )
    await _write_all(store, _chunks(payloads, header.size, replay, personal), progress)
    _require_end(source, replay, begun, personal)
    _finish(store, replay)
    return Imported(header.size, held.size, len(replay.registrations), header.owners, header.root)


def _begin(store: Store, begun: Import) -> Head:
    """Mark the ledger, unless this import has done so before; return the head of what it holds."""
    with store.overhaul() as ledger:
        unfinished, head = ledger.importing(), ledger.head()
        if unfinished is None:
            if (head.size, head.root) == (begun.size, begun.root) and head != EMPTY:
                raise ImportRefusedError("The ledger holds exactly the events of this export: it has been imported")
            if head != EMPTY:
                raise ImportRefusedError(
                    f"The ledger holds {head.size:,} events: an import needs an empty one, as `monedero migrate` makes"
                )
            ledger.begin_import(begun)
        elif unfinished != begun:
            raise ImportRefusedError(
                f"The ledger holds an unfinished import of another export, of {unfinished.size:,} events, "
                f"{unfinished.owners:,} owners with personal data and the Merkle root {unfinished.root.hex()}"
            )
    return head


def _chunks(
    payloads: Iterator[bytes], end: int, replay: Replay, personal: dict[OwnerId, PersonalData]
) -> Iterator[tuple[Head, Batch]]:
    """Fold up to the position `end`; yield each chunk, and the head that it follows. Raises DiscrepancyError."""
    while chunk := list(islice(payloads, min(CHUNK_EVENTS, end - replay.head.size))):
        before = replay.head
        rows, changed, roots = replay.extend(chunk)
        yield (
            before,
            Batch(
                rows,
                replay.head,
                [record for record in changed if isinstance(record, Wallet)],
                _registered(replay, rows, personal),
                [record for record in changed if isinstance(record, Hold)],
                [record for record in changed if isinstance(record, Debited)],
                roots=roots,
            ),
        )


def _recall(store: Store, ids: list[TransactionId]) -> list[Debited]:
    """Find debits in what has been written: in all but the chunk before this one, which may be on its way."""
    with store.snapshot() as snapshot:
        return snapshot.debited(ids)


async def _write_all(store: Store, chunks: Iterator[tuple[Head, Batch]], progress: Progress) -> None:
    """Write each chunk, while a thread reads and folds the next one."""
    chunk = next(chunks, None)
    while chunk:
        written, following = await asyncio.gather(
            _write(store, *chunk), asyncio.to_thread(next, chunks, None), return_exceptions=True
        )
        if isinstance(written, BaseException):
            raise written
        progress(len(chunk[1].rows))
        if isinstance(following, BaseException):
            raise following
        chunk = following


async def _write(store: Store, before: Head, batch: Batch) -> None:
    """Write a chunk after the head that it was made to follow."""
    try:
        async with store.transaction() as transaction:
            _, head = await transaction.load(Touched())
            _require_alone(head, before)
            transaction.append(batch)
    except (StoreError, ImportRefusedError):
        raise
    except Exception as error:
        # Rules that a store checks by itself, such as that no id and no e-mail is there twice.
        first, last = batch.rows[0].position, batch.rows[-1].position
        said = " ".join(str(error).split())
        raise DiscrepancyError(f"positions {first} to {last}: the store does not take these events: {said}") from error


def _require_end(source: IO[bytes], replay: Replay, begun: Import, personal: dict[OwnerId, PersonalData]) -> None:
    """Raise DiscrepancyError unless the export ends here, as its first line said."""
    if source.read(1):
        raise DiscrepancyError(f"position {begun.size}: the export goes on after the last event that it announced")
    if replay.head.root != begun.root:
        raise DiscrepancyError(
            f"an event before position {begun.size} was altered: the Merkle root of all is {replay.head.root.hex()}, "
            f"not the {begun.root.hex()} that was announced"
        )
    for owner_id in personal:
        raise DiscrepancyError(f"owner {owner_id}: there is personal data, but the log never registered it")


def _finish(store: Store, replay: Replay) -> None:
    """Remove the mark from a ledger that is whole."""
    with store.overhaul() as ledger:
        _require_alone(ledger.head(), replay.head)
        ledger.end_import()


def _require_alone(head: Head, expected: Head) -> None:
    """Raise ImportRefusedError unless the stored head is the one that we wrote."""
    if head != expected:
        raise ImportRefusedError("Another process has written to this ledger meanwhile, and the import has stopped")


def _registered(replay: Replay, rows: list[EventRow], personal: dict[OwnerId, PersonalData]) -> list[StoredOwner]:
    """Return the owners that these rows registered, and take their personal data out. Raises DiscrepancyError."""
    owners = []
    for row in rows:
        owner_id = OwnerId(row.id)
        number, event = replay.registrations.get(owner_id, (None, None))
        if event is None or number != row.position:
            continue
        kept = personal.pop(owner_id, None)
        if kept and profile_digest(kept.profile, kept.salt) != event.profile_digest:
            raise DiscrepancyError(
                f"position {number}: the personal data of owner {owner_id} is not what was registered"
            )
        owners.append(StoredOwner(owner_id, number, replay.state.owners[owner_id].kind, event.at, kept))
    return owners


def _personal_data(source: IO[bytes], count: int) -> dict[OwnerId, PersonalData]:
    """Read so many owners. Raises DiscrepancyError."""
    found: dict[OwnerId, PersonalData] = {}
    for number in range(1, count + 1):
        place = f"owner {number} of {count}"
        try:
            owner = _owner_line(_line(source, place)).owner
        except _UNREADABLE as error:
            raise DiscrepancyError(f"{place}: the line is no owner: {error}") from None
        if owner.id in found:
            raise DiscrepancyError(f"{place}: {owner.id} is there twice")
        profile = Profile(owner.name, owner.last_name, owner.email, owner.phone)
        found[owner.id] = PersonalData(profile, profile.email_key, owner.salt)
    return found


def _payloads(source: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield the canonical bytes of so many events. Raises DiscrepancyError."""
    for position in range(size):
        place = f"position {position}"
        try:
            line = _event_line(_line(source, place))
        except _UNREADABLE as error:
            raise DiscrepancyError(f"{place}: the line is no event: {error}") from None
        if line.position != position:
            raise DiscrepancyError(f"{place}: in its place is position {line.position}")
        yield bytes(line.event)


def _line(source: IO[bytes], place: str) -> bytes:
    line = source.readline(LINE_LIMIT_BYTES)
    if not line.endswith(b"\n"):
        what = "the line is too long" if len(line) == LINE_LIMIT_BYTES else "the export was cut short here"
        raise DiscrepancyError(f"{place}: {what}")
    return line
