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
        if not facts:
            return
        metrics.log_size.set(facts[-1].position + 1)
        for kind, count in Tally(type(fact.event) for fact in facts).items():
            if name := self._name(kind):
                metrics.transactions.labels(*name).inc(count)
        currencies = {wallet.id: wallet.currency for wallet in self._moved()}
        moved: defaultdict[tuple[type[Event], str], int] = defaultdict(int)
        for event in (fact.event for fact in facts):
            if isinstance(event, Accepted):
                moved[type(event), currencies.get(_moved_wallet(event), "")] += event.amount
        for (kind, currency), units in moved.items():
            if name := self._name(kind):
                metrics.money_moved.labels(name[0], currency).inc(units / 10**DECIMALS)

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
