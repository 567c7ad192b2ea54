"""What customers and businesses have in common when they sign up and open a wallet."""

from monedero.api.errors import Problem
from monedero.api.http import Request
from monedero.api.services import SALT_BYTES, Services, id_or_unknown, known, recorded_at
from monedero.ledger.commands import OpenWallet, RegisterOwner
from monedero.ledger.errors import UnknownOwner
from monedero.ledger.ids import OwnerId, WalletId
from monedero.ledger.money import ZERO
from monedero.ledger.profiles import OwnerKind, Profile
from monedero.ledger.state import Wallet

Recording = tuple[tuple[bytes, bytes], ...]
"""The headers that say where something was recorded."""


def owner_in_path(request: Request, kind: OwnerKind) -> tuple[OwnerId, UnknownOwner]:
    """Return the owner's id that a path names, and the refusal for when nobody has it. Raises Problem: no id at all."""
    unknown = UnknownOwner(kind, OwnerId(request.ids[0]))
    return OwnerId(id_or_unknown(request.ids[0], unknown)), unknown


async def register(services: Services, kind: OwnerKind, profile: Profile, path: str) -> tuple[RegisterOwner, Recording]:
    """Sign up an owner under the collection `path`."""
    command = RegisterOwner(
        OwnerId(services.new_id()), services.now(), kind, profile, services.random_bytes(SALT_BYTES)
    )
    location = f"{path}/{command.id}"
    recorded = await services.submit(command, location)
    return command, recorded_at(location, recorded)


async def show_owner(services: Services, request: Request, kind: OwnerKind) -> tuple[OwnerId, Profile, int]:
    """Return the owner that a path names, the profile, and when it signed up. Raises Problem: unknown, or erased."""
    owner_id, unknown = owner_in_path(request, kind)
    owner = known(await (await services.reading(request)).owner(kind, owner_id), unknown)
    if owner.personal is None:
        raise Problem(410, f"The personal data of this {kind} is not kept here", "no_personal_data")
    return owner_id, owner.personal.profile, owner.created_at


async def open_wallet(services: Services, kind: OwnerKind, owner: str, path: str) -> tuple[Wallet, Recording]:
    """Open a wallet under the collection `path` for the owner whose id a client wrote as `owner`."""
    owner_id = OwnerId(id_or_unknown(owner, UnknownOwner(kind, OwnerId(owner))))
    command = OpenWallet(WalletId(services.new_id()), services.now(), kind, owner_id, services.currency)
    location = f"{path}/{command.id}"
    recorded = await services.submit(command, location)
    at, position = command.at, recorded.position
    wallet = Wallet(command.id, position, kind, owner_id, command.currency, ZERO, 0, at, at, position)
    return wallet, recorded_at(location, recorded)
