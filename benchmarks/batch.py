"""Debits in process, 1,000 a batch through the engine, beside a bare loop of the driver that writes the same rows.

Ours has its ids, times and commands made inside the time that counts, but not the orders, which are the clients'. There
are as many clients as keep the engine busy, and the interpreter is set as `serve` sets it. `benchmarks.shares` says
where the time goes.
"""

import asyncio
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

from benchmarks.bare import BarePostgres, BareSqlite
from benchmarks.ledgers import BATCH, Order, Wallets, chooser, create, debits, orders, require_done
from benchmarks.report import Comparison, Found
from benchmarks.service import described, postgres, run
from benchmarks.suite import Sizes
from benchmarks.suite import alone as run_alone
from monedero.cli.server import SWITCH_INTERVAL_SECONDS
from monedero.engine.batch import alone
from monedero.engine.engine import Engine
from monedero.settings import load_settings
from monedero.storage.store import Store
from monedero.stores import open_store

TARGET = 0.6
CLIENTS = 3
"""One batch is being written, one is decided, one waits."""


class Bare(Protocol):
    """A loop around a driver."""

    def ready(self, batch: int) -> Callable[[], None]:
        """Return what writes the batches that the engine has written since the last time."""


def measure(sizes: Sizes, folder: Path) -> Found:
    """Measure both stores, each beside a bare loop by turns."""
    ours, copy = folder / "ours.db", folder / "copy.db"
    wallets = create(f"sqlite:///{ours}")
    shutil.copy(ours, copy)
    with closing(BareSqlite(ours, copy)) as bare:
        rates = asyncio.run(_by_turns(sizes, f"sqlite:///{ours}", wallets, bare))
    run("verify", f"sqlite:///{copy}")
    found = [Comparison(f"batches of {BATCH:,} debits, SQLite", "/s", rates[0], "bare apsw", rates[1], TARGET)]
    with postgres() as server:
        url = server.create_database("ours")
        wallets = create(url)
        server.sql("CREATE DATABASE copy TEMPLATE ours")
        with closing(BarePostgres(url, server.url("copy"))) as bare_postgres:
            rates = asyncio.run(_by_turns(sizes, url, wallets, bare_postgres))
        run("verify", server.url("copy"))
        where = described(server)
    what = f"batches of {BATCH:,} debits, PostgreSQL"
    found.append(Comparison(what, "/s", rates[0], "bare psycopg", rates[1], TARGET))
    return Found(found, environment=where)


async def _by_turns(sizes: Sizes, url: str, wallets: Wallets, bare: Bare) -> tuple[list[float], list[float]]:
    """Return debits a second of the engine and of the bare loop, a figure each round."""
    store, choose = open_store(load_settings(database_url=url)), chooser()
    rates: tuple[list[float], list[float]] = [], []
    count = sizes.batches * BATCH
    for number in range(1 + sizes.rounds):
        asked = orders(wallets, count, choose)
        started = time.perf_counter()
        await commit_batches(store, asked)
        done = time.perf_counter()
        write = bare.ready(BATCH)
        began = time.perf_counter()
        write()
        ended = time.perf_counter()
        if number:
            rates[0].append(count / (done - started))
            rates[1].append(count / (ended - began))
    await store.close()
    return rates


async def commit_batches(store: Store, asked: Sequence[Order]) -> None:
    """Commit orders, in full batches."""
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    starts = iter(range(0, len(asked), BATCH))
    engine = Engine(store, batch_limit=BATCH, queue_limit=CLIENTS * BATCH, on_broken=print)
    engine.start()

    async def client() -> None:
        for start in starts:
            require_done(await engine.submit_each(alone(*debits(asked[start : start + BATCH]))))

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    await engine.drain()


if __name__ == "__main__":
    run_alone("batch", measure)
