"""Where times and ids come from."""

import time

import uuid_utils


def now_microseconds() -> int:
    """Return the time, in microseconds since 1970 in UTC."""
    return time.time_ns() // 1000


def new_id() -> str:
    """Return a new UUIDv7: ordered by time, so that indexes grow at their end."""
    return str(uuid_utils.uuid7())
