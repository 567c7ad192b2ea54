"""Checkpoints: a ledger's word for how long its log is and what its root is, as C2SP's tlog-checkpoint writes it.

The text of the note has three lines: the origin, which names the log, the size in decimal, the root in base64.
"""

import re
from typing import Self

import msgspec

from monedero.ledger.merkle import HASH_BYTES
from monedero.proofs.note import NoteError, SigningKey, VerifierKey, decode_base64, encode_base64, open_note

_TEXT = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([^\n]+)\n")


class Checkpoint(msgspec.Struct, frozen=True):
    """The log of `origin` has `size` events and, over them, that root."""

    origin: str
    size: int
    root: bytes

    def sign(self, key: SigningKey) -> str:
        """Return the note that the key signs."""
        return key.sign(f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n")

    @classmethod
    def open(cls, note: str, key: VerifierKey) -> Self:
        """Read a checkpoint that the key has signed, of the log that the key is named after. Raises NoteError."""
        match = _TEXT.fullmatch(open_note(note, key))
        if not match:
            raise NoteError("what is signed is no checkpoint")
        origin, size, root = match[1], int(match[2]), decode_base64(match[3])
        if origin != key.name or len(root) != HASH_BYTES:
            raise NoteError("what is signed is no checkpoint of that ledger")
        return cls(origin, size, root)
