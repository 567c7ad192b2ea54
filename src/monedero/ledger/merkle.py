"""The seal of the log: an RFC 6962 Merkle tree for proofs, and a hash chain that names the place of a change.

A leaf is SHA-256(0x00 | payload), a node SHA-256(0x01 | left | right). The tree is kept as its frontier:
the roots of the perfect subtrees from left to right, one for each bit set in the size. The chain links
each leaf to all before it, SHA-256(previous link | leaf), and every row of the log stores its own link.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

HASH_BYTES = 32
_GENESIS = bytes(HASH_BYTES)


class Head(msgspec.Struct, frozen=True, gc=False):
    """The sealed log in one row: how many events, the frontier of their tree, its root, the last link."""

    size: int
    frontier: bytes
    root: bytes
    link: bytes


EMPTY = Head(0, b"", sha256().digest(), _GENESIS)


def seal(head: Head, payloads: Sequence[bytes]) -> tuple[Head, list[bytes]]:
    """Append payloads to the tree and the chain; return the head that results and each payload's link."""
    hashes = [head.frontier[at : at + HASH_BYTES] for at in range(0, len(head.frontier), HASH_BYTES)]
    size, link = head.size, head.link
    links = []
    for payload in payloads:
        node = sha256(b"\x00" + payload).digest()
        link = sha256(link + node).digest()
        links.append(link)
        # Each trailing one in the size is a perfect subtree as large as the node beside it: merge them.
        merges = size
        while merges & 1:
            node = sha256(b"\x01" + hashes.pop() + node).digest()
            merges >>= 1
        hashes.append(node)
        size += 1
    return Head(size, b"".join(hashes), _root(hashes), link), links


def _root(hashes: list[bytes]) -> bytes:
    """Return the root over the perfect subtrees `hashes`, the smallest, at the right, first (RFC 6962, 2.1)."""
    if not hashes:
        return EMPTY.root
    root = hashes[-1]
    for left in hashes[-2::-1]:
        root = sha256(b"\x01" + left + root).digest()
    return root
