"""Audits of a log that is longer than what is held of it at once, in either store."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import apsw
import psycopg
import pytest

from monedero.ledger.profiles import OwnerKind
from monedero.settings import load_settings
from monedero.storage.postgres import statements as postgres
from monedero.storage.postgres.snapshot import DatabaseSnapshot
from monedero.storage.sqlite import snapshot, statements
from monedero.stores import open_snapshot
from tests.ledgers import BOTH, EMBEDDED, POSTGRES, Ledgers, opened
from tests.support import PROGRAM, accepted, debit, deposit, new_wallet, run

SHORT_EVENTS, LONG_EVENTS = 15_000, 60_000
BATCH_EVENTS = 1_000
GROWTH_LIMIT_BYTES = 8_000_000
"""The events that the long log has more take at least 20 MB as payloads and links alone."""
START_LIMIT_BYTES = 1_000_000

Logs = Callable[[int], str]
"""Returns the address of a log of so many events."""

PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""
"""Prints the peak of a command in bytes. A process starts with the peak of its parent, so the parent is a small one."""


@pytest.fixture(scope="module", params=BOTH)
def logs(request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logs]:
    """Return what makes a log of so many events, once of each length."""
    made: dict[int, str] = {}

    def log(events: int) -> str:
        if events not in made:
            made[events] = ledgers.new(request.param, tmp_path_factory.mktemp("log"))
            fill(made[events], events)
        return made[events]

    yield log
    for url in made.values():
        ledgers.drop(url)


def fill(url: str, events: int) -> None:
    """Write so many events into an empty ledger."""
    store = opened(url)
    customer, business = new_wallet(store, OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.BUSINESS)
    accepted(store, deposit(customer, events))
    for first in range(5, events, BATCH_EVENTS):
        accepted(store, *(debit(business, customer, 1) for _ in range(min(BATCH_EVENTS, events - first))))
    run(store.close())


def command(name: str, url: str) -> list[str]:
    """Return a command of the program on a ledger."""
    return [str(PROGRAM), name, "--database-url", url]


def peak_bytes(*arguments: str) -> int:
    """Run a command that must succeed and return the most memory that it had."""
    told = subprocess.run([sys.executable, "-c", PEAK, *arguments], capture_output=True, check=True, timeout=120)
    return int(told.stdout)


@pytest.mark.parametrize("name", ["verify", "rebuild"])
def test_memory_does_not_grow_with_the_log(logs: Logs, name: str) -> None:
    """An audit of four times as many events of the same wallets takes no more memory."""
    short, long = (peak_bytes(*command(name, logs(events))) for events in (SHORT_EVENTS, LONG_EVENTS))

    assert long - short < GROWTH_LIMIT_BYTES


@pytest.mark.parametrize("name", ["verify", "rebuild"])
def test_an_audit_that_finds_something_early_ends_there(logs: Logs, name: str) -> None:
    """With most of the log still to come, the first altered position is named, and the ledger is free for the next."""
    url = logs(LONG_EVENTS)
    execute(url, "UPDATE events SET payer = payer + 1 WHERE position = 300")
    found = subprocess.run(command(name, url), capture_output=True, text=True, timeout=60, check=False)
    execute(url, "UPDATE events SET payer = payer - 1 WHERE position = 300")
    mended = subprocess.run(command(name, url), capture_output=True, text=True, timeout=60, check=False)

    assert found.returncode == 1
    assert found.stderr == (
        "monedero: the ledger does NOT verify: "
        "position 300: the columns payer and payee are not the wallets of the event\n"
    )
    assert (mended.returncode, mended.stderr) == (0, "")


def test_a_snapshot_may_be_left_half_read(logs: Logs) -> None:
    """Whoever has seen enough leaves, though somebody still holds what would read the rest."""
    with open_snapshot(load_settings(database_url=logs(LONG_EVENTS))) as ledger:
        rows = ledger.rows()
        positions = [row.position for row in islice(rows, 3)]

    assert positions == [0, 1, 2]
    assert rows is not None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much a process has read")
def test_the_service_starts_without_reading_the_log(logs: Logs) -> None:
    """However long the log is, opening the ledger to serve it reads next to nothing of it."""
    url = logs(LONG_EVENTS)
    before = read_bytes()
    run(opened(url).close())

    assert read_bytes() - before < START_LIMIT_BYTES


def read_bytes() -> int:
    """Return how much this process has read, from files and servers."""
    return int(re.search(r"rchar: (\d+)", Path("/proc/self/io").read_text())[1])  # type: ignore[index]


@pytest.mark.parametrize("statement", [postgres.ALL_EVENTS, postgres.ALL_OWNERS, postgres.ALL_WALLETS])
def test_the_server_sorts_nothing_for_an_audit(ledgers: Ledgers, tmp_path: Path, statement: str) -> None:
    """On PostgreSQL everything is read along an index, even when it was never analyzed: no copy of the log is made."""
    url = ledgers.new(POSTGRES[0], tmp_path)
    fill(url, BATCH_EVENTS)
    with open_snapshot(load_settings(database_url=url)) as ledger:
        assert isinstance(ledger, DatabaseSnapshot)
        found = ledger._connection.execute(b"EXPLAIN " + statement.encode()).fetchall()  # noqa: SLF001
    ledgers.drop(url)

    assert "Index Scan" in str(found)
    assert "Sort  " not in str(found)


def test_what_cannot_be_read_at_once_is_refused(ledgers: Ledgers, tmp_path: Path) -> None:
    """On PostgreSQL one thing of a snapshot is read at a time; a second one is an error and not a wait for ever."""
    url = ledgers.new(POSTGRES[0], tmp_path)
    fill(url, BATCH_EVENTS * 20)
    with open_snapshot(load_settings(database_url=url)) as ledger:
        rows = ledger.rows()
        next(rows)
        with pytest.raises(RuntimeError, match="at a time"):
            ledger.head()
        rest = sum(1 for _ in rows)

        assert rest == BATCH_EVENTS * 20 - 1
        assert ledger.head().size == BATCH_EVENTS * 20
    ledgers.drop(url)


def test_an_inspection_that_is_not_wanted_any_more_ends(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large file it takes minutes: whoever has found something, or pressed Ctrl-C, does not wait for the rest."""
    endless = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT max(n) FROM numbers"
    monkeypatch.setattr(statements, "INTEGRITY", endless)
    with pytest.raises(KeyboardInterrupt), snapshot(database) as ledger, ledger.inspection() as damage:
        raise KeyboardInterrupt

    assert damage is not None


@pytest.mark.parametrize(
    ("name", "label"), [("verify", "verifying"), ("rebuild", "replaying"), ("export", "exporting")]
)
def test_progress_says_how_far_how_much_and_how_fast(logs: Logs, name: str, label: str) -> None:
    """At a terminal: events of all events, percent, events a second; to the end, and not drawn for every few events."""
    drawn = [line for line in shown_by(*command(name, logs(LONG_EVENTS))).split("\r") if label in line]
    counts = [int(count) for line in drawn for count in re.findall(rf"(\d+)/{LONG_EVENTS} ", line)]

    assert counts[-1] == LONG_EVENTS
    assert counts == sorted(counts)
    assert 2 <= len(counts) < 200
    assert re.search(rf" {LONG_EVENTS}/{LONG_EVENTS}  100%  [\d,]+/s", drawn[-1])


def shown_by(*arguments: str) -> str:
    """Run a command that must succeed at a terminal of 100 columns and return what it shows there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    watched = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            more = os.read(ours, 10_000)
        except OSError:  # On Linux that is how a terminal ends.
            break
        if not more:
            break
        shown += more
    os.close(ours)
    assert watched.wait(60) == 0
    return shown.decode()


def execute(url: str, statement: str) -> None:
    """Change a ledger as somebody with a database tool would."""
    if url.startswith(EMBEDDED):
        connection = apsw.Connection(url.removeprefix("sqlite:///"))
        connection.execute(statement)
        connection.close()
    else:
        with psycopg.connect(url) as session:
            session.execute(statement.encode())
