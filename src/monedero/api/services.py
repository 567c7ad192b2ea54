"""What the handlers work with, handed in once at bootstrap."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from monedero.api.errors import Problem, refused
from monedero.api.http import Request
from monedero.api.moments import read_position
from monedero.api.shown import Shown
from monedero.engine.engine import Engine
from monedero.ledger.errors import Refusal
from monedero.ledger.ids import canonical_id
from monedero.proofs.keyring import Keyring
from monedero.storage.store import Queries, Store

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

    async def reading(self, request: Request, seen: int | None = None) -> Queries:
        """Return the read side for a request: one that shows the position it asks for, if it asks. Raises Problem.

        `seen` is a position that the client has seen, as of the page before: one that shows less would skip items.
        """
        wanted = self._wanted(request)
        queries = self.store.queries if wanted is None else await self.shows(wanted)
        if seen is None or (wanted is not None and wanted >= seen):
            return queries
        return await self.store.queries_at(seen) or queries

    async def settled(self, request: Request, seen: int | None = None) -> tuple[Queries, int]:
        """Return a read side for several questions about the past, and how many events it shows. Raises Problem.

        Wherever it asks, it never shows fewer: a replica that is behind would contradict the answer before.
        """
        queries = await self.reading(request, seen)
        size = await queries.size()
        return (await self.store.queries_at(size - 1) if size else None) or queries, size

    async def shows(self, position: int) -> Queries:
        """Return a read side that shows a position. Raises Problem 412: the log is not that long."""
        queries = await self.store.queries_at(position)
        if queries is None:
            raise Problem(412, f"The log has no position {position} yet", "position_not_reached")
        return queries

    def _wanted(self, request: Request) -> int | None:
        """Return the position that the request asks for. Raises Problem 400."""
        wanted = request.header(MIN_POSITION)
        if wanted is None:
            return None
        position = read_position(wanted.decode("latin-1").strip())
        if position is None:
            raise Problem(400, "Ledger-Min-Position must be a position in the log, such as 42", "invalid_position")
        return position


def known(found: Found | None, refusal: Refusal) -> Found:
    """Return what was found; where nothing was, raise the Problem that says so."""
    if found is None:
        raise refused(refusal)
    return found


def id_or_unknown(text: str, refusal: Refusal) -> str:
    """Return the canonical id that a client wrote; what is no UUID is unknown."""
    return known(canonical_id(text), refusal)
