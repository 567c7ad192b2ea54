"""Group commit: requests queue their commands, one task commits them batch by batch.

While one batch commits, the next one fills: no timer, no added delay at low load, large batches at high
load. A client that goes away cancels nothing.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from monedero.engine.batch import Outcome, commit
from monedero.engine.observer import BatchEnded, Observer
from monedero.ledger.commands import Command
from monedero.storage.store import CommitUnknownError, NotStoredError, Store, StoreBrokenError, StoreError

_logger = logging.getLogger(__name__)

_Waiting = tuple[Command, asyncio.Future[Outcome], float]
"""A command, who is answered, and since when it waits, on the clock of `time.perf_counter`."""


class QueueFullError(Exception):
    """More commands wait than the limit allows: nothing was queued, try again later."""


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
    ) -> None:
        """`batch_limit` is the most commands a transaction decides, `queue_limit` the most that wait.

        `on_broken` is called once, when the disk has failed and writing has stopped; `observers` hear of each batch.
        """
        self._store = store
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._on_broken = on_broken
        self._observers = observers
        self._queue: deque[_Waiting] = deque()
        self._filled = asyncio.Event()
        self._stopped = False
        self._broken = False
        self._loop: asyncio.AbstractEventLoop
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start committing, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name="monedero-commit")

    async def submit(self, command: Command) -> Outcome:
        """Commit a command and return what became of it.

        Raises QueueFullError and EngineStoppedError (nothing was queued), NotStoredError (nothing was
        recorded), CommitUnknownError (nobody can tell; look the command's id up later).
        """
        if self._stopped:
            raise EngineStoppedError
        if len(self._queue) >= self._queue_limit:
            raise QueueFullError
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self._queue.append((command, future, time.perf_counter()))
        self._filled.set()
        return await future

    @property
    def waiting(self) -> int:
        """How many commands wait for a batch."""
        return len(self._queue)

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
        self._filled.set()
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
        batch: list[_Waiting] = []
        try:
            while self._queue or not self._stopped:
                if not self._queue:
                    self._filled.clear()
                    await self._filled.wait()
                    continue
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_limit))]
                _answer(batch, await self._answers([command for command, _, _ in batch], batch[0][2]))
        finally:
            # Reached early only if the task is cancelled: whoever waits must hear of it.
            self._stopped = True
            _answer(batch, [CommitUnknownError("The engine was stopped in the middle of a commit")] * len(batch))
            _answer(self._queue, [EngineStoppedError()] * len(self._queue))

    async def _answers(self, commands: Sequence[Command], since: float) -> Sequence[Outcome | Exception]:
        """Commit and return an answer for each; where one command upsets the batch, the others go without it.

        `since` is when the first of them was queued.
        """
        if self._broken:
            return [EngineStoppedError()] * len(commands)
        try:
            return await self._commit(commands, since)
        except StoreBrokenError as error:
            self._stopped = self._broken = True
            self._loop.call_soon(self._on_broken, error)
            return [CommitUnknownError(str(error))] * len(commands)
        except (NotStoredError, CommitUnknownError) as error:
            _logger.warning("a batch of %d was not committed, or nobody knows: %s", len(commands), error)
            return [error] * len(commands)
        except Exception as error:
            if len(commands) == 1:
                return [error]
            _logger.exception("a batch of %d could not be committed; its commands are tried one by one", len(commands))
            return [(await self._answers([command], since))[0] for command in commands]

    async def _commit(self, commands: Sequence[Command], since: float) -> list[Outcome]:
        if not self._observers:
            return await commit(self._store, commands)
        began = time.perf_counter()
        try:
            outcomes = await commit(self._store, commands)
        except Exception as error:
            self._tell(commands, [], error, since, began)
            raise
        self._tell(commands, outcomes, None, since, began)
        return outcomes

    def _tell(
        self,
        commands: Sequence[Command],
        outcomes: Sequence[Outcome],
        failure: Exception | None,
        since: float,
        began: float,
    ) -> None:
        ended = time.perf_counter()
        batch = BatchEnded(commands, outcomes, failure, began - since, ended - began, len(self._queue))
        for observer in self._observers:
            try:
                observer.batch_ended(batch)
            except Exception:
                _logger.exception("what watches the engine failed; the batch is not concerned")


def _answer(waiting: Iterable[_Waiting], answers: Sequence[Outcome | Exception]) -> None:
    for (_, future, _), answer in zip(waiting, answers, strict=True):
        if future.done():
            continue  # Answered, or the client went away; what it asked for is decided all the same.
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
