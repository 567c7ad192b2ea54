"""The audit: everything that is stored against what the log makes of it."""

from collections import Counter
from itertools import zip_longest

import msgspec

from monedero.engine.replay import DiscrepancyError, Progress, Replay, ignore_progress
from monedero.ledger.money import ZERO, render_amount
from monedero.ledger.profiles import profile_digest
from monedero.storage.store import Snapshot, StoreBrokenError, StoredOwner


class Turnover(msgspec.Struct, frozen=True):
    """Of one currency, in units of 1/10,000: its wallets together hold what was deposited less what was paid out."""

    deposited: int
    paid_out: int


class Verified(msgspec.Struct, frozen=True):
    """What an audit that found nothing has checked."""

    events: int
    owners: int
    owners_without_personal_data: int
    wallets: int
    transactions: int
    turnover: dict[str, Turnover]
    """By the currencies of the wallets."""
    holds: int
    root: str


def verify(snapshot: Snapshot, progress: Progress = ignore_progress) -> Verified:
    """Recompute tree, chain and balances from the stored bytes and compare everything that is stored.

    Raises DiscrepancyError naming the first position, kept root, wallet, hold, debit or owner that differs. Takes
    memory in proportion to wallets, owners, holds and refunded debits, and for events only what one kept root in 256
    takes.
    """
    replay = Replay(snapshot.debited)
    try:
        with snapshot.inspection() as damage:
            replay.run(snapshot.rows(), progress)
            replay.expect(snapshot.head())
            owners = len(replay.registrations)
            _compare_roots(snapshot, replay)
            turnover = _compare_wallets(snapshot, replay)
            _compare_holds(snapshot, replay)
            _compare_refunds(snapshot, replay)
            erased = _compare_owners(snapshot, replay)
            found = damage()
    except StoreBrokenError as error:
        raise DiscrepancyError(f"after position {replay.head.size - 1}: {error}") from None
    if found:
        raise DiscrepancyError(f"the database is damaged: {found}")
    return Verified(
        replay.head.size,
        owners,
        erased,
        len(replay.state.wallets),
        replay.transactions,
        turnover,
        len(replay.state.holds),
        replay.head.root.hex(),
    )


def _compare_roots(snapshot: Snapshot, replay: Replay) -> None:
    expected = sorted(replay.roots)
    for right, stored in zip_longest(expected, snapshot.roots()):
        if stored != right:
            place = min(each for each in (right, stored) if each)
            raise DiscrepancyError(
                f"the kept root of height {place.height} over the events from position "
                f"{place.number << place.height} on is not that of the log"
            )


def _compare_wallets(snapshot: Snapshot, replay: Replay) -> dict[str, Turnover]:
    """Return what came in and went out of each currency that there are wallets of."""
    expected = iter(sorted(replay.state.wallets.values(), key=lambda wallet: wallet.number))
    totals: Counter[str] = Counter()
    for stored in snapshot.wallets():
        wallet = next(expected, None)
        if wallet is None:
            raise DiscrepancyError(f"wallet {stored.id} is stored, but the log never opened it")
        if wallet.number < stored.number:
            raise DiscrepancyError(f"wallet {wallet.id} is missing")
        for name in wallet.__struct_fields__:
            found, right = getattr(stored, name), getattr(wallet, name)
            if found != right:
                raise DiscrepancyError(f"wallet {wallet.id}: {name} is {found}, the log makes it {right}")
        totals[stored.currency] += stored.balance
    if (wallet := next(expected, None)) is not None:
        raise DiscrepancyError(f"wallet {wallet.id} is missing")
    for currency, total in totals.items():
        if total != (right := replay.deposited[currency] - replay.paid_out[currency]):
            raise DiscrepancyError(
                f"all balances in {currency} sum to {render_amount(total)}, but what came in less what went out is "
                f"{render_amount(right)}"
            )
    return {each: Turnover(replay.deposited[each], replay.paid_out[each]) for each in sorted(totals)}


def _compare_holds(snapshot: Snapshot, replay: Replay) -> None:
    expected = dict(replay.state.holds)
    for stored in snapshot.holds():
        hold = expected.pop(stored.id, None)
        if stored != hold:
            raise DiscrepancyError(f"hold {stored.id}: stored is {stored}, the log makes it {hold}")
    for hold_id in expected:
        raise DiscrepancyError(f"hold {hold_id} is missing")


def _compare_refunds(snapshot: Snapshot, replay: Replay) -> None:
    expected = {debit.number: debit.refunded for debit in replay.state.debited.values() if debit.refunded}
    for number, refunded in snapshot.refunds():
        right = expected.pop(number, ZERO)
        if refunded != right:
            raise DiscrepancyError(
                f"the debit at position {number}: {refunded} units are refunded, the log makes it {right}"
            )
    for number in expected:
        raise DiscrepancyError(f"what was refunded of the debit at position {number} is missing")


def _compare_owners(snapshot: Snapshot, replay: Replay) -> int:
    """Return for how many owners there is no personal data. Registrations that are stored are crossed off."""
    without = 0
    for owner in snapshot.owners():
        _compare_owner(owner, replay)
        del replay.registrations[owner.id]
        without += owner.personal is None
    for owner_id in replay.registrations:
        raise DiscrepancyError(f"owner {owner_id} is missing")
    return without


def _compare_owner(stored: StoredOwner, replay: Replay) -> None:
    known, registration = replay.state.owners.get(stored.id), replay.registrations.get(stored.id)
    if known is None or registration is None:
        raise DiscrepancyError(f"owner {stored.id} is stored, but the log never registered it")
    number, event = registration
    if (stored.kind, stored.number, stored.created_at) != (known.kind, number, event.at):
        raise DiscrepancyError(f"owner {stored.id} is not stored as the log registered it")
    if (personal := stored.personal) is None:
        return  # Not kept here, which its seal in the log allows for.
    sealed = profile_digest(personal.profile, personal.salt) == event.profile_digest
    if not sealed or personal.email_key != personal.profile.email_key:
        raise DiscrepancyError(f"owner {stored.id}: the personal data is not what was registered")
