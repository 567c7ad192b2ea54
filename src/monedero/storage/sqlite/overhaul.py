"""The whole file rewritten, as rebuilding and importing do."""

from collections.abc import Iterable

import apsw

from monedero.ledger.merkle import KeptRoot
from monedero.ledger.state import Debited, Hold, Wallet
from monedero.storage.sqlite import statements
from monedero.storage.sqlite.reader import FileSnapshot
from monedero.storage.sqlite.rows import from_hold, from_root, from_wallet
from monedero.storage.store import Import, NotStoredError


class FileOverhaul(FileSnapshot):
    """The whole file inside the one write transaction."""

    def replace_projections(self, wallets: Iterable[Wallet], holds: Iterable[Hold], debited: Iterable[Debited]) -> None:
        """See Overhaul.replace_projections."""
        execute, executemany = self._connection.execute, self._connection.executemany
        try:
            for dropped in (statements.DROP_WALLETS, statements.DROP_HOLDS, statements.DROP_REFUNDS):
                execute(dropped)
            executemany(statements.INSERT_WALLET, map(from_wallet, wallets))
            executemany(statements.INSERT_HOLD, map(from_hold, holds))
            executemany(statements.INSERT_REFUND, ((debit.number, debit.refunded) for debit in debited))
        except apsw.ConstraintError as error:
            raise NotStoredError(f"The wallets do not fit the owners that are stored: {error}") from error

    def replace_roots(self, roots: Iterable[KeptRoot]) -> None:
        """See Overhaul.replace_roots."""
        self._connection.execute(statements.DROP_ROOTS)
        self._connection.executemany(statements.INSERT_ROOT, map(from_root, roots))

    def begin_import(self, begun: Import) -> None:
        """See Overhaul.begin_import."""
        self._connection.execute(statements.BEGIN_IMPORT, (begun.size, begun.root, begun.owners))

    def end_import(self) -> None:
        """See Overhaul.end_import."""
        self._connection.execute(statements.END_IMPORT)
