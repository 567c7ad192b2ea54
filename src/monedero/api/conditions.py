"""What the headers of a write ask for: once only, in full, only at a version, only as a try."""

import re

import msgspec

from monedero.api.errors import Problem
from monedero.api.http import Request
from monedero.ledger.claims import Claiming, claiming

KEY_LIMIT_CHARACTERS = 255

_NAMES = {b"idempotency-key", b"if-match", b"prefer"}
_QUOTED_KEY = re.compile(rb'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])+)"')
_BARE_KEY = re.compile(rb"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")
_ESCAPE = re.compile(rb"\\(.)")
_TAG = re.compile(rb'\s*(W/)?"([^"]*)"\s*')
_VERSION = re.compile(rb"0|[1-9][0-9]{0,18}")


class Conditions(msgspec.Struct, frozen=True):
    """What a write asks for besides itself; `versions` are those of which the wallet must have one."""

    key: str | None = None
    versions: tuple[int, ...] | None = None
    in_full: bool = False
    dry_run: bool = False

    def claiming(self, request: Request) -> Claiming | None:
        """Return the claim on the key: the same method, path and body are the same request."""
        if self.key is None or self.dry_run:
            return None  # The engine lets a try claim nothing; here it also does not wait for whoever uses the key.
        scope = request.scope
        path = scope["path"].removesuffix("/").lower().encode()
        return claiming(self.key, scope["method"].encode(), path, request.body)

    @property
    def applied(self) -> tuple[tuple[bytes, bytes], ...]:
        """The header that says which preferences were honoured (RFC 7240)."""
        applied = [b"return=representation"] * self.in_full + [b"handling=dry-run"] * self.dry_run
        return ((b"preference-applied", b", ".join(applied)),) if applied else ()


NONE = Conditions()


def conditions(request: Request) -> Conditions:
    """Read what a request asks for. Raises Problem 400: a header that cannot be read."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in request.scope["headers"]:
        if name in _NAMES:
            values.setdefault(name, []).append(value)
    if not values:
        return NONE
    preferences = _preferences(values.get(b"prefer", []))
    return Conditions(
        _key(values.get(b"idempotency-key")),
        _versions(values.get(b"if-match")),
        preferences.get("return") == "representation",
        preferences.get("handling") == "dry-run",
    )


def if_match_elsewhere() -> Problem:
    """Return the answer to a condition on what is no wallet."""
    return Problem(400, "If-Match is for requests on a wallet", "invalid_if_match")


def _key(values: list[bytes] | None) -> str | None:
    """Read an Idempotency-Key, quoted as the draft of the IETF has it or bare."""
    if values is None:
        return None
    return key_of(b", ".join(values))


def key_of(value: bytes) -> str:
    """Return the key that a header, or a command of a batch, gives. Raises Problem 400."""
    value = value.strip()
    key = None
    if quoted := _QUOTED_KEY.fullmatch(value):
        key = _ESCAPE.sub(rb"\1", quoted[1])
    elif _BARE_KEY.fullmatch(value):
        key = value
    if key is None or len(key) > KEY_LIMIT_CHARACTERS:
        raise Problem(
            400,
            f"The Idempotency-Key must be one string of at most {KEY_LIMIT_CHARACTERS} visible characters, quoted or "
            "bare",
            "invalid_idempotency_key",
        )
    return key.decode()


def _versions(values: list[bytes] | None) -> tuple[int, ...] | None:
    """Read If-Match: the versions that it names; None where any will do. A weak tag matches nothing (RFC 9110)."""
    if values is None:
        return None
    value = b",".join(values)
    if value.strip() == b"*":
        return None
    tags = [_TAG.fullmatch(tag) for tag in value.split(b",")]
    if None in tags:
        raise Problem(400, 'If-Match must be * or a list of entity tags, such as "7"', "invalid_if_match")
    return tuple(int(tag[2]) for tag in tags if tag and not tag[1] and _VERSION.fullmatch(tag[2]))


def _preferences(values: list[bytes]) -> dict[str, str]:
    """Read Prefer: of a preference that is there twice, the first counts; unknown ones are ignored (RFC 7240)."""
    found: dict[str, str] = {}
    for preference in b",".join(values).decode("latin-1").split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"').lower())
    return found
