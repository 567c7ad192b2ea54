import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.api.world import World
from tests.ledgers import POSTGRES, Ledgers
from tests.monitoring import names
from tests.monitoring.test_dashboard import queries
from tests.support import Service, until

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed (Debian: apt install prometheus)"
)

MAY_BE_EMPTY = {
    "monedero_audit_finished_timestamp_seconds",
    "monedero_audit_runs_total",
    "monedero_http_refused_total",
    "monedero_postgres_occurrences_total",
    "monedero_replica_lag_events",
    "monedero_replica_usable",
    "monedero_store_failures_total",
}
"""Of a service that was just started, has no replica, and to which nothing has happened."""


class Prometheus:
    """A Prometheus that asks one service, with the rules and the configuration of this project."""

    def __init__(self, service: Service, folder: Path) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        config = yaml.safe_load((names.MONITORING / "prometheus/prometheus.yaml").read_text(encoding="utf-8"))
        config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "1s")
        ours = next(each for each in config["scrape_configs"] if each["job_name"] == "monedero")
        ours["static_configs"] = [{"targets": [service.base.removeprefix("http://")]}]
        del ours["dns_sd_configs"]
        config["scrape_configs"] = [ours]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        shutil.copy(names.RULES, folder)
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.address}",
                "--log.level=error",
            ]
        )
        self.client = httpx.Client(base_url=f"http://{self.address}/api/v1", timeout=30)

    def is_ready(self) -> bool:
        """Tell whether it answers."""
        with suppress(httpx.TransportError):
            return httpx.get(f"http://{self.address}/-/ready", timeout=30).is_success
        return False

    def ask(self, path: str, **parameters: str) -> Any:
        """Return what the API answers."""
        answer = self.client.get(path, params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def values(self, query: str) -> list[float]:
        """Return the values of a query now."""
        return [float(each["value"][1]) for each in self.ask("/query", query=query)["result"]]

    def stop(self) -> None:
        """End it."""
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=30)


@pytest.fixture
def watched(ledgers: Ledgers, tmp_path: Path) -> Iterator[tuple[Service, Prometheus]]:
    """Return a service on PostgreSQL, where there is most to see, and a Prometheus that asks it."""
    with Service(ledgers.new(POSTGRES[0], tmp_path)) as service:
        prometheus = Prometheus(service, tmp_path)
        try:
            until(prometheus.is_ready, seconds=30)
            yield service, prometheus
        finally:
            prometheus.stop()


def test_prometheus_scrapes_the_running_service(watched: tuple[Service, Prometheus]) -> None:
    """A real Prometheus finds what happened, every panel that may have something to show has, and no alert fires."""
    service, prometheus = watched
    with service.client() as client:
        until(lambda: prometheus.values('up{job="monedero"}') == [1], seconds=30)
        world = World(client)
        world.deposit("100")
        world.debit("40")
        world.debit("1000")
        world.debit(1, wallet=world.till)
        client.get("/wallets/nobody")
        for path in (f"/customers/wallets/{world.wallet}", f"/customers/wallets/{world.wallet}/transactions"):
            assert client.get(path).status_code == 200
        until(lambda: prometheus.values("sum(monedero_transactions_total)") == [3], seconds=30)
        until(lambda: prometheus.values("count(rate(monedero_transactions_total[1m]))") == [3], seconds=30)

    empty = [query for query in queries() if not prometheus.values(query)]
    (group,) = prometheus.ask("/rules")["groups"]

    assert prometheus.values('monedero_transactions_total{kind="debit", status="denied"}') == [1]
    assert [query for query in empty if not names.named(query) & MAY_BE_EMPTY and "node_" not in query] == []
    assert {rule["health"] for rule in group["rules"]} == {"ok"}


def test_prometheus_tells_when_the_service_is_gone(watched: tuple[Service, Prometheus]) -> None:
    """The alert for all instances becomes active once the only one was killed, and not before."""
    service, prometheus = watched
    alerts = 'ALERTS{alertname="MonederoDown"}'
    until(lambda: prometheus.values('up{job="monedero"}') == [1], seconds=30)
    until(lambda: prometheus.values(alerts) == [], seconds=30)

    service.kill()

    until(lambda: prometheus.values(alerts) == [1], seconds=30)
