"""One client, one connection, one debit after the other: how long each takes, in syncs of the same disk."""

import os
import time
from contextlib import suppress
from pathlib import Path
from statistics import median, quantiles

import apsw

from benchmarks.ledgers import create
from benchmarks.load import Client, packed, workloads
from benchmarks.report import Comparison, Found
from benchmarks.service import run, serve_ledger
from benchmarks.suite import Sizes, alone
from monedero.storage.sqlite.connection import open_writer

WAL_HEADER_BYTES = 32
LOOKED_AT = 20
AT_ONCE = 25
TARGET = 1.5


def measure(sizes: Sizes, folder: Path) -> Found:
    """Measure debits in series and, by turns, syncs of as many bytes as the log of one debit has."""
    database = folder / "ledger.db"
    url = f"sqlite:///{database}"
    requests = [packed(each) for each in workloads(create(url))["debit"]]
    with serve_ledger(url) as service, Client(service) as client:
        _in_series(client, requests[:LOOKED_AT])
        written = _bytes_written(client, requests[:LOOKED_AT], database)
        rounds = [_by_turns(client, requests, sizes.requests, folder / "synced", written) for _ in range(sizes.rounds)]
    run("verify", url)
    debits, appended, overwritten = ([median(each) for each in kind] for kind in zip(*rounds, strict=True))
    what = "debit, one client in series, p50"
    p99 = [quantiles(each, n=100)[-1] for each, _, _ in rounds] if sizes.requests > 1 else []
    return Found(
        [
            Comparison(what, "us", debits, "append and sync", appended, TARGET, at_most=True),
            Comparison(what, "us", debits, "overwrite and sync", overwritten),
        ],
        {"bytes written for a debit": written, "debit, p99 us": p99},
    )


def _by_turns(client: Client, requests: list[bytes], count: int, synced: Path, written: int) -> list[list[float]]:
    """Return how long each debit, each append and each overwrite took: a few of each at a time."""
    found: list[list[float]] = [[], [], []]
    for start in range(0, min(count, len(requests)), AT_ONCE):
        some = requests[start : min(start + AT_ONCE, count)]
        found[0] += _in_series(client, some)
        found[1] += _syncs(synced, written, len(some), append=True)
        found[2] += _syncs(synced, written, len(some), append=False)
    return found


def _in_series(client: Client, requests: list[bytes]) -> list[float]:
    """Return how long each request took, in microseconds."""
    spent = []
    for request in requests:
        started = time.perf_counter()
        client.send(request)
        client.receive()
        spent.append((time.perf_counter() - started) * 1e6)
    return spent


def _bytes_written(client: Client, requests: list[bytes], database: Path) -> int:
    """Return by how many bytes one debit makes SQLite's write-ahead log longer, which is emptied before each."""
    log, found = database.with_name(f"{database.name}-wal"), []
    connection = open_writer(database)
    for request in requests:
        with suppress(apsw.BusyError):  # The service checkpoints at the same moment.
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            _in_series(client, [request])
            found.append(log.stat().st_size - WAL_HEADER_BYTES)
    connection.close()
    return int(median(found))


def _syncs(path: Path, size: int, times: int, *, append: bool) -> list[float]:
    """Return how long it takes to write so many bytes, at the end or over the same ones, and to sync, each time."""
    content, spent = os.urandom(size), []
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    for number in range(times + 1):
        started = time.perf_counter()
        os.pwrite(descriptor, content, append * number * size)
        os.fdatasync(descriptor)
        spent.append((time.perf_counter() - started) * 1e6)
    os.close(descriptor)
    path.unlink()
    return spent[1:]


if __name__ == "__main__":
    alone("latency", measure)
