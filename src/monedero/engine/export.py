"""A ledger as JSON lines: what follows, the owners with personal data if asked for, then the events, byte for byte.

The owners come first so that whoever imports can store each one whole as soon as its registration is read.
"""

from typing import IO, Annotated

import msgspec
from msgspec import Meta

from monedero.engine.replay import Progress, ignore_progress
from monedero.ledger.ids import OwnerId
from monedero.ledger.profiles import PersonalData
from monedero.storage.store import NEWEST, Snapshot, StoreUnavailableError

FORMAT = "monedero-log"
FORMAT_VERSION = 1
HASH = r"^[0-9a-f]{64}\Z"

Count = Annotated[int, Meta(ge=0, le=NEWEST)]


class _Line(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What all lines share."""


class ExportHeader(_Line, frozen=True):
    """The first line: how many events follow, the Merkle root over them, in hex, and how many owners come before them.

    `owners` is absent in exports from before there was personal data in any.
    """

    format: str
    version: int
    size: Count
    root: Annotated[str, Meta(pattern=HASH)]
    owners: Count = 0


class ExportedOwner(_Line, frozen=True):
    """The personal data of one owner; the salt in base64."""

    id: OwnerId
    name: str
    last_name: str | None
    email: str
    phone: str | None
    salt: bytes


class OwnerLine(_Line, frozen=True):
    """A line before the events: an owner."""

    owner: ExportedOwner


class EventLine(_Line, frozen=True):
    """Any other line: an event at its position, its canonical bytes as they were sealed."""

    position: int
    event: msgspec.Raw


def export(
    snapshot: Snapshot, out: IO[bytes], progress: Progress = ignore_progress, *, personal_data: bool = False
) -> ExportHeader:
    """Write the log, with the personal data that is kept only if asked for; return the first line.

    Raises StoreUnavailableError: an import into the ledger is not finished.
    """
    if snapshot.importing():
        raise StoreUnavailableError("The import into this ledger is not finished: run it again before an export")
    encode = msgspec.json.Encoder().encode
    head = snapshot.head()
    owners = sum(1 for owner in snapshot.owners() if owner.personal) if personal_data else 0
    header = ExportHeader(FORMAT, FORMAT_VERSION, head.size, head.root.hex(), owners)
    out.write(encode(header) + b"\n")
    for owner in snapshot.owners() if owners else ():
        if owner.personal:
            out.write(encode(_line(owner.id, owner.personal)) + b"\n")
    for row in snapshot.rows():
        out.write(encode(EventLine(row.position, msgspec.Raw(row.payload))) + b"\n")
        progress(1)
    return header


def _line(owner_id: OwnerId, personal: PersonalData) -> OwnerLine:
    profile = personal.profile
    return OwnerLine(
        ExportedOwner(owner_id, profile.name, profile.last_name, profile.email, profile.phone, personal.salt)
    )
