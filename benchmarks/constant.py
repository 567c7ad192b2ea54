"""The service's own stack with nothing behind it: each operation answers with an answer recorded from the service."""

import socket
import sys
from pathlib import Path
from typing import cast

import click
import msgspec
from starlette.applications import Starlette

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
    """Serve the answers in the file that is named, until SIGTERM."""
    answers = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Answers)
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
    listener = socket.create_server((settings.host, 0), backlog=BACKLOG_CONNECTIONS)
    app = Dispatcher(operations, services, limits, settings.hosts, lifespan)
    Server(settings, app, lambda: click.echo(f"http://127.0.0.1:{listener.getsockname()[1]}/docs")).run([listener])


def _handler(method: str, status: int, headers: list[tuple[str, str]], body: str) -> Handler:
    encoded, lines = body.encode(), [(name.encode(), value.encode()) for name, value in headers]

    async def handle(_: Services, request: Request) -> Response:
        if method == "POST":
            await request._body()  # noqa: SLF001 - read within the limits, but not looked at
        return Response(status, encoded, lines.copy())  # The dispatcher adds to its headers.

    return handle


if __name__ == "__main__":
    main()
