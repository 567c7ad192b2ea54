"""The log as JSON lines: a first line that says what follows, then one line an event, its bytes unchanged."""

from typing import IO

import msgspec

from monedero.engine.replay import Progress, ignore_progress
from monedero.storage.store import Snapshot

FORMAT = "monedero-log"
FORMAT_VERSION = 1


class ExportHeader(msgspec.Struct, frozen=True):
    """The first line: how many events follow and the Merkle root over them, in hex."""

    format: str
    version: int
    size: int
    root: str


class ExportLine(msgspec.Struct, frozen=True):
    """Any other line: an event at its position, its canonical bytes as they were sealed."""

    position: int
    event: msgspec.Raw


def export(snapshot: Snapshot, out: IO[bytes], progress: Progress = ignore_progress) -> int:
    """Write the log, without any personal data, and return how many events it holds."""
    encode = msgspec.json.Encoder().encode
    head = snapshot.head()
    out.write(encode(ExportHeader(FORMAT, FORMAT_VERSION, head.size, head.root.hex())) + b"\n")
    for row in snapshot.rows():
        out.write(encode(ExportLine(row.position, msgspec.Raw(row.payload))) + b"\n")
        progress(1)
    return head.size
