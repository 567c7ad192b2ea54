"""The read side: what the API shows, each query one round trip."""

from collections.abc import Sequence
from typing import LiteralString

import psycopg

from monedero.ledger.events import Recorded, decode
from monedero.ledger.ids import HoldId, OwnerId, WalletId
from monedero.ledger.merkle import Head
from monedero.ledger.money import ZERO, Units
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Hold, Wallet
from monedero.storage.postgres import statements
from monedero.storage.postgres.pool import Ask, Connection
from monedero.storage.postgres.rows import Row, array, to_hold, to_owner, to_recorded, to_wallet
from monedero.storage.store import NEWEST, OwnerPage, StoredOwner, WalletTransactions, page_items


class Reader:
    """Queries, each run where `ask` runs it."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def size(self) -> int:
        """See Queries.size. Of a replica, how many it has."""
        (row,) = await self._ask(lambda connection: _rows(connection, statements.SIZE, ()))
        return int(row[0])

    async def owner(self, kind: OwnerKind, owner_id: OwnerId) -> StoredOwner | None:
        """See Queries.owner."""
        rows = await self._ask(lambda connection: _rows(connection, statements.OWNER_BY_ID, (owner_id, kind)))
        return to_owner(rows[0]) if rows else None

    async def wallet(self, wallet_id: WalletId) -> Wallet | None:
        """See Queries.wallet."""
        rows = await self._ask(lambda connection: _rows(connection, statements.WALLET_BY_ID, (wallet_id,)))
        return to_wallet(rows[0]) if rows else None

    async def event(self, event_id: str) -> Recorded | None:
        """See Queries.event."""
        rows = await self._ask(lambda connection: _rows(connection, statements.EVENT_BY_ID, (event_id,)))
        return to_recorded(rows[0]) if rows else None

    async def events(self, positions: Sequence[int]) -> list[Recorded]:
        """See Queries.events."""
        wanted = (array(map(str, positions)),)
        rows = await self._ask(lambda connection: _rows(connection, statements.EVENTS_BY_POSITION, wanted))
        return [to_recorded(row) for row in rows]

    async def hold(self, hold_id: HoldId) -> Hold | None:
        """See Queries.hold."""
        rows = await self._ask(lambda connection: _rows(connection, statements.LOAD_HOLDS, (array([hold_id]),)))
        return to_hold(rows[0]) if rows else None

    async def refunded(self, number: int) -> Units:
        """See Queries.refunded."""
        rows = await self._ask(lambda connection: _rows(connection, statements.REFUNDED, (number,)))
        return Units(rows[0][0]) if rows else ZERO

    async def open_holds(self, limit: int) -> int:
        """See Queries.open_holds."""
        rows = await self._ask(lambda connection: _rows(connection, statements.OPEN_HOLDS, (limit,)))
        return int(rows[0][0])

    async def expiring(self, limit: int) -> list[tuple[HoldId, int]]:
        """See Queries.expiring."""
        rows = await self._ask(lambda connection: _rows(connection, statements.EXPIRING, (limit,)))
        return [(HoldId(hold), expires_at) for hold, expires_at in rows]

    async def head(self) -> Head:
        """See Queries.head."""
        (row,) = await self._ask(lambda connection: _rows(connection, statements.READ_HEAD, ()))
        return Head(*row)

    async def payloads(self, start: int, end: int) -> list[bytes]:
        """See Queries.payloads."""
        rows = await self._ask(lambda connection: _rows(connection, statements.PAYLOADS, (start, end)))
        return [payload for (payload,) in rows]

    async def roots(self, height: int, start: int, end: int) -> list[bytes]:
        """See Queries.roots."""
        rows = await self._ask(lambda connection: _rows(connection, statements.ROOTS, (height, start, end)))
        return [root for (root,) in rows]

    async def wallets(self, kind: OwnerKind, owner_id: OwnerId, limit: int) -> list[Wallet] | None:
        """See Queries.wallets."""
        return await self._ask(lambda connection: _wallets(connection, kind, owner_id, limit))

    async def wallet_transactions(
        self, kind: OwnerKind, wallet_id: WalletId, before: int, limit: int
    ) -> WalletTransactions | None:
        """See Queries.wallet_transactions."""
        return await self._ask(lambda connection: _wallet_transactions(connection, kind, wallet_id, before, limit))

    async def owner_transactions(self, kind: OwnerKind, owner_id: OwnerId, before: int, limit: int) -> OwnerPage | None:
        """See Queries.owner_transactions."""
        return await self._ask(lambda connection: _owner_transactions(connection, kind, owner_id, before, limit))

    async def movements(
        self, number: int, first: int, end: int, limit: int, *, oldest_first: bool = False
    ) -> list[Recorded]:
        """See Queries.movements."""
        statement = statements.OLDEST_MOVEMENTS if oldest_first else statements.NEWEST_MOVEMENTS
        part: dict[str, object] = {"wallet": number, "first": first, "end": end, "limit": limit}
        return [to_recorded(row) for row in await self._ask(lambda connection: _rows(connection, statement, part))]


async def _send(
    connection: Connection, statement: LiteralString, parameters: Row | dict[str, object]
) -> psycopg.AsyncCursor[Row]:
    return await connection.cursor(binary=True).execute(statement, parameters)


async def _rows(connection: Connection, statement: LiteralString, parameters: Row | dict[str, object]) -> list[Row]:
    return await (await _send(connection, statement, parameters)).fetchall()


async def _wallets(connection: Connection, kind: OwnerKind, owner_id: OwnerId, limit: int) -> list[Wallet] | None:
    async with connection.pipeline():
        owner = await _send(connection, statements.OWNER_BY_ID, (owner_id, kind))
        found = await _send(connection, statements.WALLETS_OF_OWNER, (owner_id, kind, limit))
    if not await owner.fetchall():
        return None
    return [to_wallet(row) for row in await found.fetchall()]


async def _wallet_transactions(
    connection: Connection, kind: OwnerKind, wallet_id: WalletId, before: int, limit: int
) -> WalletTransactions | None:
    page = {"wallet": wallet_id, "before": before, "limit": limit}
    async with connection.pipeline():
        wallet = await _send(connection, statements.WALLET_BY_ID, (wallet_id,))
        found = await _send(connection, statements.WALLET_TRANSACTIONS, page)
    rows = await wallet.fetchall()
    if not rows or (shown := to_wallet(rows[0])).owner_kind is not kind:
        return None
    return WalletTransactions(shown, [to_recorded(row) for row in await found.fetchall()])


async def _owner_transactions(
    connection: Connection, kind: OwnerKind, owner_id: OwnerId, before: int, limit: int
) -> OwnerPage | None:
    page = {"owner": owner_id, "kind": kind, "before": before, "limit": limit + 2}
    async with connection.pipeline():
        owner = await _send(connection, statements.OWNER_BY_ID, (owner_id, kind))
        wallets = await _send(connection, statements.WALLETS_OF_OWNER, (owner_id, kind, NEWEST))
        found = await _send(connection, statements.OWNER_TRANSACTIONS, page)
    if not await owner.fetchall():
        return None
    rows = await found.fetchall()
    items = rows[: page_items([position for _, position, _ in rows], limit)]
    pages: dict[int, list[Recorded]] = {}
    for number, position, payload in items:
        transactions = pages.setdefault(number, [])
        if position != number:
            transactions.append(Recorded(position, decode(payload)))
    return OwnerPage(
        [
            WalletTransactions(wallet, pages[wallet.number])
            for wallet in map(to_wallet, await wallets.fetchall())
            if wallet.number in pages
        ],
        items[-1][1] if items else 0,
        len(rows) > len(items),
    )
