"""The embedded store: one SQLite file, one process, one writer thread, any number of readers."""

from monedero.storage.sqlite.migrate import migrate, require_migrated
from monedero.storage.sqlite.reader import snapshot
from monedero.storage.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "migrate", "require_migrated", "snapshot"]
