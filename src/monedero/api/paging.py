"""Pages of a listing: how many items, and the cursor that says where the next page goes on.

A cursor is opaque: a place of one or two log positions, tied by a digest to the path and the filter that it was given
for, so that one that was altered, cut short or taken from another listing by mistake is refused. It is no secret and
grants nothing.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2s

import msgspec

from monedero.api.errors import Problem, invalid_value
from monedero.api.http import Request
from monedero.storage.store import NEWEST

Place = tuple[int, ...]

_POSITION_BYTES = 8
_DIGEST_BYTES = {1: 7, 2: 8}
"""By the number of positions, with which they are 15 and 24 bytes: base64 writes those without padding."""


class Page(msgspec.Struct, frozen=True):
    """What a client asked for: at most `limit` items after a place, from the first on where there is none.

    `path` is the listing's, with the query that filters it.
    """

    path: str
    place: Place | None
    limit: int

    @property
    def before(self) -> int:
        """The position below which the page goes on, where places are one position: newest first."""
        return NEWEST if self.place is None else self.place[0]

    @property
    def seen(self) -> int | None:
        """A position that the client has seen in the log, if this is not the first page."""
        return None if self.place is None else self.place[0]

    @property
    def fetch(self) -> int:
        """How many items to read: one more than the page holds tells whether more follow."""
        return self.limit + 1

    def next(self, *place: int) -> str:
        """Return the address of the page that goes on after a place."""
        joint = "&" if "?" in self.path else "?"
        return f"{self.path}{joint}cursor={_write(self.path, place)}&limit={self.limit}"


def page(request: Request, path: str, positions: int = 1) -> Page:
    """Read `limit` and `cursor` for the listing at `path`, the canonical one, whose places are so many positions.

    Raises Problem 400.
    """
    if not request.scope["query_string"]:
        return Page(path, None, request.limits.page_default)
    query = request.query()
    cursor = query.get("cursor")
    return Page(path, None if cursor is None else _read(path, cursor, positions), page_limit(request, query))


def page_limit(request: Request, query: dict[str, str]) -> int:
    """Return how many items a page may hold. Raises Problem 400."""
    limit = query.get("limit")
    return request.limits.page_default if limit is None else _limit(limit, request.limits.page_limit)


def invalid_cursor() -> Problem:
    """Return the answer to a cursor that the listing did not give."""
    return Problem(400, "The cursor is not one that this listing gave", "invalid_cursor")


def link(following: str | msgspec.UnsetType) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header that names the next page, if there is one (RFC 8288)."""
    return () if following is msgspec.UNSET else ((b"link", f'<{following}>; rel="next"'.encode()),)


def _limit(text: str, most: int) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and 1 <= int(text) <= most:
        return int(text)
    raise invalid_value("limit", f"must be a whole number from 1 to {most}")


def _digest(path: str, packed: bytes, positions: int) -> bytes:
    return blake2s(packed + path.encode(), digest_size=_DIGEST_BYTES[positions]).digest()


def _write(path: str, place: Place) -> str:
    packed = b"".join(position.to_bytes(_POSITION_BYTES) for position in place)
    return urlsafe_b64encode(packed + _digest(path, packed, len(place))).decode()


def _read(path: str, cursor: str, positions: int) -> Place:
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii"))
    except ValueError:
        raw = b""
    size = positions * _POSITION_BYTES
    packed = raw[:size]
    if raw[size:] != _digest(path, packed, positions) or urlsafe_b64encode(raw).decode() != cursor:
        raise invalid_cursor()
    starts = range(0, size, _POSITION_BYTES)
    return tuple(min(int.from_bytes(packed[start : start + _POSITION_BYTES]), NEWEST) for start in starts)
