"""Group commit: requests queue their commands, one thread commits them batch by batch.

While one batch commits, the next one fills: no timer, no added delay at low load, large batches at high
load. A client that goes away cancels nothing.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from monedero.engine.batch import Outcome, commit
from monedero.ledger.commands import Command
from monedero.storage.store import CommitUnknownError, NotStoredError, Store, StoreBrokenError, StoreError

_Waiting = tuple[Command, asyncio.Future[Outcome]]


class QueueFullError(Exception):
    """More commands wait than the limit allows: nothing was queued, try again later."""


class EngineStoppedError(Exception):
    """The engine takes no more commands: it is draining, or the disk failed."""


class Engine:
    """Takes commands on the event loop, commits them on a thread of its own."""

    def __init__(
        self,
        store: Store,
        *,
        batch_limit: int,
        queue_limit: int,
        on_broken: Callable[[StoreError], None],
    ) -> None:
        """`batch_limit` is the most commands a transaction decides, `queue_limit` the most that wait.

        `on_broken` is called once, on the engine's thread, when the disk has failed and writing has stopped.
        """
        self._store = store
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._on_broken = on_broken
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._stopped = False
        self._broken = False
        self._thread = threading.Thread(target=self._run, name="monedero-commit")

    def start(self) -> None:
        """Start the thread that commits."""
        self._thread.start()

    async def submit(self, command: Command) -> Outcome:
        """Commit a command and return what became of it.

        Raises QueueFullError and EngineStoppedError (nothing was queued), NotStoredError (nothing was
        recorded), CommitUnknownError (nobody can tell; look the command's id up later).
        """
        if self._stopped:
            raise EngineStoppedError
        if self._queue.qsize() >= self._queue_limit:
            raise QueueFullError
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.put((command, future))
        return await future

    async def drain(self) -> None:
        """Take no more commands, finish those that were taken, and end the thread."""
        self._stopped = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while True:
            batch, more = self._next_batch()
            if batch:
                self._commit(batch)
            if not more:
                return

    def _next_batch(self) -> tuple[list[_Waiting], bool]:
        """Wait for a command, then take what has queued up behind it; False after the last."""
        waiting = self._queue.get()
        batch: list[_Waiting] = []
        with contextlib.suppress(Empty):
            while waiting is not None:
                batch.append(waiting)
                if len(batch) == self._batch_limit:
                    return batch, True
                waiting = self._queue.get_nowait()
            return batch, False
        return batch, True

    def _commit(self, batch: list[_Waiting]) -> None:
        answers = self._answers([command for command, _ in batch])
        batch[0][1].get_loop().call_soon_threadsafe(_resolve, batch, answers)

    def _answers(self, commands: Sequence[Command]) -> Sequence[Outcome | Exception]:
        """Commit and return an answer for each; where one command upsets the batch, the others go without it."""
        if self._broken:
            return [EngineStoppedError()] * len(commands)
        try:
            return commit(self._store, commands)
        except StoreBrokenError as error:
            self._stopped = self._broken = True
            self._on_broken(error)
            return [CommitUnknownError(str(error))] * len(commands)
        except (NotStoredError, CommitUnknownError) as error:
            return [error] * len(commands)
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits must hear of it
            if len(commands) == 1:
                return [error]
            return [self._answers([command])[0] for command in commands]


def _resolve(batch: list[_Waiting], answers: Sequence[Outcome | Exception]) -> None:
    for (_, future), answer in zip(batch, answers, strict=True):
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
