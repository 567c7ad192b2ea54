"""Every metric: its name, labels and meaning, once. docs/how-to/observe.md has the table, and a test compares.

Names begin with `monedero_` and end in their unit, counters in `_total`; units are seconds, bytes and what the name
says. No label has more values than the code has operations, kinds and codes: none grows with users.
"""

from collections.abc import Sequence
from typing import Literal

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_COMMANDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024)

Together = Literal["livesum", "livemax", "livemin", "mostrecent"]
"""What a gauge of several processes shows: of those that live, or what was set last."""


class Metrics:
    """The metrics of one process, or its share of those of several processes (observability/shared.py)."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()
        self.registry = CollectorRegistry()

        self.http_requests = self._counter(
            "monedero_http_requests_total",
            "Requests that were answered. `route` is the path of the operation, `unmatched` for every other path; "
            "`status` 499 says that the client went away before its request was complete.",
            ["route", "method", "status"],
        )
        self.http_request_duration = self._histogram(
            "monedero_http_request_duration_seconds",
            "From the request's headers to the last byte of the answer.",
            ["route", "method"],
        )
        self.http_problems = self._counter(
            "monedero_http_problems_total", "Answers that were problems, by their stable code.", ["code"]
        )
        self.http_refused = self._counter(
            "monedero_http_refused_total",
            "Requests and connections refused before there was a request to answer: too slow, too large, too many, "
            "no HTTP.",
            ["status"],
        )
        self.http_connections = self._gauge("monedero_http_connections", "Connections that are open.", "livesum")

        self.batches = self._counter(
            "monedero_batches_total",
            "Batches by what became of them: committed, not_stored, unknown, broken, failed.",
            ["result"],
        )
        self.batch_commands = self._histogram("monedero_batch_commands", "Commands in a batch.", buckets=BATCH_COMMANDS)
        self.batch_duration = self._histogram(
            "monedero_batch_duration_seconds",
            "From the start of a batch to its commit: loading, deciding, sealing, waiting for the batch before it, "
            "storing.",
        )
        self.queue_wait = self._histogram(
            "monedero_queue_wait_seconds", "How long the command that came first had waited when its batch began."
        )
        self.queue = self._gauge("monedero_queue_commands", "Commands that wait for a batch.", "livesum")
        self.queue_limit = self._gauge(
            "monedero_queue_limit_commands", "How many may wait before the next one is answered 503.", "livesum"
        )
        self.transactions = self._counter(
            "monedero_transactions_total",
            "Transactions that were recorded, by kind and status, as the name of their event has them.",
            ["kind", "status"],
        )
        self.money_moved = self._counter(
            "monedero_money_moved_total",
            "Money of accepted transactions, in the currency's main unit; a float, so not exact.",
            ["kind", "currency"],
        )
        self.refusals = self._counter(
            "monedero_refusals_total", "Commands that the rules refused with nothing recorded, by code.", ["code"]
        )
        self.replays = self._counter(
            "monedero_idempotency_replays_total", "Requests that had been carried out before, under the same key."
        )
        self.holds_open = self._gauge(
            "monedero_holds_open", "Holds that hold money, as this process last counted them, up to 10,000.", "livemax"
        )
        self.holds_overdue = self._gauge(
            "monedero_holds_overdue", "Holds whose time was over when this process last looked.", "livemax"
        )
        self.log_size = self._gauge(
            "monedero_log_size_events", "Events in the log, as far as this service has seen it grow.", "livemax"
        )

        self.store_operation_duration = self._histogram(
            "monedero_store_operation_duration_seconds",
            "What the store took: a batch's loads and commit, and each query by its name.",
            ["operation"],
        )
        self.store_failures = self._counter(
            "monedero_store_failures_total", "Operations of the store that raised an error.", ["operation"]
        )
        self.postgres_connections = self._gauge(
            "monedero_postgres_connections", "Connections for reading, by state: busy or idle.", "livesum", ["state"]
        )
        self.postgres_connections_limit = self._gauge(
            "monedero_postgres_connections_limit",
            "The most connections for reading, all servers together.",
            "livesum",
        )
        self.postgres_occurrences = self._counter(
            "monedero_postgres_occurrences_total",
            "Lost writers (reconnects), conflicts of transactions, batches decided again because another process had "
            "written (overtaken), reads on replicas (replica_reads), and replicas found behind or lost "
            "(replica_behind, replica_lost).",
            ["occurrence"],
        )
        self.replica_usable = self._gauge(
            "monedero_replica_usable",
            "1 for a replica that answers reads, 0 for one that is away or too far behind; by its place in "
            "`MONEDERO_REPLICA_URLS`.",
            "livemin",
            ["replica"],
        )
        self.replica_lag = self._gauge(
            "monedero_replica_lag_events",
            "How many events fewer a replica had than the primary when they were last compared.",
            "livemax",
            ["replica"],
        )

        self.audit_runs = self._counter(
            "monedero_audit_runs_total", "Audits of the whole ledger by result: passed, failed, aborted.", ["result"]
        )
        self.audit_failed = self._gauge(
            "monedero_audit_failed",
            "1 when the last audit found the chain or the tree wrong, a wallet that is not what the log makes it, or "
            "balances that do not sum to zero with the world's.",
            "mostrecent",
        )
        self.audit_finished = self._gauge(
            "monedero_audit_finished_timestamp_seconds",
            "When the last audit finished, since 1970; 0 before the first.",
            "mostrecent",
        )
        self.audit_duration = self._gauge(
            "monedero_audit_duration_seconds", "How long the last audit took.", "mostrecent"
        )
        self.audit_events = self._gauge(
            "monedero_audit_events", "How many events the last audit has read.", "mostrecent"
        )

        self.ready = self._gauge("monedero_ready", "1 while `/health/ready` says so, in every process.", "livemin")
        self.processes = self._gauge("monedero_processes", "Processes that serve.", "livesum")
        self.build = self._gauge("monedero_build_info", "Always 1.", "livemax", ["version", "store"])
        self.cpu = self._counter("monedero_process_cpu_seconds_total", "CPU time of all processes that serve.")
        self.memory = self._gauge(
            "monedero_process_resident_memory_bytes", "Memory of all processes that serve.", "livesum"
        )
        self.start_time = self._gauge(
            "monedero_process_start_timestamp_seconds", "When the youngest process started, since 1970.", "livemax"
        )

    def _counter(self, name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, together: Together, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(name, meaning, labels, registry=self.registry, multiprocess_mode=together)

    def _histogram(
        self, name: str, meaning: str, labels: Sequence[str] = (), buckets: Sequence[float] = LATENCY_SECONDS
    ) -> Histogram:
        return Histogram(name, meaning, labels, registry=self.registry, buckets=buckets)
