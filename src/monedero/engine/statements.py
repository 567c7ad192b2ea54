"""Statements: what moved a wallet's balance between two places of the log, oldest first."""

import msgspec

from monedero.engine.moments import standing_at
from monedero.ledger.events import Movement
from monedero.ledger.money import Units
from monedero.ledger.standing import OPENED, Standing, moved, standing
from monedero.ledger.state import Wallet
from monedero.storage.store import Queries

CHUNK = 1_000


class Line(msgspec.Struct, frozen=True, gc=False):
    """A transaction that moved the balance: by `amount` units, below 0 what left it, to `balance`."""

    position: int
    movement: Movement
    amount: int
    balance: Units


class Statement(msgspec.Struct, frozen=True):
    """The lines from position `first` to below `end`, and how the wallet stood before and after them.

    `unmoved` counts what happened there to the wallet that did not move its balance: what was denied, and holds.
    `more` says that the period that was asked for goes on at `end`.
    """

    wallet: Wallet
    first: int
    end: int
    opening: Standing
    closing: Units
    lines: list[Line]
    unmoved: int
    more: bool

    @property
    def total_in(self) -> int:
        """Units that came in."""
        return sum(line.amount for line in self.lines if line.amount > 0)

    @property
    def total_out(self) -> int:
        """Units that went out, as a number above 0."""
        return -sum(line.amount for line in self.lines if line.amount < 0)


async def statement(queries: Queries, wallet: Wallet, first: int, end: int, *, limit: int, most: int) -> Statement:
    """Return the statement of a wallet from a position to below another one.

    It ends earlier once it has `limit` lines and another one would follow, or has read `most` transactions.
    """
    opening = await standing_at(queries, wallet, first) or OPENED
    lines: list[Line] = []
    position, read, chunk = first, 0, min(limit + 1, CHUNK)

    def made(until: int, *, more: bool) -> Statement:
        closing = lines[-1].balance if lines else opening.balance
        return Statement(wallet, first, until, opening, closing, lines, read - len(lines), more)

    while True:
        chunk = min(chunk, most - read + 1)
        found = await queries.movements(wallet.number, position, end, chunk, oldest_first=True)
        for recorded in found:
            amount = moved(recorded.event, wallet.id)
            if read == most or (amount and len(lines) == limit):
                return made(recorded.position, more=True)
            if amount:
                lines.append(_line(recorded.position, recorded.event, amount, wallet))
            position, read = recorded.position + 1, read + 1
        if len(found) < chunk:
            return made(end, more=False)
        chunk = CHUNK


def _line(position: int, event: object, amount: int, wallet: Wallet) -> Line:
    if not isinstance(event, Movement) or (stated := standing(event, wallet.id)) is None:
        raise TypeError(event)  # pragma: no cover - what moved money states the balance
    return Line(position, event, amount, stated.balance)
