"""Requests in, answers out: reading a body within its limits, writing JSON."""

import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from functools import cache
from itertools import takewhile
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

import msgspec

from monedero.api.errors import Headers, Problem, invalid_value, malformed_json, missing_key, unknown_key

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Body = TypeVar("Body")

JSON = (b"content-type", b"application/json")
JSON_LINES = (b"content-type", b"application/x-ndjson")
TEXT = (b"content-type", b"text/plain; charset=utf-8")
PROBLEM_JSON = b"application/problem+json"
LATE = "monedero.late"
"""In the scope of a stream whose next line did not come in time: what has come of it is all that there will be."""
CHECKED_BY_PARTS = sys.maxsize
"""How deep a body may nest whose parts are read, and checked, one by one; the decoder itself ends at about 1,000."""

_JSON_TYPE = re.compile(rb"application/(?:[a-z0-9.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_MISSING = re.compile(r"Object missing required field `(.+?)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+?)`")
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
    """What a request may cost. Sizes in bytes, depth in nested arrays and objects, pages in items.

    `read_items` is how many transactions a filtered page or a statement may read.
    """

    body_bytes: int
    json_depth: int
    page_default: int
    page_limit: int
    read_items: int
    batch_bytes: int


class Request:
    """One request, its path already matched; `ids` are the path's variables in order."""

    __slots__ = ("_receive", "body", "ids", "limits", "scope")

    def __init__(self, scope: Scope, receive: Receive, ids: list[str], limits: Limits) -> None:
        self.scope = scope
        self.ids = ids
        self.limits = limits
        self.body = b""
        self._receive = receive

    def header(self, name: bytes) -> bytes | None:
        """Return the first header of that name, in lower case."""
        return header(self.scope, name)

    def query(self) -> dict[str, str]:
        """Return the query's parameters; of a repeated one, the last."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    async def json(self, kind: type[Body], limit: int | None = None, depth: int | None = None) -> Body:
        """Read the body within the limits, or those given, and decode it; see `decoded`.

        Raises Problem: 413 too large, 415 no JSON by its type or encoded, 400 malformed, incomplete, wrong or too deep.
        """
        body = self.body = await self._body(limit)
        content_type = self.header(b"content-type")
        if body and content_type != JSON[1] and (content_type is None or _JSON_TYPE.fullmatch(content_type) is None):
            raise Problem(415, "The body must be JSON: send it with content-type: application/json", "not_json")
        try:
            return decoded(body, kind, depth or self.limits.json_depth)
        except Problem as problem:
            if problem.code != "malformed_json" or self.header(b"content-encoding") is None:
                raise
        raise Problem(415, "The body is taken as it is: send it without content-encoding", "encoded_body")

    async def lines(self, most: int) -> AsyncIterator[list[bytes]]:
        """Yield the lines of the body as they come, those that came together at once, but so many at most.

        Empty ones are left out; the last may lack its end. Reads on only when asked: the client waits meanwhile.
        Raises Problem 413: a line over the limit of a body, 408: a pause; the lines before it have been told.
        """
        limit = self.limits.body_bytes
        rest, more = b"", True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                raise ClientGoneError
            more = message.get("more_body", False)
            *lines, rest = (rest + message["body"]).split(b"\n")
            late = LATE in self.scope
            if not more and not late:
                lines.append(rest)
            short = list(takewhile(lambda line: len(line) <= limit, lines))
            some = [line for line in short if line.strip()]
            for start in range(0, len(some), most):
                yield some[start : start + most]
            if len(short) < len(lines) or len(rest) > limit:
                raise _too_large(limit, "A line of the stream")
            if late:
                raise Problem(408, "The next line of the stream did not come in time", "too_slow")

    async def _body(self, limit: int | None = None) -> bytes:
        limit = limit or self.limits.body_bytes
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


def decoded(body: bytes, kind: type[Body], depth: int) -> Body:
    """Read a body; none at all is an empty object where nothing is required.

    Raises Problem 400: malformed, incomplete, wrong or too deep.
    """
    decoder, nothing = _decoder(cast("Any", kind))
    if not body and nothing is not None:
        return cast("Body", nothing)
    _check_depth(body, depth)
    try:
        return cast("Body", decoder.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _undecodable(body, error) from None
    except RecursionError:
        raise _too_deep() from None


@cache
def _decoder(kind: object) -> tuple[msgspec.json.Decoder[Any], Any]:
    """Return what reads a body, and what no body means."""
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(cast("Any", kind))
    try:
        return decoder, decoder.decode(b"{}")
    except msgspec.ValidationError:
        return decoder, None


class Response(msgspec.Struct):
    """A status, a body that is ready to send, and headers besides its length."""

    status: int
    body: bytes
    headers: Headers


class Streamed(msgspec.Struct):
    """An answer that is sent as it is made."""

    status: int
    headers: Headers
    parts: AsyncIterator[bytes]


def json_response(status: int, body: msgspec.Struct, *headers: tuple[bytes, bytes]) -> Response:
    """Return a response with the body as JSON."""
    return Response(status, _encoder.encode(body), [JSON, *headers])


def text_response(status: int, body: str, *headers: tuple[bytes, bytes]) -> Response:
    """Return a response with the body as plain text."""
    return Response(status, body.encode(), [TEXT, *headers])


def accepts_problems(request: Request) -> bool:
    """Return whether the client accepts whole problem documents (RFC 9457)."""
    return PROBLEM_JSON in (request.header(b"accept") or b"").lower()


def is_json_lines(content_type: bytes | None) -> bool:
    """Return whether a content type, in capitals or with parameters too, is that of JSON lines."""
    return content_type is not None and content_type.partition(b";")[0].strip().lower() == JSON_LINES[1]


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first header of that name, in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def _too_large(limit: int, what: str = "The body") -> Problem:
    return Problem(413, f"{what} is larger than {limit} bytes", "body_too_large")


def _too_deep(than: str = " than can be read") -> Problem:
    return Problem(400, f"The JSON is nested deeper{than}", "json_too_deep")


def _check_depth(body: bytes, limit: int) -> None:
    """Refuse nesting beyond the limit. Counting brackets settles every ordinary body without a scan."""
    if body.count(b"[") + body.count(b"{") <= limit:
        return
    depth = 0
    for bracket in _BRACKETS.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > limit:
            raise _too_deep(f" than {limit} levels")


def _undecodable(body: bytes, error: Exception) -> Problem:
    """Return the contract's answer to a body that is no JSON, or not of the right shape.

    The decoder stops at the first value that is wrong: only reading on tells whether the whole is JSON.
    """
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return malformed_json()
    except RecursionError:
        return _too_deep()
    return _invalid(str(error))


def _invalid(message: str) -> Problem:
    """Turn the decoder's message into the contract's sentence."""
    located = _LOCATED.fullmatch(message)
    for found, problem in ((_MISSING.match(message), missing_key), (_UNKNOWN.match(message), unknown_key)):
        if found:
            return problem(f"{located[2]}.{found[1]}" if located else found[1])
    if located is None:
        return Problem(400, "The body must be a JSON object", "not_an_object")
    wrong, key = located.groups()
    if "matching regex" in wrong:
        return invalid_value(
            key, "is not an e-mail address" if key == "email" else "contains the character U+0000, which is not allowed"
        )
    for name, plain in _JSON_NAMES.items():
        wrong = wrong.replace(name, plain)
    return invalid_value(key, wrong.replace("Expected", "must be").replace(", got", ", not").replace("`", ""))
