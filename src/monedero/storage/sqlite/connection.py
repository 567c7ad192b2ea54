"""Connections to the file: how each is configured, and the lock that keeps a second process out."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

import apsw

from monedero.storage.store import StoreUnavailableError

APPLICATION_ID = 0x4D4E4452
"""Marks a file as ours in its header: "MNDR"."""
BUSY_TIMEOUT_MILLISECONDS = 10_000
LOCK_WAIT_SECONDS = 10.0
OWNER_ONLY = 0o600
"""The file holds names and e-mails; SQLite gives its companions the same mode."""


class FileLock:
    """An exclusive lock beside the file, held for as long as the process writes; it ends with the process."""

    def __init__(self, path: Path, *, wait: bool = False) -> None:
        """Take the lock, at once or within LOCK_WAIT_SECONDS.

        Raises StoreUnavailableError when another process holds it or the folder is closed to us.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
        except OSError as error:
            raise StoreUnavailableError(f"The ledger cannot be kept at {path}: {error.strerror}") from None
        deadline = time.monotonic() + (LOCK_WAIT_SECONDS if wait else 0)
        while not self._acquired():
            if time.monotonic() >= deadline:
                os.close(self._descriptor)
                raise StoreUnavailableError(
                    f"Another process is using the ledger at {path}: one process owns the embedded file; "
                    "stop that one first, or keep this ledger in another file"
                )
            time.sleep(0.05)

    def _acquired(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let the next process in."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def create_file(path: Path) -> None:
    """Create the file, empty and the owner's alone, unless it exists.

    An existing one is not opened even for a moment: closing any descriptor of a file gives up every lock that
    the process holds on it (POSIX), SQLite's own too, and another program could then delete the log of a
    running service.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY))


def open_writer(path: Path, vfs: str | None = None) -> apsw.Connection:
    """Open the existing file for writing: WAL, every commit synced, checkpoints left to the checkpointer."""
    try:
        connection = apsw.Connection(str(path), vfs=vfs)
        connection.set_busy_timeout(BUSY_TIMEOUT_MILLISECONDS)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")  # On macOS a plain fsync stops at the drive's cache.
        connection.execute("PRAGMA checkpoint_fullfsync = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA trusted_schema = OFF")
    except apsw.Error as error:
        raise StoreUnavailableError(f"The file {path} cannot be opened as a ledger: {error}") from None
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """Open the existing file for reading only. Raises StoreUnavailableError."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(BUSY_TIMEOUT_MILLISECONDS)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA query_only = ON")
        schema_version(connection)
    except apsw.Error as error:
        raise StoreUnavailableError(f"The file {path} cannot be opened as a ledger: {error}") from None
    return connection


def schema_version(connection: apsw.Connection) -> int:
    """Return the number of the last migration that the file has seen; 0 for an empty file."""
    return int(connection.pragma("user_version") or 0)
