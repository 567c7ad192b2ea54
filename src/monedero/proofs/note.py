"""Signed notes and the keys that sign them, as C2SP's signed-note describes them, with Ed25519.

A note is text that ends in a newline, an empty line, and one line for each signature: an em dash, the name of the key,
and in base64 the key's id, 4 bytes, before the signature over the text. Keys are written as

    name+id+base64                 a verifier key, for everybody
    PRIVATE+KEY+name+id+base64     a signing key

with the id in hex and, in base64, a byte that says Ed25519 before the key's 32.
"""

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURES_LIMIT = 16
"""Of the lines of signatures in a note: others, such as witnesses, may add theirs."""

_ED25519 = b"\x01"
_ID_BYTES = 4
_NAME = r"[!-*,-~]{1,200}"
_NAMED = re.compile(_NAME)
_VERIFIER_KEY = re.compile(rf"({_NAME})\+([0-9a-f]{{8}})\+(\S+)")
_SIGNING_KEY = re.compile(rf"PRIVATE\+KEY\+({_NAME})\+([0-9a-f]{{8}})\+(\S+)")
_SIGNATURE = re.compile(r"\u2014 ([^\s+]+) (\S+)")


class NoteError(ValueError):
    """A key that is none, or a note that is not signed as it should be; the message is a sentence without its end."""


class VerifierKey:
    """A public key with a name; its id is a digest of both."""

    def __init__(self, name: str, public_key: Ed25519PublicKey) -> None:
        self.name = name
        self.id = sha256(name.encode() + b"\n" + _ED25519 + public_key.public_bytes_raw()).digest()[:_ID_BYTES]
        self._public_key = public_key

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a verifier key. Raises NoteError."""
        name, key_id, raw = _parse_key(_VERIFIER_KEY, text, "verifier key")
        key = cls(name, Ed25519PublicKey.from_public_bytes(raw))
        if key.id.hex() != key_id:
            raise NoteError("the verifier key was altered: its id is not that of its name and key")
        return key

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{encode_base64(_ED25519 + self._public_key.public_bytes_raw())}"

    def verify(self, signature: bytes, text: str) -> None:
        """Raise NoteError unless the signature is this key's over the text."""
        try:
            self._public_key.verify(signature, text.encode())
        except InvalidSignature:
            raise NoteError("the signature is not that of the text") from None


class SigningKey:
    """A private key with a name. It is never shown but by `written`."""

    def __init__(self, name: str, private_key: Ed25519PrivateKey) -> None:
        """Raise NoteError for a name with spaces or a plus."""
        if not _NAMED.fullmatch(name):
            raise NoteError("the name of a key has 1 to 200 characters of ASCII, without spaces and without a plus")
        self.verifier_key = VerifierKey(name, private_key.public_key())
        self._private_key = private_key

    @classmethod
    def generate(cls, name: str) -> Self:
        """Return a new key. Raises NoteError."""
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a signing key. Raises NoteError."""
        name, key_id, raw = _parse_key(_SIGNING_KEY, text, "signing key")
        key = cls(name, Ed25519PrivateKey.from_private_bytes(raw))
        if key.verifier_key.id.hex() != key_id:
            raise NoteError("the signing key was altered: its id is not that of its name and key")
        return key

    def written(self) -> str:
        """Return the secret as it is kept in a file."""
        public = self.verifier_key
        return f"PRIVATE+KEY+{public.name}+{public.id.hex()}+" + encode_base64(
            _ED25519 + self._private_key.private_bytes_raw()
        )

    def sign(self, text: str) -> str:
        """Return the note: a text, which ends in a newline, with this key's signature."""
        signature = self.verifier_key.id + self._private_key.sign(text.encode())
        return f"{text}\n\u2014 {self.verifier_key.name} {encode_base64(signature)}\n"


def open_note(note: str, key: VerifierKey) -> str:
    """Return the text of a note that the key has signed. Raises NoteError.

    Signatures by other keys say nothing to whoever does not know them, and are left alone.
    """
    text, separator, below = note.rpartition("\n\n")
    lines = below.splitlines(keepends=True)
    if not separator or not lines or len(lines) > SIGNATURES_LIMIT:
        raise NoteError("it is no signed note")
    text += "\n"
    found = False
    for line in lines:
        match = _SIGNATURE.fullmatch(line.removesuffix("\n"))
        if not line.endswith("\n") or not match:
            raise NoteError("a line of a signature cannot be read")
        signature = decode_base64(match[2])
        if (match[1], signature[:_ID_BYTES]) == (key.name, key.id):
            key.verify(signature[_ID_BYTES:], text)
            found = True
    if not found:
        raise NoteError(f"it has no signature by {key.name} with the key {key.id.hex()}")
    return text


def encode_base64(raw: bytes) -> str:
    """Write bytes as base64 with its padding (RFC 4648, 4)."""
    return b64encode(raw).decode()


def decode_base64(text: str) -> bytes:
    """Read the one way in which bytes are written as base64. Raises NoteError."""
    try:
        raw = b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        raw = b""
    if encode_base64(raw) != text:
        raise NoteError("what should be base64 is none")
    return raw


def _parse_key(pattern: re.Pattern[str], text: str, what: str) -> tuple[str, str, bytes]:
    match = pattern.fullmatch(text)
    if not match:
        raise NoteError(f"it is no {what}")
    name, key_id, written = match.groups()
    raw = decode_base64(written)
    if raw[:1] != _ED25519 or len(raw) != 1 + 32:
        raise NoteError(f"the {what} is not one of Ed25519")
    return name, key_id, raw[1:]
