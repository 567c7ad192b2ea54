"""The audit: everything that is stored against what the log makes of it."""

from itertools import zip_longest

import msgspec

from monedero.engine.replay import DiscrepancyError, Progress, Replay, ignore_progress
from monedero.ledger.ids import OwnerId
from monedero.ledger.money import render_amount
from monedero.ledger.profiles import profile_digest
from monedero.storage.store import Snapshot, StoreBrokenError, StoredOwner


class Verified(msgspec.Struct, frozen=True):
    """What an audit that found nothing has checked."""

    events: int
    owners: int
    owners_without_personal_data: int
    wallets: int
    transactions: int
    deposited: int
    """In units of 1/10,000; all balances together are the same sum."""
    root: str


def verify(snapshot: Snapshot, progress: Progress = ignore_progress) -> Verified:
    """Recompute tree, chain and balances from the stored bytes and compare everything that is stored.

    Raises DiscrepancyError naming the first position, wallet or owner that differs. Takes memory in
    proportion to wallets and owners, and for events only what one kept root in 256 takes.
    """
    replay = Replay()
    try:
        replay.run(snapshot.rows(), progress)
        replay.expect(snapshot.head())
        _compare_roots(snapshot, replay)
        _compare_wallets(snapshot, replay)
        erased = _compare_owners(snapshot, replay)
        damage = snapshot.damage()
    except StoreBrokenError as error:
        raise DiscrepancyError(f"after position {replay.head.size - 1}: {error}") from None
    if damage:
        raise DiscrepancyError(f"the database is damaged: {damage}")
    return Verified(
        replay.head.size,
        len(replay.registrations),
        erased,
        len(replay.state.wallets),
        replay.transactions,
        -replay.world,
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


def _compare_wallets(snapshot: Snapshot, replay: Replay) -> None:
    expected = iter(sorted(replay.state.wallets.values(), key=lambda wallet: wallet.number))
    total = replay.world
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
        total += stored.balance
    if (wallet := next(expected, None)) is not None:
        raise DiscrepancyError(f"wallet {wallet.id} is missing")
    if total:
        raise DiscrepancyError(f"all balances and the world's sum to {render_amount(total)}, not to 0")


def _compare_owners(snapshot: Snapshot, replay: Replay) -> int:
    """Return for how many owners there is no personal data."""
    seen: set[OwnerId] = set()
    without = 0
    for owner in snapshot.owners():
        _compare_owner(owner, replay)
        seen.add(owner.id)
        without += owner.personal is None
    for owner_id in replay.registrations.keys() - seen:
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
