"""What the benchmarks share: the machine they ran on, tables, the file of results."""

import os
import platform
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import apsw
import msgspec

from monedero.storage.sqlite.connection import open_writer

RESULTS = Path(__file__).parent / "results"
"""Also where the ledgers of the benchmarks lie while they run: on the disk of the checkout, not in memory."""
_LIBRARIES = ("apsw", "httptools", "msgspec", "starlette", "uvicorn", "uvloop")
_SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")


def environment(database: Path) -> dict[str, str]:
    """Say what was measured: Python and its build, libraries, durability, disk, kernel, cores."""
    disk = subprocess.run(["stat", "-f", "-c", "%T", database], check=True, capture_output=True, text=True)
    if disk.stdout.strip() in ("tmpfs", "ramfs"):
        sys.exit(f"{database} lies in memory, where a sync costs nothing: the figures would mean nothing")
    connection = open_writer(database)
    mode, synchronous = connection.pragma("journal_mode"), _SYNCHRONOUS[connection.pragma("synchronous")]
    connection.close()
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return {
        "Python": f"{sys.version}, {'with' if optimised else 'without'} --enable-optimizations",
        "libraries": ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
        "durability": f"SQLite {apsw.sqlite_lib_version()}, journal_mode {mode}, synchronous {synchronous}",
        "machine": f"{disk.stdout.strip()}, {platform.system()} {platform.release()} {platform.machine()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
    }


def print_environment(where: dict[str, str]) -> None:
    """Print what was measured."""
    for name, value in where.items():
        print(f"{name:<12}{value}")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns, the first one to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        print(row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)))


def write(name: str, content: object) -> None:
    """Write the results as JSON and say where."""
    path = RESULTS / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content)))
    print(f"\nwritten to {path}")
