import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client import Histogram

from monedero.engine.engine import Engine
from monedero.ledger.profiles import OwnerKind
from monedero.observability.counting import EngineCounts, RequestCounts
from monedero.observability.metrics import LATENCY_SECONDS, Metrics
from monedero.observability.middleware import Answered
from monedero.storage.sqlite import SqliteStore
from monedero.storage.sqlite.writer import FileTransaction
from monedero.storage.store import CommitUnknownError
from tests.api.world import World
from tests.ledgers import BOTH, EMBEDDED, POSTGRES, Ledgers
from tests.observability.scrapes import Scrape, processes, scrape
from tests.support import Service, deposit, new_wallet, run, until

WORKERS = 2
LABELS = {"route": "/route", "method": "GET", "status": "200"}


class UnsureStore(SqliteStore):
    """A store whose COMMITs happen, and report that nobody knows."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[FileTransaction]:
        async with super().transaction() as transaction:
            yield transaction
        raise CommitUnknownError


@pytest.fixture(params=BOTH)
def watched(request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path: Path) -> Iterator[Service]:
    """Return a service of one's own, so that its counts are known."""
    with Service(ledgers.new(request.param, tmp_path)) as running:
        yield running


@pytest.fixture
def embedded(ledgers: Ledgers, tmp_path: Path) -> Iterator[Service]:
    """Return a service over the embedded store."""
    with Service(ledgers.new(EMBEDDED, tmp_path)) as running:
        yield running


@pytest.fixture
def several(ledgers: Ledgers, tmp_path: Path) -> Iterator[Service]:
    """Return a service of several processes."""
    ledger = ledgers.new(POSTGRES[0], tmp_path)
    with Service(ledger, "--workers", str(WORKERS), TMPDIR=str(tmp_path)) as running:
        yield running


def test_money_is_counted_in_its_currency_whatever_the_commit_said(database: Path) -> None:
    """A COMMIT that reported a failure, and is found to have happened, counts like any other."""
    metrics, store = Metrics(), UnsureStore(database)
    counts = EngineCounts(metrics)
    wallet = new_wallet(store, OwnerKind.CUSTOMER, "USD")
    engine = Engine(store, batch_limit=8, queue_limit=8, on_broken=print, observers=[counts])

    async def scenario() -> None:
        engine.start()
        await engine.submit(deposit(wallet, 50_000))
        await engine.drain()
        await store.close()

    run(scenario())
    counts.flush()
    moved = metrics.registry.get_sample_value("monedero_money_moved_total", {"kind": "deposit", "currency": "USD"})
    assert moved == 5


def test_what_happened_is_counted(watched: Service) -> None:
    """Transactions by kind and status, money by kind and currency, refusals by code, replays, the log's size."""
    with watched.client() as client:
        world = World(client)
        world.deposit("100.50")
        world.debit("40.25")
        world.debit("1000")
        world.debit(1, wallet=world.till)
        for _ in range(3):
            path = f"/customers/wallets/{world.wallet}/withdrawals"
            client.post(path, json={"amount": 1}, headers={"Idempotency-Key": "once"}).raise_for_status()

        found = scrape(client)

    assert found.value("monedero_idempotency_replays_total") == 2
    assert found.value("monedero_transactions_total") == 4
    assert found.value("monedero_transactions_total", kind="deposit", status="accepted") == 1
    assert found.value("monedero_transactions_total", kind="debit", status="accepted") == 1
    assert found.value("monedero_transactions_total", kind="debit", status="denied") == 1
    assert found.value("monedero_money_moved_total", kind="deposit", currency="EUR") == 100.5
    assert found.value("monedero_money_moved_total", kind="debit", currency="EUR") == 40.25
    assert found.value("monedero_money_moved_total") == 141.75
    assert found.value("monedero_refusals_total") == 1
    assert found.value("monedero_refusals_total", code="unknown_customer_wallet") == 1
    assert found.value("monedero_log_size_events") == 8


def test_answers_are_counted_by_route_method_and_status(watched: Service) -> None:
    """Each answer is counted once, under the path of its operation, with its latency; problems by their code too."""
    with watched.client() as client:
        world = World(client)
        for _ in range(3):
            client.get(f"/wallets/{world.wallet}")
        client.get("/wallets/nobody")
        client.delete(f"/wallets/{world.wallet}")

        found = scrape(client)

    route = {"route": "/wallets/{wallet_id}"}
    assert found.value("monedero_http_requests_total", **route, method="GET", status="200") == 3
    assert found.value("monedero_http_requests_total", **route, method="GET", status="404") == 1
    assert found.value("monedero_http_requests_total", **route, method="DELETE", status="405") == 1
    assert found.value("monedero_http_request_duration_seconds_count", **route) == 5
    assert 0 < found.value("monedero_http_request_duration_seconds_sum", **route) < 60
    assert found.value("monedero_http_problems_total", code="unknown_wallet") == 1
    assert found.value("monedero_http_problems_total", code="method_not_allowed") == 1


def test_latencies_are_where_the_library_would_put_them() -> None:
    """What is counted at once is as if each latency had been observed, at the bounds too."""
    metrics = Metrics()
    counts = RequestCounts(metrics)
    expected = Histogram("expected", "", buckets=LATENCY_SECONDS, registry=None)
    for seconds in (0.0, *LATENCY_SECONDS, 0.003, 60.0):
        counts(Answered("/route", "GET", 200, seconds, None, "", [], None))
        expected.observe(seconds)
    counts.flush()
    counts.flush()

    (found,) = metrics.http_request_duration.collect()
    assert [each.value for each in found.samples] == [each.value for each in next(iter(expected.collect())).samples]
    assert metrics.registry.get_sample_value("monedero_http_requests_total", LABELS) == len(LATENCY_SECONDS) + 3


def test_batches_and_the_store_are_timed(watched: Service) -> None:
    """Every command is in a batch of some size and duration, and each step of the store under it has a time."""
    with watched.client() as client:
        world = World(client)
        world.deposit(1)
        client.get(f"/wallets/{world.wallet}")

        found = scrape(client)

    assert found.value("monedero_batches_total", result="committed") == 5
    assert found.value("monedero_batch_commands_sum") == 5
    for name in ("monedero_batch_duration_seconds", "monedero_queue_wait_seconds"):
        assert found.value(f"{name}_count") == 5
        assert 0 < found.value(f"{name}_sum") < 60
    for operation in ("load", "commit"):
        assert found.value("monedero_store_operation_duration_seconds_count", operation=operation) == 5
    assert found.value("monedero_store_operation_duration_seconds_count", operation="wallet") == 1
    assert found.value("monedero_queue_commands") == 0
    assert found.value("monedero_queue_limit_commands") == 10_000


def test_the_process_tells_of_itself(watched: Service) -> None:
    """CPU, memory, connections and the version are told."""
    with watched.client() as client:
        found = scrape(client)

    store = "sqlite" if watched.url.startswith("sqlite") else "postgresql"
    assert found.value("monedero_build_info", store=store) == 1
    assert found.value("monedero_process_cpu_seconds_total") > 0
    assert found.value("monedero_process_resident_memory_bytes") > 10_000_000
    assert found.value("monedero_http_connections") == 1
    assert found.value("monedero_processes") == 1


def test_no_label_grows_with_users(embedded: Service) -> None:
    """Whatever is asked for, by whatever method, there is a fixed set of series."""

    def ask(client: httpx.Client, number: int) -> None:
        for path in (f"/wallets/{number}", f"/nothing/{number}", f"/docs/{number}", f"/customers/{number}/wallets"):
            client.get(path)
            client.request("PROPFIND", path)

    def series(found: Scrape) -> set[tuple[str, frozenset[tuple[str, str]]]]:
        return {(sample.name, frozenset(sample.labels.items())) for sample in found.samples}

    with embedded.client() as client:
        ask(client, 1)
        scrape(client)
        before = series(scrape(client))
        for number in range(2, 6):
            ask(client, number)
        after = scrape(client)

    assert series(after) == before
    assert after.value("monedero_http_requests_total", route="unmatched", method="GET", status="404") == 5
    assert after.value("monedero_http_requests_total", route="unmatched", method="other") == 5


def test_what_is_no_request_is_counted_as_refused(embedded: Service) -> None:
    """A refusal by the connection, before there is a request, is told by its status."""
    host, port = embedded.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(b"no request\r\n\r\n")
        assert b"400 Bad Request" in line.recv(1000)

    with embedded.client() as client:
        found = scrape(client)

    assert found.value("monedero_http_refused_total") == 1
    assert found.value("monedero_http_refused_total", status="400") == 1


def test_a_client_that_went_away(embedded: Service) -> None:
    """A request whose client left before its end is counted as 499, since nothing was answered."""
    host, port = embedded.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as line:
        head = b"POST /customers HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        line.sendall(head + b"content-length: 10\r\n\r\n{")

    with embedded.client() as client:
        until(lambda: scrape(client).value("monedero_http_requests_total", route="/customers", status="499") == 1)


def test_several_processes_are_one(several: Service) -> None:
    """Whichever process is asked, it answers for all, what others have just counted within a second.

    A process that dies takes nothing with it of what it had shown.
    """

    def deposits() -> float:
        with several.client() as client:
            return scrape(client).value("monedero_transactions_total", kind="deposit", status="accepted")

    with several.client() as client:
        world = World(client)
    for _ in range(20):
        with several.client() as client:
            client.post(f"/customers/wallets/{world.wallet}/deposit", json={"amount": 1})
    until(lambda: {deposits() for _ in range(6)} == {20})
    assert processes(several) == WORKERS

    children = {
        int(child)
        for child in Path(f"/proc/{several.process.pid}/task/{several.process.pid}/children").read_text().split()
    }
    for child in children:
        os.kill(child, signal.SIGKILL)
    until(lambda: processes(several) == WORKERS)
    with several.client() as client:
        client.post(f"/customers/wallets/{world.wallet}/deposit", json={"amount": 1})

    until(lambda: {deposits() for _ in range(6)} == {21})


def test_the_shared_folder_is_removed(several: Service) -> None:
    """What the processes shared is gone when they have stopped."""
    folder = Path(several.environment["TMPDIR"])
    assert len(list(folder.glob("monedero-metrics-*/*.db"))) > WORKERS

    assert several.stop() == 0

    assert not list(folder.glob("monedero-metrics-*"))


def test_connections_to_the_database_are_told(ledgers: Ledgers, tmp_path: Path) -> None:
    """PostgreSQL's connections for reading are told, within their limit."""
    ledger = ledgers.new(POSTGRES[0], tmp_path)
    with Service(ledger, MONEDERO_POOL_LIMIT_CONNECTIONS="3") as running, running.client() as client:
        world = World(client)
        client.get(f"/wallets/{world.wallet}")
        found = scrape(client)

    assert found.value("monedero_postgres_connections", state="idle") >= 1
    assert found.value("monedero_postgres_connections", state="busy") == 0
    assert found.value("monedero_postgres_connections_limit") == 3


def test_switched_off(ledgers: Ledgers, tmp_path: Path) -> None:
    """With MONEDERO_METRICS=false there is no such page."""
    with Service(ledgers.new(EMBEDDED, tmp_path), MONEDERO_METRICS="false") as running, running.client() as client:
        assert client.get("/metrics").status_code == 404


def test_the_older_form(embedded: Service) -> None:
    """Whoever does not accept OpenMetrics gets the text form of Prometheus, and neither is ever cached."""
    with embedded.client() as client:
        answer = client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"
    assert "monedero_processes 1.0" in answer.text
