"""Holds whose time is over are ended by the ledger itself.

What ends a hold is a command like any other, decided once, whoever asks first: any number of processes may do this
beside each other, and one that was away catches up when it is back.
"""

import asyncio
import logging
from collections.abc import Callable

from monedero.engine.engine import Engine, EngineStoppedError, QueueFullError
from monedero.engine.work import Submission
from monedero.ledger.commands import ExpireHold
from monedero.ledger.events import Recorded
from monedero.ledger.ids import TransactionId
from monedero.storage.store import Store, StoreError

LIMIT_HOLDS = 64
"""How many are ended at a time."""
LIMIT_COUNTED = 10_000
"""How many open holds are counted at most."""
INTERVAL_SECONDS = 1.0
"""How often the holds that other processes have placed are looked at, at least."""

_logger = logging.getLogger(__name__)


def unheard(_held: int, _overdue: int) -> None:
    """Tell nobody."""


class Expirer:
    """Ends the holds of a ledger at their time, as long as it runs."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        now: Callable[[], int],
        new_id: Callable[[], str],
        *,
        interval_seconds: float = INTERVAL_SECONDS,
        limit_holds: int = LIMIT_HOLDS,
        on_looked: Callable[[int, int], None] = unheard,
    ) -> None:
        """`on_looked` hears, whenever holds were looked at, how many are open, and how many should have ended."""
        self._engine = engine
        self._store = store
        self._now = now
        self._new_id = new_id
        self._interval_seconds = interval_seconds
        self._limit_holds = limit_holds
        self._on_looked = on_looked
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start, on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="monedero-expirer")

    async def stop(self) -> None:
        """Stop; what was submitted is decided all the same."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def expire(self) -> float:
        """End what is due; return in how many seconds there is more to do."""
        holds = await self._store.queries.expiring(self._limit_holds)
        now = self._now()
        due = [hold_id for hold_id, expires_at in holds if expires_at <= now]
        self._on_looked(await self._store.queries.open_holds(LIMIT_COUNTED), len(due))
        ended = False
        if due:
            commands = tuple(ExpireHold(TransactionId(self._new_id()), now, hold_id) for hold_id in due)
            answers = await self._engine.submit_all(Submission(commands))
            ended = any(isinstance(outcome, Recorded) for outcome in answers.outcomes)
        if len(due) < len(holds):
            return min(self._interval_seconds, (holds[len(due)][1] - now) / 1_000_000)
        # Where none was left to end, others were faster and what was read is old: that is no reason to hurry.
        return 0.0 if ended and len(holds) == self._limit_holds else self._interval_seconds

    async def _run(self) -> None:
        while True:
            wait_seconds = self._interval_seconds
            try:
                wait_seconds = await self.expire()
            except (StoreError, QueueFullError) as error:
                _logger.warning("holds cannot be looked at now: %s", error)
            except EngineStoppedError:
                return
            except Exception:
                _logger.exception("holds cannot be looked at")
            await asyncio.sleep(wait_seconds)
