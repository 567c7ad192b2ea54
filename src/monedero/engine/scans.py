"""Pages of only those transactions that pass a filter.

A page reads so many transactions at most, those that do not pass too. One that stops there may be short, even empty;
it says where the next one goes on, and nothing is skipped.
"""

import msgspec

from monedero.ledger.events import Event, Recorded, kind_and_status
from monedero.ledger.ids import OwnerId, WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Wallet
from monedero.storage.store import NEWEST, OwnerPage, Queries, WalletTransactions


class Filter(msgspec.Struct, frozen=True):
    """What passes: transactions of a kind and a status, at positions from `first` to below `end`."""

    kind: str | None = None
    status: str | None = None
    first: int = 0
    end: int = NEWEST

    def passes(self, event: Event) -> bool:
        """Tell whether an event is of the kind and the status."""
        kind, status = kind_and_status(event)
        return self.kind in (None, kind) and self.status in (None, status)


class Scanned(msgspec.Struct, frozen=True):
    """A page, newest first; the next one goes on below the position `following`, if there is one."""

    transactions: list[Recorded]
    following: int | None


async def scan_wallet(
    queries: Queries, wallet: Wallet, wanted: Filter, *, before: int, limit: int, most: int
) -> Scanned:
    """Return a page of at most `limit` of a wallet's transactions below a position, of at most `most` that are read."""
    shown: list[Recorded] = []
    end, read, chunk = min(before, wanted.end), 0, limit + 1
    while True:
        chunk = min(chunk, most - read + 1)
        found = await queries.movements(wallet.number, wanted.first, end, chunk)
        for recorded in found:
            passes = wanted.passes(recorded.event)
            if read == most or (passes and len(shown) == limit):
                return Scanned(shown, end)
            if passes:
                shown.append(recorded)
            end, read = recorded.position, read + 1
        if len(found) < chunk:
            return Scanned(shown, None)
        chunk *= 2


async def scan_owner(
    queries: Queries, kind: OwnerKind, owner_id: OwnerId, wanted: Filter, *, before: int, limit: int, most: int
) -> OwnerPage | None:
    """Return a page of an owner's history as `scan_wallet` does; None: no such owner.

    A transfer between two wallets of the owner is shown in both, on the same page. Wallets that have nothing on the
    page are not there.
    """
    shown: list[tuple[Wallet, Recorded]] = []
    end, read, chunk = min(before, wanted.end), 0, limit + 1
    while read < most:
        chunk = min(chunk, most - read)
        page = await queries.owner_transactions(kind, owner_id, end, chunk)
        if page is None:
            return None
        items = [(each.wallet, recorded) for each in page.wallets for recorded in each.transactions]
        for wallet, recorded in sorted(items, key=_newest_first):
            if recorded.position < wanted.first:
                return OwnerPage(_by_wallet(shown), end, more=False)
            if wanted.passes(recorded.event):
                if len(shown) >= limit and recorded.position != shown[-1][1].position:
                    return OwnerPage(_by_wallet(shown), end, more=True)
                shown.append((wallet, recorded))
            end = recorded.position
        if not page.more or page.last <= wanted.first:
            return OwnerPage(_by_wallet(shown), end, more=False)
        end, read, chunk = page.last, read + chunk, chunk * 2
    return OwnerPage(_by_wallet(shown), end, more=True)


def _newest_first(item: tuple[Wallet, Recorded]) -> int:
    return -item[1].position


def _by_wallet(items: list[tuple[Wallet, Recorded]]) -> list[WalletTransactions]:
    """Group by wallet; the one with the newest transaction comes first."""
    pages: dict[WalletId, WalletTransactions] = {}
    for wallet, recorded in items:
        pages.setdefault(wallet.id, WalletTransactions(wallet, [])).transactions.append(recorded)
    return list(pages.values())
