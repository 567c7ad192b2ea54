"""The ASGI application: the documented API in front, the pages around it behind."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from importlib.resources import as_file, files
from typing import cast

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as StarletteRequest
from starlette.responses import RedirectResponse
from starlette.responses import Response as StarletteResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from monedero.api.dispatch import ASGIApplication, Dispatcher, problem_response
from monedero.api.errors import Problem
from monedero.api.http import Limits
from monedero.api.openapi import describe
from monedero.api.routes import OPERATIONS
from monedero.api.services import Services

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def create_app(
    services: Services,
    limits: Limits,
    hosts: Collection[str],
    lifespan: Lifespan,
    around: Sequence[BaseRoute] = (),
) -> ASGIApplication:
    """Return the application; `lifespan` starts and stops what the services need, `around` are more pages."""
    description = msgspec.json.encode(describe(OPERATIONS, limits))

    async def openapi(_: StarletteRequest) -> StarletteResponse:
        return StarletteResponse(description, media_type="application/json")

    async def root(_: StarletteRequest) -> StarletteResponse:
        return RedirectResponse("/docs/")

    with as_file(files("monedero.api") / "static") as static:
        pages = Starlette(
            routes=[
                Route("/", root),
                Route("/openapi.json", openapi),
                Route("/openapi.json/", openapi),
                *around,
                Mount("/docs", StaticFiles(directory=static, html=True)),
            ],
            exception_handlers={HTTPException: _not_served},
            lifespan=lifespan,
        )
    return Dispatcher(OPERATIONS, services, limits, hosts, cast("ASGIApplication", pages))


async def _not_served(request: StarletteRequest, error: Exception) -> StarletteResponse:
    if not isinstance(error, HTTPException):  # pragma: no cover - registered for this type only
        raise error
    found = error.status_code != HTTPStatus.NOT_FOUND
    detail = error.detail if found else f"There is nothing at {request.url.path}"
    headers = tuple((name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items())
    answer = problem_response(
        Problem(error.status_code, detail, "not_served" if found else "unknown_path", headers=headers), request.scope
    )
    return StarletteResponse(
        answer.body, answer.status, {name.decode(): value.decode() for name, value in answer.headers}
    )
