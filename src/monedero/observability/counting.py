"""From what the hooks hear to the metrics."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import Counter, Histogram

from monedero.engine.observer import BatchEnded
from monedero.ledger.errors import Refusal
from monedero.ledger.events import Event, Posting, Recorded
from monedero.ledger.money import DECIMALS
from monedero.ledger.state import Wallet
from monedero.observability.metrics import LATENCY_SECONDS, Metrics
from monedero.observability.middleware import Answered
from monedero.storage.store import CommitUnknownError, NotStoredError, StoreBrokenError

RESULTS: tuple[tuple[type[Exception], str], ...] = (
    (NotStoredError, "not_stored"),
    (CommitUnknownError, "unknown"),
    (StoreBrokenError, "broken"),
    (Exception, "failed"),
)


class _Answers:
    """Answers of one route, method and status that are not shown yet, and where they will be."""

    __slots__ = ("by_latency", "counter", "duration", "seconds")

    def __init__(self, counter: Counter, duration: Histogram) -> None:
        self.by_latency = [0] * (len(LATENCY_SECONDS) + 1)
        self.seconds = 0.0
        self.counter = counter
        self.duration = duration


class RequestCounts:
    """Counts answers, for itself at first: to count in a metric costs ten times as much, more where it is shared."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._known: dict[tuple[str, str, int], _Answers] = {}

    def __call__(self, answered: Answered) -> None:
        """Count one answer; `flush` shows it."""
        key = answered.route, answered.method, answered.status
        known = self._known.get(key)
        if known is None:
            metrics = self._metrics
            known = _Answers(metrics.http_requests.labels(*key), metrics.http_request_duration.labels(*key[:2]))
            self._known[key] = known
        known.by_latency[bisect_left(LATENCY_SECONDS, answered.seconds)] += 1
        known.seconds += answered.seconds
        if answered.problem is not None:
            self._metrics.http_problems.labels(answered.problem).inc()

    def flush(self) -> None:
        """Show what was counted. The library has no way to observe several values at once but through its parts."""
        for known in self._known.values():
            if not (count := sum(known.by_latency)):
                continue
            known.counter.inc(count)
            known.duration._sum.inc(known.seconds)  # noqa: SLF001 - see above
            for bucket, inside in zip(known.duration._buckets, known.by_latency, strict=True):  # noqa: SLF001
                if inside:
                    bucket.inc(inside)
            known.by_latency = [0] * len(known.by_latency)
            known.seconds = 0.0

    def refused(self, status: int) -> None:
        """Count a refusal before there was a request."""
        self._metrics.http_refused.labels(int(status)).inc()


class EngineCounts:
    """Counts batches and what is in them. `moved` gives the wallets that the last batch has changed."""

    def __init__(self, metrics: Metrics, moved: Callable[[], Sequence[Wallet]]) -> None:
        self._metrics = metrics
        self._moved = moved
        self._known: dict[type[Event], tuple[tuple[str, str], str] | None] = {}

    def batch_ended(self, batch: BatchEnded) -> None:
        """See Observer."""
        metrics, failure = self._metrics, batch.failure
        result = next(name for kind, name in RESULTS if isinstance(failure, kind)) if failure else "committed"
        metrics.batches.labels(result).inc()
        metrics.batch_commands.observe(len(batch.commands))
        metrics.batch_duration.observe(batch.commit_seconds)
        metrics.queue_wait.observe(batch.queued_seconds)
        metrics.queue.set(batch.waiting)
        if not failure:
            self._count(batch.outcomes)

    def _count(self, outcomes: Sequence[Recorded | Refusal]) -> None:
        happened: defaultdict[tuple[str, str], int] = defaultdict(int)
        moved: defaultdict[tuple[str, str], int] = defaultdict(int)
        refused: defaultdict[str, int] = defaultdict(int)
        currencies = {wallet.id: wallet.currency for wallet in self._moved()}
        known, size = self._known, 0
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                refused[outcome.code] += 1
                continue
            event, size = outcome.event, outcome.position + 1
            kind = type(event)
            if kind not in known:
                name = transaction_name(kind)
                known[kind] = (name, moved_side(event)) if name else None
            if (transaction := known[kind]) is None:
                continue
            name, side = transaction
            happened[name] += 1
            if side:
                currency = currencies.get(getattr(event, side).wallet, "")
                moved[name[0], currency] += event.amount  # type: ignore[union-attr]
        metrics = self._metrics
        for name, count in happened.items():
            metrics.transactions.labels(*name).inc(count)
        for sort, units in moved.items():
            metrics.money_moved.labels(*sort).inc(units / 10**DECIMALS)
        for code, count in refused.items():
            metrics.refusals.labels(code).inc(count)
        if size:
            metrics.log_size.set(size)


def transaction_name(kind: type[Any]) -> tuple[str, str] | None:
    """Return kind and status of a transaction, from its event's name; None for an event that concerns no amount."""
    if "amount" not in kind.__struct_fields__:
        return None
    name, _, rest = str(kind.__struct_config__.tag).partition(".")
    return name, rest.rpartition(".")[0] or rest


def moved_side(event: Event) -> str:
    """Return the member of an event that is a wallet whose money has moved; empty where none has.

    It is the same for all events of a kind, and both sides have the same currency.
    """
    return next((side for side in ("payee", "payer") if isinstance(getattr(event, side, None), Posting)), "")


class StoreTimes:
    """Times what the store does."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._known: dict[str, Histogram] = {}

    def __call__(self, operation: str, seconds: float, failed: bool) -> None:
        """Note one operation."""
        known = self._known.get(operation)
        if known is None:
            known = self._known[operation] = self._metrics.store_operation_duration.labels(operation)
        known.observe(seconds)
        if failed:
            self._metrics.store_failures.labels(operation).inc()
