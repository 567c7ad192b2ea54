"""Which form of an answer a client wants: as `format` says, else as `Accept` does (RFC 9110, 12.5.1)."""

import re
from typing import Literal

from monedero.api.errors import invalid_value
from monedero.api.http import Request

Format = Literal["json", "csv", "html"]

FORMATS: dict[Format, str] = {"json": "application/json", "csv": "text/csv", "html": "text/html"}
"""In the order in which ours decide between forms that a client likes equally."""

_QUALITY = re.compile(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*", re.IGNORECASE)


def wanted_format(request: Request, query: dict[str, str]) -> Format:
    """Return the form to answer in; JSON where none of ours is liked. Raises Problem 400."""
    named = query.get("format")
    if named is None:
        return _liked_best((request.header(b"accept") or b"*/*").decode("latin-1"))
    for name in FORMATS:
        if name == named:
            return name
    raise invalid_value("format", f"must be one of {', '.join(FORMATS)}")


def _liked_best(accept: str) -> Format:
    ranges = dict(_ranges(accept))
    likes = {name: _quality(ranges, media) for name, media in FORMATS.items()}
    return max(likes, key=lambda name: likes[name])


def _ranges(accept: str) -> list[tuple[str, float]]:
    """Return the ranges of media types, each with how much it is liked."""
    found = []
    for each in accept.split(","):
        media, *parameters = each.split(";")
        qualities = [float(quality[1]) for quality in map(_QUALITY.fullmatch, parameters) if quality]
        found.append((media.strip().lower(), qualities[0] if qualities else 1.0))
    return found


def _quality(ranges: dict[str, float], media: str) -> float:
    """Return how much a media type is liked: what is said of it most exactly counts."""
    for named in (media, f"{media.partition('/')[0]}/*", "*/*"):
        if named in ranges:
            return ranges[named]
    return 0.0
