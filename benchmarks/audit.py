"""How fast a long log is proved and replayed, and how soon it is served, by the program itself on both stores."""

import asyncio
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.report import RESULTS, environment, print_environment, print_table, write
from monedero.engine.batch import alone, commit
from monedero.ledger.commands import Command, Debit, Deposit, OpenWallet, RegisterOwner
from monedero.ledger.events import Recorded
from monedero.ledger.ids import OwnerId, TransactionId, WalletId
from monedero.ledger.money import BALANCE_LIMIT, Units
from monedero.ledger.profiles import OwnerKind, Profile
from monedero.settings import load_settings
from monedero.sources import new_id, now_microseconds
from monedero.storage.store import Store
from monedero.stores import migrate_store, open_store
from tests.postgres import Server, server_folder, servers
from tests.support import Service

BATCH = 1_000
CUSTOMERS, BUSINESSES = 1_000, 10
SHARES = {"described debit": 50, "debit": 40, "deposit": 5, "denial": 5}
"""Of a hundred events."""
TARGETS = {"verify, events/s": 200_000, "rebuild, events/s": 100_000, "start, s": 2}
"""At least, at least, at most."""


@click.command()
@click.option(
    "--events", default=1_000_000, show_default=True, help="In the log, of 1,000 customers and 10 businesses."
)
@click.option("--rounds", default=3, show_default=True, help="How often each is measured; the best counts.")
def main(events: int, rounds: int) -> None:
    """Measure `verify`, `rebuild` and the start of `serve`, processes and all, over a log that is built first."""
    RESULTS.mkdir(exist_ok=True)
    newest = next(iter(servers().values()))
    found: dict[str, dict[str, float]] = {}
    with (
        TemporaryDirectory(dir=RESULTS) as folder,
        server_folder() as place,
        Server(newest, place / "server") as server,
    ):
        path = Path(folder) / "ledger.db"
        for name, url in (("SQLite", f"sqlite:///{path}"), ("PostgreSQL", server.create_database("ledger"))):
            asyncio.run(_build(url, events))
            ledger = Service(url)
            found[name] = {
                "verify, events/s": events / min(_seconds(ledger, "verify") for _ in range(rounds)),
                "rebuild, events/s": events / min(_seconds(ledger, "rebuild") for _ in range(rounds)),
                "start, s": min(_start(ledger) for _ in range(rounds)),
            }
        where = environment(Path(folder))
    print_environment(where)
    print(f"\na log of {events:,} events, the best of {rounds}")
    print_table(
        ("", *found, "target"),
        [(what, *(f"{found[name][what]:,.1f}" for name in found), f"{TARGETS[what]:,}") for what in TARGETS],
    )
    write(RESULTS / "audit", {"environment": where, "events": events, "rounds": rounds, "found": found})


def _seconds(ledger: Service, command: str) -> float:
    began = time.perf_counter()
    done = ledger.run(command)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.stderr)
    return seconds


def _start(ledger: Service) -> float:
    began = time.perf_counter()
    ledger.start()
    seconds = time.perf_counter() - began
    ledger.stop()
    return seconds


async def _build(url: str, events: int) -> None:
    """Write the log: mostly debits, some deposits, some denials."""
    settings = load_settings(database_url=url)
    migrate_store(settings)
    store = open_store(settings)
    chosen = random.Random(1)  # noqa: S311 - the same amounts each time, nothing secret
    customers = await _wallets(store, OwnerKind.CUSTOMER, CUSTOMERS)
    businesses = await _wallets(store, OwnerKind.BUSINESS, BUSINESSES)
    await _commit(store, [_deposit(wallet, 10**12) for wallet in customers])
    written = 3 * CUSTOMERS + 2 * BUSINESSES
    while written < events:
        batch: list[Command] = []
        for kind in chosen.choices(list(SHARES), list(SHARES.values()), k=min(BATCH, events - written)):
            customer, business = chosen.choice(customers), chosen.choice(businesses)
            if kind == "deposit":
                batch.append(_deposit(customer, chosen.randint(1, 10**6)))
            else:
                amount = BALANCE_LIMIT if kind == "denial" else chosen.randint(1, 10**5)
                batch.append(_debit(business, customer, amount, "Compra" if kind == "described debit" else None))
        await _commit(store, batch)
        written += len(batch)
    await store.close()


async def _wallets(store: Store, kind: OwnerKind, count: int) -> list[WalletId]:
    owners = [
        RegisterOwner(
            OwnerId(new_id()),
            now_microseconds(),
            kind,
            Profile("Pablo", "Guirado", f"{kind}{number}@example.com", "687137077"),
            os.urandom(16),
        )
        for number in range(count)
    ]
    opened = [OpenWallet(WalletId(new_id()), now_microseconds(), kind, owner.id, "EUR") for owner in owners]
    await _commit(store, owners)
    await _commit(store, opened)
    return [wallet.id for wallet in opened]


def _deposit(wallet: WalletId, units: int) -> Deposit:
    return Deposit(TransactionId(new_id()), now_microseconds(), wallet, Units(units), None)


def _debit(business: WalletId, customer: WalletId, units: int, description: str | None) -> Debit:
    return Debit(TransactionId(new_id()), now_microseconds(), business, customer, Units(units), description)


async def _commit(store: Store, commands: Sequence[Command]) -> None:
    answers, _ = await commit(store, alone(*commands))
    if not all(isinstance(each.outcomes[0], Recorded) for each in answers):
        sys.exit("A command was refused, and the log would be shorter than it should be")


if __name__ == "__main__":
    main()
