"""What the handlers work with, handed in once at bootstrap."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from monedero.api.errors import Problem, refused
from monedero.api.http import Request
from monedero.api.shown import Shown
from monedero.engine.engine import Engine
from monedero.ledger.errors import Refusal
from monedero.ledger.ids import canonical_id
from monedero.proofs.keyring import Keyring
from monedero.storage.store import NEWEST, Queries, Store

MIN_POSITION = b"ledger-min-position"
SALT_BYTES = 16

Found = TypeVar("Found")


class Services(msgspec.Struct, frozen=True):
    """The engine, the read side, and where times, ids and salts come from.

    `hold_seconds` is how long a hold lasts of which nothing else is said. `now` returns microseconds since 1970 in
    UTC, `new_id` a UUIDv7, `random_bytes` as many as it is asked for. Without a `keyring` nothing is signed.
    """

    engine: Engine
    store: Store
    shown: Shown
    currency: str
    hold_seconds: int
    now: Callable[[], int]
    new_id: Callable[[], str]
    random_bytes: Callable[[int], bytes]
    keyring: Keyring | None

    async def reading(self, request: Request) -> Queries:
        """Return the read side for a request: one that shows the position it asks for, if it asks. Raises Problem."""
        wanted = request.header(MIN_POSITION)
        if wanted is None:
            return self.store.queries
        wanted = wanted.strip()
        if not wanted.isdigit() or int(wanted) > NEWEST:
            raise Problem(400, "Ledger-Min-Position must be a position in the log, such as 42", "invalid_position")
        queries = await self.store.queries_at(int(wanted))
        if queries is None:
            raise Problem(412, f"The log has no position {int(wanted)} yet", "position_not_reached")
        return queries


def known(found: Found | None, refusal: Refusal) -> Found:
    """Return what was found; where nothing was, raise the Problem that says so."""
    if found is None:
        raise refused(refusal)
    return found


def id_or_unknown(text: str, refusal: Refusal) -> str:
    """Return the canonical id that a client wrote; what is no UUID is unknown."""
    return known(canonical_id(text), refusal)
