"""Write the Postman collection: a flow through the whole API, made from the route table and the documented examples.

It runs from top to bottom on any ledger, as often as one likes: each run signs up a customer and a business of its
own, and what a request creates is remembered in a variable for those after it. A documented refusal must be answered
word for word. A documented success must have the documented keys, each with a value of the documented type: those
that all the examples have, and none that no example has. An operation that is not documented must have exactly the
keys of its type.
"""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from monedero.api.openapi import documented_examples
from monedero.api.routes import OPERATIONS, Operation

Json = dict[str, Any]

TARGET = Path(__file__).resolve().parents[2] / "docs" / "monedero.postman_collection.json"

_BASE_URL = "http://127.0.0.1:8000"
_FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_TRANSACTION = "transaction_id"
_LIVE = {
    "customer_id": "{{customer_id}}",
    "business_id": "{{business_id}}",
    "customer_wallet_id": "{{wallet_id}}",
    "email": "{{email}}",
}
"""The keys of the documented bodies whose values are another ledger's, with what this run knows instead."""

_FRESH_EMAIL = 'pm.collectionVariables.set("email", pm.variables.replaceIn("{{$randomUUID}}") + "@example.com");'
_JSON_TYPES = {str: "string", int: "number", float: "number", type(None): "null"}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def main() -> None:
    """Write the collection where the documentation has it."""
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(rendered(), encoding="utf-8")


def rendered() -> str:
    """Return the text of the collection, the same for the same API."""
    return json.dumps(collection(), indent=2, ensure_ascii=False) + "\n"


def collection() -> Json:
    """Return the collection: a folder for each noun, and in each what writes before what reads."""
    documented = documented_examples()
    folders: dict[str, list[Json]] = {each.tag: [] for each in OPERATIONS}
    for operation in sorted(OPERATIONS, key=lambda each: each.method != "POST"):
        folders[_noun(operation, set(folders))] += _items(operation, documented.get(operation.name, {}))
    ids = dict.fromkeys(name for each in OPERATIONS for name in re.findall(r"{(\w+)}", each.path))
    variables = {"base_url": _BASE_URL, "email": "", **dict.fromkeys(ids, "")}
    return {
        "info": {
            "name": "Monedero",
            "description": "Run it from top to bottom: each request leaves what the ones after it need.",
            "schema": _FORMAT,
        },
        "item": [{"name": noun.capitalize(), "item": items} for noun, items in folders.items()],
        "variable": [{"key": name, "value": value, "type": "string"} for name, value in variables.items()],
    }


def _noun(operation: Operation, nouns: set[str]) -> str:
    """Return what the operation is about: the last noun of its path; deposit and debit make transactions."""
    last = re.findall(r"/(\w+)", operation.path)[-1]
    return last if last in nouns else "transactions" if operation.method == "POST" else operation.tag


def _items(operation: Operation, endpoint: Json) -> Iterator[Json]:
    """Yield a request for each documented status, the success first; one alone where nothing is documented."""
    examples: list[Json] = endpoint.get("examples", [])
    for status in sorted({each["status"] for each in examples} or {operation.status}):
        shown = [each for each in examples if each["status"] == status]
        yield _item(operation, status, shown)


def _item(operation: Operation, status: int, examples: list[Json]) -> Json:
    body = examples[0]["request_body"] if examples else None
    live = {key: _LIVE.get(key, value) for key, value in body.items()} if body else None
    url = _url(operation, examples) if status == HTTPStatus.NOT_FOUND else _url(operation)
    item: Json = {
        "name": examples[0]["name"] if examples else operation.name,
        "event": [_event("test", _checks(operation, status, examples))],
        "request": {**_request(operation, url, live), "description": operation.handler.__doc__},
        "response": [_saved(operation, url, each) for each in examples],
    }
    if status == operation.status and body and "email" in body:
        item["event"].insert(0, _event("prerequest", [_FRESH_EMAIL]))
    if body and operation.method == "GET":
        item["protocolProfileBehavior"] = {"disableBodyPruning": True}  # Else Postman sends a GET without its body.
    return item


def _url(operation: Operation, unknown: list[Json] | None = None) -> Json:
    """Return the address; `unknown` are examples whose answer names the id that is asked for in vain."""
    path = operation.path.replace("{", "{{").replace("}", "}}")
    for example in unknown or []:
        path = re.sub(r"{{\w+}}", _UUID.findall(example["response_body"]["detail"])[0], path)
    url: Json = {"raw": "{{base_url}}" + path, "host": ["{{base_url}}"], "path": path.split("/")[1:]}
    if operation.sizes:
        url |= {"raw": url["raw"] + "?from=1", "query": [{"key": "from", "value": "1"}]}
    return url


def _request(operation: Operation, url: Json, body: Json | None) -> Json:
    if body is None:
        header = [{"key": "Accept", "value": "application/json"}] if operation.text else []
        return {"method": operation.method, "header": header, "url": url}
    raw = json.dumps(body, indent=2, ensure_ascii=False)
    return {
        "method": operation.method,
        "header": [{"key": "Content-Type", "value": "application/json"}],
        "body": {"mode": "raw", "raw": raw, "options": {"raw": {"language": "json"}}},
        "url": url,
    }


def _saved(operation: Operation, url: Json, example: Json) -> Json:
    """Return a documented example as Postman keeps one, word for word."""
    return {
        "name": example["name"],
        "originalRequest": _request(operation, url, example["request_body"]),
        "status": HTTPStatus(example["status"]).phrase,
        "code": example["status"],
        "_postman_previewlanguage": "json",
        "header": [{"key": "Content-Type", "value": "application/json"}],
        "cookie": [],
        "body": json.dumps(example["response_body"], indent=2, ensure_ascii=False),
    }


def _event(listen: str, lines: list[str]) -> Json:
    return {"listen": listen, "script": {"type": "text/javascript", "exec": lines}}


def _checks(operation: Operation, status: int, examples: list[Json]) -> list[str]:
    """Return the test of an answer; only one that passes is remembered."""
    answers = [each["response_body"] for each in examples]
    if status == operation.status:
        schema = _shape(answers) if answers else _keys(operation.answer)
        expected = f"pm.response.to.have.jsonSchema({_script(schema)});"
    else:
        expected = f"pm.expect(pm.response.json()).to.eql({_script(answers[0])});"
    lines = [
        f'pm.test("answers {status}, as documented", () => {{',
        f"    pm.response.to.have.status({status});",
        *f"    {expected}".splitlines(),
    ]
    if status == operation.status and operation.method == "POST":
        lines.append(f'    pm.collectionVariables.set("{_created(operation)}", pm.response.json().id);')
    return [*lines, "});"]


def _created(operation: Operation) -> str:
    """Return the variable for what a POST creates: the id by which its own collection shows it, or a transaction's."""
    found = (re.fullmatch(re.escape(operation.path) + r"/{(\w+)}", each.path) for each in OPERATIONS)
    return next((match[1] for match in found if match), _TRANSACTION)


def _script(value: Json) -> str:
    return json.dumps(value, indent=4, ensure_ascii=False).replace("\n", "\n    ")


def _shape(values: list[Any]) -> Json:
    """Return the JSON Schema that documented values have in common."""
    if all(isinstance(each, dict) for each in values):
        keys = dict.fromkeys(key for each in values for key in each)
        properties = {key: _shape([each[key] for each in values if key in each]) for key in keys}
        required = [key for key in keys if all(key in each for each in values)]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    if all(isinstance(each, list) for each in values):
        return {"type": "array", "items": _shape([item for each in values for item in each]), "minItems": 1}
    types = sorted({_JSON_TYPES[type(each)] for each in values})
    return {"type": types[0] if len(types) == 1 else types}


def _keys(answer: type[msgspec.Struct]) -> Json:
    """Return the JSON Schema of a type of answers, closed to further keys."""
    definitions: Json = msgspec.json.schema(answer)["$defs"]
    definition = definitions.pop(answer.__name__)
    return {**definition, "additionalProperties": False, **({"$defs": definitions} if definitions else {})}


if __name__ == "__main__":
    main()
