"""Pages of a listing: how many items, and the cursor that says where the next page goes on.

A cursor is opaque: a log position, tied by a digest to the path that it was given for, so that one that was
altered, cut short or taken from another listing by mistake is refused. It is no secret and grants nothing.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2s

import msgspec

from monedero.api.errors import Problem, invalid_value
from monedero.api.http import Request
from monedero.storage.store import NEWEST

_POSITION_BYTES = 8
_DIGEST_BYTES = 7
"""With the position 15 bytes, which base64 writes as 20 characters without padding."""


class Page(msgspec.Struct, frozen=True):
    """What a client asked for: items below the position `before`, newest first, at most `limit`."""

    path: str
    before: int
    limit: int

    @property
    def fetch(self) -> int:
        """How many items to read: one more than the page holds tells whether more follow."""
        return self.limit + 1

    def next(self, last: int) -> str:
        """Return the address of the page that goes on below the position `last`."""
        return f"{self.path}?cursor={_write(self.path, last)}&limit={self.limit}"


def page(request: Request, path: str) -> Page:
    """Read `limit` and `cursor` for the listing at `path`, the canonical one. Raises Problem 400."""
    if not request.scope["query_string"]:
        return Page(path, NEWEST, request.limits.page_default)
    query = request.query()
    limit, cursor = query.get("limit"), query.get("cursor")
    return Page(
        path,
        NEWEST if cursor is None else _read(path, cursor),
        request.limits.page_default if limit is None else _limit(limit, request.limits.page_limit),
    )


def link(following: str | msgspec.UnsetType) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header that names the next page, if there is one (RFC 8288)."""
    return () if following is msgspec.UNSET else ((b"link", f'<{following}>; rel="next"'.encode()),)


def _limit(text: str, most: int) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and 1 <= int(text) <= most:
        return int(text)
    raise invalid_value("limit", f"must be a whole number from 1 to {most}")


def _digest(path: str, position: bytes) -> bytes:
    return blake2s(position + path.encode(), digest_size=_DIGEST_BYTES).digest()


def _write(path: str, position: int) -> str:
    packed = position.to_bytes(_POSITION_BYTES)
    return urlsafe_b64encode(packed + _digest(path, packed)).decode()


def _read(path: str, cursor: str) -> int:
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii"))
    except ValueError:
        raw = b""
    packed = raw[:_POSITION_BYTES]
    if raw[_POSITION_BYTES:] != _digest(path, packed) or urlsafe_b64encode(raw).decode() != cursor:
        raise Problem(400, "The cursor is not one that this listing gave", "invalid_cursor")
    return min(int.from_bytes(packed), NEWEST)
