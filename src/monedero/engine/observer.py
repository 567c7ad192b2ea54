"""What the engine tells to whoever watches it."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from monedero.engine.work import Answers, Outcome, Submission
from monedero.ledger.state import Wallet


class BatchEnded(msgspec.Struct, frozen=True, gc=False):
    """A batch that was committed, or was not because of `failure`; then it has no answers.

    `wallets` are those that it has changed, as it leaves them. `queued_seconds` is how long the submission that came
    first had waited, `waiting` how many commands wait now.
    """

    submissions: Sequence[Submission]
    answers: Sequence[Answers]
    wallets: Sequence[Wallet]
    failure: Exception | None
    queued_seconds: float
    commit_seconds: float
    waiting: int

    @property
    def size(self) -> int:
        """How many commands it had."""
        return sum(len(submission.commands) for submission in self.submissions)

    @property
    def outcomes(self) -> list[Outcome]:
        """What became of its commands: neither what had been done before, nor what was only tried."""
        return [
            outcome
            for submission, answers in zip(self.submissions, self.answers, strict=False)
            if not submission.dry_run
            for outcome in (answers.outcomes if answers.refusal is None else [answers.refusal])
        ]

    @property
    def replays(self) -> int:
        """How many submissions had been carried out before, under the same idempotency key."""
        return sum(answers.replayed for answers in self.answers)


class Observer(Protocol):
    """Is called on the event loop between two batches, so it has to be quick. What it raises is logged, no more."""

    def batch_ended(self, batch: BatchEnded) -> None:
        """Hear of a batch before those who wait for it are answered."""
