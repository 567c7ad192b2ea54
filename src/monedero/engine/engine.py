"""Group commit: requests queue their commands, which are committed batch by batch.

While one batch commits, the next one fills: no timer, no added delay at low load, large batches at high
load. It still fills while other processes have their turn at the log. One that is full need not wait: where the store
allows, it is decided while the one before it is being written. A client that goes away cancels nothing.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice, repeat

import msgspec

from monedero.engine.batch import (
    CLAIMS_KEPT_SECONDS,
    Committed,
    TopUp,
    all_found_again,
    commit,
    found_again,
    nothing_more,
)
from monedero.engine.observer import BatchEnded, Observer
from monedero.engine.work import Answers, Outcome, Submission
from monedero.ledger.commands import Command
from monedero.storage.store import (
    CommitUnknownError,
    NotStoredError,
    Store,
    StoreBrokenError,
    StoreError,
    StoreUnavailableError,
)

NOTHING_COMMITTED = Committed([], [])
_logger = logging.getLogger(__name__)


class _Waiting(msgspec.Struct, frozen=True, gc=False):
    """What somebody submits at once, where its answers come, and since when it waits, by `time.perf_counter`."""

    submissions: Sequence[Submission]
    future: asyncio.Future[Sequence[Answers | Exception]]
    since: float
    size: int
    """In commands."""


class QueueFullError(Exception):
    """More commands wait than the limit allows: nothing was queued, try again later."""


class KeyInUseError(Exception):
    """A submission with the same idempotency key is being decided: nothing was queued, try again later."""


class EngineStoppedError(Exception):
    """The engine takes no more commands: it is draining, or the disk failed."""


class Engine:
    """Takes commands and commits them, all on one event loop; what waits for the disk is the store's."""

    def __init__(
        self,
        store: Store,
        *,
        batch_limit: int,
        queue_limit: int,
        on_broken: Callable[[StoreError], None],
        observers: Sequence[Observer] = (),
        claims_kept_seconds: int = CLAIMS_KEPT_SECONDS,
    ) -> None:
        """`batch_limit` is the most commands a transaction decides, `queue_limit` the most that wait.

        What is submitted at once may be larger than a batch, but not than the queue.
        `on_broken` is called once, when the disk has failed and writing has stopped; `observers` hear of each
        batch.
        """
        self._store = store
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._on_broken = on_broken
        self._observers = observers
        self._claims_kept_seconds = claims_kept_seconds
        self._queue: deque[_Waiting] = deque()
        self._waiting = 0
        """How many commands are in the queue."""
        self._batches = 0
        """How many were taken from the queue."""
        self._committing = 0
        """How many of them are being committed."""
        self._claiming: set[bytes] = set()
        self._idle: deque[asyncio.Future[None]] = deque()
        """Where those wait who found no batch to commit."""
        self._stopped = False
        self._broken = False
        self._loop: asyncio.AbstractEventLoop
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start committing, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name="monedero-commit")

    async def submit(self, command: Command) -> Outcome:
        """Commit a command alone and return what became of it. Raises as `submit_all`."""
        return (await self.submit_all(Submission((command,)))).outcomes[0]

    async def submit_all(self, submission: Submission) -> Answers:
        """Commit a submission and return what became of it.

        Raises QueueFullError, KeyInUseError and EngineStoppedError (nothing was queued), NotStoredError (nothing was
        recorded), CommitUnknownError (nobody can tell; look the command's id up later, or try again under the same
        idempotency key), StoreUnavailableError (it was done before, but cannot be read now).
        """
        self._require_room(len(submission.commands))
        if submission.claiming is not None and submission.claiming.key in self._claiming:
            raise KeyInUseError
        (answers,) = await self._queued([submission], len(submission.commands))
        if isinstance(answers, Exception):
            raise answers
        return answers if answers.claim is None else await found_again(self._store, answers)

    async def submit_each(self, submissions: Sequence[Submission]) -> list[Answers | Exception]:
        """Commit submissions in their order, in one transaction; return for each what became of it.

        One whose key is being claimed waits for the one before it. Raises QueueFullError and EngineStoppedError, with
        nothing queued; what else `submit_all` raises is returned.
        """
        if not submissions:
            return []
        size = sum(len(submission.commands) for submission in submissions)
        self._require_room(size)
        found = list(await self._queued(submissions, size))
        replays = {index: each for index, each in enumerate(found) if isinstance(each, Answers) and each.replayed}
        if not replays:
            return found
        again: Sequence[Answers | Exception]
        try:
            again = await all_found_again(self._store, list(replays.values()))
        except StoreUnavailableError as error:
            again = [error] * len(replays)
        for index, answers in zip(replays, again, strict=True):
            found[index] = answers
        return found

    def _require_room(self, commands: int) -> None:
        if self._stopped:
            raise EngineStoppedError
        if self._waiting + commands > self._queue_limit:
            raise QueueFullError

    def _queued(self, submissions: Sequence[Submission], size: int) -> asyncio.Future[Sequence[Answers | Exception]]:
        """Queue submissions, which are not empty; return where their answers come."""
        future: asyncio.Future[Sequence[Answers | Exception]] = self._loop.create_future()
        if keys := [each.claiming.key for each in submissions if each.claiming is not None]:
            self._claiming.update(keys)
            future.add_done_callback(lambda _: self._claiming.difference_update(keys))
        self._queue.append(_Waiting(submissions, future, time.perf_counter(), size))
        self._waiting += size
        if self._batch_is_due():
            self._wake_one()
        return future

    @property
    def waiting(self) -> int:
        """How many commands wait for a batch."""
        return self._waiting

    @property
    def stopped(self) -> bool:
        """Whether no more commands are taken."""
        return self._stopped

    @property
    def running(self) -> bool:
        """Whether what was taken is being committed."""
        return self._task is not None and not self._task.done()

    async def drain(self) -> None:
        """Take no more commands, finish those that were taken, and stop. Cancelling the wait cancels nothing else."""
        self._stopped = True
        self._wake_all()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def abandon(self) -> None:
        """Stop at once. Those who still wait hear that nothing was recorded, or that nobody knows."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._store.transactions_at_once):
                    group.create_task(self._commit_batches())
        finally:
            # Reached early only if the task is cancelled: whoever waits must hear of it.
            self._stopped = True
            _answer(self._queue, repeat(EngineStoppedError()))

    async def _commit_batches(self) -> None:
        while self._queue or not self._stopped:
            if not self._batch_is_due():
                self._idle.append(idle := self._loop.create_future())
                await idle
                continue
            batch: list[_Waiting] = []
            self._batches += 1
            submissions = self._taken(batch)
            self._committing += 1
            try:
                answers = await self._answers(submissions, batch[0].since, self._top_up(batch, submissions))
            except BaseException:
                _answer(batch, repeat(CommitUnknownError("The engine was stopped in the middle of a commit")))
                raise
            finally:
                self._committing -= 1
            _answer(batch, answers)
        self._wake_all()

    def _wake_one(self) -> None:
        if self._idle and not (idle := self._idle.popleft()).done():
            idle.set_result(None)

    def _wake_all(self) -> None:
        while self._idle:
            self._wake_one()

    def _batch_is_due(self) -> bool:
        """Tell whether the next batch should go: it can grow until the one before it is committed, or it is full."""
        return self._waiting >= self._batch_limit if self._committing else bool(self._queue)

    def _taken(self, batch: list[_Waiting]) -> list[Submission]:
        """Take from the queue what there is room for in the batch, into an empty one the first at least."""
        before, size = len(batch), sum(waiting.size for waiting in batch)
        while self._queue and ((size := size + self._queue[0].size) <= self._batch_limit or not batch):
            batch.append(waiting := self._queue.popleft())
            self._waiting -= waiting.size
        return [submission for waiting in batch[before:] for submission in waiting.submissions]

    def _top_up(self, batch: list[_Waiting], submissions: list[Submission]) -> TopUp:
        """Return what adds to a batch what was submitted since, unless a later batch has been taken."""
        number = self._batches

        def top_up() -> bool:
            added = self._taken(batch) if number == self._batches else []
            submissions.extend(added)
            return bool(added)

        return top_up

    async def _answers(
        self, submissions: Sequence[Submission], since: float, top_up: TopUp = nothing_more
    ) -> Sequence[Answers | Exception]:
        """Commit and return answers for each; where one submission upsets the batch, the others go without it.

        `since` is when the first of them was queued.
        """
        if self._broken:
            return [EngineStoppedError()] * len(submissions)
        try:
            return await self._commit(submissions, since, top_up)
        except StoreBrokenError as error:
            return [self._stopped_by(error)] * len(submissions)
        except (NotStoredError, CommitUnknownError) as error:
            _logger.warning("a batch of %d was not committed, or nobody knows: %s", len(submissions), error)
            return [error] * len(submissions)
        except Exception as error:
            if len(submissions) == 1:
                return [error]
            _logger.exception("a batch of %d could not be committed; each submission is tried alone", len(submissions))
            return [(await self._answers([submission], since))[0] for submission in submissions]

    def _stopped_by(self, error: StoreBrokenError) -> Exception:
        """Stop for good; return what the batch that met the error is told."""
        if self._broken:  # It was another batch that met the failing disk: the store writes nothing from then on.
            return EngineStoppedError()
        self._stopped = self._broken = True
        self._loop.call_soon(self._on_broken, error)
        return CommitUnknownError(str(error))

    async def _commit(self, submissions: Sequence[Submission], since: float, top_up: TopUp) -> list[Answers]:
        if not self._observers:
            return (await commit(self._store, submissions, self._claims_kept_seconds, top_up)).answers
        began = time.perf_counter()
        try:
            committed = await commit(self._store, submissions, self._claims_kept_seconds, top_up)
        except Exception as error:
            self._tell(submissions, NOTHING_COMMITTED, error, since, began)
            raise
        self._tell(submissions, committed, None, since, began)
        return committed.answers

    def _tell(
        self,
        submissions: Sequence[Submission],
        committed: Committed,
        failure: Exception | None,
        since: float,
        began: float,
    ) -> None:
        ended = time.perf_counter()
        batch = BatchEnded(
            submissions, committed.answers, committed.wallets, failure, began - since, ended - began, self._waiting
        )
        for observer in self._observers:
            try:
                observer.batch_ended(batch)
            except Exception:
                _logger.exception("what watches the engine failed; the batch is not concerned")


def _answer(batch: Iterable[_Waiting], answers: Iterable[Answers | Exception]) -> None:
    rest = iter(answers)
    for waiting in batch:
        some = list(islice(rest, len(waiting.submissions)))
        if not waiting.future.done():  # Answered, or the client went away; what it asked for is decided all the same.
            waiting.future.set_result(some)
