import json
import signal
import time
from pathlib import Path

import apsw
import psycopg
import pytest

from tests.api.world import World
from tests.ledgers import BOTH, EMBEDDED, POSTGRES, Ledgers
from tests.observability.scrapes import scrape
from tests.support import Service, until

RICHER = "UPDATE wallets SET balance = balance + 1"


def spoil(service: Service) -> None:
    """Give every wallet a unit that no event accounts for."""
    if service.url.startswith("sqlite"):
        connection = apsw.Connection(str(service.database))
        connection.set_busy_timeout(5_000)
        connection.execute(RICHER)
        connection.close()
    else:
        with psycopg.connect(service.url, autocommit=True) as server:
            server.execute(RICHER)


def value(service: Service, name: str, **labels: str) -> float:
    """Return a metric."""
    with service.client() as client:
        return scrape(client).value(f"monedero_audit_{name}", **labels)


@pytest.mark.parametrize("kind", BOTH)
def test_the_service_audits_its_ledger(ledgers: Ledgers, tmp_path: Path, kind: str) -> None:
    """Again and again the whole ledger is audited; a balance that the log does not make is found, told and logged."""
    with Service(ledgers.new(kind, tmp_path), MONEDERO_AUDIT_INTERVAL_SECONDS="0.1") as service:
        with service.client() as client:
            World(client).deposit(5)
        until(lambda: value(service, "events") == 5, 60)
        assert value(service, "runs_total", result="passed") >= 1
        assert value(service, "failed") == 0
        assert 0 < value(service, "duration_seconds") < 60
        assert time.time() - 60 < value(service, "finished_timestamp_seconds") <= time.time()

        spoil(service)
        until(lambda: value(service, "failed") == 1, 60)
        assert value(service, "runs_total", result="failed") >= 1
        service.process.send_signal(signal.SIGTERM)
        _, said = service.process.communicate(timeout=20)

    assert service.process.returncode == 0
    found = [line for line in map(json.loads, said.splitlines()) if line["log.level"] == "critical"]
    assert "the log makes it" in found[0]["message"]


def test_one_worker_audits(ledgers: Ledgers, tmp_path: Path) -> None:
    """Of several workers one audits, and each of them can tell what it found."""
    path = tmp_path / "audit.log"
    settings = {"MONEDERO_AUDIT_INTERVAL_SECONDS": "600", "MONEDERO_AUDIT_LOG": str(path)}
    with Service(ledgers.new(POSTGRES[0], tmp_path), "--workers", "2", **settings) as service:
        until(lambda: value(service, "runs_total", result="passed") == 1, 60)
        assert {value(service, "failed") for _ in range(5)} == {0}
        assert {value(service, "finished_timestamp_seconds") > 0 for _ in range(5)} == {True}

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    begun = [line for line in lines if (line["event.action"], line["event.outcome"]) == ("monedero verify", "unknown")]
    assert len(begun) == 1


def test_an_audit_in_the_middle_is_ended_with_the_service(ledgers: Ledgers, tmp_path: Path) -> None:
    """A service that stops does not wait for its audit and leaves nothing running."""
    url = ledgers.new(POSTGRES[0], tmp_path)
    with Service(url, MONEDERO_AUDIT_INTERVAL_SECONDS="600") as service, psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE events")
        until(lambda: bool(audits(service)))
        running = audits(service)
        assert service.stop() == 0

        until(lambda: not any(Path(f"/proc/{process}").exists() for process in running))


def test_without_an_interval_nothing_is_audited(ledgers: Ledgers, tmp_path: Path) -> None:
    """By default the service leaves audits to its operator."""
    with Service(ledgers.new(EMBEDDED, tmp_path)) as service, service.client() as client:
        World(client)
        assert not audits(service)
        assert value(service, "finished_timestamp_seconds") == 0


def audits(service: Service) -> list[str]:
    """Return the processes that a service has started itself."""
    return Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
