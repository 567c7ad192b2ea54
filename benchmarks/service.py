"""The service, the constant and PostgreSQL as processes of their own, and what they use."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.report import MissingError, VoidError, disk
from tests.postgres import Server, server_folder, servers

PROGRAM = Path(sys.executable).with_name("monedero")
LIMIT_SECONDS = 60
POSTGRES = {"shared_buffers": "256MB", "max_wal_size": "4GB", "max_connections": "120"}


class Served(NamedTuple):
    """A server that runs."""

    pid: int
    url: str


@contextmanager
def serve(*command: str | Path) -> Iterator[Served]:
    """Run a server for the length of the block; its banner says where it listens."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        impatience = threading.Timer(LIMIT_SECONDS, process.kill)
        impatience.start()
        try:
            found = next(filter(None, (re.search(r"http://[\d.]+:\d+", line) for line in process.stdout or ())), None)
            impatience.cancel()
            if found is None:
                raise VoidError(f"{command[0]} did not start")
            yield Served(process.pid, found[0])
            process.terminate()
            process.wait(LIMIT_SECONDS)
        finally:
            impatience.cancel()
            process.kill()


@contextmanager
def serve_ledger(url: str, workers: int = 1) -> Iterator[Served]:
    """Run the service on a ledger."""
    with serve(PROGRAM, "serve", "--port=0", f"--database-url={url}", f"--workers={workers}") as served:
        yield served


@contextmanager
def postgres() -> Iterator[Server]:
    """Run the newest PostgreSQL that there is, as durable as it is by default, on the disk."""
    if not servers():
        raise MissingError("there is no PostgreSQL")
    binaries = next(iter(servers().values()))
    with server_folder() as folder, Server(binaries, folder / "server", durable=True, settings=POSTGRES) as server:
        disk(folder)
        yield server


def described(server: Server) -> dict[str, str]:
    """Return the version and the settings of a server on which durability hangs."""
    names = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method")
    values = (f"{name} {server.sql(f'SHOW {name}')[0][0]}" for name in names)
    return {"PostgreSQL": ", ".join((str(server.sql("SHOW server_version")[0][0]), *values))}


def run(command: str, url: str) -> str:
    """Run a command of the program on a ledger. Raises VoidError: a ledger that does not verify."""
    done = subprocess.run([PROGRAM, command, f"--database-url={url}"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise VoidError(f"monedero {command} failed: {done.stderr}")
    return done.stdout


def cpu_seconds(server: Served) -> float:
    """Return what the process and its children have used so far, all threads, in user and kernel mode."""
    used = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # It ended meanwhile.
            fields = path.read_text().rpartition(")")[2].split()
            if server.pid in (int(path.parent.name), int(fields[1])):
                used += int(fields[11]) + int(fields[12])
    return used / os.sysconf("SC_CLK_TCK")


def resident_megabytes(server: Served) -> float:
    """Return how much memory the process has."""
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024
