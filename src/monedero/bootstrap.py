"""The only wiring: from settings to an application."""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import uuid_utils
from starlette.applications import Starlette

from monedero.api.app import create_app
from monedero.api.dispatch import ASGIApplication
from monedero.api.http import Limits
from monedero.api.services import Services
from monedero.engine.engine import Engine
from monedero.settings import Settings, SettingsError
from monedero.storage.sqlite import SqliteStore, migrate, require_migrated, snapshot
from monedero.storage.store import Snapshot, Store, StoreError

_SQLITE = "sqlite:///"


def database_path(settings: Settings) -> Path:
    """Return the file of the embedded store. Raises SettingsError for another kind of address."""
    path = settings.database_url.removeprefix(_SQLITE)
    if path in {"", ":memory:", settings.database_url}:
        raise SettingsError(
            "The setting MONEDERO_DATABASE_URL cannot be used: it must be sqlite:/// and a path; "
            "this release has no other store"
        )
    return Path(path).resolve()


def open_store(settings: Settings) -> Store:
    """Open the ledger for this process alone. Raises SettingsError, StoreUnavailableError."""
    return SqliteStore(database_path(settings))


def open_snapshot(settings: Settings) -> AbstractContextManager[Snapshot]:
    """Open one moment of the ledger for reading, beside whoever writes. Raises as `open_store`."""
    path = database_path(settings)
    require_migrated(path)
    return snapshot(path)


def migrate_store(settings: Settings) -> list[str]:
    """Bring the ledger to this release's schema; return what was applied. Raises as `open_store`."""
    return migrate(database_path(settings))


def application(settings: Settings, store: Store, on_broken: Callable[[StoreError], None]) -> ASGIApplication:
    """Return the service over an open store; it starts the engine, and drains it and closes the store at the end.

    `on_broken` hears that the disk has failed and writing has stopped.
    """
    engine = Engine(
        store,
        batch_limit=settings.batch_limit_commands,
        queue_limit=settings.queue_limit_commands,
        on_broken=on_broken,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        engine.start()
        try:
            yield
        finally:
            try:
                await engine.drain()
            finally:
                store.close()

    services = Services(engine, store.queries, settings.currency, now_microseconds, new_id, os.urandom)
    limits = Limits(
        settings.body_limit_bytes, settings.json_depth_limit, settings.page_default_items, settings.page_limit_items
    )
    return create_app(services, limits, settings.hosts, lifespan)


def now_microseconds() -> int:
    """Return the time, in microseconds since 1970 in UTC."""
    return time.time_ns() // 1000


def new_id() -> str:
    """Return a new UUIDv7: ordered by time, so that indexes grow at their end."""
    return str(uuid_utils.uuid7())
