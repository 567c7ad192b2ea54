"""Wallets as the last commit left them, kept by the one process that may write them.

Only the writer puts wallets in, right after its COMMIT has returned and before anyone is answered: a reader
never sees what is not durable, and a client always sees what it was told.
"""

from collections.abc import Iterable

from monedero.ledger.ids import WalletId
from monedero.ledger.state import Wallet

LIMIT_WALLETS = 65_536
"""About 40 MB. Beyond it everything is forgotten and what is hot soon comes back: no bookkeeping on each read."""


class HotWallets:
    """The committed state of the wallets that moved lately. Read on the event loop, written by the writer's thread."""

    def __init__(self) -> None:
        self._wallets: dict[WalletId, Wallet] = {}
        self.get = self._wallets.get

    def keep(self, wallets: Iterable[Wallet]) -> None:
        """Take wallets over from a transaction that has been committed."""
        if len(self._wallets) > LIMIT_WALLETS:
            self._wallets.clear()
        for wallet in wallets:
            self._wallets[wallet.id] = wallet

    def clear(self) -> None:
        """Forget everything: the file is read again."""
        self._wallets.clear()
