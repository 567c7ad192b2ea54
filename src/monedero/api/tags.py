"""Entity tags: what a client has seen need not be sent again (RFC 9110, 13.1.2)."""

from collections.abc import Callable

from monedero.api.http import Request, Response


def tagged(request: Request, tag: str, answer: Callable[[], Response]) -> Response:
    """Return the answer with its tag, or 304 to a client that has it."""
    header = (b"etag", tag.encode())
    seen = request.header(b"if-none-match")
    tags = [] if seen is None else [each.strip().removeprefix(b"W/") for each in seen.split(b",")]
    if b"*" in tags or header[1] in tags:
        return Response(304, b"", [header])
    response = answer()
    response.headers.append(header)
    return response
