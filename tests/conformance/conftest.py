"""The stores that must all behave alike: each conformance test runs once for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monedero.storage.store import Store
from tests.ledgers import KINDS, POSTGRES, Ledgers, opened
from tests.support import run

REMEMBERS = f"{POSTGRES[0]}, remembering"


@pytest.fixture(params=[*KINDS, REMEMBERS])
def store(
    request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """Return an empty ledger of each kind in turn, and one that goes by what it remembers as soon as it may."""
    if request.param == REMEMBERS:
        monkeypatch.setattr("monedero.storage.postgres.memory.CALM_BATCHES", 0)
    url = ledgers.new(request.param.partition(",")[0], tmp_path)
    ledger = opened(url)
    yield ledger
    run(ledger.close())
    ledgers.drop(url)
