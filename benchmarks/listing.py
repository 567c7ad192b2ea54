"""What reading the embedded store costs, in process: by the length of a wallet's history, inline and in a thread."""

import asyncio
import sys
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

from benchmarks.report import RESULTS, environment, print_environment, print_table, write
from monedero.bootstrap import new_id, now_microseconds
from monedero.engine.batch import alone, commit
from monedero.engine.moments import length_at, standing_at
from monedero.engine.scans import Filter, scan_wallet
from monedero.ledger.commands import Command, Debit, Deposit, OpenWallet, RegisterOwner
from monedero.ledger.ids import OwnerId, TransactionId, WalletId
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind, Profile
from monedero.ledger.state import Wallet
from monedero.storage.sqlite import SqliteStore, migrate
from monedero.storage.sqlite.hot import HotWallets
from monedero.storage.sqlite.reader import Reader, _wallet
from monedero.storage.store import NEWEST, Store

FEW, PAGE, LARGE_PAGE = 100, 100, 1_000
BATCH = 1_000
CONCURRENT = 64
HEARTBEAT_SECONDS = 0.001
TARGET = 1.2
"""The most that a page of the long history may cost, in pages of the short one."""

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
    """Measure reading beside a long history, and what a read takes of the event loop."""
    RESULTS.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=RESULTS) as folder:
        path = Path(folder) / "ledger.db"
        migrate(path)
        store = SqliteStore(path)
        started = time.perf_counter()
        many, few = asyncio.run(_build(store, transactions))
        print(f"{transactions:,} transactions built in {time.perf_counter() - started:.0f} s\n", flush=True)
        pages, reads = uvloop.run(_measure(path, many, few, rounds))
        asyncio.run(store.close())
        where = environment(path)
    print_environment(where)
    print(f"\nthe newest page of {PAGE}, medians of {rounds}")
    ratio = pages[0] / pages[1]
    print_table(
        (f"of {transactions:,}, us", f"of {FEW}, us", "ratio", "target", ""),
        [
            (
                f"{pages[0]:.0f}",
                f"{pages[1]:.0f}",
                f"{ratio:.2f}",
                f"{TARGET:.2f}",
                "ok" if ratio <= TARGET else "NOT OK",
            )
        ],
    )
    print(f"\non the event loop or in a thread; the stall of the loop is the longest beside {CONCURRENT} such reads")
    print_table(
        ("", "inline us", "thread us", "stall inline ms", "stall thread ms"),
        [(what, *(f"{microseconds:,.0f}" for microseconds, _ in both), *(f"{stall:.1f}" for _, stall in both))
         for what, both in reads.items()],
    )  # fmt: skip
    write("listing", {"environment": where, "transactions": transactions, "page_microseconds": pages, "reads": reads})
    sys.exit(0 if ratio <= TARGET else 1)


async def _build(store: Store, transactions: int) -> tuple[WalletId, WalletId]:
    """Open two customer wallets and give them long and short histories, deposits and debits by turns."""
    at = now_microseconds()
    owners = [(kind, OwnerId(new_id())) for kind in OwnerKind]
    await commit(
        store,
        alone(*(RegisterOwner(owner, at, kind, Profile("A", "B", "a@b", None), bytes(16)) for kind, owner in owners)),
    )
    (_, customer), (_, business) = owners
    many, few, shop = (WalletId(new_id()) for _ in range(3))
    opened = (
        (many, OwnerKind.CUSTOMER, customer),
        (few, OwnerKind.CUSTOMER, customer),
        (shop, OwnerKind.BUSINESS, business),
    )
    await commit(store, alone(*(OpenWallet(wallet, at, kind, owner, "EUR") for wallet, kind, owner in opened)))

    def movement(wallet: WalletId, number: int) -> Command:
        transaction, now, amount = TransactionId(new_id()), now_microseconds(), Units(10_000)
        if number % 2:
            return Debit(transaction, now, shop, wallet, amount, "An order")
        return Deposit(transaction, now, wallet, amount, "A deposit")

    for wallet, total in ((many, transactions), (few, FEW)):
        for done in range(0, total, BATCH):
            await commit(store, alone(*(movement(wallet, number) for number in range(min(BATCH, total - done)))))
    return many, few


async def _measure(
    path: Path, many: WalletId, few: WalletId, rounds: int
) -> tuple[list[float], dict[str, list[tuple[float, float]]]]:
    """Return microseconds of a page of each history, and of each read microseconds and stall in milliseconds."""
    inline, threaded = Inline(path, HotWallets()), Threaded(path, HotWallets())
    for wallet in (many, few):
        shown = await inline.wallet(wallet)
        print(f"{shown.version if shown else 0:,} transactions in the log for {wallet}")

    def page(reader: Reader, wallet: WalletId, limit: int) -> Read:
        return lambda: reader.wallet_transactions(OwnerKind.CUSTOMER, wallet, NEWEST, limit)

    pages = await _by_turns([page(inline, wallet, PAGE) for wallet in (many, few)], rounds)
    readers = (inline, threaded)
    kinds: dict[str, list[Read]] = {
        "wallet": [partial(reader.wallet, many) for reader in readers],
        f"page of {PAGE}": [page(reader, many, PAGE) for reader in readers],
        f"page of {LARGE_PAGE:,}": [page(reader, many, LARGE_PAGE) for reader in readers],
    }
    size = await inline.size()
    at = (await inline.events([size // 2]))[0].event.at
    kinds["balance at a time"] = [partial(_balance_then, reader, many, size, at) for reader in readers]
    kinds[f"page of {PAGE} debits"] = [partial(_filtered, reader, many) for reader in readers]
    found = {}
    for what, reads in kinds.items():
        times = await _by_turns(reads, rounds)
        found[what] = list(zip(times, [await _stall_milliseconds(read) for read in reads], strict=True))
    inline.close()
    threaded.close()
    return pages, found


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
