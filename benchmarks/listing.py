"""What reading the embedded store takes of the event loop, in process: inline and in a thread."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypeVar

import apsw
import click
import uvloop

from benchmarks.history import build
from benchmarks.report import RESULTS, environment, print_environment, print_table, write
from monedero.engine.moments import length_at, standing_at
from monedero.engine.scans import Filter, scan_wallet
from monedero.ledger.ids import WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Wallet
from monedero.storage.hot import HotWallets
from monedero.storage.sqlite import SqliteStore, migrate
from monedero.storage.sqlite.reader import Reader, _wallet
from monedero.storage.store import NEWEST

PAGE, LARGE_PAGE = 100, 1_000
CONCURRENT = 64
HEARTBEAT_SECONDS = 0.001

Read = Callable[[], Awaitable[object]]
Answer = TypeVar("Answer")


class Inline(Reader):
    """A reader that lists on the event loop."""

    async def _list(self, query: Callable[[apsw.Connection], Answer]) -> Answer:
        return self._run(query)


class Threaded(Reader):
    """A reader that reads a point in a thread."""

    async def wallet(self, wallet_id: WalletId) -> Wallet | None:
        """See Queries.wallet."""
        return await self._list(lambda connection: _wallet(connection, wallet_id))


@click.command()
@click.option("--transactions", default=1_000_000, show_default=True, help="Of the wallet with the long history.")
@click.option("--rounds", default=200, show_default=True, help="How often each is measured, in turns.")
def main(transactions: int, rounds: int) -> None:
    """Measure what a read takes of the event loop."""
    RESULTS.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=RESULTS) as folder:
        path = Path(folder) / "ledger.db"
        migrate(path)
        store = SqliteStore(path)
        many, _ = asyncio.run(build(store, transactions))
        reads = uvloop.run(_measure(path, many, rounds))
        asyncio.run(store.close())
        where = environment(Path(folder))
    print_environment(where)
    print(f"\non the event loop or in a thread; the stall of the loop is the longest beside {CONCURRENT} such reads")
    print_table(
        ("", "inline us", "thread us", "stall inline ms", "stall thread ms"),
        [(what, *(f"{microseconds:,.0f}" for microseconds, _ in both), *(f"{stall:.1f}" for _, stall in both))
         for what, both in reads.items()],
    )  # fmt: skip
    write(RESULTS / "listing", {"environment": where, "transactions": transactions, "reads": reads})


async def _measure(path: Path, wallet: WalletId, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return of each read, inline and in a thread, microseconds and stall in milliseconds."""
    inline, threaded = Inline(path, HotWallets()), Threaded(path, HotWallets())

    def page(reader: Reader, limit: int) -> Read:
        return lambda: reader.wallet_transactions(OwnerKind.CUSTOMER, wallet, NEWEST, limit)

    readers = (inline, threaded)
    kinds: dict[str, list[Read]] = {
        "wallet": [partial(reader.wallet, wallet) for reader in readers],
        f"page of {PAGE}": [page(reader, PAGE) for reader in readers],
        f"page of {LARGE_PAGE:,}": [page(reader, LARGE_PAGE) for reader in readers],
    }
    size = await inline.size()
    at = (await inline.events([size // 2]))[0].event.at
    kinds["balance at a time"] = [partial(_balance_then, reader, wallet, size, at) for reader in readers]
    kinds[f"page of {PAGE} debits"] = [partial(_filtered, reader, wallet) for reader in readers]
    found = {}
    for what, reads in kinds.items():
        times = await _by_turns(reads, rounds)
        found[what] = list(zip(times, [await _stall_milliseconds(read) for read in reads], strict=True))
    inline.close()
    threaded.close()
    return found


async def _balance_then(reader: Reader, wallet_id: WalletId, size: int, at: int) -> None:
    """Find a time in the log, and how a wallet stood then."""
    wallet = await reader.wallet(wallet_id)
    if wallet is None or await standing_at(reader, wallet, await length_at(reader, size, at)) is None:
        raise LookupError(wallet_id)


async def _filtered(reader: Reader, wallet_id: WalletId) -> None:
    """Read a page of debits from a history in which every other transaction is one."""
    wallet = await reader.wallet(wallet_id)
    if wallet is None:
        raise LookupError(wallet_id)
    await scan_wallet(reader, wallet, Filter("debit"), before=NEWEST, limit=PAGE, most=LARGE_PAGE)


async def _by_turns(reads: list[Read], rounds: int) -> list[float]:
    """Return the median time of each read in microseconds."""
    times: list[list[float]] = [[] for _ in reads]
    for _ in range(rounds):
        for read, spent in zip(reads, times, strict=True):
            started = time.perf_counter()
            await read()
            spent.append((time.perf_counter() - started) * 1e6)
    return [median(spent) for spent in times]


async def _stall_milliseconds(read: Read) -> float:
    """Return how late a heartbeat came at worst while many such reads ran, the worst of a few times."""
    late = 0.0

    async def beat() -> None:
        nonlocal late
        while True:
            started = time.perf_counter()
            await asyncio.sleep(HEARTBEAT_SECONDS)
            late = max(late, time.perf_counter() - started - HEARTBEAT_SECONDS)

    heart = asyncio.create_task(beat())
    for _ in range(5):
        await asyncio.sleep(10 * HEARTBEAT_SECONDS)
        await asyncio.gather(*(read() for _ in range(CONCURRENT)))
    await asyncio.sleep(10 * HEARTBEAT_SECONDS)
    heart.cancel()
    return late * 1e3


if __name__ == "__main__":
    main()
