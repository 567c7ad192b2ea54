"""The seal of the log: an RFC 6962 Merkle tree for proofs, and a hash chain that names the place of a change.

A leaf is SHA-256(0x00 | payload), a node SHA-256(0x01 | left | right). The tree is kept as its frontier:
the roots of the perfect subtrees from left to right, one for each bit set in the size. The chain links
each leaf to all before it, SHA-256(previous link | leaf), and every row of the log stores its own link.

A proof (RFC 9162, 2.1.3 and 2.1.4) is a list of nodes, from the leaf's side to the root's. Each is the root over a
range of the log, and a range falls into perfect subtrees. So that a proof takes few steps over however long a log, the
roots of perfect subtrees are kept at every eighth height, one for each 256 events and fewer above.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice

import msgspec

HASH_BYTES = 32
KEPT_HEIGHTS = 8
"""Roots are kept at the heights that this divides: over 256 events, 65,536 and so on."""

_GENESIS = bytes(HASH_BYTES)
_SEAL_AT_ONCE = 4_096


class Head(msgspec.Struct, frozen=True, gc=False):
    """The sealed log in one row: how many events, the frontier of their tree, its root, the last link."""

    size: int
    frontier: bytes
    root: bytes
    link: bytes


class Subtree(msgspec.Struct, frozen=True, gc=False):
    """A perfect part of the tree: the 2**height leaves from position number * 2**height on."""

    height: int
    number: int


class KeptRoot(msgspec.Struct, frozen=True, order=True, gc=False):
    """The root over a perfect subtree, kept so that proofs need not read what is below."""

    height: int
    number: int
    root: bytes


EMPTY = Head(0, b"", sha256().digest(), _GENESIS)


def seal(head: Head, payloads: Sequence[bytes]) -> tuple[Head, list[bytes], list[KeptRoot]]:
    """Append payloads to the tree and the chain.

    Return the head that results, each payload's link, and the roots to keep of the subtrees that were completed.
    """
    hashes = [head.frontier[at : at + HASH_BYTES] for at in range(0, len(head.frontier), HASH_BYTES)]
    size, link = head.size, head.link
    links, kept = [], []
    for payload in payloads:
        node = sha256(b"\x00" + payload).digest()
        link = sha256(link + node).digest()
        links.append(link)
        # Each trailing one in the size is a perfect subtree as large as the node beside it: merge them.
        merges, height = size, 0
        while merges & 1:
            node = sha256(b"\x01" + hashes.pop() + node).digest()
            merges >>= 1
            height += 1
            if not height % KEPT_HEIGHTS:
                kept.append(KeptRoot(height, merges, node))
        hashes.append(node)
        size += 1
    return Head(size, b"".join(hashes), fold(hashes), link), links, kept


def kept_roots(payloads: Iterable[bytes]) -> Iterator[KeptRoot]:
    """Yield the roots to keep over a whole log, in the order in which its subtrees are completed."""
    stream, head = iter(payloads), EMPTY
    while chunk := list(islice(stream, _SEAL_AT_ONCE)):
        head, _, kept = seal(head, chunk)
        yield from kept


def leaf_hash(payload: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\x00" + payload).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over two others."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root over perfect subtrees from left to right, each smaller than the one before (RFC 6962, 2.1)."""
    if not hashes:
        return EMPTY.root
    root = hashes[-1]
    for left in hashes[-2::-1]:
        root = node_hash(left, root)
    return root


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a power of two of nodes that are all of one height."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


def subtrees(start: int, end: int) -> list[Subtree]:
    """Return the perfect subtrees, from left to right, over the positions from `start` on and below `end`.

    `start` is 0, or a multiple of a power of two that is not below their number, as for every node of a tree.
    """
    found = []
    while start < end:
        height = (end - start).bit_length() - 1
        found.append(Subtree(height, start >> height))
        start += 1 << height
    return found


def inclusion_nodes(position: int, size: int) -> list[list[Subtree]]:
    """Return the nodes that prove the leaf at `position`, below `size`: each as its perfect subtrees."""
    start, end, nodes = 0, size, []
    while end - start > 1:
        split = _split(start, end)
        if position < split:
            nodes.append(subtrees(split, end))
            end = split
        else:
            nodes.append(subtrees(start, split))
            start = split
    return nodes[::-1]


def consistency_nodes(first: int, second: int) -> list[list[Subtree]]:
    """Return the nodes that prove the tree of size `first`, 1 to `second`, to be the beginning of the other."""
    start, end, nodes = 0, second, []
    while first < end:
        split = _split(start, end)
        if first <= split:
            nodes.append(subtrees(split, end))
            end = split
        else:
            nodes.append(subtrees(start, split))
            start = split
    if start:
        nodes.append(subtrees(start, end))  # Otherwise it is the whole first tree, whose root the verifier has.
    return nodes[::-1]


def proof_of(nodes: Iterable[Iterable[Subtree]], root_of: Callable[[Subtree], bytes]) -> list[bytes]:
    """Return a proof: the hash of each node, from the roots of its perfect subtrees."""
    return [fold([root_of(subtree) for subtree in node]) for node in nodes]


def proves_inclusion(root: bytes, size: int, position: int, payload: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether the tree of that root and size has the payload at the position (RFC 9162, 2.1.3.2)."""
    if not 0 <= position < size:
        return False
    at, last, node = position, size - 1, leaf_hash(payload)
    for sibling in proof:
        if not last:
            return False
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            at, last = _to_the_next_left(at, last)
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    return not last and node == root


def proves_consistency(first: int, first_root: bytes, second: int, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Tell whether the tree of size `first` is the beginning of that of size `second` (RFC 9162, 2.1.4.2)."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not proof and first_root == second_root
    # The root of a first tree that is perfect is itself a node of the second, and left out of the proof.
    path = list(proof) if first & (first - 1) else [first_root, *proof]
    if not path:
        return False
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if not last:
            return False
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            at, last = _to_the_next_left(at, last)
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    return not last and old == first_root and new == second_root


def _split(start: int, end: int) -> int:
    """Return where a range of two or more falls into its left and right child (RFC 6962, 2.1)."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _to_the_next_left(at: int, last: int) -> tuple[int, int]:
    """Skip the heights at which a node at the right edge has no sibling."""
    while at and not at & 1:
        at, last = at >> 1, last >> 1
    return at, last
