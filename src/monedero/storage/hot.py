"""Wallets as the last commit left them, remembered by a process that wrote them."""

from collections.abc import Iterable

from monedero.ledger.ids import WalletId
from monedero.ledger.state import Wallet

LIMIT_WALLETS = 65_536
"""About 40 MB. Beyond it everything is forgotten and what is hot soon comes back: no bookkeeping on each read."""


class HotWallets:
    """The state of the wallets that moved lately. Another thread may read while one writes."""

    def __init__(self) -> None:
        self._wallets: dict[WalletId, Wallet] = {}
        self.get = self._wallets.get

    def keep(self, wallets: Iterable[Wallet]) -> None:
        """Take wallets over from a transaction."""
        if len(self._wallets) > LIMIT_WALLETS:
            self._wallets.clear()
        for wallet in wallets:
            self._wallets[wallet.id] = wallet

    def clear(self) -> None:
        """Forget everything: the store is read again."""
        self._wallets.clear()
