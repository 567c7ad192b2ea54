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
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from monedero.bootstrap import new_id, now_microseconds
from monedero.engine.batch import Outcome
from monedero.engine.batch import commit as commit_batch
from monedero.ledger.commands import Command, Debit, Deposit, OpenWallet, RegisterOwner
from monedero.ledger.events import Recorded
from monedero.ledger.ids import OwnerId, TransactionId, WalletId
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind, Profile
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


def debit(business: WalletId, customer: WalletId, units: int, description: str | None = "Cobro tele") -> Debit:
    """Return a command that debits units of 1/10,000."""
    return Debit(TransactionId(new_id()), now_microseconds(), business, customer, Units(units), description)


def commit(store: Store, commands: Sequence[Command]) -> list[Outcome]:
    """Commit one batch and return its outcomes."""
    return run(commit_batch(store, commands))


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
