"""Numbered migrations: each file of `migrations/` once, in order, each noted in the table of that name."""

from functools import cache
from importlib.resources import files
from typing import Any, LiteralString

import psycopg

from monedero.ledger.merkle import EMPTY, kept_roots
from monedero.storage.postgres import statements
from monedero.storage.postgres.connection import Limits, conninfo, name_of, opened, sentence
from monedero.storage.postgres.rows import from_root
from monedero.storage.store import StoreUnavailableError


@cache
def migrations() -> list[tuple[int, str, LiteralString]]:
    """Return number, name and SQL of every migration that this version knows, in order."""
    folder = files("monedero.storage.postgres") / "migrations"
    found = sorted((entry.name, entry.read_text()) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(int(name[:4]), name.removesuffix(".sql"), sql) for name, sql in found]


def migrate(url: str, limits: Limits) -> list[str]:
    """Bring the database to this version's schema; return what was applied. Safe when several start at once.

    Raises StoreUnavailableError: unreachable, a newer schema, tables of somebody else, not allowed.
    """
    name = name_of(url)
    with opened(conninfo(url, limits, read_write=True), name) as connection:
        _require_utf8(connection, name)
        try:
            with connection.transaction():
                connection.execute("SET LOCAL lock_timeout = 0")
                connection.execute("SET LOCAL statement_timeout = 0")
                connection.execute(statements.LOCK_MIGRATIONS)
                connection.execute(statements.CREATE_MIGRATIONS)
                missing = _missing(connection, name)
                for number, migration, sql in missing:
                    connection.execute(sql)
                    connection.execute(statements.NOTE_MIGRATION, (number, migration))
                    if number == 1:
                        connection.execute(statements.INSERT_HEAD, (EMPTY.size, EMPTY.frontier, EMPTY.root, EMPTY.link))
                    if migration.endswith("_roots"):
                        _keep_roots(connection)
        except psycopg.Error as error:
            raise StoreUnavailableError(f"The ledger at {name} could not be migrated: {sentence(error)}") from None
    return [migration for _, migration, _ in missing]


def require_migrated(connection: psycopg.Connection, name: str) -> None:
    """Raise StoreUnavailableError unless the database is a ledger of exactly this version's schema."""
    _require_utf8(connection, name)
    found = connection.execute(statements.FIND_MIGRATIONS).fetchone()
    if not found or found[0] is None:
        raise StoreUnavailableError(f"There is no ledger at {name}: `monedero migrate` makes one")
    if missing := _missing(connection, name):
        raise StoreUnavailableError(
            f"The ledger at {name} lacks the migration {missing[0][1]}: run `monedero migrate` first"
        )


def require_whole(connection: psycopg.Connection, name: str) -> None:
    """Raise StoreUnavailableError when an import into the database is not finished."""
    try:
        unfinished = connection.execute(statements.READ_IMPORT).fetchone()
    except psycopg.Error as error:
        raise StoreUnavailableError(f"The ledger at {name} cannot be read: {sentence(error)}") from None
    if unfinished:
        raise StoreUnavailableError(f"The import into the ledger at {name} is not finished: run it again")


async def require_ready(connection: psycopg.AsyncConnection[Any]) -> None:
    """Raise StoreUnavailableError unless the database takes writes and has this version's schema, whole, now."""
    asked = await (await connection.execute(statements.READINESS)).fetchone()
    applied, standby, unmoved, importing = asked or ([], False, False, False)
    if standby:
        raise StoreUnavailableError("The database takes no writes: it is a standby")
    if not unmoved:
        raise StoreUnavailableError("The ledger is being migrated")
    if applied != [number for number, _, _ in migrations()]:
        raise StoreUnavailableError("The ledger has not the schema of this release any more")
    if importing:
        raise StoreUnavailableError("The import into the ledger is not finished")


def expected_schema() -> list[str]:
    """Return what SCHEMA finds after the migrations, on every version of PostgreSQL that is supported."""
    return (files("monedero.storage.postgres") / "migrations" / "schema.txt").read_text().splitlines()


def _keep_roots(connection: psycopg.Connection) -> None:
    """Keep the roots over the log that is there already; it takes some seconds for each million events."""
    with connection.cursor("log", binary=True) as log:
        roots = list(kept_roots(payload for (payload,) in log.execute(statements.ALL_PAYLOADS)))
    with connection.cursor() as cursor:
        cursor.executemany(statements.INSERT_ROOT, map(from_root, roots))


def _require_utf8(connection: psycopg.Connection, name: str) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise StoreUnavailableError(f"The database at {name} is encoded as {encoding}; a ledger needs one in UTF8")


def _missing(connection: psycopg.Connection, name: str) -> list[tuple[int, str, LiteralString]]:
    known = migrations()
    applied = {number for (number,) in connection.execute(statements.APPLIED_MIGRATIONS).fetchall()}
    if newer := applied - {number for number, _, _ in known}:
        raise StoreUnavailableError(
            f"The ledger at {name} has schema version {max(newer)}, newer than the {known[-1][0]} that this "
            "release of monedero knows: use the release that wrote it, or a later one"
        )
    return [each for each in known if each[0] not in applied]
