"""What a process knows of the ledger without asking, and when it may rely on that (docs/decisions/0024)."""

from collections.abc import Iterable

from monedero.ledger.merkle import Head
from monedero.ledger.state import State, Touched, Wallet
from monedero.storage.hot import HotWallets

CALM_LOOKS = 16
"""So many looks in a row must have found the head as it was left: between two busy processes that never happens."""


class Memory:
    """The head as this process left it, and wallets as they were then.

    The head's link names the whole log, and what a wallet has follows from the log: all of this holds while the head
    is that one, and only then.
    """

    def __init__(self, head: Head, fence: int) -> None:
        self.head = head
        self.fence = fence
        self._wallets = HotWallets()
        self._calm = 0

    def is_true(self, head: Head, fence: int) -> bool:
        """Tell, and note for later, whether the head was found as it was left."""
        found = (head, fence) == (self.head, self.fence)
        self._calm += found
        return found

    def keep(self, wallets: Iterable[Wallet]) -> None:
        """Take wallets over, as they are under the head."""
        self._wallets.keep(wallets)

    def state(self, touched: Touched) -> State | None:
        """Return what a batch touches, but for idempotency keys, unless it has to be read."""
        if self._calm < CALM_LOOKS or touched.owners or touched.emails or touched.holds or touched.debited:
            return None
        wallets = [wallet for each in touched.wallets if (wallet := self._wallets.get(each))]
        if len(wallets) < len(touched.wallets):
            return None
        return State({wallet.id: wallet for wallet in wallets})
