"""Making what follows from the log anew from the log alone."""

from monedero.engine.replay import Progress, Replay, ignore_progress
from monedero.storage.store import Store


def rebuild(store: Store, progress: Progress = ignore_progress) -> int:
    """Drop the wallets and the kept roots, replay the log, write them again; return how many wallets there are.

    Raises DiscrepancyError, with nothing changed, when the log itself is not whole.
    """
    replay = Replay()
    with store.overhaul() as ledger:
        replay.run(ledger.rows(), progress)
        replay.expect(ledger.head())
        wallets = sorted(replay.state.wallets.values(), key=lambda wallet: wallet.number)
        ledger.replace_wallets(wallets)
        ledger.replace_roots(replay.roots)
    return len(wallets)
