"""What the engine tells to whoever watches it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from monedero.engine.batch import Outcome
from monedero.ledger.commands import Command


class BatchEnded(msgspec.Struct, frozen=True, gc=False):
    """A batch that was committed, or was not because of `failure`; then it has no outcomes.

    `queued_seconds` is how long the command that came first had waited, `waiting` how many commands wait now.
    """

    commands: Sequence[Command]
    outcomes: Sequence[Outcome]
    failure: Exception | None
    queued_seconds: float
    commit_seconds: float
    waiting: int


class Observer(Protocol):
    """Is called on the event loop between two batches, so it has to be quick. What it raises is logged, no more."""

    def batch_ended(self, batch: BatchEnded) -> None:
        """Hear of a batch before those who wait for it are answered."""
