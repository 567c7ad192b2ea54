"""Around the whole application: the request's id in and out, and a word to whoever watches after each answer."""

import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from monedero.api.dispatch import PROBLEM, ROUTE, ASGIApplication
from monedero.api.errors import Headers
from monedero.api.http import Message, Receive, Scope, Send
from monedero.observability import request_ids

CLIENT_GONE = 499
UNMATCHED = "unmatched"
OTHER = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A request and what it was answered. No member but the last two has more values than the code knows.

    `status` is 499 when the client went away and nothing was answered; `problem` is the code of one, or None;
    `headers` are those of the answer.
    """

    route: str
    method: str
    status: int
    seconds: float
    problem: str | None
    request_id: str
    headers: Headers


Watcher = Callable[[Answered], None]


class Watched:
    """The application, watched. Off, it is not there at all."""

    def __init__(self, app: ASGIApplication, watchers: Sequence[Watcher]) -> None:
        self._app = app
        self._watchers = watchers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = request_ids.request_id(scope)
        text = request_id.decode()
        request_ids.current.set(text)
        status = CLIENT_GONE
        headers: Headers = []

        def answer(message: Message) -> Awaitable[None]:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], message["headers"]
                headers.append((request_ids.HEADER, request_id))
            return send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            self._tell(scope, status, time.perf_counter() - began, text, headers)

    def _tell(self, scope: Scope, status: int, seconds: float, request_id: str, headers: Headers) -> None:
        if not self._watchers:
            return
        method, route = scope["method"], scope.get(ROUTE)
        answered = Answered(
            _page(scope) if route is None else route,
            method if method in METHODS else OTHER,
            status,
            seconds,
            scope.get(PROBLEM),
            request_id,
            headers,
        )
        for watcher in self._watchers:
            watcher(answered)


def _page(scope: Scope) -> str:
    """Return the path under which a page around the API is served, as Starlette has noted it."""
    return getattr(scope.get("route"), "path", UNMATCHED)
