"""From what the hooks hear to the metrics."""

from bisect import bisect_left
from collections import Counter as Tally
from typing import Any

from prometheus_client import Counter, Histogram

from monedero.engine.observer import BatchEnded
from monedero.ledger.errors import Refusal
from monedero.ledger.events import Accepted, DepositAccepted, Event, Recorded
from monedero.ledger.ids import WalletId
from monedero.ledger.money import DECIMALS
from monedero.observability.metrics import Metrics
from monedero.observability.middleware import Answered
from monedero.storage.store import CommitUnknownError, NotStoredError, StoreBrokenError

RESULTS: tuple[tuple[type[Exception], str], ...] = (
    (NotStoredError, "not_stored"),
    (CommitUnknownError, "unknown"),
    (StoreBrokenError, "broken"),
    (Exception, "failed"),
)


class _Times:
    """Times that are not shown yet. To observe one in a metric costs ten times as much, more where it is shared."""

    def __init__(self, shown: Histogram) -> None:
        self._shown = shown
        self._bounds: list[float] = shown._upper_bounds  # noqa: SLF001 - as `flush`
        self._inside = [0] * len(self._bounds)
        self._seconds = 0.0

    def note(self, seconds: float) -> None:
        """Keep one."""
        self._inside[bisect_left(self._bounds, seconds)] += 1
        self._seconds += seconds

    def flush(self) -> int:
        """Show what was kept; return how many. The library observes several at once only through its own parts."""
        count = sum(self._inside)
        if count:
            self._shown._sum.inc(self._seconds)  # noqa: SLF001 - see above
            for bucket, inside in zip(self._shown._buckets, self._inside, strict=True):  # noqa: SLF001
                if inside:
                    bucket.inc(inside)
            self._inside = [0] * len(self._bounds)
            self._seconds = 0.0
        return count


class RequestCounts:
    """Counts and times answers, for itself until they are shown."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._known: dict[tuple[str, str, int], tuple[Counter, _Times]] = {}

    def __call__(self, answered: Answered) -> None:
        """Count one answer; `flush` shows it."""
        key = answered.route, answered.method, answered.status
        known = self._known.get(key)
        if known is None:
            metrics = self._metrics
            known = metrics.http_requests.labels(*key), _Times(metrics.http_request_duration.labels(*key[:2]))
            self._known[key] = known
        known[1].note(answered.seconds)
        if answered.problem is not None:
            self._metrics.http_problems.labels(answered.problem).inc()

    def flush(self) -> None:
        """Show what was counted."""
        for counter, times in self._known.values():
            counter.inc(times.flush())

    def refused(self, status: int) -> None:
        """Count a refusal before there was a request."""
        self._metrics.http_refused.labels(int(status)).inc()


class EngineCounts:
    """Counts batches and what is in them, for itself until they are shown."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._sizes = _Times(metrics.batch_commands)
        self._durations = _Times(metrics.batch_duration)
        self._waits = _Times(metrics.queue_wait)
        self._waiting = 0
        self._clear()

    def batch_ended(self, batch: BatchEnded) -> None:
        """See Observer; `flush` shows it."""
        failure = batch.failure
        result = next(name for kind, name in RESULTS if isinstance(failure, kind)) if failure else "committed"
        self._results[result] += 1
        self._sizes.note(batch.size)
        self._durations.note(batch.commit_seconds)
        self._waits.note(batch.queued_seconds)
        self._waiting = batch.waiting
        if failure:
            return
        self._replays += batch.replays
        currencies = {wallet.id: wallet.currency for wallet in batch.wallets}
        for outcome in batch.outcomes:
            if isinstance(outcome, Recorded):
                event = outcome.event
                self._events[type(event)] += 1
                self._size = outcome.position + 1
                if isinstance(event, Accepted):
                    self._units[type(event), currencies.get(_moved_wallet(event), "")] += event.amount
            elif isinstance(outcome, Refusal):
                self._refusals[outcome.code] += 1

    def flush(self) -> None:
        """Show what was counted."""
        metrics = self._metrics
        for times in (self._sizes, self._durations, self._waits):
            times.flush()
        for result, count in self._results.items():
            metrics.batches.labels(result).inc(count)
        for code, count in self._refusals.items():
            metrics.refusals.labels(code).inc(count)
        for kind, count in self._events.items():
            if name := transaction_name(kind):
                metrics.transactions.labels(*name).inc(count)
        for (kind, currency), units in self._units.items():
            if name := transaction_name(kind):
                metrics.money_moved.labels(name[0], currency).inc(units / 10**DECIMALS)
        metrics.replays.inc(self._replays)
        metrics.queue.set(self._waiting)
        if self._size:
            metrics.log_size.set(self._size)
        self._clear()

    def _clear(self) -> None:
        self._results: Tally[str] = Tally()
        self._refusals: Tally[str] = Tally()
        self._events: Tally[type[Event]] = Tally()
        self._units: Tally[tuple[type[Event], str]] = Tally()
        self._replays = 0
        self._size = 0


def transaction_name(kind: type[Any]) -> tuple[str, str] | None:
    """Return kind and status of a transaction, from its event's name; None for an event that concerns no amount."""
    if "amount" not in kind.__struct_fields__:
        return None
    name, _, rest = str(kind.__struct_config__.tag).partition(".")
    return name, rest.rpartition(".")[0] or rest


def _moved_wallet(event: Accepted) -> WalletId:
    """Return a wallet whose money an event has moved; both sides have the same currency."""
    return event.payee.wallet if isinstance(event, DepositAccepted) else event.payer.wallet


class HoldCounts:
    """Shows how many holds there are."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, held: int, overdue: int) -> None:
        """Show what was found."""
        self._metrics.holds_open.set(held)
        self._metrics.holds_overdue.set(overdue)


class StoreTimes:
    """Times what the store does."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._known: dict[str, _Times] = {}

    def __call__(self, operation: str, seconds: float, failed: bool) -> None:
        """Note one operation; `flush` shows it."""
        known = self._known.get(operation)
        if known is None:
            known = self._known[operation] = _Times(self._metrics.store_operation_duration.labels(operation))
        known.note(seconds)
        if failed:
            self._metrics.store_failures.labels(operation).inc()

    def flush(self) -> None:
        """Show what was noted."""
        for times in self._known.values():
            times.flush()
