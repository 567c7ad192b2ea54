"""Times: microseconds since 1970 in UTC inside, RFC 3339 outside."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


def read_timestamp(text: str) -> int | None:
    """Return the microseconds of a time with its zone; None: no such time, or in UTC no year of four digits."""
    try:
        at = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return None
    if at.tzinfo is None:
        return None
    microseconds = (at - _EPOCH) // _MICROSECOND
    return microseconds if _FIRST <= microseconds <= _LAST else None


def timestamp(at: int) -> str:
    """Return microseconds since 1970 as RFC 3339 in UTC."""
    second, microsecond = divmod(at, 1_000_000)
    return f"{_second(second)}.{microsecond:06d}Z"


@lru_cache(maxsize=1024)
def _second(second: int) -> str:
    """Return a second without its zone. Neighbours in a listing share theirs."""
    return (_EPOCH + timedelta(seconds=second)).replace(tzinfo=None).isoformat()
