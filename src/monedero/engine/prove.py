"""Proofs over a log that goes on: what they need is read from the kept roots, and below those from a few events.

A proof is for the size of a head that was read before. What is read after it may show a longer log: positions and
perfect subtrees stay what they are.
"""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from monedero.ledger.merkle import (
    HASH_BYTES,
    KEPT_HEIGHTS,
    Head,
    Subtree,
    consistency_nodes,
    inclusion_nodes,
    leaf_hash,
    perfect_root,
    proof_of,
    proves_inclusion,
    subtrees,
)
from monedero.storage.store import Queries, StoreUnavailableError


class Inclusion(msgspec.Struct, frozen=True):
    """The canonical bytes of an event, and the proof that they are in the log."""

    payload: bytes
    proof: list[bytes]


class _Range(msgspec.Struct):
    """Neighbours of one height that are read at once: numbered from `start` on and below `end`."""

    start: int
    end: int


async def prove_inclusion(queries: Queries, head: Head, position: int) -> Inclusion:
    """Return the event at a position below the head's size, with its proof. It is checked before it is handed out.

    Raises StoreUnavailableError: the log does not lead to its head; `monedero verify` says where.
    """
    nodes = inclusion_nodes(position, head.size)
    roots = await _roots(queries, head, (subtree for node in nodes for subtree in node))
    found = await queries.payloads(position, position + 1)
    proof = proof_of(nodes, roots.__getitem__)
    if not found or not proves_inclusion(head.root, head.size, position, found[0], proof):
        raise _damaged()
    return Inclusion(found[0], proof)


async def prove_consistency(queries: Queries, head: Head, first: int, second: int) -> list[bytes]:
    """Return the proof that the log of size `second` goes on from that of size `first`, 1 to `second`.

    Neither is more than the head's. Raises StoreUnavailableError.
    """
    nodes = consistency_nodes(first, second)
    roots = await _roots(queries, head, (subtree for node in nodes for subtree in node))
    return proof_of(nodes, roots.__getitem__)


async def _roots(queries: Queries, head: Head, wanted: Iterable[Subtree]) -> dict[Subtree, bytes]:
    """Return the roots of perfect subtrees: the head has some, the others follow from what is kept below them.

    What is below one, at the next kept height, is at most 128 hashes, among 256 that its neighbours follow from too.
    """
    frontier = (head.frontier[at : at + HASH_BYTES] for at in range(0, len(head.frontier), HASH_BYTES))
    roots = dict(zip(subtrees(0, head.size), frontier, strict=True))
    missing = [subtree for subtree in wanted if subtree not in roots]
    ranges: dict[tuple[int, int], _Range] = {}
    for subtree in missing:
        kept, start, end = _below(subtree)
        tile = ranges.setdefault((kept, start >> KEPT_HEIGHTS), _Range(start, end))
        tile.start, tile.end = min(tile.start, start), max(tile.end, end)
    hashes: dict[int, dict[int, bytes]] = defaultdict(dict)
    for (kept, _), each in ranges.items():
        hashes[kept].update(zip(range(each.start, each.end), await _read(queries, kept, each), strict=True))
    for subtree in missing:
        kept, start, end = _below(subtree)
        roots[subtree] = perfect_root([hashes[kept][number] for number in range(start, end)])
    return roots


def _below(subtree: Subtree) -> tuple[int, int, int]:
    """Return the kept height at or below a subtree's, and which numbers of that height it is over."""
    above = subtree.height % KEPT_HEIGHTS
    return subtree.height - above, subtree.number << above, (subtree.number + 1) << above


async def _read(queries: Queries, kept: int, wanted: _Range) -> list[bytes]:
    if kept:
        found = await queries.roots(kept, wanted.start, wanted.end)
    else:
        found = [leaf_hash(payload) for payload in await queries.payloads(wanted.start, wanted.end)]
    if len(found) != wanted.end - wanted.start:
        raise _damaged()
    return found


def _damaged() -> StoreUnavailableError:
    return StoreUnavailableError(
        "A proof does not lead to the head of the log: `monedero verify` says where the ledger is damaged"
    )
