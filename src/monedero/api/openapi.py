"""The description of the API, OpenAPI 3.1, made from the route table and the types that serve it."""

import json
import re
from collections.abc import Iterable
from http import HTTPStatus
from importlib.resources import files
from inspect import cleandoc, getdoc
from typing import Any

import msgspec

from monedero import __version__
from monedero.api.errors import EVERYWHERE, ProblemDocument
from monedero.api.http import JSON_LINES, Limits
from monedero.api.routes import Operation
from monedero.api.schemas import MovementBody
from monedero.api.transaction_bodies import HoldBody, TransactionDetailBody
from monedero.storage.store import NEWEST

Json = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_PROBLEM = {"$ref": _REFERENCE.format(name="ProblemDocument")}
_REASONS = {
    404: "There is no such thing",
    409: "The rules of the ledger refuse it; what was denied for want of money is recorded all the same",
    410: "The personal data is not kept here",
    412: "The log has not reached the position, or the wallet is not at the version, that the request asks for",
    413: "The body is too large",
    415: "The body is not JSON by its content-type, or is encoded",
    422: "The Idempotency-Key has been used for another request",
}
_SHORT = {MovementBody, HoldBody}
"""Answers that are not the whole transaction, which a client may prefer."""
_BEFORE_THE_APPLICATION = {408, 431}
"""Answered by the connection, which reads no headers and so knows no other form."""
_MIN_POSITION = {
    "name": "Ledger-Min-Position",
    "in": "header",
    "description": "Answer from a state of the ledger that shows this position: what `Ledger-Position` said of a write",
    "schema": {"type": "integer", "minimum": 0, "maximum": NEWEST},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "Entity tags that the client has: where one still holds, the answer is 304",
    "schema": {"type": "string"},
}
_TAG_HEADER = {"ETag": {"description": "Changes with what is shown", "schema": {"type": "string"}}}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "Carry this out only while the wallet's entity tag is one of these",
    "schema": {"type": "string"},
}
_WRITE_PARAMETERS = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Carry this out once, however often it is sent with this key: quoted or bare, up to 255 long",
        "schema": {"type": "string", "maxLength": 512},
    },
    {
        "name": "Prefer",
        "in": "header",
        "description": "`return=representation`: answer with the whole transaction; `handling=dry-run`: decide, and "
        "record nothing",
        "schema": {"type": "string"},
    },
]
_DRY_RUN = {
    "name": "Prefer",
    "in": "header",
    "description": "`handling=dry-run`: decide, and do nothing",
    "schema": {"type": "string"},
}
_WRITE_HEADERS = {
    "Idempotency-Replayed": {
        "description": "`true`: this is the first answer again, and nothing was done now",
        "schema": {"type": "string"},
    },
    "Preference-Applied": {"description": "The preferences that were honoured", "schema": {"type": "string"}},
}
_BY_METHOD = {"GET": {412: ""}, "POST": {409: "", 413: "", 415: "", 422: ""}, "DELETE": {}}
"""The statuses that any operation of that method may answer."""
_RECORDED_HEADERS = {
    "Location": {"description": "Where what was recorded is found", "schema": {"type": "string"}},
    "Ledger-Position": {"description": "Its position in the log", "schema": {"type": "integer", "minimum": 0}},
}


def documented_examples() -> dict[str, Json]:
    """Return the documented endpoints with their example requests and answers, by name."""
    return _examples("examples.json")


def more_examples() -> dict[str, Json]:
    """Return our own examples of endpoints, by name: what was not documented, with problems in full."""
    return _examples("more_examples.json")


def describe(operations: Iterable[Operation], limits: Limits) -> Json:
    """Return the OpenAPI document."""
    operations = tuple(operations)
    types = {kind for each in operations for kind in (*_answers(each), each.body) if kind} | {ProblemDocument}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=_REFERENCE)
    for component in components.values():
        component.update(description=cleandoc(component["description"]))
    sources = documented_examples(), more_examples()
    paths: dict[str, Json] = {}
    for each in operations:
        examples = [example for source in sources for example in source.get(each.name, {}).get("examples", [])]
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, limits, examples)
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


def _examples(file: str) -> dict[str, Json]:
    text = (files("monedero.api") / file).read_text(encoding="utf-8")
    return {entry["endpoint"]: entry for entry in json.loads(text)}


def _operation(operation: Operation, limits: Limits, examples: list[Json]) -> Json:
    described: Json = {
        "operationId": operation_id(operation),
        "summary": operation.name,
        "description": getdoc(operation.handler),
        "tags": [operation.tag],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
            for name in re.findall(r"{(\w+)}", operation.path)
        ],
        "responses": _responses(operation, examples),
    }
    if operation.method == "GET":
        described["parameters"].append(_MIN_POSITION)
        described["parameters"] += [_IF_NONE_MATCH] * operation.tagged
    elif operation.method == "POST":
        described["parameters"] += [*_WRITE_PARAMETERS, *([_IF_MATCH] * operation.conditional)]
    elif operation.method == "DELETE":
        described["parameters"].append(_DRY_RUN)
    described["parameters"] += [
        {
            "name": each.name,
            "in": "query",
            "required": each.required,
            "description": each.description,
            "schema": each.schema,
        }
        for each in operation.parameters
    ]
    if operation.paged:
        described["parameters"] += _page_parameters(limits)[: 1 + operation.cursor]
    if operation.body:
        content: Json = {"schema": _schema(operation.body)}
        if sent := [each["request_body"] for each in examples if each["status"] == operation.status]:
            content["example"] = sent[0]
        required = any(field.required for field in msgspec.structs.fields(operation.body))
        described["requestBody"] = {
            "required": required,
            "content": {"application/json": content, **_also(operation.lines, "A command a line, as in a batch")},
        }
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
    own = {**refused, **_BY_METHOD[operation.method]}
    if operation.conditional:
        own[412] = ""
    problems = {**EVERYWHERE, **{status: _REASONS[status] for status in own}}
    answers: Json = {str(operation.status): _success(operation, examples)}
    for status in sorted(problems):
        content: Json = {"application/json": {"schema": _PROBLEM, **_shown(examples, status)}}
        if status not in _BEFORE_THE_APPLICATION:
            content["application/problem+json"] = {"schema": _PROBLEM, **_shown(examples, status, in_full=True)}
        answers[str(status)] = {"description": problems[status], "content": content}
    if operation.denials:
        answers["409"]["headers"] = _RECORDED_HEADERS
    if operation.tagged:
        answers["304"] = {"description": "The client has it", "headers": _TAG_HEADER}
    return answers


def _success(operation: Operation, examples: list[Json]) -> Json:
    if operation.answer is None:
        return {"description": "Done"}
    answer, *in_full = map(_schema, _answers(operation))
    schema = {"anyOf": [answer, *in_full]} if in_full else answer
    success: Json = {
        "description": (operation.answer.__doc__ or "").splitlines()[0],
        "content": {
            "application/json": {"schema": schema, **_shown(examples, operation.status)},
            **{media: {"schema": {"type": "string"}} for media in operation.media},
            **_also(operation.lines, "An answer a line, as in that of a batch"),
        },
    }
    if operation.method == "POST":
        success["headers"] = {**_RECORDED_HEADERS, **_WRITE_HEADERS}
    if operation.tagged:
        success["headers"] = _TAG_HEADER
    if operation.paged:
        description = 'The next page, rel="next", when more follows (RFC 8288)'
        success["headers"] = {"Link": {"description": description, "schema": {"type": "string"}}}
    return success


def _also(lines: bool, what: str) -> Json:
    """Return the form as JSON lines, where there is one."""
    return {JSON_LINES[1].decode(): {"schema": {"type": "string", "description": what}}} if lines else {}


def _answers(operation: Operation) -> tuple[type[msgspec.Struct], ...]:
    """Return the types of a success: its own, and the one that a client may prefer to it."""
    preferred = (TransactionDetailBody,) if operation.method == "POST" and operation.answer in _SHORT else ()
    return *((operation.answer,) if operation.answer else ()), *preferred


def _schema(kind: type[msgspec.Struct]) -> Json:
    return {"$ref": _REFERENCE.format(name=kind.__name__)}


def _shown(examples: list[Json], status: int, *, in_full: bool = False) -> Json:
    """Return the examples of a status; of a problem, in the short form or in full, as far as they are known so."""
    shown = {each["name"]: each["response_body"] for each in examples if each["status"] == status}
    if in_full:
        shown = {name: body for name, body in shown.items() if "code" in body}
    elif status >= HTTPStatus.BAD_REQUEST:
        shown = {name: {"detail": body["detail"]} for name, body in shown.items()}
    return {"examples": {name: {"value": body} for name, body in shown.items()}} if shown else {}
