"""What the dashboard shows: a row for each question, and in each the panels that answer it."""

from typing import NamedTuple

CHOSEN = 'job="monedero", instance=~"$instance"'
"""What every query of our own metrics asks for: the instances that are chosen above the panels."""


SERVER_ERRORS = 'status=~"5.."'


class Query(NamedTuple):
    """A query, and what its lines are called."""

    expression: str
    legend: str = "{{instance}}"


class Panel(NamedTuple):
    """A panel: its unit is Grafana's name of it; a number shows the last value alone."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    number: bool = False


class Row(NamedTuple):
    """Panels that answer one question."""

    title: str
    panels: tuple[Panel, ...]


def metric(name: str, *labels: str) -> str:
    """Return the series of a metric that are chosen."""
    return f"{name}{{{', '.join([CHOSEN, *labels])}}}"


def rate(name: str, *labels: str) -> str:
    """Return how much a counter grows in a second."""
    return f"rate({metric(name, *labels)}[$__rate_interval])"


def quantile(share: float, name: str, by: str, *labels: str) -> str:
    """Return a quantile of a histogram, for each value of a label."""
    return f"histogram_quantile({share}, sum by (le, {by}) ({rate(name + '_bucket', *labels)}))"


def by(label: str, expression: str) -> str:
    """Return the sum for each value of a label."""
    return f"sum by ({label}) ({expression})"


ROWS = (
    Row(
        "Is it well?",
        (
            Panel("Instances that are ready", "none", (Query(f"sum({metric('monedero_ready')})", ""),), number=True),
            Panel("Last audit failed", "bool", (Query(f"max({metric('monedero_audit_failed')})", ""),), number=True),
            Panel(
                "Since the last audit",
                "s",
                (Query(f"time() - max({metric('monedero_audit_finished_timestamp_seconds')} > 0)", ""),),
                number=True,
            ),
            Panel("Events in the log", "none", (Query(f"max({metric('monedero_log_size_events')})", ""),), number=True),
            Panel(
                "Answers that are 5xx",
                "percentunit",
                (
                    Query(
                        f"(sum({rate('monedero_http_requests_total', SERVER_ERRORS)}) or vector(0))"
                        f" / sum({rate('monedero_http_requests_total')})",
                        "",
                    ),
                ),
                number=True,
            ),
            Panel("Alerts", "none", (Query('count(ALERTS{alertstate="firing"}) or vector(0)', ""),), number=True),
        ),
    ),
    Row(
        "What is asked, and how is it answered?",
        (
            Panel(
                "Requests by status",
                "reqps",
                (Query(by("status", rate("monedero_http_requests_total")), "{{status}}"),),
            ),
            Panel(
                "Time to answer, p99",
                "s",
                (Query(quantile(0.99, "monedero_http_request_duration_seconds", "route"), "{{route}}"),),
            ),
            Panel("Problems by code", "reqps", (Query(by("code", rate("monedero_http_problems_total")), "{{code}}"),)),
            Panel(
                "Connections, and what was refused before it was a request",
                "none",
                (
                    Query(metric("monedero_http_connections")),
                    Query(by("status", rate("monedero_http_refused_total")), "refused {{status}} a second"),
                ),
            ),
        ),
    ),
    Row(
        "What moves?",
        (
            Panel(
                "Transactions",
                "ops",
                (Query(by("kind, status", rate("monedero_transactions_total")), "{{kind}} {{status}}"),),
            ),
            Panel(
                "Money in a second",
                "none",
                (Query(by("kind, currency", rate("monedero_money_moved_total")), "{{kind}} {{currency}}"),),
            ),
            Panel("Refusals by code", "ops", (Query(by("code", rate("monedero_refusals_total")), "{{code}}"),)),
        ),
    ),
    Row(
        "Do writes keep up?",
        (
            Panel(
                "The queue",
                "none",
                (
                    Query(metric("monedero_queue_commands")),
                    Query(f"max({metric('monedero_queue_limit_commands')})", "limit"),
                ),
            ),
            Panel(
                "Commands in a batch, on average",
                "none",
                (Query(f"{rate('monedero_batch_commands_sum')} / {rate('monedero_batch_commands_count')}"),),
            ),
            Panel(
                "A batch and the wait for it, p99",
                "s",
                (
                    Query(quantile(0.99, "monedero_batch_duration_seconds", "instance"), "batch {{instance}}"),
                    Query(quantile(0.99, "monedero_queue_wait_seconds", "instance"), "wait {{instance}}"),
                ),
            ),
            Panel("Batches by result", "ops", (Query(by("result", rate("monedero_batches_total")), "{{result}}"),)),
        ),
    ),
    Row(
        "What does the store take?",
        (
            Panel(
                "Operations, p99",
                "s",
                (Query(quantile(0.99, "monedero_store_operation_duration_seconds", "operation"), "{{operation}}"),),
            ),
            Panel(
                "Operations that failed",
                "ops",
                (Query(by("operation", rate("monedero_store_failures_total")), "{{operation}}"),),
            ),
            Panel(
                "PostgreSQL: connections for reading",
                "none",
                (
                    Query(by("state", metric("monedero_postgres_connections")), "{{state}}"),
                    Query(f"sum({metric('monedero_postgres_connections_limit')})", "limit"),
                ),
            ),
            Panel(
                "PostgreSQL: reconnects, conflicts, reads on replicas",
                "ops",
                (Query(by("occurrence", rate("monedero_postgres_occurrences_total")), "{{occurrence}}"),),
            ),
            Panel(
                "Replicas: events behind",
                "none",
                (Query(f"max by (replica) ({metric('monedero_replica_lag_events')})", "replica {{replica}}"),),
            ),
            Panel(
                "Replicas: used by how many instances",
                "none",
                (Query(by("replica", metric("monedero_replica_usable")), "replica {{replica}}"),),
            ),
        ),
    ),
    Row(
        "Does the ledger verify?",
        (
            Panel("Audits", "none", (Query(by("result", metric("monedero_audit_runs_total")), "{{result}}"),)),
            Panel("How long an audit takes", "s", (Query(metric("monedero_audit_duration_seconds")),)),
            Panel("Events that were audited", "none", (Query(metric("monedero_audit_events")),)),
        ),
    ),
    Row(
        "What does it use?",
        (
            Panel("CPU, in cores", "none", (Query(rate("monedero_process_cpu_seconds_total")),)),
            Panel("Memory", "bytes", (Query(metric("monedero_process_resident_memory_bytes")),)),
            Panel("Processes", "none", (Query(metric("monedero_processes")),)),
            Panel(
                "Room on the disks",
                "percentunit",
                (
                    Query(
                        'node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|overlay|squashfs"}'
                        " / node_filesystem_size_bytes",
                        "{{instance}} {{mountpoint}}",
                    ),
                ),
            ),
        ),
    ),
)
