"""The stores that must all behave alike: each conformance test runs once for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monedero.storage.store import Store
from tests.ledgers import BOTH, KINDS, Ledgers, opened
from tests.support import run

TRUSTS = [f"{kind}, trusting" for kind in BOTH]


@pytest.fixture(params=[*KINDS, *TRUSTS])
def store(
    request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """Return an empty ledger of each kind, and such that rely on what was not read as soon as they may."""
    if request.param in TRUSTS:
        monkeypatch.setattr("monedero.storage.postgres.memory.CALM_LOOKS", 0)
        monkeypatch.setattr("monedero.storage.keys.NEW_KEYS_LOOKS", 1)
    url = ledgers.new(request.param.partition(",")[0], tmp_path)
    ledger = opened(url)
    yield ledger
    run(ledger.close())
    ledgers.drop(url)
