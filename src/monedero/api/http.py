"""Requests in, answers out: reading a body within its limits, writing JSON."""

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from monedero.api.errors import Headers, Problem, invalid_value, malformed_json, missing_key

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Body = TypeVar("Body")

JSON = (b"content-type", b"application/json")
TEXT = (b"content-type", b"text/plain; charset=utf-8")

_JSON_TYPE = re.compile(rb"application/(?:[a-z0-9.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_MISSING = re.compile(r"Object missing required field `(.+?)`")
_LOCATED = re.compile(r"(.*) - at `\$\.(.*)`", re.DOTALL)
_JSON_NAMES = {
    "`str | null`": "a string or null",
    "`str`": "a string",
    "`int`": "a number",
    "`float`": "a number",
    "`bool`": "a boolean",
    "`array`": "an array",
    "`object`": "an object",
    "`null`": "null",
}
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")
_encoder = msgspec.json.Encoder()


class ClientGoneError(Exception):
    """The client went away before its request was complete: there is nobody to answer."""


class Limits(msgspec.Struct, frozen=True):
    """What a request may cost. Sizes in bytes, depth in nested arrays and objects, pages in items."""

    body_bytes: int
    json_depth: int
    page_default: int
    page_limit: int


class Request:
    """One request, its path already matched; `ids` are the path's variables in order."""

    __slots__ = ("_receive", "ids", "limits", "scope")

    def __init__(self, scope: Scope, receive: Receive, ids: list[str], limits: Limits) -> None:
        self.scope = scope
        self.ids = ids
        self.limits = limits
        self._receive = receive

    def header(self, name: bytes) -> bytes | None:
        """Return the first header of that name, in lower case."""
        return header(self.scope, name)

    def query(self) -> dict[str, str]:
        """Return the query's parameters; of a repeated one, the last."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    async def json(self, decoder: msgspec.json.Decoder[Body]) -> Body:
        """Read the body within the limits and decode it.

        Raises Problem: 413 too large, 415 no JSON by its type, 400 malformed, incomplete, wrong or too deep.
        """
        body = await self._body()
        content_type = self.header(b"content-type")
        if body and (content_type is None or _JSON_TYPE.fullmatch(content_type) is None):
            raise Problem(415, "The body must be JSON: send it with content-type: application/json", "not_json")
        _check_depth(body, self.limits.json_depth)
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _undecodable(body, error) from None

    async def _body(self) -> bytes:
        limit = self.limits.body_bytes
        declared = self.header(b"content-length")
        if declared is not None and int(declared) > limit:
            raise _too_large(limit)
        message = await self._receive()
        if not message.get("more_body") and message["type"] == "http.request":
            body = bytes(message["body"])
            if len(body) > limit:
                raise _too_large(limit)
            return body
        parts, size = [], 0
        while message["type"] == "http.request":
            parts.append(message["body"])
            size += len(message["body"])
            if size > limit:
                raise _too_large(limit)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self._receive()
        raise ClientGoneError


class Response(msgspec.Struct):
    """A status, a body that is ready to send, and headers besides its length."""

    status: int
    body: bytes
    headers: Headers


def json_response(status: int, body: msgspec.Struct, *headers: tuple[bytes, bytes]) -> Response:
    """Return a response with the body as JSON."""
    return Response(status, _encoder.encode(body), [JSON, *headers])


def text_response(status: int, body: str, *headers: tuple[bytes, bytes]) -> Response:
    """Return a response with the body as plain text."""
    return Response(status, body.encode(), [TEXT, *headers])


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first header of that name, in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def _too_large(limit: int) -> Problem:
    return Problem(413, f"The body is larger than {limit} bytes", "body_too_large")


def _check_depth(body: bytes, limit: int) -> None:
    """Refuse nesting beyond the limit. Counting brackets settles every ordinary body without a scan."""
    if body.count(b"[") + body.count(b"{") <= limit:
        return
    depth = 0
    for bracket in _BRACKETS.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > limit:
            raise Problem(400, f"The JSON is nested deeper than {limit} levels", "json_too_deep")


def _undecodable(body: bytes, error: Exception) -> Problem:
    """Return the contract's answer to a body that is no JSON, or not of the right shape.

    The decoder stops at the first value that is wrong: only reading on tells whether the whole is JSON.
    """
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return malformed_json()
    return _invalid(str(error))


def _invalid(message: str) -> Problem:
    """Turn the decoder's message into the contract's sentence."""
    if missing := _MISSING.match(message):
        return missing_key(missing[1])
    located = _LOCATED.fullmatch(message)
    if located is None:
        return Problem(400, "The body must be a JSON object", "not_an_object")
    wrong, key = located.groups()
    if "matching regex" in wrong:
        return invalid_value(
            key, "is not an e-mail address" if key == "email" else "contains a character that is not allowed"
        )
    for name, plain in _JSON_NAMES.items():
        wrong = wrong.replace(name, plain)
    return invalid_value(key, wrong.replace("Expected", "must be").replace(", got", ", not").replace("`", ""))
