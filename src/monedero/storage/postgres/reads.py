"""What a batch reads under the head's lock, and where each answer goes."""

from collections.abc import Callable, Iterator
from typing import LiteralString

from monedero.ledger.ids import OwnerId
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Owner, State, Touched
from monedero.storage.postgres import statements
from monedero.storage.postgres.rows import Row, array, quoted, take_debited, to_claim, to_hold, to_wallet

Take = Callable[[State, list[Row]], None]
Read = tuple[Take, LiteralString, Row]
"""Where the rows go, the statement, its parameters."""


def reads_of(touched: Touched) -> Iterator[Read]:
    """Yield what has to be read."""
    if touched.wallets:
        yield _take_wallets, statements.LOAD_WALLETS, (array(touched.wallets),)
    if touched.debited or touched.holds:
        yield _take_wallets, statements.LOAD_PARTIES, (array((*touched.debited, *touched.holds)),)
    if touched.owners:
        yield _take_owners, statements.LOAD_OWNERS, (array(touched.owners),)
    if touched.emails:
        kinds, keys = zip(*touched.emails, strict=True)
        yield _take_emails, statements.TAKEN_EMAILS, (list(kinds), list(keys))
    if touched.debited:
        yield _take_debited, statements.LOAD_DEBITED, (array(touched.debited),)
    if touched.holds:
        yield _take_holds, statements.LOAD_HOLDS, (array(touched.holds),)
    if touched.claims:
        yield _take_claims, statements.LOAD_CLAIMS, (array(map(quoted, touched.claims)),)


def _take_wallets(state: State, rows: list[Row]) -> None:
    state.wallets.update((wallet.id, wallet) for wallet in map(to_wallet, rows))


def _take_owners(state: State, rows: list[Row]) -> None:
    for found, kind, has_wallet, has_money in rows:
        state.owners[OwnerId(found)] = Owner(OwnerId(found), OwnerKind(kind), has_wallet, has_money)


def _take_emails(state: State, rows: list[Row]) -> None:
    state.emails.update((OwnerKind(kind), key) for kind, key in rows)


def _take_debited(state: State, rows: list[Row]) -> None:
    for row in rows:
        take_debited(state, row)


def _take_holds(state: State, rows: list[Row]) -> None:
    state.apply(tuple(map(to_hold, rows)))


def _take_claims(state: State, rows: list[Row]) -> None:
    state.claims.update((claim.key, claim) for claim in map(to_claim, rows))
