"""The events of a request that is recorded bear the id of its trace, and no others do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monedero.engine.verify import verify
from monedero.engine.work import Submission
from monedero.ledger.events import Recorded, encode
from monedero.ledger.profiles import OwnerKind
from monedero.storage.store import Store
from tests.ledgers import BOTH, Ledgers, opened
from tests.support import debit, deposit, new_wallet, run, submitted

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(params=BOTH)
def store(request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path: Path) -> Iterator[Store]:
    """Return a new ledger of each kind in turn."""
    store = opened(ledgers.new(request.param, tmp_path))
    yield store
    run(store.close())


def test_events_bear_the_trace_of_their_own_request(store: Store) -> None:
    """In one batch each submission's events, atomic or not, denied or not, have its own trace or none."""
    wallet, till = new_wallet(store, OwnerKind.CUSTOMER), new_wallet(store, OwnerKind.BUSINESS)
    answers = submitted(
        store,
        Submission((deposit(wallet, 5), debit(till, wallet, 9)), trace=TRACE),
        Submission((deposit(wallet, 5),)),
        Submission((deposit(wallet, 5), debit(till, wallet, 1)), atomic=True, trace=TRACE),
    )
    events = [each.event for answer in answers for each in answer.outcomes if isinstance(each, Recorded)]

    assert [event.trace for event in events] == [TRACE, TRACE, None, TRACE, TRACE]
    assert [b'"trace"' in encode(event) for event in events] == [True, True, False, True, True]
    with store.snapshot() as snapshot:
        assert verify(snapshot).events == 9
