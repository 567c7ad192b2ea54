import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from starlette.applications import Starlette

from monedero.engine.engine import Engine
from monedero.observability.health import Health
from monedero.storage.store import Store
from tests.api.world import World
from tests.ledgers import POSTGRES, Ledgers, migrate
from tests.observability.scrapes import scrape
from tests.postgres import Server, server_folder, servers
from tests.support import Service, run, until

PROBES = ("live", "startup", "ready")


@pytest.fixture
def url(ledgers: Ledgers, tmp_path: Path) -> str:
    """Return the address of a new ledger in PostgreSQL."""
    return ledgers.new(POSTGRES[0], tmp_path)


def probe(service: Service, name: str = "ready") -> tuple[int, dict[str, Any]]:
    """Return the status of a probe and which checks fail, with their reasons."""
    with service.client() as client:
        answer = client.get(f"/health/{name}")
    body = answer.json()
    assert body["status"] == ("pass" if answer.status_code == 200 else "fail")
    return answer.status_code, {
        check: found["output"] for check, (found,) in body["checks"].items() if found["status"] == "fail"
    }


@contextmanager
def transaction(url: str, *statements: str) -> Iterator[None]:
    """Hold what the statements lock, and give it back with nothing changed."""
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement)
        yield
        connection.rollback()


@pytest.mark.parametrize("name", PROBES)
def test_a_healthy_service(client: httpx.Client, name: str) -> None:
    """Each probe is answered 200 with named checks that all pass, in its own media type, and is never cached."""
    answer = client.get(f"/health/{name}")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/health+json"
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["status"], bool(body["releaseId"])) == ("pass", True)
    assert body["checks"]
    assert {check["status"] for checks in body["checks"].values() for check in checks} == {"pass"}
    assert client.head(f"/health/{name}").status_code == 200


def test_the_store_goes_away_and_comes_back() -> None:
    """Without its database the service lives but is not ready, and says why; with it, it is ready again."""
    with server_folder() as folder, Server(next(iter(servers().values())), folder / "server") as server:
        url = server.create_database("ledger")
        migrate(url)
        with Service(url) as service:
            assert probe(service) == (200, {})
            server.stop()

            until(lambda: probe(service)[0] == 503)
            assert list(probe(service)[1]) == ["store:reachable"]
            assert probe(service, "live") == (200, {})
            assert probe(service, "startup") == (200, {})
            with service.client() as client:
                until(lambda: scrape(client).value("monedero_ready") == 0)

            server.start()
            until(lambda: probe(service) == (200, {}))
            with service.client() as client:
                until(lambda: scrape(client).value("monedero_ready") == 1)


def test_a_store_that_says_nothing() -> None:
    """A server that takes no notice counts as away within seconds."""
    with server_folder() as folder, Server(next(iter(servers().values())), folder / "server") as server:
        url = server.create_database("ledger")
        migrate(url)
        with Service(url) as service:
            server.suspend()
            try:
                until(lambda: probe(service)[0] == 503)
                assert "has not answered" in probe(service)[1]["store:reachable"]
            finally:
                server.resume()
            until(lambda: probe(service) == (200, {}))


def test_while_somebody_migrates(url: str) -> None:
    """While a migration holds its lock, and when it has left a newer schema, the service is not ready."""
    with Service(url) as service:
        with transaction(url, "SELECT pg_advisory_xact_lock(hashtext('monedero migrations'))"):
            until(lambda: probe(service)[0] == 503)
            assert probe(service)[1] == {"store:reachable": "The ledger is being migrated"}
        until(lambda: probe(service) == (200, {}))

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("INSERT INTO migrations (number, name) VALUES (9999, 'of_the_future')")
        until(lambda: probe(service)[0] == 503)
        assert "schema" in probe(service)[1]["store:reachable"]


def test_a_full_queue(url: str) -> None:
    """While no more commands are taken the service is not ready; once there is room, it is."""
    settings = {"MONEDERO_QUEUE_LIMIT_COMMANDS": "1", "MONEDERO_BATCH_LIMIT_COMMANDS": "1"}
    with Service(url, **settings) as service, service.client() as client, ThreadPoolExecutor(3) as threads:
        path = f"/customers/wallets/{World(client).wallet}/deposit"

        def insist() -> int:
            while (status := client.post(path, json={"amount": 1}).status_code) == 503:
                continue
            return status

        with transaction(url, "SELECT FROM head FOR UPDATE"):
            answers = [threads.submit(insist) for _ in range(3)]  # Two are being committed, one waits for them.
            until(lambda: probe(service)[0] == 503)
            assert probe(service)[1] == {"queue:room": "the queue of commands is full"}

        assert [answer.result() for answer in answers] == [201, 201, 201]
        assert probe(service) == (200, {})


def test_a_service_that_stops_says_so_first(url: str) -> None:
    """After SIGTERM the service is not ready, goes on answering for a set time, finishes, and exits with 0."""
    with Service(url, MONEDERO_UNREADY_SECONDS="4") as service, service.client() as client:
        world = World(client)
        service.process.send_signal(signal.SIGTERM)

        until(lambda: probe(service)[0] == 503)
        assert probe(service)[1] == {"service:accepting": "the service is stopping"}
        assert probe(service, "live") == (200, {})
        world.deposit(1)
        assert client.get(f"/wallets/{world.wallet}").json()["balance"] == 1
        service.process.communicate(timeout=20)
        assert service.process.returncode == 0


def test_a_second_signal_ends_the_wait(url: str) -> None:
    """Whoever asks twice is not kept waiting, and nothing that was accepted is lost."""
    with Service(url, MONEDERO_UNREADY_SECONDS="600") as service:
        service.process.send_signal(signal.SIGINT)
        until(lambda: probe(service)[0] == 503)

        assert service.stop(signal.SIGINT) == 0


def test_a_stop_that_cannot_finish(url: str) -> None:
    """What cannot be committed in the set time is given up with exit code 1; the client is told where to look."""
    with Service(url, MONEDERO_STOP_SECONDS="0.5") as service, service.client() as client:
        world = World(client)
        answers: list[httpx.Response] = []
        path = f"/customers/wallets/{world.wallet}/deposit"
        with transaction(url, "SELECT FROM head FOR UPDATE"):
            waiting = threading.Thread(target=lambda: answers.append(client.post(path, json={"amount": 1})))
            waiting.start()
            until(lambda: waits_for_a_lock(url))
            service.process.send_signal(signal.SIGTERM)
            _, said = service.process.communicate(timeout=20)
        waiting.join()

    assert service.process.returncode == 1
    assert "could not be committed in 0.5 seconds" in said
    assert answers[0].status_code == 503
    assert answers[0].headers["location"].startswith("/transactions/")


def test_an_engine_that_has_ended(store: Store) -> None:
    """Once nothing is committed any more the process is as good as dead: the probe for life says so."""

    async def probes() -> list[int]:
        engine = Engine(store, batch_limit=1, queue_limit=1, on_broken=print)
        health = Health(store, 1)
        transport = httpx.ASGITransport(Starlette(routes=health.routes))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            found = [(await client.get("/health/startup")).status_code]
            engine.start()
            await health.start(engine)
            found += [(await client.get(f"/health/{name}")).status_code for name in PROBES]
            await engine.abandon()
            found += [(await client.get(f"/health/{name}")).status_code for name in PROBES]
            await health.close()
        return found

    assert run(probes()) == [503, 200, 200, 200, 503, 200, 503]


def waits_for_a_lock(url: str) -> bool:
    """Tell whether somebody waits for a lock in the database."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    return bool(found and found[0])
