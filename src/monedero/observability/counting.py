"""From what the hooks hear to the metrics."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import Counter, Histogram

from monedero.engine.observer import BatchEnded
from monedero.ledger.errors import Refusal
from monedero.ledger.events import Event, Posting, Recorded
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


class RequestCounts:
    """Counts answers. What a label needs is made at its first use and kept: a look-up is cheaper than `.labels()`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def __call__(self, answered: Answered) -> None:
        """Count one answer."""
        key = answered.route, answered.method, answered.status
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = (
                self._metrics.http_requests.labels(*key),
                self._metrics.http_request_duration.labels(*key[:2]),
            )
        known[0].inc()
        known[1].observe(answered.seconds)
        if answered.problem is not None:
            self._metrics.http_problems.labels(answered.problem).inc()

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
        names, size = self._names, 0
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                refused[outcome.code] += 1
                continue
            event, size = outcome.event, outcome.position + 1
            kind = type(event)
            if kind not in names:
                names[kind] = transaction_name(kind)
            if (name := names[kind]) is None:
                continue
            happened[name] += 1
            if (wallet := moved_wallet(event)) is not None:
                moved[name[0], currencies.get(wallet, "")] += event.amount  # type: ignore[union-attr]
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


def moved_wallet(event: Event) -> WalletId | None:
    """Return a wallet whose money an event has moved; both sides have the same currency."""
    for side in (getattr(event, "payee", None), getattr(event, "payer", None)):
        if isinstance(side, Posting):
            return side.wallet
    return None


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
