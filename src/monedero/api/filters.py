"""Filters of a listing of transactions: `kind`, `status`, `since` and `until`."""

from urllib.parse import urlencode

import msgspec

from monedero.api.errors import invalid_value
from monedero.api.http import Request
from monedero.api.schemas import timestamp_in
from monedero.api.times import timestamp
from monedero.api.transaction_bodies import KINDS, STATUSES
from monedero.engine.moments import length_at
from monedero.engine.scans import Filter
from monedero.storage.store import NEWEST, Queries


class Filtering(msgspec.Struct, frozen=True):
    """What a client wants to see; times in microseconds since 1970, `since` included and `until` not."""

    kind: str | None = None
    status: str | None = None
    since: int | None = None
    until: int | None = None

    @property
    def query(self) -> str:
        """The filter as the query of an address, always written in the same way; empty where nothing is filtered."""
        given = {
            "kind": self.kind,
            "status": self.status,
            "since": None if self.since is None else timestamp(self.since),
            "until": None if self.until is None else timestamp(self.until),
        }
        written = urlencode({name: value for name, value in given.items() if value is not None}, safe=":")
        return f"?{written}" if written else ""

    async def bounds(self, queries: Queries, size: int) -> Filter:
        """Return the filter with positions in a log of `size` events in place of times."""
        first = 0 if self.since is None else await length_at(queries, size, self.since - 1)
        end = NEWEST if self.until is None else await length_at(queries, size, self.until - 1)
        return Filter(self.kind, self.status, first, end)


NO_FILTER = Filtering()


def filtering(request: Request) -> Filtering:
    """Read the filter of a listing. Raises Problem 400."""
    if not request.scope["query_string"]:
        return NO_FILTER
    query = request.query()
    return Filtering(
        _one_of(KINDS, query, "kind"), _one_of(STATUSES, query, "status"), _time(query, "since"), _time(query, "until")
    )


def _one_of(known: tuple[str, ...], query: dict[str, str], name: str) -> str | None:
    text = query.get(name)
    if text is None or text in known:
        return text
    raise invalid_value(name, f"must be one of {', '.join(known)}")


def _time(query: dict[str, str], name: str) -> int | None:
    return timestamp_in(name, query[name]) if name in query else None
