"""Idempotency keys: what was asked under a key, and what became of it."""

from hashlib import sha256

import msgspec

from monedero.ledger.errors import AnyRefusal

Answer = int | AnyRefusal
"""The position of the event that followed from a command, or why there was none."""


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A key that was used: `fingerprint` tells the request that used it, `answers` what became of its commands.

    The key is its SHA-256: clients put all kinds of things into keys. `at` is microseconds since 1970 in UTC.
    """

    key: bytes
    fingerprint: bytes
    at: int
    answers: tuple[Answer, ...]


class Claiming(msgspec.Struct, frozen=True, gc=False):
    """A request that wants to claim a key."""

    key: bytes
    fingerprint: bytes


def claiming(key: str, *request: bytes) -> Claiming:
    """Return the claim of a request, told from others by the given parts, on a key."""
    parts = sha256()
    for part in request:
        parts.update(b"%d:" % len(part))
        parts.update(part)
    return Claiming(sha256(key.encode()).digest(), parts.digest())


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[Answer, ...]).decode


def encode_answers(answers: tuple[Answer, ...]) -> bytes:
    """Return the bytes that are stored."""
    return _encode(answers)


def decode_answers(stored: bytes) -> tuple[Answer, ...]:
    """Read answers back. Raises msgspec.DecodeError."""
    return _decode(stored)
