"""Between the ledger's values and the columns of a row."""

from collections.abc import Iterable
from typing import Any

import msgspec

from monedero.ledger.claims import Claim, decode_answers, encode_answers
from monedero.ledger.events import Movement, Recorded, decode
from monedero.ledger.evolve import debited, placed
from monedero.ledger.merkle import Head, KeptRoot
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind, PersonalData, Profile
from monedero.ledger.state import Debited, Hold, State, Wallet
from monedero.storage.store import Batch, EventRow, StoredOwner

Row = tuple[Any, ...]

NOTHING_KEPT: Row = (None,) * 6
"""The columns of personal data, from the name to the salt, where there is none."""


def to_wallet(row: Row) -> Wallet:
    """Read a wallet's columns, in the order of WALLET_BY_ID."""
    wallet_id, number, kind, owner_id, currency, balance, *rest = row
    return Wallet(wallet_id, number, OwnerKind(kind), owner_id, currency, Units(balance), *rest)


def from_wallet(wallet: Wallet) -> Row:
    """Return a wallet's columns, in the order of INSERT_WALLET."""
    return (
        wallet.id,
        wallet.number,
        wallet.owner_kind,
        wallet.owner_id,
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
    owner_id, number, kind, *kept, created_at = row
    if tuple(kept) == NOTHING_KEPT:
        return StoredOwner(owner_id, number, OwnerKind(kind), created_at, None)
    name, last_name, email, phone, email_key, salt = kept
    personal = PersonalData(Profile(name, last_name, email, phone), email_key, salt)
    return StoredOwner(owner_id, number, OwnerKind(kind), created_at, personal)


def from_owner(owner: StoredOwner) -> Row:
    """Return an owner's columns, in the order of INSERT_OWNER."""
    personal, kept = owner.personal, NOTHING_KEPT
    if personal is not None:
        profile = personal.profile
        kept = (profile.name, profile.last_name, profile.email, profile.phone, personal.email_key, personal.salt)
    return owner.number, owner.id, owner.kind, *kept, owner.created_at


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


def from_holds(holds: Iterable[Hold]) -> Row:
    """Return the columns of holds, in the order of PUT_HOLDS."""
    holds = tuple(holds)
    return (
        array(str(hold.number) for hold in holds),
        array(str(hold.expires_at) for hold in holds),
        array(str(hold.captured) for hold in holds),
        array(hold.status for hold in holds),
        array(str(hold.position) for hold in holds),
    )


def from_debited(debited: Iterable[Debited]) -> Row:
    """Return the columns of refunded debits, in the order of PUT_REFUNDS."""
    debited = tuple(debited)
    return array(str(debit.number) for debit in debited), array(str(debit.refunded) for debit in debited)


def to_claim(row: Row) -> Claim:
    """Read a claim, in the order of LOAD_CLAIMS."""
    key, fingerprint, at, answers = row
    return Claim(key, fingerprint, at, decode_answers(answers))


def from_claims(claims: Iterable[Claim]) -> Row:
    """Return the columns of claims, in the order of INSERT_CLAIMS."""
    claims = tuple(claims)
    return (
        array(quoted(claim.key) for claim in claims),
        array(quoted(claim.fingerprint) for claim in claims),
        array(str(claim.at) for claim in claims),
        array(quoted(encode_answers(claim.answers)) for claim in claims),
    )


def to_event_row(row: Row) -> EventRow:
    """Read an event's columns, in the order of ALL_EVENTS."""
    return EventRow(*row)


def from_batch(batch: Batch, before: Head, fence: int) -> Row:
    """Return the parameters of APPEND: the head, columns of the log, of the wallets that moved, of the kept roots.

    `before` is the head that the batch goes on from, `fence` the one that it was decided under.
    """
    rows, moved, roots, head = batch.rows, batch.moved, batch.roots, batch.head
    return (
        head.size,
        head.frontier,
        head.root,
        before.link,
        fence,
        head.link,
        array(str(row.position) for row in rows),
        array(row.id for row in rows),
        array("NULL" if row.payer is None else str(row.payer) for row in rows),
        array("NULL" if row.payee is None else str(row.payee) for row in rows),
        array(quoted(row.payload) for row in rows),
        array(quoted(row.link) for row in rows),
        array(wallet.id for wallet in moved),
        array(str(wallet.balance) for wallet in moved),
        array(str(wallet.version) for wallet in moved),
        array(str(wallet.modified_at) for wallet in moved),
        array(str(wallet.position) for wallet in moved),
        array(str(wallet.held) for wallet in moved),
        array(str(kept.height) for kept in roots),
        array(str(kept.number) for kept in roots),
        array(quoted(kept.root) for kept in roots),
    )


def array(elements: Iterable[str]) -> str:
    """Return an array literal of elements that need no quotes: numbers, ids and NULL."""
    return "{" + ",".join(elements) + "}"


def quoted(value: bytes) -> str:
    """Return bytes as an element of an array literal."""
    return f'"\\\\x{value.hex()}"'
