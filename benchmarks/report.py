"""What every benchmark reports: a figure of ours beside a yardstick, in rounds; the table of them; the environment."""

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import apsw
import msgspec

from monedero.storage.sqlite import migrate
from monedero.storage.sqlite.connection import open_writer

RESULTS = Path(__file__).parent / "results"
"""Also where the ledgers of the benchmarks lie while they run: on the disk of the checkout, not in memory."""
_LIBRARIES = ("apsw", "httptools", "msgspec", "psycopg", "starlette", "uvicorn", "uvloop")
_SYNCHRONOUS = ("OFF", "NORMAL", "FULL", "EXTRA")


class Comparison(msgspec.Struct, frozen=True):
    """A figure of ours and its yardstick, one of each a round; in each round one was measured right after the other.

    `against` names the yardstick; one that is a plain number is that number in every round. The target is the least
    that the ratio of ours to the yardstick should be, or with `at_most` the most.
    """

    what: str
    unit: str
    ours: Sequence[float]
    against: str
    yardstick: Sequence[float]
    target: float | None = None
    at_most: bool = False

    @property
    def ratios(self) -> list[float]:
        """Ours in yardsticks, round by round."""
        return [mine / other for mine, other in zip(self.ours, self.yardstick, strict=True)]

    @property
    def ratio(self) -> float:
        """The median over the rounds."""
        return median(self.ratios)

    @property
    def verdict(self) -> str:
        """Whether the target is met; empty where there is none."""
        if self.target is None:
            return ""
        met = self.ratio <= self.target if self.at_most else self.ratio >= self.target
        return "ok" if met else "NOT OK"


class Found(msgspec.Struct):
    """What one benchmark found: rows of the table, what else it measured, and what it ran on besides the usual."""

    comparisons: list[Comparison]
    details: dict[str, Any] = {}
    environment: dict[str, str] = {}


class MissingError(Exception):
    """A tool that the benchmark needs is not installed."""


class VoidError(Exception):
    """Requests failed, or a ledger does not verify afterwards: the figures mean nothing."""


def environment(folder: Path) -> dict[str, str]:
    """Say what is measured: Python and its build, libraries, durability, disk, kernel, cores."""
    database = folder / "environment.db"
    migrate(database)
    connection = open_writer(database)
    mode, synchronous = connection.pragma("journal_mode"), _SYNCHRONOUS[connection.pragma("synchronous")]
    connection.close()
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return {
        "Python": f"{sys.version}, {'with' if optimised else 'without'} --enable-optimizations",
        "libraries": ", ".join(f"{name} {version(name)}" for name in _LIBRARIES),
        "SQLite": f"{apsw.sqlite_lib_version()}, journal_mode {mode}, synchronous {synchronous}",
        "machine": f"{disk(folder)}, {platform.system()} {platform.release()} {platform.machine()}, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
    }


def disk(folder: Path) -> str:
    """Return the kind of file system. Raises VoidError in memory, where a sync costs nothing."""
    found = subprocess.run(["stat", "-f", "-c", "%T", folder], check=True, capture_output=True, text=True).stdout
    if found.strip() in ("tmpfs", "ramfs"):
        raise VoidError(f"{folder} lies in memory, where a sync costs nothing")
    return found.strip()


def print_environment(where: dict[str, str]) -> None:
    """Print what was measured."""
    for name, value in where.items():
        print(f"{name:<12}{value}")


def print_comparisons(comparisons: Iterable[Comparison]) -> None:
    """Print the table."""
    header = ("", "ours", "the yardstick", "", "ratio", "min", "max", "target", "")
    rows = [
        (
            each.what,
            shown(median(each.ours), each.unit),
            shown(median(each.yardstick), each.unit),
            each.against,
            *(f"{ratio:.2f}" for ratio in (each.ratio, min(each.ratios), max(each.ratios))),
            target(each),
            each.verdict,
        )
        for each in comparisons
    ]
    print_table(header, rows, to_the_left=(0, 3, 8))


def target(comparison: Comparison) -> str:
    """Return the target as it is shown."""
    if comparison.target is None:
        return "-"
    return f"{'<=' if comparison.at_most else '>='} {comparison.target:.2f}"


def shown(value: float, unit: str) -> str:
    """Return a value with its unit and about three digits."""
    digits = next((digits for digits, least in enumerate((100, 10)) if abs(value) >= least), 2)
    return f"{value:,.{digits}f}{'' if unit.startswith('/') else ' '}{unit}"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], to_the_left: Sequence[int] = (0,)) -> None:
    """Print columns, those named to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = (
            cell.ljust(width) if number in to_the_left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def write(to: Path, content: object) -> None:
    """Write results as JSON to that path and a suffix."""
    to.with_suffix(".json").write_bytes(msgspec.json.format(msgspec.json.encode(content)) + b"\n")


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return a row with what follows from it."""
    return {
        **msgspec.to_builtins(comparison),
        "ratio": comparison.ratio,
        "least": min(comparison.ratios),
        "most": max(comparison.ratios),
        "verdict": comparison.verdict,
    }
