"""The file with the key that signs, and with the verifier keys of those that signed before it.

Its name is the origin of the ledger's checkpoints, and stays when the key is changed.
"""

import os
import secrets
from pathlib import Path
from tempfile import mkstemp

import msgspec

from monedero.proofs.checkpoint import Checkpoint
from monedero.proofs.note import NoteError, SigningKey

ORIGIN_PREFIX = "monedero.local/"
ORIGIN_BYTES = 8

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, NoteError)


class KeyringError(Exception):
    """A file of keys that cannot be used as asked. The message is a sentence for the operator."""


class KnownKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verifier key and when it was the one that signed, in microseconds since 1970 in UTC; None: it still is."""

    verifier_key: str
    created_at: int
    retired_at: int | None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds; the newest key comes first."""

    signing_key: str
    keys: list[KnownKey]


class Keyring:
    """The key that signs, and all that have."""

    def __init__(self, key: SigningKey, keys: list[KnownKey]) -> None:
        self.key = key
        self.keys = keys

    @property
    def origin(self) -> str:
        """The name of the ledger in its checkpoints."""
        return self.key.verifier_key.name

    def checkpoint(self, size: int, root: bytes) -> str:
        """Return a signed checkpoint over a log of that size and root."""
        return Checkpoint(self.origin, size, root).sign(self.key)


def read_keyring(path: Path) -> Keyring:
    """Read the file. Raises KeyringError: it is missing, or is none."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File)
        return Keyring(SigningKey.parse(found.signing_key), found.keys)
    except OSError as error:
        raise KeyringError(
            f"The signing key at {path} cannot be read: {error.strerror}; `monedero keys create` makes one"
        ) from None
    except _UNREADABLE as error:
        raise KeyringError(f"The file {path} is no file of keys: {error}") from None


def create_keyring(path: Path, now: int, origin: str | None = None) -> Keyring:
    """Make a key in a new file that only its owner may read; without an origin, with one by chance.

    Raises KeyringError: the file exists, it cannot be written, the origin cannot be used.
    """
    try:
        key = SigningKey.generate(origin or f"{ORIGIN_PREFIX}{secrets.token_hex(ORIGIN_BYTES)}")
    except NoteError as error:
        raise KeyringError(f"The origin cannot be used: {error}") from None
    keyring = Keyring(key, [KnownKey(str(key.verifier_key), now, None)])
    _write(path, keyring, replace=False)
    return keyring


def rotate_keyring(path: Path, now: int) -> Keyring:
    """Put a new key into the place of the one that signs; of that only the public half stays. Raises KeyringError."""
    before = read_keyring(path)
    key = SigningKey.generate(before.origin)
    newest, *older = before.keys
    retired = KnownKey(newest.verifier_key, newest.created_at, now)
    keyring = Keyring(key, [KnownKey(str(key.verifier_key), now, None), retired, *older])
    _write(path, keyring, replace=True)
    return keyring


def _write(path: Path, keyring: Keyring, *, replace: bool) -> None:
    """Write the file as a whole or not at all, on disk before it is there."""
    content = msgspec.json.format(msgspec.json.encode(_File(keyring.key.written(), keyring.keys)), indent=2)
    try:
        descriptor, unfinished = mkstemp(dir=path.parent, prefix=f"{path.name}.")  # Its owner alone may read it.
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content + b"\n")
                file.flush()
                os.fsync(descriptor)
            if not replace:
                os.link(unfinished, path)  # Which, other than a rename, fails where there is a file.
            else:
                Path(unfinished).replace(path)
        finally:
            Path(unfinished).unlink(missing_ok=True)
    except FileExistsError:
        raise KeyringError(
            f"There is a signing key at {path}: `monedero keys rotate` puts another in its place"
        ) from None
    except OSError as error:
        raise KeyringError(f"The signing key cannot be kept at {path}: {error.strerror}") from None
