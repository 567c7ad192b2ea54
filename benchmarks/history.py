"""The newest page of a long history beside that of a short one, over HTTP on one connection."""

import time
from pathlib import Path
from statistics import median

from benchmarks.ledgers import BATCH, open_wallets, record, with_store
from benchmarks.load import PAGE, Client, packed
from benchmarks.report import Comparison, Found, VoidError
from benchmarks.service import run, serve_ledger
from benchmarks.suite import Sizes, alone
from monedero.ledger.commands import Command, Debit, Deposit
from monedero.ledger.ids import TransactionId, WalletId
from monedero.ledger.money import Units
from monedero.sources import new_id, now_microseconds
from monedero.storage.store import Store

FEW = 100
TARGET = 1.2
"""The most that a page of the long history may cost, in pages of the short one."""


def measure(sizes: Sizes, folder: Path) -> Found:
    """Measure both pages by turns."""
    url = f"sqlite:///{folder}/ledger.db"
    run("migrate", url)
    wallets = with_store(url, lambda store: build(store, max(sizes.events, FEW)))
    with serve_ledger(url) as service, Client(service) as client:
        requests = [packed(f"{PAGE.format(wallet_id=wallet)} ") for wallet in wallets]
        rounds = [_by_turns(client, requests, sizes.requests) for _ in range(1 + sizes.rounds)][1:]
    many, few = zip(*rounds, strict=True)
    what = f"newest page of {max(sizes.events, FEW):,} transactions"
    return Found([Comparison(what, "us", many, f"newest page of {FEW}", few, TARGET, at_most=True)])


async def build(store: Store, transactions: int) -> tuple[WalletId, WalletId]:
    """Open two customer wallets and give them long and short histories, deposits and debits by turns."""
    (many, few), (shop,) = await open_wallets(store, customers=2, businesses=1)

    def movement(wallet: WalletId, number: int) -> Command:
        transaction, now, amount = TransactionId(new_id()), now_microseconds(), Units(10_000)
        if number % 2:
            return Debit(transaction, now, shop, wallet, amount, "An order")
        return Deposit(transaction, now, wallet, amount, "A deposit")

    for wallet, total in ((many, transactions), (few, FEW)):
        for start in range(1, total, BATCH):  # The first deposit was made when the wallet was opened.
            await record(store, [movement(wallet, number) for number in range(start, min(start + BATCH, total))])
    return many, few


def _by_turns(client: Client, requests: list[bytes], times: int) -> tuple[float, float]:
    """Return the median microseconds of each request. Raises VoidError when the pages are not equally long."""
    spent: tuple[list[float], list[float]] = [], []
    sizes = set()
    for _ in range(times):
        for request, took in zip(requests, spent, strict=True):
            started = time.perf_counter()
            client.send(request)
            body = client.receive()
            took.append((time.perf_counter() - started) * 1e6)
            sizes.add(body.count(b'"status"'))
    if sizes != {FEW}:
        raise VoidError(f"pages have {sizes} items")
    return median(spent[0]), median(spent[1])


if __name__ == "__main__":
    alone("history", measure)
