"""Times: microseconds since 1970 in UTC inside, RFC 3339 outside."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_timestamp(text: str) -> int | None:
    """Return the microseconds of a time with its zone; None: it is no such time."""
    try:
        at = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    return None if at.tzinfo is None else (at - _EPOCH) // timedelta(microseconds=1)


def timestamp(at: int) -> str:
    """Return microseconds since 1970 as RFC 3339 in UTC."""
    second, microsecond = divmod(at, 1_000_000)
    return f"{_second(second)}.{microsecond:06d}Z"


@lru_cache(maxsize=1024)
def _second(second: int) -> str:
    """Return a second without its zone. Neighbours in a listing share theirs."""
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S")
