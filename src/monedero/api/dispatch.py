"""From a request to its operation and back: matching, the host check, and errors as answers.

A dispatcher of our own in front of Starlette, which serves the rest: see docs/decisions/0005 for what it buys.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable

from monedero.api.errors import INTERNAL, Problem, document, unavailable
from monedero.api.http import ClientGoneError, Limits, Receive, Request, Response, Scope, Send, header, json_response
from monedero.api.routes import Handler, Operation
from monedero.api.services import Services
from monedero.engine.engine import EngineStoppedError
from monedero.storage.store import StoreUnavailableError

ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

ROUTE, PROBLEM = "monedero.route", "monedero.problem"
"""Where in the scope of a request stand the path of its operation and the code of its problem, for who watches."""

_PROBLEM_JSON = b"application/problem+json"
_logger = logging.getLogger(__name__)


class _Node:
    """A step of the path: where literal segments lead, where any other segment leads, what ends here."""

    __slots__ = ("handlers", "literals", "path", "variable")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.handlers: dict[str, Handler] = {}
        self.path = ""


class Dispatcher:
    """The ASGI application of the documented API; every path that is not the API's goes to `fallback`."""

    def __init__(
        self,
        operations: Iterable[Operation],
        services: Services,
        limits: Limits,
        hosts: Collection[str],
        fallback: ASGIApplication,
    ) -> None:
        """`hosts` are the names that a Host header may give, without port; `*` allows any."""
        self._root = _tree(operations)
        self._services = services
        self._limits = limits
        self._hosts = None if "*" in hosts else frozenset(host.lower().encode() for host in hosts)
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; whatever goes wrong, the client hears of it and the connection lives on."""
        if scope["type"] != "http":
            await self._fallback(scope, receive, send)
            return
        response: Response | None = None
        try:
            self._check_host(scope)
            node, ids = self._match(scope["path"])
            if node is not None:
                scope[ROUTE] = node.path
                handler = _handler(node, scope["method"])
                response = await handler(self._services, Request(scope, receive, ids, self._limits))
        except Problem as problem:
            response = problem_response(problem, scope)
        except StoreUnavailableError as error:
            _logger.warning("%s %s cannot be answered: %s", scope["method"], scope.get(ROUTE, ""), error)
            response = problem_response(unavailable(error), scope)
        except ClientGoneError:
            return
        except asyncio.CancelledError:
            response = problem_response(unavailable(EngineStoppedError()), scope)
        except Exception:
            _logger.exception("%s %s failed", scope["method"], scope.get(ROUTE, ""))
            response = problem_response(INTERNAL, scope)
        if response is None:
            await self._fallback(scope, receive, send)
            return
        headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    def _check_host(self, scope: Scope) -> None:
        """Refuse a name that is not ours: a web page may have pointed its own name here (DNS rebinding)."""
        if self._hosts is None:
            return
        host = (header(scope, b"host") or b"").lower()
        if host in self._hosts:
            return
        name, _, port = host.rpartition(b":")
        if not port.isdigit() or name not in self._hosts:
            raise Problem(
                421, "This server does not answer to that Host; MONEDERO_ALLOWED_HOSTS names its own", "wrong_host"
            )

    def _match(self, path: str) -> tuple[_Node | None, list[str]]:
        """Return where a path leads, with its variables; a trailing slash is the same resource."""
        node: _Node | None = self._root
        ids: list[str] = []
        for segment in path.removesuffix("/").split("/")[1:]:
            if node is None:
                break
            literal = node.literals.get(segment)
            if literal is None and segment:
                ids.append(segment)
                literal = node.variable
            node = literal
        return (node if node is not None and node.handlers else None), ids


def problem_response(problem: Problem, scope: Scope) -> Response:
    """Return a problem as an answer, in the form that the client accepts."""
    scope[PROBLEM] = problem.code
    full = _PROBLEM_JSON in (header(scope, b"accept") or b"").lower()
    response = json_response(problem.status, document(problem, scope["path"], full=full), *problem.headers)
    if full:
        response.headers[0] = (b"content-type", _PROBLEM_JSON)
    return response


def _handler(node: _Node, method: str) -> Handler:
    handler = node.handlers.get("GET" if method == "HEAD" else method)
    if handler is None:
        allowed = sorted({*node.handlers, *(("HEAD",) if "GET" in node.handlers else ())})
        raise Problem(
            405,
            f"{method} is not among the methods allowed here: {', '.join(allowed)}",
            "method_not_allowed",
            headers=((b"allow", ", ".join(allowed).encode()),),
        )
    return handler


def _tree(operations: Iterable[Operation]) -> _Node:
    root = _Node()
    for operation in operations:
        node = root
        for segment in operation.path.split("/")[1:]:
            if segment.startswith("{"):
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.literals.setdefault(segment, _Node())
        node.handlers[operation.method] = operation.handler
        node.path = operation.path
    return root
