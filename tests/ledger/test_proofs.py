"""Proofs of the tree, beside RFC 6962's definitions written out: what is so is proved, and nothing else is."""

import random
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monedero.ledger.merkle import (
    EMPTY,
    KeptRoot,
    Subtree,
    consistency_nodes,
    inclusion_nodes,
    kept_roots,
    leaf_hash,
    perfect_root,
    proof_of,
    proves_consistency,
    proves_inclusion,
    seal,
    subtrees,
)
from tests.ledger.test_merkle import LEAVES, ROOTS

PAYLOADS = [b"event %d" % at for at in range(301)]
LEAF_HASHES = [leaf_hash(payload) for payload in PAYLOADS]

# The proofs that the Certificate Transparency project publishes over the same leaves.
PUBLISHED_INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
PUBLISHED_CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def mth(leaves: list[bytes]) -> bytes:
    """Return MTH over leaf hashes as RFC 6962, 2.1 writes it."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = k(len(leaves))
    return sha256(b"\x01" + mth(leaves[:split]) + mth(leaves[split:])).digest()


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """Return PATH(m, D[n]) as RFC 6962, 2.1.1 writes it."""
    if len(leaves) == 1:
        return []
    split = k(len(leaves))
    if m < split:
        return [*path(m, leaves[:split]), mth(leaves[split:])]
    return [*path(m - split, leaves[split:]), mth(leaves[:split])]


def subproof(m: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    """Return SUBPROOF(m, D[n], b) as RFC 6962, 2.1.2 writes it."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    split = k(len(leaves))
    if m <= split:
        return [*subproof(m, leaves[:split], whole=whole), mth(leaves[split:])]
    return [*subproof(m - split, leaves[split:], whole=False), mth(leaves[:split])]


def k(n: int) -> int:
    """Return the largest power of two smaller than n."""
    power = 1
    while power * 2 < n:
        power *= 2
    return power


def root_of(leaves: list[bytes], subtree: Subtree) -> bytes:
    """Return the root of a perfect subtree."""
    width = 1 << subtree.height
    return perfect_root(leaves[subtree.number * width : (subtree.number + 1) * width])


def inclusion(position: int, leaves: list[bytes]) -> list[bytes]:
    """Return our proof of a leaf."""
    return proof_of(inclusion_nodes(position, len(leaves)), lambda subtree: root_of(leaves, subtree))


def consistency(first: int, leaves: list[bytes]) -> list[bytes]:
    """Return our proof of a beginning."""
    return proof_of(consistency_nodes(first, len(leaves)), lambda subtree: root_of(leaves, subtree))


@pytest.mark.parametrize(("position", "size"), PUBLISHED_INCLUSION)
def test_published_inclusion_proofs(position: int, size: int) -> None:
    """Proofs over the published leaves are the published ones, and prove what they are for."""
    proof = inclusion(position, [leaf_hash(leaf) for leaf in LEAVES[:size]])

    assert [node.hex() for node in proof] == PUBLISHED_INCLUSION[position, size]
    assert proves_inclusion(bytes.fromhex(ROOTS[size]), size, position, LEAVES[position], proof)


@pytest.mark.parametrize(("first", "second"), PUBLISHED_CONSISTENCY)
def test_published_consistency_proofs(first: int, second: int) -> None:
    """The same between two sizes."""
    proof = consistency(first, [leaf_hash(leaf) for leaf in LEAVES[:second]])

    assert [node.hex() for node in proof] == PUBLISHED_CONSISTENCY[first, second]
    roots = bytes.fromhex(ROOTS[first]), bytes.fromhex(ROOTS[second])
    assert proves_consistency(first, roots[0], second, roots[1], proof)


def sampled(size: int) -> list[int]:
    """Return some numbers below a size: its ends, and by chance."""
    chance = random.Random(size)
    return sorted({0, size - 1, size // 2, *(chance.randrange(size) for _ in range(4))})


@pytest.mark.parametrize("sizes", [range(start, start + 50) for start in range(1, 301, 50)], ids=lambda each: each[0])
def test_proofs_are_those_of_the_definition(sizes: range) -> None:
    """For every size up to 300, proofs are the ones that RFC 6962's recursive definitions give, and verify."""
    for size in sizes:
        leaves = LEAF_HASHES[:size]
        root = mth(leaves)
        for position in range(size) if size <= 40 else sampled(size):
            proof = inclusion(position, leaves)
            assert proof == path(position, leaves)
            assert proves_inclusion(root, size, position, PAYLOADS[position], proof)
        for first in range(1, size + 1) if size <= 40 else [each + 1 for each in sampled(size)]:
            proof = consistency(first, leaves)
            assert proof == subproof(first, leaves, whole=True)
            assert proves_consistency(first, mth(leaves[:first]), size, root, proof)


def test_a_proof_holds_for_one_position_only() -> None:
    """The proof of one leaf proves it nowhere else, and no other leaf."""
    size = 37
    leaves = LEAF_HASHES[:size]
    root = mth(leaves)
    for position in range(size):
        proof = inclusion(position, leaves)
        for claimed in range(-1, 70):
            assert proves_inclusion(root, size, claimed, PAYLOADS[position], proof) == (claimed == position)
            if claimed != position:
                assert not proves_inclusion(root, size, position, PAYLOADS[claimed], proof)


def test_a_proof_is_as_long_as_the_path() -> None:
    """The last of eight is not the only one of one, although its proof leads to the same root."""
    leaves = LEAF_HASHES[:8]

    assert proves_inclusion(mth(leaves), 8, 7, PAYLOADS[7], inclusion(7, leaves))
    assert not proves_inclusion(mth(leaves), 1, 0, PAYLOADS[7], inclusion(7, leaves))


def altered(proof: list[bytes]) -> Iterator[list[bytes]]:
    """Yield a proof with each node spoilt, dropped, doubled and swapped with the next, and with one more."""
    for at, node in enumerate(proof):
        yield [*proof[:at], bytes([node[0] ^ 1]) + node[1:], *proof[at + 1 :]]
        yield [*proof[:at], *proof[at + 1 :]]
        yield [*proof[:at], node, *proof[at:]]
        if proof[at + 1 : at + 2] not in ([], [node]):
            yield [*proof[:at], proof[at + 1], node, *proof[at + 2 :]]
    yield [*proof, bytes(32)]
    yield [bytes(32), *proof]


@given(st.integers(1, 300), st.data())
def test_an_altered_proof_proves_nothing(size: int, data: st.DataObject) -> None:
    """No node of a proof can be changed, dropped, doubled, moved or added."""
    position, first = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    leaves = LEAF_HASHES[:size]
    root = mth(leaves)

    for proof in altered(inclusion(position, leaves)):
        assert not proves_inclusion(root, size, position, PAYLOADS[position], proof)
    for proof in altered(consistency(first, leaves)):
        assert not proves_consistency(first, mth(leaves[:first]), size, root, proof)


@given(st.integers(1, 300), st.data())
def test_no_other_history_is_consistent(size: int, data: st.DataObject) -> None:
    """A tree with another beginning, or another size, is not proved to go on from the first one."""
    first = data.draw(st.integers(1, size))
    leaves = LEAF_HASHES[:size]
    root, beginning, proof = mth(leaves), mth(leaves[:first]), consistency(first, leaves)

    assert not proves_consistency(first, bytes(32), size, root, proof)
    assert not proves_consistency(first, beginning, size, bytes(32), proof)
    assert not proves_consistency(first, beginning, first - 1, root, proof)
    assert not proves_consistency(first, beginning, 4 * size, root, proof)
    assert not proves_consistency(0, EMPTY.root, size, root, proof)


@given(st.integers(0, 2**62), st.integers(1, 2**62))
def test_a_node_is_few_perfect_subtrees(start: int, size: int) -> None:
    """However large a tree, each node of a proof is a few subtrees without a gap, and there is one node a height."""
    position = start % size
    nodes = [*inclusion_nodes(position, size), *consistency_nodes(position + 1, size)]

    assert len(nodes) <= 2 * 64
    for node in nodes:
        assert len(node) <= 63
        for left, right in pairwise(node):
            assert (left.number + 1) << left.height == right.number << right.height
            assert left.height > right.height
    assert sum(1 << each.height for node in inclusion_nodes(position, size) for each in node) == size - 1


def test_the_kept_roots_are_those_over_256_events_and_over_65_536() -> None:
    """Sealing yields the root of each perfect subtree of height 8 and 16, when its last event comes, and no other."""
    payloads = [b"%d" % at for at in range(66_100)]
    leaves = [leaf_hash(payload) for payload in payloads]
    head, _, kept = seal(EMPTY, payloads)

    low = [KeptRoot(8, at, root_of(leaves, Subtree(8, at))) for at in range(258)]
    assert sorted(kept) == [*low, KeptRoot(16, 0, root_of(leaves, Subtree(16, 0)))]
    assert kept.index(KeptRoot(16, 0, root_of(leaves, Subtree(16, 0)))) == 256
    assert list(kept_roots(payloads)) == kept
    frontier = [root_of(leaves, subtree) for subtree in subtrees(0, head.size)]
    assert b"".join(frontier) == head.frontier
