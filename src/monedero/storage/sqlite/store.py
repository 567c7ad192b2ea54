"""The embedded store as a whole: the lock, the writer, the readers and the checkpoints."""

import threading
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from pathlib import Path

import apsw

from monedero.storage.hot import HotWallets
from monedero.storage.sqlite.connection import BUSY_TIMEOUT_MILLISECONDS, FileLock, open_writer
from monedero.storage.sqlite.migrate import require_migrated, require_whole
from monedero.storage.sqlite.overhaul import FileOverhaul
from monedero.storage.sqlite.reader import FileSnapshot, Reader, snapshot
from monedero.storage.sqlite.writer import FileTransaction, Writer

CHECKPOINT_INTERVAL_SECONDS = 0.2
WAL_LIMIT_PAGES = 32_768
"""128 MiB: each time the write-ahead log has grown by so much, the writer tries to start it over."""
RESTART_WAIT_MILLISECONDS = 50
NOBODY = "00000000-0000-0000-0000-000000000000"
"""No event has this id."""


class SqliteStore:
    """The ledger in one SQLite file, owned by this process until `close`."""

    transactions_at_once = 2
    """One is decided while the other is being written."""

    def __init__(self, path: Path, *, vfs: str | None = None, for_import: bool = False) -> None:
        """Open a migrated file; one whose import is not finished only `for_import`.

        Raises StoreUnavailableError: in use, not migrated, newer, no ledger, not finished.
        """
        require_migrated(path)
        self._path = path
        self._lock = FileLock(path)
        try:
            if not for_import:
                require_whole(path)
            self._connection = open_writer(path, vfs)
            self._checkpoints = open_writer(path)
            # The writer puts wallets in after COMMIT and before anyone is answered: what is read there is durable.
            hot = HotWallets()
            self._writer = Writer(self._connection, hot)
            self.queries = Reader(path, hot)
        except BaseException:
            self._lock.release()
            raise
        self._connection.set_wal_hook(self._bound_wal)
        self._restart_pages = WAL_LIMIT_PAGES
        self._closing = threading.Event()
        self._checkpointer = threading.Thread(target=self._checkpoint, name="monedero-checkpoint", daemon=True)
        self._checkpointer.start()

    async def ping(self) -> None:
        """See Store.ping. Nobody else can migrate a file that this process owns, so reading it tells enough."""
        await self.queries.event(NOBODY)

    def transaction(self) -> AbstractAsyncContextManager[FileTransaction]:
        """See Store.transaction."""
        return self._writer.transaction()

    async def stored(self, event_ids: Iterable[str]) -> set[str]:
        """See Store.stored."""
        return await self._writer.stored(event_ids)

    def snapshot(self) -> AbstractContextManager[FileSnapshot]:
        """See Store.snapshot."""
        return snapshot(self._path)

    async def queries_at(self, position: int) -> Reader | None:
        """See Store.queries_at. What is committed here is seen here."""
        return self.queries if position < await self._writer.size() else None

    def overhaul(self) -> AbstractContextManager[FileOverhaul]:
        """See Store.overhaul."""
        return self._writer.overhaul()

    async def close(self) -> None:
        """See Store.close."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._checkpointer.join()
        self.queries.close()
        self._checkpoints.close()
        self._writer.close()
        self._lock.release()

    def _checkpoint(self) -> None:
        """Copy the write-ahead log into the file, off the writer's path; it never waits and is never waited for."""
        while not self._closing.wait(CHECKPOINT_INTERVAL_SECONDS):
            try:
                self._checkpoints.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            except apsw.Error:
                # The next commit meets the same disk and says so; a checkpoint loses nothing by failing.
                continue

    def _bound_wal(self, connection: apsw.Connection, _database: str, pages: int) -> int:
        """Start the write-ahead log over when steady writing has kept the checkpoints from ever catching up.

        Somebody who reads one moment of the ledger for long, as an audit does, keeps the log growing meanwhile.
        """
        if pages >= self._restart_pages:
            self._restart_pages = pages + WAL_LIMIT_PAGES
            connection.set_busy_timeout(RESTART_WAIT_MILLISECONDS)
            with suppress(apsw.BusyError):
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
                self._restart_pages = WAL_LIMIT_PAGES
            connection.set_busy_timeout(BUSY_TIMEOUT_MILLISECONDS)
        return apsw.SQLITE_OK
