"""What an event states of one wallet: how it stands afterwards, and by how much its money changed."""

import msgspec

from monedero.ledger.events import (
    Accepted,
    DebitDeniedV1,
    Event,
    HoldExpired,
    HoldPlaced,
    HoldVoided,
    Posting,
    sides,
)
from monedero.ledger.ids import WalletId
from monedero.ledger.money import ZERO, Units


class Standing(msgspec.Struct, frozen=True, gc=False):
    """A wallet at some moment: what is in it, what of that is held, and how many transactions had changed it."""

    balance: Units
    held: Units
    version: int

    @property
    def available(self) -> Units:
        """What could have been taken."""
        return Units(self.balance - self.held)


OPENED = Standing(ZERO, ZERO, 0)
"""How every wallet begins."""


def standing(event: Event, wallet: WalletId) -> Standing | None:
    """Return how a wallet stands after an event; None: the event does not say, as a debit denied long ago does not."""
    if isinstance(event, DebitDeniedV1):
        return None
    for name in ("payer", "payee"):
        posting: Posting | None = getattr(event, name, None)
        if posting is not None and posting.wallet == wallet:
            return Standing(posting.balance, posting.held, posting.version)
    return None


def moved(event: Event, wallet: WalletId) -> int:
    """Return the units by which an event changed a wallet's balance: below 0 what left it, 0 what only held money."""
    if not isinstance(event, Accepted):
        return 0
    payer, payee = sides(event)
    return event.amount * ((payee == wallet) - (payer == wallet))


def changed(event: Event, wallet: WalletId) -> bool:
    """Tell whether an event moved or held money of a wallet, and so gave it its next version."""
    if isinstance(event, HoldPlaced | HoldVoided | HoldExpired):
        return event.payer.wallet == wallet
    return isinstance(event, Accepted) and wallet in sides(event)


def counterparty(event: Event, wallet: WalletId) -> WalletId | None:
    """Return the wallet on the other side of an event; None: the world outside."""
    payer, payee = sides(event)
    return payee if payer == wallet else payer
