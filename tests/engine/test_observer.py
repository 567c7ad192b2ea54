import asyncio
from collections.abc import Sequence

import pytest

from monedero.engine.engine import Engine
from monedero.engine.observer import BatchEnded, Observer
from monedero.ledger.errors import Refusal
from monedero.ledger.events import Recorded
from monedero.ledger.ids import WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.sources import new_id
from monedero.storage.store import NotStoredError, Store
from tests.support import deposit, new_wallet, run


class Ears:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[BatchEnded] = []

    def batch_ended(self, batch: BatchEnded) -> None:
        self.heard.append(batch)


class Broken:
    """Fails each time."""

    def batch_ended(self, batch: BatchEnded) -> None:
        raise ArithmeticError(f"cannot count {batch.size}")


def engine(store: Store, observers: Sequence[Observer]) -> Engine:
    """Return an engine that is watched."""
    return Engine(store, batch_limit=3, queue_limit=100, on_broken=print, observers=observers)


def test_each_batch_is_told_with_what_became_of_it(store: Store) -> None:
    """An observer hears commands, outcomes, how long the first waited and how many wait, before anyone is answered."""
    wallet, ears = new_wallet(store, OwnerKind.CUSTOMER), Ears()
    nobodys = deposit(WalletId(new_id()), 1)
    commands = [deposit(wallet, 1), nobodys, *(deposit(wallet, 1) for _ in range(3))]

    async def submit() -> None:
        watched = engine(store, [ears])
        watched.start()
        await asyncio.gather(*(watched.submit(command) for command in commands))
        await watched.drain()

    run(submit())

    first, second = ears.heard
    told = [command for batch in ears.heard for submission in batch.submissions for command in submission.commands]
    assert (first.size, second.size, told) == (3, 2, commands)
    assert [type(outcome) is Recorded for outcome in first.outcomes] == [True, False, True]
    assert isinstance(first.outcomes[1], Refusal)
    assert (first.waiting, second.waiting) == (2, 0)
    assert second.queued_seconds >= first.commit_seconds > 0
    assert first.failure is second.failure is None


def test_a_batch_that_fails_is_told_with_its_failure(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An observer hears why nothing was recorded."""
    wallet, ears = new_wallet(store, OwnerKind.CUSTOMER), Ears()
    failure = NotStoredError("no room")

    def fail() -> None:
        raise failure

    async def submit() -> None:
        watched = engine(store, [ears])
        watched.start()
        monkeypatch.setattr(store, "transaction", fail)
        with pytest.raises(NotStoredError):
            await watched.submit(deposit(wallet, 1))
        await watched.drain()

    run(submit())

    (heard,) = ears.heard
    assert heard.failure is failure
    assert (heard.size, heard.outcomes) == (1, [])


def test_an_observer_that_fails_harms_nobody(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """What is recorded is answered all the same, others who watch hear of it, and the failure is in the log."""
    wallet, ears = new_wallet(store, OwnerKind.CUSTOMER), Ears()

    async def submit() -> object:
        watched = engine(store, [Broken(), ears])
        watched.start()
        try:
            return await watched.submit(deposit(wallet, 1))
        finally:
            await watched.drain()

    assert isinstance(run(submit()), Recorded)
    assert len(ears.heard) == 1
    assert "cannot count 1" in caplog.text
