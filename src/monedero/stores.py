"""Which store the settings name, and how it is opened; beside it, the key that signs for it."""

from contextlib import AbstractContextManager
from pathlib import Path

from monedero.proofs.keyring import Keyring, create_keyring, read_keyring
from monedero.settings import Settings, SettingsError
from monedero.sources import now_microseconds
from monedero.storage import postgres, sqlite
from monedero.storage.postgres import PostgresStore
from monedero.storage.sqlite import SqliteStore
from monedero.storage.store import Snapshot, Store

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


def database_path(settings: Settings) -> Path | None:
    """Return the file of the embedded store, None for PostgreSQL. Raises SettingsError for another kind of address."""
    if settings.database_url.startswith(_POSTGRES):
        return None
    path = settings.database_url.removeprefix(_SQLITE)
    if path in {"", ":memory:", settings.database_url}:
        raise SettingsError(
            "The setting MONEDERO_DATABASE_URL cannot be used: it must be sqlite:/// and a path, or postgresql:// and "
            "the address of a database"
        )
    return Path(path).resolve()


def ledger_name(settings: Settings) -> str:
    """Return where the ledger is, as it may be shown. Raises SettingsError, StoreUnavailableError."""
    return str(database_path(settings) or postgres.name_of(settings.database_url))


def open_store(settings: Settings) -> Store:
    """Open the ledger, the embedded one for this process alone. Raises SettingsError, StoreUnavailableError."""
    if path := database_path(settings):
        if settings.replica_urls:
            raise SettingsError("MONEDERO_REPLICA_URLS needs a ledger in PostgreSQL: the embedded file has no replicas")
        if settings.workers > 1:
            raise SettingsError("Several workers need a ledger in PostgreSQL: one process owns the embedded file")
        return SqliteStore(path)
    return PostgresStore(
        settings.database_url,
        _limits(settings),
        replicas=settings.replica_urls.split(),
        replica_lag_seconds=settings.replica_lag_seconds,
        replica_wait_seconds=settings.replica_wait_seconds,
    )


def keyring_path(settings: Settings) -> Path | None:
    """Return the file of the signing key; None: nothing is signed. Raises SettingsError."""
    if settings.signing_key_file:
        return Path(settings.signing_key_file).resolve()
    ledger = database_path(settings)
    return ledger.with_name(f"{ledger.name}.keys") if ledger else None


def open_keyring(settings: Settings) -> Keyring | None:
    """Read the signing key, if there is to be one; beside an embedded ledger it is made when it is missing.

    Raises SettingsError, KeyringError.
    """
    path = keyring_path(settings)
    if path and not settings.signing_key_file and not path.exists():
        return create_keyring(path, now_microseconds())
    return read_keyring(path) if path else None


def open_for_import(settings: Settings) -> Store:
    """Open the ledger, empty or half imported, to be filled from an export. Raises as `open_store`."""
    if path := database_path(settings):
        return SqliteStore(path, for_import=True)
    return PostgresStore(settings.database_url, _limits(settings), for_import=True)


def open_snapshot(settings: Settings) -> AbstractContextManager[Snapshot]:
    """Open one moment of the ledger for reading, beside whoever writes. Raises as `open_store`."""
    if path := database_path(settings):
        return sqlite.snapshot(path)
    return postgres.snapshot(settings.database_url, _limits(settings))


def migrate_store(settings: Settings) -> list[str]:
    """Bring the ledger to this release's schema; return what was applied. Raises as `open_store`."""
    if path := database_path(settings):
        return sqlite.migrate(path)
    return postgres.migrate(settings.database_url, _limits(settings))


def _limits(settings: Settings) -> postgres.Limits:
    return postgres.Limits(
        settings.statement_timeout_seconds,
        settings.lock_timeout_seconds,
        settings.idle_in_transaction_timeout_seconds,
        settings.reconnect_seconds,
        settings.pool_limit_connections,
    )
