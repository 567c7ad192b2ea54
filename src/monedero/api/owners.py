"""What customers and businesses have in common when they sign up and open a wallet."""

from monedero.api.errors import Problem
from monedero.api.http import Request
from monedero.api.services import SALT_BYTES, Services, id_or_unknown, known
from monedero.ledger.commands import OpenWallet, RegisterOwner
from monedero.ledger.errors import UnknownOwner
from monedero.ledger.events import Recorded, WalletOpened
from monedero.ledger.ids import OwnerId, WalletId
from monedero.ledger.money import ZERO
from monedero.ledger.profiles import OwnerKind, Profile
from monedero.ledger.state import Wallet


def owner_in_path(request: Request, kind: OwnerKind) -> tuple[OwnerId, UnknownOwner]:
    """Return the owner's id that a path names, and the refusal for when nobody has it. Raises Problem: no id at all."""
    unknown = UnknownOwner(kind, OwnerId(request.ids[0]))
    return OwnerId(id_or_unknown(request.ids[0], unknown)), unknown


async def show_owner(services: Services, request: Request, kind: OwnerKind) -> tuple[OwnerId, Profile, int]:
    """Return the owner that a path names, the profile, and when it signed up. Raises Problem: unknown, or erased."""
    owner_id, unknown = owner_in_path(request, kind)
    owner = known(await (await services.reading(request)).owner(kind, owner_id), unknown)
    if owner.personal is None:
        raise Problem(410, f"The personal data of this {kind} is not kept here", "no_personal_data")
    return owner_id, owner.personal.profile, owner.created_at


def registration(services: Services, kind: OwnerKind, profile: Profile) -> RegisterOwner:
    """Return the command that signs an owner up."""
    return RegisterOwner(OwnerId(services.new_id()), services.now(), kind, profile, services.random_bytes(SALT_BYTES))


def opening(services: Services, kind: OwnerKind, owner: str) -> OpenWallet:
    """Return the command that opens a wallet for the owner whose id a client wrote. Raises Problem: no id at all."""
    owner_id = OwnerId(id_or_unknown(owner, UnknownOwner(kind, OwnerId(owner))))
    return OpenWallet(WalletId(services.new_id()), services.now(), kind, owner_id, services.currency)


def opened_wallet(recorded: Recorded) -> Wallet:
    """Return the wallet that an event opened, as it was then."""
    event, position = recorded.event, recorded.position
    if not isinstance(event, WalletOpened):  # pragma: no cover - asked of openings only
        raise TypeError(event)
    return Wallet(
        event.id, position, event.owner_kind, event.owner_id, event.currency, ZERO, 0, event.at, event.at, position
    )
