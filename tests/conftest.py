"""Fixtures: a ledger of one's own, and one running service a test session for what only asks it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import settings

from monedero.storage.sqlite import SqliteStore, migrate
from monedero.storage.store import Store
from tests.ledgers import BOTH, Ledgers
from tests.support import Service, run

settings.register_profile("suite", deadline=None, print_blob=True)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add how long the generative tests run."""
    parser.addoption("--examples", type=int, default=200, help="examples of the state machine (default 200)")
    parser.addoption("--api-examples", type=int, default=12, help="generated requests an operation (default 12)")
    parser.addoption("--crashes", type=int, default=40, help="times that the service is killed (default 40)")
    parser.addoption("--cuts", type=int, default=80, help="cut connections around a COMMIT (default 80)")
    parser.addoption("--failovers", type=int, default=3, help="times that a primary is killed (default 3)")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests had to say besides that they passed."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "said" and report.when == "call":
                terminalreporter.write_line(str(value))


@pytest.fixture(scope="session")
def ledgers() -> Iterator[Ledgers]:
    """Return what makes ledgers of every kind."""
    with Ledgers() as made:
        yield made


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return the path of a migrated ledger."""
    path = tmp_path / "ledger.db"
    migrate(path)
    return path


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    """Return an empty ledger."""
    opened = SqliteStore(database)
    yield opened
    run(opened.close())


@pytest.fixture(scope="session", params=BOTH)
def service(
    request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Return the program serving a ledger that the tests of this session share, of either kind in turn."""
    with Service(ledgers.new(request.param, tmp_path_factory.mktemp("service"))) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """Return a client of the shared service."""
    with service.client() as connected:
        yield connected
