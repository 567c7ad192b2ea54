"""The stores that must all behave alike: each conformance test runs once for each."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monedero.storage.sqlite import SqliteStore, migrate
from monedero.storage.store import Store
from tests.support import run


def embedded(folder: Path) -> Store:
    """Return an empty embedded ledger."""
    migrate(folder / "ledger.db")
    return SqliteStore(folder / "ledger.db")


STORES: dict[str, Callable[[Path], Store]] = {"sqlite": embedded}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Return an empty ledger of each kind in turn."""
    opened = STORES[request.param](tmp_path)
    yield opened
    run(opened.close())
