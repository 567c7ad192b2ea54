"""Amounts: parsing and rendering are exact, and inverse to each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monedero.ledger.money import AmountError, NotPositiveError, Units, parse_amount, render_amount

LARGEST = 10**19 - 1


@given(st.integers(1, LARGEST))
def test_parse_inverts_render(units: int) -> None:
    """Every valid amount is read back exactly as it was written."""
    assert parse_amount(render_amount(units)) == units


@given(st.integers(0, 10**15 - 1), st.integers(0, 4), st.data())
def test_render_inverts_parse(whole: int, decimals: int, data: st.DataObject) -> None:
    """Every text of at most 15 and 4 digits is read as exactly what it says."""
    fraction = data.draw(st.integers(0, 10**decimals - 1))
    text = f"{whole}.{fraction:0{decimals}d}" if decimals else str(whole)
    units = whole * 10_000 + (fraction * 10 ** (4 - decimals) if decimals else 0)
    if units:
        assert parse_amount(text) == units
    else:
        with pytest.raises(NotPositiveError):
            parse_amount(text)


@pytest.mark.parametrize(
    ("text", "units"),
    [("500", 5_000_000), ("500.25", 5_002_500), ("0.0001", 1), ("1e2", 1_000_000), ("1E+2", 1_000_000), ("5e-1", 5_000),
     ("999999999999999.9999", LARGEST)],
)  # fmt: skip
def test_amounts_that_are_read(text: str, units: int) -> None:
    """JSON's own ways of writing a number are read, exactly."""
    assert parse_amount(text) == Units(units)


@pytest.mark.parametrize("text", ["0", "-0", "0.0000", "-500", "-0.0001", "-1e400", "0e5"])
def test_amounts_that_are_not_positive(text: str) -> None:
    """Zero and below is a fault of its own, with the contract's sentence."""
    with pytest.raises(NotPositiveError):
        parse_amount(text)


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "1\n", "+1", "01", ".5", "5.", "1_000", "1,5", "NaN", "Infinity", "-Infinity",
     "1e400", "1e9999", "1e-5",
     "0.00001", "1.00000", "1000000000000000", "1e15", "٣", "0x1", "true", "null", "1" * 5_000, "0." + "1" * 5_000],
)  # fmt: skip
def test_texts_that_are_no_amount(text: str) -> None:
    """Whatever is not a plain number within the bounds is refused, never rounded."""
    with pytest.raises(AmountError):
        parse_amount(text)


def test_amounts_are_written_without_noise() -> None:
    """An amount is written with no more digits than it has."""
    assert [render_amount(units) for units in (0, 1, 10, 5_000_000, -5, -15_000)] == [
        "0",
        "0.0001",
        "0.001",
        "500",
        "-0.0005",
        "-1.5",
    ]
