"""Where the time of a batch goes: the stack is looked at every millisecond, and the innermost room of ours counts."""

import asyncio
import signal
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import click

from benchmarks.batch import commit_batches
from benchmarks.ledgers import BATCH, Wallets, chooser, create, orders, with_store
from benchmarks.report import RESULTS, print_table
from benchmarks.service import described, postgres
from monedero.storage.store import Store

INTERVAL_SECONDS = 0.001
STEPS = {
    "ledger/decide.py": "decide",
    "ledger/evolve.py": "evolve and keep the state",
    "ledger/state.py": "evolve and keep the state",
    "ledger/events.py": "encode",
    "ledger/merkle.py": "seal",
    "engine/": "the engine's loop, rows",
    "storage/": "make the driver's parameters",
    "psycopg/": "the driver's protocol",
    "benchmarks/": "ids, times, commands",
    "bootstrap.py": "ids, times, commands",
    "selectors.py": "wait for the driver and the disk",
    "asyncio/": "wait for the driver and the disk",
}
"""By the end, or a folder, of a file's path; the first that fits."""


@click.command()
@click.option("--batches", default=100, show_default=True, help=f"Of {BATCH:,} debits each.")
def main(batches: int) -> None:
    """Print the shares of the time that batches take, in both stores."""
    RESULTS.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=RESULTS) as folder, postgres() as server:
        found = {
            "SQLite": shares(f"sqlite:///{folder}/ledger.db", batches),
            "PostgreSQL": shares(server.create_database("ledger"), batches),
        }
        print(*described(server).values())
    steps = sorted({step for some in found.values() for step in some}, key=lambda step: -found["SQLite"][step])
    rows = [(step, *(f"{some[step] / some.total():.0%}" for some in found.values())) for step in steps]
    print_table(("", *found), rows)


def shares(url: str, batches: int) -> Counter[str]:
    """Return how often each step was met."""
    wallets = create(url)
    return with_store(url, lambda store: _looked_at(store, wallets, batches))


async def _looked_at(store: Store, wallets: Wallets, batches: int) -> Counter[str]:
    met: Counter[str] = Counter()

    def look(_signal: int, frame: FrameType | None) -> None:
        met[_step(frame)] += 1

    asked = orders(wallets, batches * BATCH, chooser())
    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, INTERVAL_SECONDS, INTERVAL_SECONDS)
    try:
        await commit_batches(store, asked)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    await asyncio.sleep(0)
    return met


def _step(frame: FrameType | None) -> str:
    """Return the step that a stack is in."""
    while frame is not None:
        path = Path(frame.f_code.co_filename).as_posix()
        for part, step in STEPS.items():
            if path.endswith(f"/{part}") or (part.endswith("/") and f"/{part}" in path):
                return step
        frame = frame.f_back
    return "elsewhere"


if __name__ == "__main__":
    main()
