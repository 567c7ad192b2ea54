"""Making what follows from the log anew from the log alone."""

from monedero.engine.replay import Progress, Replay, ignore_progress
from monedero.storage.store import Store


def rebuild(store: Store, progress: Progress = ignore_progress) -> int:
    """Drop wallets, holds, refunds and kept roots, replay the log, write them again; return how many wallets there are.

    Raises DiscrepancyError, with nothing changed, when the log itself is not whole.
    """
    with store.overhaul() as ledger:
        replay = Replay(ledger.debited)
        replay.run(ledger.rows(), progress)
        replay.expect(ledger.head())
        state = replay.state
        ledger.replace_projections(
            sorted(state.wallets.values(), key=lambda wallet: wallet.number),
            sorted(state.holds.values(), key=lambda hold: hold.number),
            (debit for debit in state.debited.values() if debit.refunded),
        )
        ledger.replace_roots(replay.roots)
    return len(state.wallets)
