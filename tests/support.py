"""What several tests need: commands with new ids, and the program as users start it."""

import asyncio
import atexit
import itertools
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from monedero.engine.batch import alone, found_again
from monedero.engine.batch import commit as commit_batch
from monedero.engine.work import Answers, Outcome, Submission
from monedero.ledger.commands import (
    Capture,
    Command,
    Debit,
    Deposit,
    ExpireHold,
    OpenWallet,
    Payout,
    PlaceHold,
    Refund,
    RegisterOwner,
    Transfer,
    VoidHold,
    Withdraw,
)
from monedero.ledger.events import Recorded
from monedero.ledger.ids import HoldId, OwnerId, TransactionId, WalletId
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind, Profile
from monedero.sources import new_id, now_microseconds
from monedero.storage.store import Store

PROGRAM = Path(sys.executable).with_name("monedero")
START_SECONDS = 20.0
SALT = bytes(range(16))

_numbers = itertools.count()
_loop = asyncio.Runner()
atexit.register(_loop.close)

Answer = TypeVar("Answer")


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run to its end what a store is asked, always on the same loop: a store lives on one."""
    return _loop.run(work)


def registration(kind: OwnerKind, email: str | None = None) -> RegisterOwner:
    """Return a command that signs up somebody new."""
    last_name = "Guirado" if kind is OwnerKind.CUSTOMER else None
    profile = Profile("Pablo", last_name, email or f"person{next(_numbers)}@example.com", "687137077")
    return RegisterOwner(OwnerId(new_id()), now_microseconds(), kind, profile, SALT)


def opening(owner_id: OwnerId, kind: OwnerKind, currency: str = "EUR") -> OpenWallet:
    """Return a command that opens a wallet."""
    return OpenWallet(WalletId(new_id()), now_microseconds(), kind, owner_id, currency)


def deposit(wallet: WalletId, units: int, description: str | None = "Apertura cuenta") -> Deposit:
    """Return a command that deposits units of 1/10,000."""
    return Deposit(TransactionId(new_id()), now_microseconds(), wallet, Units(units), description)


def refund(debit_id: str, units: int | None = None) -> Refund:
    """Return a command that refunds units of 1/10,000 of a debit, or all."""
    amount = None if units is None else Units(units)
    return Refund(TransactionId(new_id()), now_microseconds(), TransactionId(debit_id), amount, "Devolucion")


def hold(business: WalletId, customer: WalletId, units: int, expires_at: int | None = None) -> PlaceHold:
    """Return a command that holds units of 1/10,000, for an hour if nothing else is said."""
    now = now_microseconds()
    until_then = now + 3_600_000_000 if expires_at is None else expires_at
    return PlaceHold(HoldId(TransactionId(new_id())), now, business, customer, Units(units), until_then, "Reserva")


def capture(hold_id: str, units: int | None = None, at: int | None = None, *, final: bool = False) -> Capture:
    """Return a command that captures units of 1/10,000 of a hold, or all."""
    amount = None if units is None else Units(units)
    return Capture(TransactionId(new_id()), at or now_microseconds(), HoldId(TransactionId(hold_id)), amount, final)


def void(hold_id: str, at: int | None = None) -> VoidHold:
    """Return a command that gives a hold up."""
    return VoidHold(TransactionId(new_id()), at or now_microseconds(), HoldId(TransactionId(hold_id)))


def expiry(hold_id: str, at: int) -> ExpireHold:
    """Return the command that ends a hold at a time."""
    return ExpireHold(TransactionId(new_id()), at, HoldId(TransactionId(hold_id)))


def payout(business: WalletId, units: int) -> Payout:
    """Return a command that pays units of 1/10,000 out to a business."""
    return Payout(TransactionId(new_id()), now_microseconds(), business, Units(units), "Pago")


def withdrawal(customer: WalletId, units: int) -> Withdraw:
    """Return a command that pays units of 1/10,000 out to a customer."""
    return Withdraw(TransactionId(new_id()), now_microseconds(), customer, Units(units), "Retirada")


def transfer(payer: WalletId, payee: WalletId, units: int) -> Transfer:
    """Return a command that moves units of 1/10,000 between wallets."""
    return Transfer(TransactionId(new_id()), now_microseconds(), payer, payee, Units(units), "Traspaso")


def debit(business: WalletId, customer: WalletId, units: int, description: str | None = "Cobro tele") -> Debit:
    """Return a command that debits units of 1/10,000."""
    return Debit(TransactionId(new_id()), now_microseconds(), business, customer, Units(units), description)


def commit(store: Store, commands: Sequence[Command]) -> list[Outcome]:
    """Commit one batch, each command alone in it, and return its outcomes."""
    return [answers.outcomes[0] for answers in submitted(store, *alone(*commands))]


def submitted(store: Store, *submissions: Submission) -> list[Answers]:
    """Commit one batch and return its answers."""

    async def committed() -> list[Answers]:
        return [await found_again(store, answers) for answers in (await commit_batch(store, submissions)).answers]

    return run(committed())


def accepted(store: Store, *commands: Command) -> list[Recorded]:
    """Commit commands that must all leave an event."""
    outcomes = commit(store, commands)
    recorded = [outcome for outcome in outcomes if isinstance(outcome, Recorded)]
    assert len(recorded) == len(outcomes), outcomes
    return recorded


def new_wallet(store: Store, kind: OwnerKind, currency: str = "EUR") -> WalletId:
    """Register somebody with a wallet."""
    owner = registration(kind)
    wallet = opening(owner.id, kind, currency)
    accepted(store, owner)
    accepted(store, wallet)
    return wallet.id


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for a condition, at most so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        select.select([], [], [], 0.005)


async def happened(condition: Callable[[], Awaitable[bool]]) -> None:
    """Let everything else on the loop run until a condition comes true; the caller sets the limit."""
    while True:
        if await condition():
            return
        await asyncio.sleep(0)


class Service:
    """The program, serving a ledger on a free port."""

    def __init__(self, ledger: Path | str, *arguments: str, **environment: str) -> None:
        """`ledger` is an embedded file or an address, `arguments` are more of them for `serve`."""
        self.url = f"sqlite:///{ledger}" if isinstance(ledger, Path) else ledger
        self.database = Path(self.url.removeprefix("sqlite:///"))
        self.arguments = arguments
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MONEDERO_")}
        self.environment = {**kept, "MONEDERO_PORT": "0", **environment}
        self.process: subprocess.Popen[str]
        self.base = ""

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command of the program on the same ledger."""
        command = [str(PROGRAM), *arguments, "--database-url", self.url]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=self.environment)

    def start(self) -> Self:
        """Start serving and wait for the address that it prints."""
        command = [str(PROGRAM), "serve", "--database-url", self.url, *self.arguments]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment
        )
        assert self.process.stdout is not None
        deadline = time.monotonic() + START_SECONDS
        for line in iter(self.process.stdout.readline, ""):
            if address := re.search(r"http://\S+(?=/docs)", line):
                self.base = address[0]
                return self
            assert time.monotonic() < deadline
        raise AssertionError(self.process.communicate()[1])

    def client(self, **options: Any) -> httpx.Client:
        """Return a client of the service."""
        return httpx.Client(base_url=self.base, timeout=30, **options)

    def kill(self) -> None:
        """Kill the process as a crash would."""
        self.process.kill()
        self.process.communicate(timeout=10)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Ask the process to stop and return its exit code."""
        self.process.send_signal(by)
        self.process.communicate(timeout=10)
        return self.process.returncode

    def __enter__(self) -> Self:
        made = self.run("migrate")
        assert made.returncode == 0, made.stderr
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.stop()
            if self.process.poll() is None:
                self.kill()
