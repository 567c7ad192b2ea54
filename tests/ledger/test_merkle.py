"""The seal: RFC 6962's tree and a chain over it."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monedero.ledger.merkle import EMPTY, seal

# The leaves and roots that the Certificate Transparency project publishes for RFC 6962.
LEAVES = [bytes.fromhex(each) for each in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(9))
def test_published_vectors(size: int) -> None:
    """The tree over the published leaves has the published root."""
    head, *_ = seal(EMPTY, LEAVES[:size])

    assert head.root.hex() == ROOTS[size]


@given(st.lists(st.binary(max_size=40), max_size=70), st.integers(0, 70))
def test_batches_do_not_matter(payloads: list[bytes], cut: int) -> None:
    """Sealing in two batches gives the head, links and kept roots of one."""
    first, links, roots = seal(EMPTY, payloads[:cut])
    second, more, others = seal(first, payloads[cut:])

    assert (second, links + more, roots + others) == seal(EMPTY, payloads)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=70))
def test_root_is_that_of_the_definition(payloads: list[bytes]) -> None:
    """The root is the one that RFC 6962's recursive definition gives."""
    head, *_ = seal(EMPTY, payloads)

    assert (head.size, head.root) == (len(payloads), defined_root(payloads))


@given(st.lists(st.binary(max_size=8), min_size=2, max_size=20, unique=True), st.data())
def test_chain_changes_from_the_altered_place_on(payloads: list[bytes], data: st.DataObject) -> None:
    """An altered payload changes its own link and no earlier one."""
    place = data.draw(st.integers(0, len(payloads) - 1))
    altered = [*payloads]
    altered[place] += b"!"
    links, others = seal(EMPTY, payloads)[1], seal(EMPTY, altered)[1]

    assert [mine == other for mine, other in zip(links, others, strict=True)] == [
        at < place for at in range(len(payloads))
    ]


def defined_root(payloads: list[bytes]) -> bytes:
    """Return MTH of RFC 6962, section 2.1, word for word."""
    if len(payloads) == 1:
        return sha256(b"\x00" + payloads[0]).digest()
    split = 1 << ((len(payloads) - 1).bit_length() - 1)
    return sha256(b"\x01" + defined_root(payloads[:split]) + defined_root(payloads[split:])).digest()
