"""From a request to its operation and back: matching, the host check, and errors as answers.

A dispatcher of our own in front of Starlette, which serves the rest: see docs/decisions/0005 for what it buys.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from http import HTTPStatus

from monedero.api.errors import INTERNAL, Problem, document, unavailable
from monedero.api.http import (
    PROBLEM_JSON,
    ClientGoneError,
    Limits,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    Streamed,
    header,
    json_response,
)
from monedero.api.paths import Paths
from monedero.api.routes import Operation
from monedero.api.services import Services
from monedero.engine.engine import EngineStoppedError
from monedero.storage.store import StoreUnavailableError

ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

ROUTE, PROBLEM = "monedero.route", "monedero.problem"
"""Where in the scope of a request stand the path of its operation and the code of its problem, for who watches."""

_WITHOUT_BODY = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
_logger = logging.getLogger(__name__)


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
        self._paths: Paths[Operation] = Paths()
        for operation in operations:
            self._paths.add(operation.method, operation.path, operation)
        self._services = services
        self._limits = limits
        self._hosts = None if "*" in hosts else frozenset(host.lower().encode() for host in hosts)
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; whatever goes wrong, the client hears of it and the connection lives on."""
        if scope["type"] != "http":
            await self._fallback(scope, receive, send)
            return
        response: Response | Streamed | None = None
        try:
            self._check_host(scope)
            operations, ids = self._paths.find(scope["path"])
            if operations:
                scope[ROUTE] = next(iter(operations.values())).path
                operation = _operation(operations, scope["method"])
                response = await operation.handler(self._services, Request(scope, receive, ids, self._limits))
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
        with suppress(ClientGoneError, asyncio.CancelledError):  # Midway in a stream: the end is missing, and says so.
            await _send(response, send)

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


async def _send(response: Response | Streamed, send: Send) -> None:
    """Send an answer; one that is made on the way and fails midway is cut off, which the client notices."""
    headers = response.headers
    if isinstance(response, Response) and response.status not in _WITHOUT_BODY:
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if isinstance(response, Streamed):
        async for part in response.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": response.body if isinstance(response, Response) else b""})


def problem_response(problem: Problem, scope: Scope) -> Response:
    """Return a problem as an answer, in the form that the client accepts."""
    scope[PROBLEM] = problem.code
    full = PROBLEM_JSON in (header(scope, b"accept") or b"").lower()
    response = json_response(problem.status, document(problem, scope["path"], full=full), *problem.headers)
    if full:
        response.headers[0] = (b"content-type", PROBLEM_JSON)
    return response


def _operation(operations: dict[str, Operation], method: str) -> Operation:
    operation = operations.get("GET" if method == "HEAD" else method)
    if operation is None:
        allowed = sorted({*operations, *(("HEAD",) if "GET" in operations else ())})
        raise Problem(
            405,
            f"{method} is not among the methods allowed here: {', '.join(allowed)}",
            "method_not_allowed",
            headers=((b"allow", ", ".join(allowed).encode()),),
        )
    return operation
