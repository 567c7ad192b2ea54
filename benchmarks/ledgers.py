"""Ledgers with wallets, money and a history, made in process by the engine's own batches."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from benchmarks.report import VoidError
from monedero.engine.batch import alone, commit
from monedero.engine.work import Answers
from monedero.ledger.commands import Command, Debit, Deposit, OpenWallet, RegisterOwner
from monedero.ledger.events import DebitDenied, Recorded
from monedero.ledger.ids import OwnerId, TransactionId, WalletId
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind, Profile
from monedero.settings import load_settings
from monedero.sources import new_id, now_microseconds
from monedero.storage.store import Store
from monedero.stores import migrate_store, open_store

CUSTOMERS, BUSINESSES = 1_000, 10
BATCH = 1_000
FUNDS = Units(10**13)
"""More than all debits of a benchmark take."""
MOST_UNITS = 99_999

Answer = TypeVar("Answer")


class Wallets(NamedTuple):
    """Funded wallets of customers, and those of businesses."""

    customers: list[WalletId]
    businesses: list[WalletId]


class Order(NamedTuple):
    """What a client asks a debit for."""

    business: WalletId
    customer: WalletId
    amount: Units


def with_store(url: str, work: Callable[[Store], Awaitable[Answer]]) -> Answer:
    """Open a ledger as the program does, work in it, close it."""

    async def run() -> Answer:
        store = open_store(load_settings(database_url=url))
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def create(url: str, events: int = 0) -> Wallets:
    """Make a ledger with funded wallets and, if that is more, so many events."""

    async def fill(store: Store) -> Wallets:
        wallets = await open_wallets(store)
        size = (await store_size(store)) if events else 0
        choose = chooser()
        for done in range(size, events, BATCH):
            await record(store, debits(orders(wallets, min(BATCH, events - done), choose)))
        return wallets

    migrate_store(load_settings(database_url=url))
    return with_store(url, fill)


async def open_wallets(store: Store, customers: int = CUSTOMERS, businesses: int = BUSINESSES) -> Wallets:
    """Register owners, open a wallet for each and fund the customers."""
    at, kinds = now_microseconds(), [OwnerKind.CUSTOMER] * customers + [OwnerKind.BUSINESS] * businesses
    owners = [(kind, OwnerId(new_id()), WalletId(new_id())) for kind in kinds]
    await record(store, [
        RegisterOwner(owner, at, kind, Profile("Ada", "Lovelace", f"{owner}@example.com", None), bytes(16))
        for kind, owner, _ in owners
    ])  # fmt: skip
    await record(store, [OpenWallet(wallet, at, kind, owner, "EUR") for kind, owner, wallet in owners])
    opened = [wallet for _, _, wallet in owners]
    await record(store, [deposit(wallet, FUNDS) for wallet in opened[:customers]])
    return Wallets(opened[:customers], opened[customers:])


async def record(store: Store, commands: Sequence[Command]) -> None:
    """Commit one batch, all of which must succeed."""
    require_done((await commit(store, alone(*commands))).answers)


def require_done(found: Sequence[Answers | Exception]) -> None:
    """Raise VoidError unless every command was carried out."""
    for answers in found:
        if isinstance(answers, Exception):
            raise answers
        for outcome in (*answers.outcomes, *filter(None, [answers.refusal])):
            if not isinstance(outcome, Recorded) or isinstance(outcome.event, DebitDenied):
                raise VoidError(f"a command was turned down: {outcome}")


async def store_size(store: Store) -> int:
    """Return how many events are committed."""
    with store.snapshot() as snapshot:
        return snapshot.head().size


def chooser() -> random.Random:
    """Return the chance that is the same every time."""
    return random.Random(1)  # noqa: S311 - no secret


def orders(wallets: Wallets, count: int, choose: random.Random) -> list[Order]:
    """Return orders of random amounts between random wallets."""
    return [
        Order(choose.choice(wallets.businesses), choose.choice(wallets.customers), Units(choose.randint(1, MOST_UNITS)))
        for _ in range(count)
    ]


def debits(orders: Sequence[Order]) -> list[Command]:
    """Return the debits that carry orders out, with new ids."""
    return [Debit(TransactionId(new_id()), now_microseconds(), *order, "An order") for order in orders]


def deposit(wallet: WalletId, amount: Units) -> Deposit:
    """Return a deposit."""
    return Deposit(TransactionId(new_id()), now_microseconds(), wallet, amount, "A deposit")
