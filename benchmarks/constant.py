"""Servers with nothing behind them: each operation answers with an answer recorded from the service.

`framework` is uvicorn and Starlette as they come, `own` the stack that the service makes of them: its dispatcher, its
limits on a connection, its way to write.
"""

import socket
import sys
from pathlib import Path
from typing import cast

import click
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route

from monedero.api.dispatch import ASGIApplication, Dispatcher
from monedero.api.http import Limits, Request, Response
from monedero.api.routes import OPERATIONS, Handler
from monedero.api.services import Services
from monedero.cli.serve import BACKLOG_CONNECTIONS
from monedero.cli.server import Server
from monedero.settings import load_settings

Answers = dict[str, tuple[int, list[tuple[str, str]], str]]
"""By method and path of the operation: status, headers besides date and length, body."""


def main() -> None:
    """Serve the answers in a file, until SIGTERM, in one of the two ways: `own` or `framework`."""
    way, file = sys.argv[1:]
    answers = msgspec.json.decode(Path(file).read_bytes(), type=Answers)
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG_CONNECTIONS)
    {"own": _own, "framework": _framework}[way](answers, listener)


def _announce(listener: socket.socket) -> None:
    click.echo(f"http://127.0.0.1:{listener.getsockname()[1]}/docs")


def _framework(answers: Answers, listener: socket.socket) -> None:
    def route(key: str, status: int, headers: list[tuple[str, str]], body: str) -> Route:
        method, path = key.split()

        async def answer(request: StarletteRequest) -> StarletteResponse:
            if method == "POST":
                await request.body()
            return StarletteResponse(body, status, dict(headers))

        return Route(path, answer, methods=[method])

    app = Starlette(routes=[route(key, *answer) for key, answer in answers.items()])
    config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_config=None)
    _announce(listener)
    uvicorn.Server(config).run([listener])


def _own(answers: Answers, listener: socket.socket) -> None:
    operations = [
        msgspec.structs.replace(operation, handler=_handler(operation.method, *answers[key]))
        for operation in OPERATIONS
        if (key := f"{operation.method} {operation.path}") in answers
    ]
    settings = load_settings(port=0)
    limits = Limits(
        settings.body_limit_bytes,
        settings.json_depth_limit,
        settings.page_default_items,
        settings.page_limit_items,
        settings.read_limit_items,
        settings.batch_limit_bytes,
    )
    services, lifespan = cast("Services", None), cast("ASGIApplication", Starlette())
    app = Dispatcher(operations, services, limits, settings.hosts, lifespan)
    Server(settings, app, lambda: _announce(listener)).run([listener])


def _handler(method: str, status: int, headers: list[tuple[str, str]], body: str) -> Handler:
    encoded, lines = body.encode(), [(name.encode(), value.encode()) for name, value in headers]

    async def handle(_: Services, request: Request) -> Response:
        if method == "POST":
            await request._body()  # noqa: SLF001 - read within the limits, but not looked at
        return Response(status, encoded, lines.copy())  # The dispatcher adds to its headers.

    return handle


if __name__ == "__main__":
    main()
