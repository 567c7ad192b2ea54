"""Pages of a listing, over HTTP."""

import itertools
import re
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monedero.api.paging import Page
from monedero.sources import new_id
from tests.api.world import World


@pytest.fixture
def world(client: httpx.Client) -> World:
    """Return a customer and a business with their wallets, on the shared service."""
    return World(client)


def walk(world: World, path: str) -> Iterator[httpx.Response]:
    """Follow `next` to the end; it is in the Link header too."""
    following = path
    for _ in itertools.repeat(None, 100):
        answer = world.client.get(following)
        assert answer.status_code == 200, answer.text
        yield answer
        if "next" not in answer.json():
            assert "link" not in answer.headers
            return
        following = answer.json()["next"]
        assert answer.headers["link"] == f'<{following}>; rel="next"'
    raise AssertionError


def test_a_full_walk_meets_each_transaction_once_while_writes_go_on(world: World) -> None:
    """Following `next` returns what was there at the start, each once, newest first, and ends."""
    ids = [world.deposit(1).json()["id"] for _ in range(11)]
    seen: list[str] = []
    for answer in walk(world, f"/customers/wallets/{world.wallet}/transactions?limit=3"):
        seen += [each["id"] for each in answer.json()["transactions"]]
        world.deposit(1)

    assert seen == ids[::-1]


def test_a_customers_walk_over_all_wallets(world: World) -> None:
    """Following `next` through a customer's history meets every wallet, and each transaction once."""
    other, empty = (world.created("/customers/wallets", customer_id=world.customer) for _ in range(2))
    expected: dict[str, list[str]] = {world.wallet: [], other: [], empty: []}
    for wallet in [world.wallet, other, other, world.wallet, other]:
        answer = world.post(f"/customers/wallets/{wallet}/deposit", amount=1)
        expected[wallet].insert(0, answer.json()["id"])
    seen: dict[str, list[str]] = {}
    for answer in walk(world, f"/customers/{world.customer}/transactions?limit=2"):
        for wallet in answer.json()["wallets"]:
            seen.setdefault(wallet["id"], []).extend(each["id"] for each in wallet["transactions"])

    assert seen == expected


def test_a_page_that_holds_everything_is_exactly_as_documented(world: World) -> None:
    """Without more to follow there is no `next` and no Link header, at the very limit too."""
    world.deposit(1)
    world.deposit(1)
    for limit, more in ((1, True), (2, False), (3, False)):
        answer = world.client.get(f"/customers/wallets/{world.wallet}/transactions?limit={limit}")
        assert ("next" in answer.json()) is more
        assert ("link" in answer.headers) is more


def test_a_page_is_100_unless_asked_and_1000_at_most(world: World) -> None:
    """The default page holds 100 and says that more follow; nothing is cut silently."""
    for _ in range(101):
        world.deposit(1)
    path = f"/customers/wallets/{world.wallet}/transactions"
    first = world.client.get(path).json()

    assert len(first["transactions"]) == 100
    assert len(world.client.get(first["next"]).json()["transactions"]) == 1
    assert len(world.client.get(f"{path}?limit=1000").json()["transactions"]) == 101


def test_wallets_walk_in_order_of_their_last_change(world: World) -> None:
    """A customer's wallets are paged from the last changed on."""
    wallets = [world.wallet, *(world.created("/customers/wallets", customer_id=world.customer) for _ in range(4))]
    world.deposit(1)
    pages = list(walk(world, f"/customers/{world.customer}/wallets?limit=2"))

    assert [each["id"] for page in pages for each in page.json()["wallets"]] == [wallets[0], *wallets[:0:-1]]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "1.0", "1e2", "٣", "9" * 5000, " 1", "+1"])
def test_limits_out_of_bounds(world: World, limit: str) -> None:
    """400 names the parameter and its bounds."""
    for path in (f"/customers/wallets/{world.wallet}/transactions", f"/customers/{world.customer}/wallets",
                 f"/customers/{world.customer}/transactions",
                 f"/businesses/wallets/{world.till}/transactions"):  # fmt: skip
        answer = world.client.get(path, params={"limit": limit})
        assert (answer.status_code, answer.json()["detail"]) == (
            400, "The value of 'limit' must be a whole number from 1 to 1000",
        )  # fmt: skip


def test_cursors_of_another_listing_are_refused(world: World) -> None:
    """A cursor is good for the listing that gave it, and for no other."""
    for _ in range(2):
        world.deposit(1)
    path = f"/customers/wallets/{world.wallet}/transactions"
    following = world.client.get(f"{path}?limit=1").json()["next"]
    cursor = re.search("cursor=([^&]+)", following)
    assert cursor is not None
    other = World(world.client)
    for foreign in (f"/customers/wallets/{other.wallet}/transactions", f"/customers/{world.customer}/transactions",
                    f"/customers/{world.customer}/wallets",
                    f"/businesses/wallets/{world.till}/transactions"):  # fmt: skip
        answer = world.client.get(foreign, params={"cursor": cursor[1]})
        assert (answer.status_code, answer.json()["detail"]) == (400, "The cursor is not one that this listing gave")
    capitals = f"/customers/wallets/{world.wallet.upper()}/transactions"
    assert world.client.get(capitals, params={"cursor": cursor[1]}).status_code == 200


@pytest.mark.parametrize("position", [0, 2**63 - 1, 2**63, 2**64 - 1])
def test_cursors_that_somebody_made_are_positions_at_most(world: World, position: int) -> None:
    """A cursor is no secret: one made by hand leads to some place of the listing, never to an error of the server."""
    world.deposit(1)
    path = f"/customers/wallets/{world.wallet}/transactions"
    made = Page(path, None, 10).next(position)

    assert world.client.get(made).status_code == 200


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cursors_that_were_altered_are_refused(client: httpx.Client, data: st.DataObject) -> None:
    """Flipped, cut, lengthened or made up: 400, never another place in the listing."""
    world = World(client)
    world.deposit(1)
    world.deposit(1)
    path = f"/customers/wallets/{world.wallet}/transactions"
    cursor = httpx.URL(client.get(f"{path}?limit=1").json()["next"]).params["cursor"]
    place, kind = data.draw(st.integers(0, len(cursor) - 1)), data.draw(st.integers(0, 4))
    other = data.draw(st.sampled_from("ABab01-_= é"))
    if other == cursor[place]:
        other = "C"
    altered = [cursor[:place] + other + cursor[place + 1 :], cursor[:place], cursor + other, "", new_id()][kind]
    answer = client.get(path, params={"cursor": altered})

    assert (answer.status_code, answer.json()["detail"]) == (400, "The cursor is not one that this listing gave")
