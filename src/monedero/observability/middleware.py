"""Around the whole application: the request's id in and out, and a word to whoever watches after each answer."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from monedero.api.dispatch import PROBLEM, ROUTE, ASGIApplication
from monedero.api.errors import Headers
from monedero.api.http import Message, Receive, Scope, Send
from monedero.observability import request_ids
from monedero.observability.trace_context import OUT, Traced

CLIENT_GONE = 499
UNMATCHED = "unmatched"
OTHER = "other"
_TRANSACTION = b"/transactions/"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})


class Answered(msgspec.Struct, frozen=True, gc=False):
    """A request and what it was answered. No member but the last three has more values than the code knows.

    `status` is 499 when the client went away and nothing was answered; `problem` is the code of one, or None;
    `headers` are those of the answer; `traced` is the record of a request that is sampled.
    """

    route: str
    method: str
    status: int
    seconds: float
    problem: str | None
    request_id: str
    headers: Headers
    traced: Traced | None


Watcher = Callable[[Answered], None]


class Tracer(Protocol):
    """Decides which requests are recorded, and records them."""

    def begin(self, scope: Scope) -> Traced | None:
        """Begin the record of a request, or do not."""

    def end(self, traced: Traced, answered: Answered) -> None:
        """End it."""


class Watched:
    """The application, watched."""

    def __init__(self, app: ASGIApplication, watchers: Sequence[Watcher], tracer: Tracer | None = None) -> None:
        self._app = app
        self._watchers = watchers
        self._tracer = tracer

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
        traced = self._tracer.begin(scope) if self._tracer else None

        def answer(message: Message) -> Awaitable[None]:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], message["headers"]
                headers.append((request_ids.HEADER, request_id))
                if traced:
                    headers.append((OUT, f"00-{traced.trace_id}-{traced.span_id}-01".encode()))
            return send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            if self._watchers or traced:
                route, method = scope.get(ROUTE), scope["method"]
                answered = Answered(
                    _page(scope) if route is None else route,
                    method if method in METHODS else OTHER,
                    status,
                    time.perf_counter() - began,
                    scope.get(PROBLEM),
                    text,
                    headers,
                    traced,
                )
                self._tell(answered)

    def _tell(self, answered: Answered) -> None:
        if answered.traced and self._tracer:
            self._tracer.end(answered.traced, answered)
        for watcher in self._watchers:
            watcher(answered)


def transaction_id(answered: Answered) -> str | None:
    """Return the id of the transaction that an answer says it has recorded, or may have."""
    for name, value in answered.headers:
        if name == b"location" and value.startswith(_TRANSACTION):
            return value[len(_TRANSACTION) :].decode()
    return None


def _page(scope: Scope) -> str:
    """Return the path under which a page around the API is served, as Starlette has noted it."""
    return getattr(scope.get("route"), "path", UNMATCHED)
