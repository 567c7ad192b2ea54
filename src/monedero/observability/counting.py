"""From what the hooks hear to the metrics."""

from bisect import bisect_left
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import Counter, Histogram

from monedero.engine.observer import BatchEnded
from monedero.engine.work import Outcome
from monedero.ledger.errors import Refusal
from monedero.ledger.events import Accepted, DepositAccepted, Event, Recorded
from monedero.ledger.ids import WalletId
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
        self._names: dict[type[Event], tuple[str, str] | None] = {}

    def batch_ended(self, batch: BatchEnded) -> None:
        """See Observer."""
        metrics, failure = self._metrics, batch.failure
        result = next(name for kind, name in RESULTS if isinstance(failure, kind)) if failure else "committed"
        metrics.batches.labels(result).inc()
        metrics.batch_commands.observe(batch.size)
        metrics.batch_duration.observe(batch.commit_seconds)
        metrics.queue_wait.observe(batch.queued_seconds)
        metrics.queue.set(batch.waiting)
        if not failure:
            self._count(batch.outcomes)
            metrics.replays.inc(batch.replays)

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        metrics = self._metrics
        for code, count in Tally(each.code for each in outcomes if isinstance(each, Refusal)).items():
            metrics.refusals.labels(code).inc(count)
        facts = [each for each in outcomes if isinstance(each, Recorded)]
        for name, count in Tally(filter(None, (self._name(type(fact.event)) for fact in facts))).items():
            metrics.transactions.labels(*name).inc(count)
        currencies = {wallet.id: wallet.currency for wallet in self._moved()}
        moved: defaultdict[tuple[str, str], int] = defaultdict(int)
        for event in (fact.event for fact in facts):
            if isinstance(event, Accepted) and (named := self._name(type(event))):
                moved[named[0], currencies.get(_moved_wallet(event), "")] += event.amount
        for sort, units in moved.items():
            metrics.money_moved.labels(*sort).inc(units / 10**DECIMALS)
        if facts:
            metrics.log_size.set(facts[-1].position + 1)

    def _name(self, kind: type[Event]) -> tuple[str, str] | None:
        if kind not in self._names:
            self._names[kind] = transaction_name(kind)
        return self._names[kind]


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
        self._known: dict[str, Histogram] = {}

    def __call__(self, operation: str, seconds: float, failed: bool) -> None:
        """Note one operation."""
        known = self._known.get(operation)
        if known is None:
            known = self._known[operation] = self._metrics.store_operation_duration.labels(operation)
        known.observe(seconds)
        if failed:
            self._metrics.store_failures.labels(operation).inc()
