"""Numbered migrations: each file of `migrations/` once, in order, the number kept in the file's header."""

from importlib.resources import files
from pathlib import Path

import apsw

from monedero.ledger.merkle import EMPTY, kept_roots
from monedero.storage.sqlite import statements
from monedero.storage.sqlite.connection import (
    APPLICATION_ID,
    FileLock,
    create_file,
    open_reader,
    open_writer,
    schema_version,
)
from monedero.storage.sqlite.rows import Row, from_root
from monedero.storage.store import StoreUnavailableError


def migrations() -> list[tuple[int, str, str]]:
    """Return number, name and SQL of every migration that this version knows, in order."""
    folder = files("monedero.storage.sqlite") / "migrations"
    found = sorted((entry.name, entry.read_text()) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name[:4]), name.removesuffix(".sql"), sql) for name, sql in found]


def pending(path: Path) -> list[str]:
    """Return the names of the migrations that the file lacks. Raises StoreUnavailableError: newer, or no ledger."""
    if not path.exists():
        return [name for _, name, _ in migrations()]
    connection = open_reader(path)
    try:
        with connection:  # Somebody may be migrating: all that is read is of one moment.
            names = _pending(connection, path)
    except apsw.Error as error:
        raise StoreUnavailableError(f"The file {path} cannot be read as a ledger: {error}") from None
    finally:
        connection.close()
    return names


def require_migrated(path: Path) -> None:
    """Raise StoreUnavailableError unless the file is a ledger of exactly this version's schema."""
    if not path.exists():
        raise StoreUnavailableError(f"There is no ledger at {path}: `monedero migrate` makes one")
    if missing := pending(path):
        raise StoreUnavailableError(
            f"The ledger at {path} lacks the migration {missing[0]}: run `monedero migrate` first"
        )


def require_whole(path: Path) -> None:
    """Raise StoreUnavailableError when an import into the file is not finished."""
    connection = open_reader(path)
    try:
        unfinished = connection.execute(statements.READ_IMPORT).fetchone()
    except apsw.Error as error:
        raise StoreUnavailableError(f"The file {path} cannot be read as a ledger: {error}") from None
    finally:
        connection.close()
    if unfinished:
        raise StoreUnavailableError(f"The import into the ledger at {path} is not finished: run it again")


def migrate(path: Path) -> list[str]:
    """Bring the file to this version's schema; return what was applied. Safe when several start at once.

    Raises StoreUnavailableError: a newer file, a file that is no ledger, a process that is using it.
    """
    if path.exists() and not pending(path):
        return []
    with FileLock(path, wait=True):
        create_file(path)
        connection = open_writer(path)
        try:
            with connection:
                names = _pending(connection, path)
                for number, name, sql in migrations():
                    if name in names:
                        connection.execute(sql)
                        connection.pragma("user_version", number)
                if "0001_ledger" in names:
                    connection.pragma("application_id", APPLICATION_ID)
                    connection.execute(
                        "INSERT INTO head (only, size, frontier, root, link) VALUES (1, ?, ?, ?, ?)",
                        (EMPTY.size, EMPTY.frontier, EMPTY.root, EMPTY.link),
                    )
                if any(name.endswith("_roots") for name in names):
                    _keep_roots(connection)
        except apsw.Error as error:
            raise StoreUnavailableError(f"The ledger at {path} could not be migrated: {error}") from None
        finally:
            connection.close()
    return names


def expected_schema() -> list[Row]:
    """Return the rows of SCHEMA that the migrations make."""
    replayed = apsw.Connection(":memory:")
    for _, _, sql in migrations():
        replayed.execute(sql)
    rows = replayed.execute(statements.SCHEMA).fetchall()
    replayed.close()
    return rows


def _keep_roots(connection: apsw.Connection) -> None:
    """Keep the roots over the log that is there already; it takes some seconds for each million events."""
    roots = list(kept_roots(payload for (payload,) in connection.execute(statements.ALL_PAYLOADS)))
    connection.executemany(statements.INSERT_ROOT, map(from_root, roots))


def _pending(connection: apsw.Connection, path: Path) -> list[str]:
    version = schema_version(connection)
    known = migrations()
    if version > known[-1][0]:
        raise StoreUnavailableError(
            f"The ledger at {path} has schema version {version}, newer than the {known[-1][0]} that this "
            "release of monedero knows: use the release that wrote it, or a later one"
        )
    application = connection.pragma("application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if application != APPLICATION_ID and (version or tables):
        raise StoreUnavailableError(f"The file {path} is a database, but no ledger of monedero")
    return [name for number, name, _ in known if number > version]
