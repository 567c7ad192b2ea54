"""Proofs are made from kept roots and a few events: the right ones, in bounded work, from whichever store."""

import random
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import cast

import apsw
import psycopg
import pytest

from monedero.engine.prove import prove_consistency, prove_inclusion
from monedero.ledger.merkle import (
    EMPTY,
    Head,
    fold,
    leaf_hash,
    node_hash,
    proves_consistency,
    proves_inclusion,
    seal,
    subtrees,
)
from monedero.ledger.profiles import OwnerKind
from monedero.storage.store import Queries, Store, StoreUnavailableError
from tests.ledgers import BOTH, Ledgers, opened
from tests.support import accepted, deposit, new_wallet, run

EVENTS = 66_100
SAME = b"the same event again"


@pytest.fixture(scope="module", params=BOTH)
def long(request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Return a ledger so long that roots are kept at two heights."""
    url = ledgers.new(request.param, tmp_path_factory.mktemp("long"))
    store = opened(url)
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    for _ in range((EVENTS - 2) // 2_000 + 1):
        accepted(store, *(deposit(customer, 1, None) for _ in range(2_000)))
    yield store
    run(store.close())
    ledgers.drop(url)


def test_every_kind_of_position_is_proved(long: Store) -> None:
    """Events at both ends, around the bounds of kept subtrees and by chance are proved for the head as it is."""
    with long.snapshot() as snapshot:
        head, payloads = snapshot.head(), [row.payload for row in snapshot.rows()]
    around = (0, 255, 256, 257, 65_535, 65_536, 65_537, head.size - 257, head.size - 1)
    assert head.size > 65_536 + 256

    for position in (*around, *random.Random(1).sample(range(head.size), 20)):
        found = run(prove_inclusion(long.queries, head, position))
        assert found.payload == payloads[position]
        assert proves_inclusion(head.root, head.size, position, payloads[position], found.proof)


def test_every_kind_of_beginning_is_proved(long: Store) -> None:
    """Any two sizes are proved to be of one log, also sizes that no batch has ever left."""
    with long.snapshot() as snapshot:
        head, payloads = snapshot.head(), [row.payload for row in snapshot.rows()]
    sizes = sorted({1, 2, 255, 256, 257, 65_535, 65_536, 65_537, head.size - 1, head.size})
    sizes = sorted({*sizes, *random.Random(2).sample(range(1, head.size), 4)})
    roots, before, at = {}, EMPTY, iter(payloads)
    for size in sizes:
        before = seal(before, list(islice(at, size - before.size)))[0]
        roots[size] = before.root

    for first in sizes:
        for second in (each for each in sizes if each >= first):
            proof = run(prove_consistency(long.queries, head, first, second))
            assert proves_consistency(first, roots[first], second, roots[second], proof), (first, second)


@pytest.mark.parametrize("kind", BOTH)
def test_a_proof_that_leads_nowhere_is_not_handed_out(ledgers: Ledgers, tmp_path: Path, kind: str) -> None:
    """Where an event or a kept root was altered or is missing, there is no proof, rather than a wrong one."""
    url = ledgers.new(kind, tmp_path)
    store = opened(url)
    customer = new_wallet(store, OwnerKind.CUSTOMER)
    accepted(store, *(deposit(customer, 1, None) for _ in range(700)))
    head = run(store.queries.head())
    assert run(prove_inclusion(store.queries, head, 3)).proof

    for statement in (
        "UPDATE roots SET root = (SELECT root FROM head) WHERE number = 1",
        "DELETE FROM roots WHERE number = 1",
        "UPDATE events SET payload = (SELECT payload FROM events WHERE position = 9) WHERE position = 4",
        "DELETE FROM events WHERE position = 5",
    ):
        execute(url, statement)
        with pytest.raises(StoreUnavailableError, match="`monedero verify`"):
            run(prove_inclusion(store.queries, head, 3))
    run(store.close())
    ledgers.drop(url)


def execute(url: str, statement: str) -> None:
    """Change a ledger as somebody with a database tool would."""
    if url.startswith("sqlite"):
        apsw.Connection(url.removeprefix("sqlite:///")).execute(statement)
    else:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(statement.encode())


class Repeating:
    """Stands for a log that is too long to be written here: one event, again and again. Counts what is read."""

    def __init__(self, size: int) -> None:
        frontier = [repeated_root(subtree.height) for subtree in subtrees(0, size)]
        self.head = Head(size, b"".join(frontier), fold(frontier), b"")
        self.read: Counter[str] = Counter()

    async def payloads(self, start: int, end: int) -> list[bytes]:
        self.read.update(payloads=end - start, statements=1)
        return [SAME] * (min(end, self.head.size) - start)

    async def roots(self, height: int, start: int, end: int) -> list[bytes]:
        self.read.update(roots=end - start, statements=1)
        assert end << height <= self.head.size
        return [repeated_root(height)] * (end - start)


@cache
def repeated_root(height: int) -> bytes:
    """Return the root over 2**height of the same event."""
    return node_hash(repeated_root(height - 1), repeated_root(height - 1)) if height else leaf_hash(SAME)


@pytest.mark.parametrize(("size", "heights"), [(10_000_000, 2), (2**32 - 1, 3), (2**40 + 2**20 + 3, 4)])
def test_a_proof_takes_bounded_work_however_long_the_log(size: int, heights: int) -> None:
    """No proof reads more than 512 events beside its own, and 512 kept roots for each height at which there are any."""
    log = Repeating(size)
    queries, head, chance = cast("Queries", log), log.head, random.Random(size)
    for position in (0, 255, size // 2, size - 1, *(chance.randrange(size) for _ in range(30))):
        log.read.clear()
        found = run(prove_inclusion(queries, head, position))
        assert proves_inclusion(head.root, size, position, SAME, found.proof)
        assert log.read["payloads"] <= 257
        assert log.read["roots"] <= 256 * heights
        assert log.read["statements"] <= 2 + heights

        first, second = sorted((position + 1, chance.randrange(1, size + 1)))
        log.read.clear()
        run(prove_consistency(queries, head, first, second))
        assert log.read["payloads"] <= 512
        assert log.read["roots"] <= 512 * heights
        assert log.read["statements"] <= 2 + 2 * heights
