"""The description of the API, OpenAPI 3.1, made from the route table and the types that serve it."""

import json
import re
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import msgspec

from monedero import __version__
from monedero.api.errors import EVERYWHERE, ProblemDocument
from monedero.api.http import Limits
from monedero.api.routes import Operation
from monedero.storage.store import NEWEST

Json = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_PROBLEM = {"$ref": _REFERENCE.format(name="ProblemDocument")}
_REASONS = {
    404: "There is no such thing",
    409: "The rules of the ledger refuse it; a denied debit is recorded all the same",
    410: "The personal data is not kept here",
    412: "The log has not reached the position that the request asks for",
    413: "The body is too large",
    415: "The body is not JSON by its content-type",
}
_BEFORE_THE_APPLICATION = {408, 431}
"""Answered by the connection, which reads no headers and so knows no other form."""
_MIN_POSITION = {
    "name": "Ledger-Min-Position",
    "in": "header",
    "description": "Answer from a state of the ledger that shows this position: what `Ledger-Position` said of a write",
    "schema": {"type": "integer", "minimum": 0, "maximum": NEWEST},
}
_SIZES = [
    {
        "name": "from",
        "in": "query",
        "required": True,
        "description": "The size of the earlier log, in events",
        "schema": {"type": "integer", "minimum": 1, "maximum": NEWEST},
    },
    {
        "name": "to",
        "in": "query",
        "description": "The size of the later log; the latest if absent",
        "schema": {"type": "integer", "minimum": 1, "maximum": NEWEST},
    },
]
_RECORDED_HEADERS = {
    "Location": {"description": "Where what was recorded is found", "schema": {"type": "string"}},
    "Ledger-Position": {"description": "Its position in the log", "schema": {"type": "integer", "minimum": 0}},
}


def documented_examples() -> dict[str, Json]:
    """Return the documented endpoints with their example requests and answers, by name."""
    text = (files("monedero.api") / "examples.json").read_text(encoding="utf-8")
    return {entry["endpoint"]: entry for entry in json.loads(text)}


def describe(operations: Iterable[Operation], limits: Limits) -> Json:
    """Return the OpenAPI document."""
    operations = tuple(operations)
    types = {kind for each in operations for kind in (each.answer, each.body) if kind} | {ProblemDocument}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
    examples = documented_examples()
    paths: dict[str, Json] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, limits, examples.get(each.name, {}))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Monedero",
            "version": __version__,
            "summary": "Wallets, deposits, debits, and the proof that no cent is lost.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": components},
    }


def operation_id(operation: Operation) -> str:
    """Return the name for programs: `get_customer_wallet`."""
    return re.sub(r"[^a-z]+", "_", operation.name.lower())


def _operation(operation: Operation, limits: Limits, documented: Json) -> Json:
    examples = documented.get("examples", [])
    described: Json = {
        "operationId": operation_id(operation),
        "summary": operation.name,
        "description": operation.handler.__doc__,
        "tags": [operation.tag],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
            for name in re.findall(r"{(\w+)}", operation.path)
        ],
        "responses": _responses(operation, examples),
    }
    if operation.method == "GET":
        described["parameters"].append(_MIN_POSITION)
    if operation.paged:
        described["parameters"] += _page_parameters(limits)
    if operation.sizes:
        described["parameters"] += _SIZES
    if operation.body:
        content: Json = {"schema": {"$ref": _REFERENCE.format(name=operation.body.__name__)}}
        if documented.get("body"):
            content["example"] = next(each["request_body"] for each in examples if each["status"] == operation.status)
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _page_parameters(limits: Limits) -> list[Json]:
    bounds = {"type": "integer", "minimum": 1, "maximum": limits.page_limit, "default": limits.page_default}
    return [
        {"name": "limit", "in": "query", "description": "Items on a page", "schema": bounds},
        {
            "name": "cursor",
            "in": "query",
            "description": "From `next` of the page before",
            "schema": {"type": "string"},
        },
    ]


def _responses(operation: Operation, examples: list[Json]) -> Json:
    refused = dict.fromkeys(operation.refusals, "")
    own = {**refused, **({413: "", 415: ""} if operation.body else {412: ""})}
    problems = {**EVERYWHERE, **{status: _REASONS[status] for status in own}}
    answers: Json = {str(operation.status): _success(operation, examples)}
    for status in sorted(problems):
        content: Json = {"application/json": {"schema": _PROBLEM, **_shown(examples, status)}}
        if status not in _BEFORE_THE_APPLICATION:
            content["application/problem+json"] = {"schema": _PROBLEM}
        answers[str(status)] = {"description": problems[status], "content": content}
    if operation.denials:
        answers["409"]["headers"] = _RECORDED_HEADERS
    return answers


def _success(operation: Operation, examples: list[Json]) -> Json:
    success: Json = {
        "description": (operation.answer.__doc__ or "").splitlines()[0],
        "content": {
            "application/json": {
                "schema": {"$ref": _REFERENCE.format(name=operation.answer.__name__)},
                **_shown(examples, operation.status),
            }
        },
    }
    if operation.text:
        success["content"]["text/plain"] = {"schema": {"type": "string"}}
    if operation.method == "POST":
        success["headers"] = _RECORDED_HEADERS
    if operation.paged:
        description = 'The next page, rel="next", when more follows (RFC 8288)'
        success["headers"] = {"Link": {"description": description, "schema": {"type": "string"}}}
    return success


def _shown(examples: list[Json], status: int) -> Json:
    shown = {each["name"]: {"value": each["response_body"]} for each in examples if each["status"] == status}
    return {"examples": shown} if shown else {}
