"""Between the ledger's values and the columns of a row."""

from typing import Any

import msgspec
from uuid_utils import UUID

from monedero.ledger.claims import Claim, decode_answers
from monedero.ledger.events import Movement, Recorded, decode
from monedero.ledger.evolve import debited, placed
from monedero.ledger.ids import OwnerId, WalletId
from monedero.ledger.merkle import KeptRoot
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind, PersonalData, Profile
from monedero.ledger.state import Hold, State, Wallet
from monedero.storage.store import EventRow, StoredOwner

Row = tuple[Any, ...]

NOTHING_KEPT: Row = (None,) * 6
"""The columns of personal data, from the name to the salt, where there is none."""


def id_bytes(canonical: str) -> bytes:
    """Return the 16 bytes of a canonical id."""
    return bytes.fromhex(canonical.replace("-", ""))


def id_text(stored: bytes) -> str:
    """Return the canonical text of 16 bytes. Raises ValueError, TypeError for anything else that a file may hold."""
    return str(UUID(bytes=stored))


def to_wallet(row: Row) -> Wallet:
    """Read a wallet's columns, in the order of WALLET_BY_ID."""
    wallet_id, number, kind, owner_id, currency, balance, *rest = row
    owner = OwnerId(id_text(owner_id)) if owner_id is not None else OwnerId("")
    return Wallet(
        WalletId(id_text(wallet_id)), number, OwnerKind(kind), owner, currency, Units(balance), *rest
    )  # fmt: skip


def from_wallet(wallet: Wallet) -> Row:
    """Return a wallet's columns, in the order of INSERT_WALLET."""
    return (
        id_bytes(wallet.id),
        wallet.number,
        wallet.owner_kind,
        id_bytes(wallet.owner_id),
        wallet.currency,
        wallet.balance,
        wallet.version,
        wallet.created_at,
        wallet.modified_at,
        wallet.position,
        wallet.held,
    )


def to_owner(row: Row) -> StoredOwner:
    """Read an owner's columns, in the order of OWNER_BY_ID."""
    owner_id, number, kind, name, last_name, email, phone, email_key, salt, created_at = row
    kept = (name, last_name, email, phone, email_key, salt)
    personal = None if kept == NOTHING_KEPT else PersonalData(Profile(name, last_name, email, phone), email_key, salt)
    return StoredOwner(OwnerId(id_text(owner_id)), number, OwnerKind(kind), created_at, personal)


def from_owner(owner: StoredOwner) -> Row:
    """Return an owner's columns, in the order of INSERT_OWNER."""
    personal, kept = owner.personal, NOTHING_KEPT
    if personal is not None:
        profile = personal.profile
        kept = (profile.name, profile.last_name, profile.email, profile.phone, personal.email_key, personal.salt)
    return owner.number, id_bytes(owner.id), owner.kind, *kept, owner.created_at


def from_root(kept: KeptRoot) -> Row:
    """Return a kept root's columns, in the order of INSERT_ROOT."""
    return kept.height, kept.number, kept.root


def to_recorded(row: Row) -> Recorded:
    """Read position and payload."""
    return Recorded(row[0], decode(row[1]))


def take_debited(state: State, row: Row) -> None:
    """Put a row of LOAD_DEBITED where it belongs: a debit, another transaction, or no transaction at all."""
    position, payload, refunded = row
    fact = Recorded(position, decode(payload))
    if debit := debited(fact, Units(refunded)):
        state.debited[debit.id] = debit
    elif isinstance(fact.event, Movement):
        state.not_debited.add(fact.event.id)


def to_hold(row: Row) -> Hold:
    """Read a hold, in the order of LOAD_HOLDS. Raises ValueError: a row that belongs to no hold."""
    number, payload, expires_at, captured, status, position = row
    hold = placed(Recorded(number, decode(payload)))
    return msgspec.structs.replace(hold, expires_at=expires_at, captured=captured, status=status, position=position)


def from_hold(hold: Hold) -> Row:
    """Return a hold's columns, in the order of INSERT_HOLD."""
    return hold.number, hold.expires_at, hold.captured, hold.status, hold.position


def to_claim(row: Row) -> Claim:
    """Read a claim, in the order of LOAD_CLAIMS."""
    key, fingerprint, at, answers = row
    return Claim(key, fingerprint, at, decode_answers(answers))


def to_event_row(row: Row) -> EventRow:
    """Read an event's columns, in the order of ALL_EVENTS. Raises ValueError for a payload that a damaged file lost."""
    position, event_id, payer, payee, payload, link = row
    if not isinstance(payload, bytes):
        raise ValueError(f"the payload at position {position} is no bytes")  # noqa: TRY004 - the value came from a file
    return EventRow(position, id_text(event_id), payer, payee, payload, link)
