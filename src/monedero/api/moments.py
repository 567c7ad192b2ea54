"""Places in the past that a client names: by a position in the log, or by a time."""

import msgspec

from monedero.api.errors import invalid_value
from monedero.api.times import read_timestamp
from monedero.engine.moments import length_at
from monedero.storage.store import NEWEST, Queries

_DIGITS = len(str(NEWEST))


class Moment(msgspec.Struct, frozen=True):
    """A position in the log or else a time, in microseconds since 1970."""

    position: int | None
    at: int = 0

    async def including(self, queries: Queries, size: int) -> int:
        """Return how many of the log's `size` events there are up to and with this moment."""
        return await length_at(queries, size, self.at) if self.position is None else self.position + 1

    async def before(self, queries: Queries, size: int) -> int:
        """Return how many of the log's `size` events come before this moment."""
        return await length_at(queries, size, self.at - 1) if self.position is None else self.position


def read_position(text: str) -> int | None:
    """Return a position in the log; None: it is none."""
    if text.isascii() and text.isdecimal() and len(text) <= _DIGITS and int(text) <= NEWEST:
        return int(text)
    return None


def moment(query: dict[str, str], name: str) -> Moment | None:
    """Read a place in the past; None: it is not given. Raises Problem 400."""
    text = query.get(name)
    if text is None:
        return None
    if (position := read_position(text)) is not None:
        return Moment(position)
    if (at := read_timestamp(text)) is not None:
        return Moment(None, at)
    raise invalid_value(
        name, "must be a position in the log, or a time as in RFC 3339, with its zone: 2030-01-31T12:00:00Z"
    )
