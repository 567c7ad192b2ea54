"""Paging through an owner's wallets, last changed first, while they change.

The first page fixes the order: that in which the wallets stood when the newest of them had last changed, at the
position `bound`. Later pages put every wallet where it was then, so that each of them comes once, whatever happens
meanwhile. A wallet that was opened later belongs to the next walk. What is shown of a wallet is always how it is now.
"""

import msgspec

from monedero.engine.moments import standing_at
from monedero.ledger.ids import OwnerId
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.standing import changed
from monedero.ledger.state import Wallet
from monedero.storage.store import NEWEST, Queries

RECENT = 16
"""How many transactions are looked through for the last change before it is searched for by versions."""


class Place(msgspec.Struct, frozen=True):
    """A place in a walk: the position that fixes the order, and the number of the last wallet that was shown."""

    bound: int
    last: int


class WalletsPage(msgspec.Struct, frozen=True):
    """A page of wallets, and where the next one goes on, if there is one."""

    wallets: list[Wallet]
    following: Place | None


class PlaceUnknownError(ValueError):
    """A place that no walk through these wallets has."""


async def walk_wallets(
    queries: Queries, kind: OwnerKind, owner_id: OwnerId, place: Place | None, limit: int
) -> WalletsPage | None:
    """Return a page of an owner's wallets; None: no such owner. Raises PlaceUnknownError."""
    if place is None:
        found = await queries.wallets(kind, owner_id, limit + 1)
        if found is None:
            return None
        bound = found[0].position if found else 0
    else:
        mine = await queries.wallets(kind, owner_id, NEWEST)
        if mine is None:
            return None
        bound, found = place.bound, await _after(queries, mine, place)
    shown = found[:limit]
    return WalletsPage(shown, Place(bound, shown[-1].number) if len(found) > limit else None)


async def _after(queries: Queries, wallets: list[Wallet], place: Place) -> list[Wallet]:
    """Return the wallets after a place, in the order that its bound fixed. Raises PlaceUnknownError.

    A wallet that was opened later stands before all places by its number alone.
    """
    keys = [((await last_change(queries, wallet, place.bound), wallet.number), wallet) for wallet in wallets]
    reached = next((key for key, wallet in keys if wallet.number == place.last), None)
    if reached is None:
        raise PlaceUnknownError
    keys.sort(key=lambda each: each[0], reverse=True)
    return [wallet for key, wallet in keys if key < reached]


async def last_change(queries: Queries, wallet: Wallet, bound: int) -> int:
    """Return the position of the last event up to `bound` that moved or held a wallet's money, or opened it.

    A wallet with many denied transactions since is searched by version: logarithmic in the log, however many.
    """
    if wallet.position <= bound:
        return wallet.position
    recent = await queries.movements(wallet.number, wallet.number, bound + 1, RECENT)
    for recorded in recent:
        if changed(recorded.event, wallet.id):
            return recorded.position
    if len(recent) < RECENT:
        return wallet.number
    reached = await _version(queries, wallet, bound + 1)
    if reached == 0:
        return wallet.number
    lower, upper = wallet.number + 1, bound + 1
    while upper - lower > 1:
        middle = (lower + upper) // 2
        if await _version(queries, wallet, middle) < reached:
            lower = middle
        else:
            upper = middle
    return upper - 1


async def _version(queries: Queries, wallet: Wallet, length: int) -> int:
    stood = await standing_at(queries, wallet, length)
    return stood.version if stood else 0
