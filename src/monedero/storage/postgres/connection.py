"""Connections to PostgreSQL: the address, the limits of a session, and what a failure means."""

import asyncio
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from monedero.storage.store import (
    AnswerLostError,
    NotStoredError,
    StoreBrokenError,
    StoreError,
    StoreUnavailableError,
    TransientError,
)

OLDEST_VERSION = 15
SILENCE_SECONDS = 5.0
RETRY_FIRST_SECONDS = 0.05
RETRY_MOST_SECONDS = 1.0

_ANYWHERE = {
    "application_name": "monedero",
    "client_encoding": "utf8",
    "connect_timeout": "3",
    # A host that went silent is given up in seconds, not in the quarter of an hour that TCP takes by itself.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_BY_INDEX = {"enable_seqscan": "off", "enable_bitmapscan": "off", "jit": "off", "plan_cache_mode": "force_generic_plan"}
"""A plan that was made while tables were small, or for a short history, must not read through a long one."""
_CONFLICTS = {"40001", "40P01"}
"""Serialization failure and deadlock, which the order of our locks leaves no room for."""
_BROKEN = {"58030", "XX001", "XX002"}
"""I/O error, corrupt data, corrupt index."""
_LOST = {"25P03", "57P01", "57P02", "57P03", "57P05", "25006"}
"""The session was ended, the server is starting or stopping, or it became a replica: the next connection may do."""
_PASSING = {"53", "55", "57"}
"""The classes of what gets better: no room, a lock not had in time, a statement that took too long."""


class NobodyAnswersError(StoreUnavailableError):
    """There is no server at that address, or not now."""


class Limits(msgspec.Struct, frozen=True):
    """What a session may cost, in seconds and connections.

    `reconnect_seconds` is how long a write waits for a server that has gone, as in a failover.
    """

    statement_seconds: float
    lock_seconds: float
    idle_in_transaction_seconds: float
    reconnect_seconds: float
    pool_connections: int

    @property
    def patience_seconds(self) -> float:
        """How long an answer may take before the server, which has limits of its own, must be taken for dead."""
        return max(self.statement_seconds, self.lock_seconds) + SILENCE_SECONDS


def conninfo(url: str, limits: Limits, *, read_write: bool, by_index: bool = False) -> str:
    """Return libpq's connection string: the URL's own parameters, and ours where it has none.

    With `read_write`, of several hosts the one that takes writes is meant. `by_index` has
    the planner take an index wherever there is one. Raises StoreUnavailableError.
    """
    given = _parse(url)
    options = {
        "statement_timeout": round(limits.statement_seconds * 1000),
        "lock_timeout": round(limits.lock_seconds * 1000),
        "idle_in_transaction_session_timeout": round(limits.idle_in_transaction_seconds * 1000),
        **(_BY_INDEX if by_index else {}),
    }
    session = " ".join(f"-c {name}={value}" for name, value in options.items())
    ours: dict[str, Any] = {**_ANYWHERE, **({"target_session_attrs": "read-write"} if read_write else {})}
    return make_conninfo(**{**ours, **given, "options": f"{session} {given.get('options', '')}".strip()})


def name_of(url: str) -> str:
    """Return the address as it may be shown: without user and password. Raises StoreUnavailableError."""
    given = _parse(url)
    hosts, ports = str(given.get("host", "")).split(","), str(given.get("port", "")).split(",")
    places = [
        f"{host}:{port}" if port else host
        for host, port in zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False)
    ]
    return f"postgresql://{','.join(places)}/{given.get('dbname', '')}"


async def connect(address: str) -> psycopg.AsyncConnection:
    """Open a connection for the event loop, with statements prepared at their first use."""
    connection = await psycopg.AsyncConnection.connect(address, autocommit=True)
    connection.prepare_threshold = 0
    return connection


async def reconnect(address: str, seconds: float) -> psycopg.AsyncConnection:
    """Connect, trying again with growing pauses for at most so long. Raises NotStoredError."""
    deadline, pause = time.monotonic() + seconds, RETRY_FIRST_SECONDS
    while True:
        try:
            return await connect(address)
        except psycopg.OperationalError as error:
            if time.monotonic() + pause > deadline:
                raise NotStoredError(f"The database cannot be reached: {sentence(error)}") from error
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the processes, hides nothing
        pause = min(pause * 2, RETRY_MOST_SECONDS)


@contextmanager
def opened(address: str, name: str) -> Iterator[psycopg.Connection]:
    """Open a connection for the commands of an operator, and close it.

    Raises StoreUnavailableError, and of that NobodyAnswersError where there is no server at all.
    """
    try:
        connection = psycopg.connect(address, autocommit=True)
    except psycopg.Error as error:
        if "read-only" in str(error):
            raise StoreUnavailableError(f"The server at {name} is a replica or read-only: it takes no writes") from None
        # What a server says when it turns somebody away has a severity, and this error no other sign of it.
        kind = StoreUnavailableError if "FATAL" in str(error) else NobodyAnswersError
        raise kind(f"The ledger at {name} cannot be reached: {sentence(error)}") from None
    with connection:
        version = connection.info.server_version // 10_000
        if version < OLDEST_VERSION:
            raise StoreUnavailableError(
                f"The server at {name} is PostgreSQL {version}; monedero needs {OLDEST_VERSION} or later"
            )
        yield connection


@contextmanager
def hung_up_after(connection: psycopg.AsyncConnection[Any], seconds: float) -> Iterator[None]:
    """Hang up on a server that has not answered by then, so that whoever waits meets a lost connection."""
    timer = asyncio.get_running_loop().call_later(seconds, _hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(connection: psycopg.AsyncConnection[Any]) -> None:
    if not connection.closed:
        with socket.socket(fileno=os.dup(connection.fileno())) as line, suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)


@contextmanager
def failures_named(counts: Counter[str] | None = None) -> Iterator[None]:
    """Turn the database's errors, before any COMMIT was sent, into the port's."""
    try:
        yield
    except psycopg.Error as error:
        named = meaning(error)
        if counts is not None and error.sqlstate in _CONFLICTS:
            counts["conflicts"] += 1
        if named is None:
            raise
        raise named from error


def meaning(error: psycopg.Error) -> StoreError | None:
    """Return what an error says of a transaction whose COMMIT was not sent; None for one that has no such meaning."""
    state = error.sqlstate
    what = f"The ledger could not be written: {sentence(error)}"
    if state in _BROKEN:
        return StoreBrokenError(f"The database is damaged: {sentence(error)}")
    if state in _CONFLICTS or is_lost(error):
        return TransientError(what)
    if state is not None and state[:2] in _PASSING:
        return NotStoredError(what)
    return None


def is_lost(error: psycopg.Error) -> bool:
    """Tell whether the connection is of no more use."""
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate in _LOST or error.sqlstate.startswith("08")


def unknown(error: BaseException) -> AnswerLostError:
    """Return what it means that a COMMIT was sent and its answer is missing."""
    return AnswerLostError(f"The answer to a COMMIT is missing: {sentence(error)}")


def sentence(error: BaseException) -> str:
    """Return what the server or the driver said, on one line."""
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return " ".join((said or str(error) or type(error).__name__).split())


def _parse(url: str) -> dict[str, Any]:
    """Read an address. What is wrong with it is not repeated: it may be a part of the password."""
    try:
        given = conninfo_to_dict(url)
        ports = [port for port in str(given.get("port", "")).split(",") if port]
        if all(port.isdigit() for port in ports) and "@" not in f"{given.get('host')}{given.get('dbname')}":
            return given
    except psycopg.ProgrammingError:
        pass
    raise StoreUnavailableError(
        "The address of the database cannot be read: it has to be postgresql://user@host:port/database, where / @ : % "
        "and spaces inside a part are written as %2F %40 %3A %25 %20, with libpq's parameters behind a question mark"
    )
