"""Amounts: integers of 1/10,000 of the currency inside, exact decimals outside, never a float."""

import re
from typing import NewType

DECIMALS = 4
INTEGER_DIGITS = 15

Units = NewType("Units", int)
"""An amount or a balance in units of 1/10,000 of the currency."""

ZERO = Units(0)
BALANCE_LIMIT = Units(2**63 - 1)
"""The largest balance: what a signed 64-bit column holds."""

_UNITS_PER_WHOLE = 10**DECIMALS
_UNITS_LIMIT = 10 ** (INTEGER_DIGITS + DECIMALS)
_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]{0,39})(?:\.([0-9]{1,40}))?(?:[eE]([+-]?[0-9]{1,3}))?")


class AmountError(ValueError):
    """A text that is no amount; the message completes the sentence "the amount ..."."""


class NotPositiveError(AmountError):
    """A number that is zero or less."""


def parse_amount(text: str) -> Units:
    """Read a positive amount from the text of a JSON number or a decimal string, exactly.

    Raises NotPositiveError for zero and below, AmountError for everything else that is no amount: more
    than 4 decimals or 15 digits before the point, anything that is no number. Source: the contract.
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise AmountError("must be a number, or a decimal string, of at most 40 digits on each side of the point")
    minus, whole, fraction, exponent = found.groups(default="")
    digits = int(whole + fraction)
    if minus or not digits:
        raise NotPositiveError("must be a positive number")
    decimals = len(fraction) - int(exponent or 0)
    if decimals > DECIMALS:
        raise AmountError(f"must have at most {DECIMALS} decimals")
    units = digits * 10 ** (DECIMALS - decimals)
    if units >= _UNITS_LIMIT:
        raise AmountError(f"must have at most {INTEGER_DIGITS} digits before the point")
    return Units(units)


def render_amount(units: int) -> str:
    """Write units of 1/10,000 as the shortest exact decimal: `500`, `500.25`, `0.0001`."""
    sign = "-" if units < 0 else ""
    whole, fraction = divmod(abs(units), _UNITS_PER_WHOLE)
    return f"{sign}{whole}.{fraction:04d}".rstrip("0") if fraction else f"{sign}{whole}"
