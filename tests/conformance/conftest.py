"""The stores that must all behave alike: each conformance test runs once for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monedero.storage.store import Store
from tests.ledgers import KINDS, Ledgers, opened
from tests.support import run


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path: Path) -> Iterator[Store]:
    """Return an empty ledger of each kind in turn."""
    url = ledgers.new(request.param, tmp_path)
    ledger = opened(url)
    yield ledger
    run(ledger.close())
    ledgers.drop(url)
