"""Times of clients: every time that can be told in UTC is read and told exactly, every other one is refused."""

import pytest

from monedero.api.times import read_timestamp, timestamp


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
        ("0360-02-06T12:00:00Z", "0360-02-06T12:00:00.000000Z"),
        ("0001-01-01T14:00:00+14:00", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T09:59:59.999999-14:00", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_is_told_in_utc(text: str, told: str) -> None:
    """From the first moment of year 1 to the last of year 9999, with four digits."""
    at = read_timestamp(text)

    assert at is not None
    assert timestamp(at) == told


@pytest.mark.parametrize(
    "text", ["0001-01-01T13:59:59.999999+14:00", "9999-12-31T10:00:00-14:00", "2026-01-01T00:00:00", "never"]
)
def test_what_cannot_be_told_in_utc_is_no_time(text: str) -> None:
    """Before year 1 or after 9999 in UTC, without a zone, no time at all."""
    assert read_timestamp(text) is None
