"""Write the Postman collection: a flow through the whole API, made from the route table and the documented examples.

It runs from top to bottom on any ledger, as often as one likes: each run signs up a customer and a business of its
own, and what a request creates is remembered in a variable for those after it. A documented refusal must be answered
word for word. A documented success must have the documented keys, each with a value of the documented type: those
that all the examples have, and none that no example has. An operation that is not documented is asked as in our own
examples, or plainly where it has none, after the documented ones, and must have no keys but those of its type.
"""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from monedero.api.openapi import documented_examples, more_examples
from monedero.api.parameters import SIZES
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
    "wallet_id": "{{other_wallet_id}}",
    "email": "{{email}}",
}
"""The keys of the examples' bodies whose values are another ledger's, with what this run knows instead."""
_BEFORE = {
    "Withdraw from a customer wallet": ("Deposit money in wallet", "Deposit money for what follows", _TRANSACTION),
    "Transfer between wallets of a customer": (
        "Create customer wallet",
        "Create another customer wallet",
        "other_wallet_id",
    ),
    "Erase customer": ("Customer signup", "Sign up a customer to be erased", "customer_id"),
}
"""What an operation needs that the documented requests do not leave: the operation that makes it, as which request,
and the variable for its id."""

_LAST = "erasure"
"""The folder of what would take from the others what they need."""

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
    documented, own = documented_examples(), more_examples()
    folders: dict[str, list[Json]] = {tag: [] for tag in [*(each.tag for each in OPERATIONS), _LAST]}
    for operation in sorted(OPERATIONS, key=lambda each: (each.name not in documented, each.method != "POST")):
        folder = folders[_noun(operation, set(folders))]
        more = own.get(operation.name, {}).get("examples", [])
        if operation.name in documented:
            folder += _documented_items(operation, documented[operation.name]["examples"], more)
        else:
            folder += _own_items(operation, more)
    ids = dict.fromkeys(name for each in OPERATIONS for name in re.findall(r"{(\w+)}", each.path))
    made = dict.fromkeys(variable for *_, variable in _BEFORE.values())
    variables = {"base_url": _BASE_URL, "email": "", **dict.fromkeys([*ids, *made], "")}
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
    """Return what the operation is about: the last noun of its path, or that of what is read, or a hold.

    All the rest makes transactions.
    """
    if operation.method == "DELETE":
        return _LAST
    last: str = re.findall(r"/(\w+)", operation.path)[-1]
    if last in nouns:
        return last
    return operation.tag if operation.method == "GET" or operation.tag == "holds" else "transactions"


def _documented_items(operation: Operation, documented: list[Json], own: list[Json]) -> Iterator[Json]:
    """Yield a request for each documented status, the success first; our own examples are saved with that."""
    for status in sorted({each["status"] for each in documented}):
        shown = [each for each in documented if each["status"] == status]
        success = status == operation.status
        if success:
            checks = _checks(operation, status, _shape([each["response_body"] for each in shown]))
        else:
            checks = _checks(operation, status, answer=shown[0]["response_body"])
        yield _item(operation, shown[0], checks, [*shown, *own] if success else shown)


def _own_items(operation: Operation, own: list[Json]) -> Iterator[Json]:
    """Yield a request that succeeds, after the one that it needs."""
    if needed := _BEFORE.get(operation.name):
        name, called, variable = needed
        maker = next(each for each in OPERATIONS if each.name == name)
        examples = documented_examples()[name]["examples"]
        example = next(each for each in examples if each["status"] == maker.status)
        checks = _checks(maker, maker.status, _keys(maker.answer) if maker.answer else None, variable=variable)
        yield _item(maker, {**example, "name": called}, checks, [])
    succeeded = (each for each in own if each["status"] == operation.status)
    example = next(succeeded, {"request_body": None, "status": operation.status})
    yield _item(
        operation,
        {**example, "name": operation.name},
        _checks(operation, operation.status, _keys(operation.answer) if operation.answer else None),
        own,
    )


def _item(operation: Operation, example: Json, checks: list[str], saved: list[Json]) -> Json:
    """Return a request as in an example, with the ids of this run."""
    body = example["request_body"]
    live = _live(body) if body else None
    url = _url(operation, example) if example["status"] == HTTPStatus.NOT_FOUND else _url(operation)
    item: Json = {
        "name": example["name"],
        "event": [_event("test", checks)],
        "request": {**_request(operation, url, live), "description": operation.handler.__doc__},
        "response": [_saved(operation, url, each) for each in saved],
    }
    if example["status"] == operation.status and body and "email" in body:
        item["event"].insert(0, _event("prerequest", [_FRESH_EMAIL]))
    if body and operation.method == "GET":
        item["protocolProfileBehavior"] = {"disableBodyPruning": True}  # Else Postman sends a GET without its body.
    return item


def _live(body: Json) -> Json:
    """Return a body with the ids of this run, also in the commands of a batch."""
    live: Json = {key: _LIVE.get(key, value) for key, value in body.items()}
    if "commands" in body:
        live["commands"] = [
            {**command, "path": _live_path(command["path"]), "body": _live(command["body"])}
            for command in body["commands"]
        ]
    return live


def _live_path(path: str) -> str:
    """Return a path with variables for its ids, named as in the operation's."""
    pattern = _UUID.sub(r"{\\w+}", path)
    named = next(each.path for each in OPERATIONS if each.method == "POST" and re.fullmatch(pattern, each.path))
    return named.replace("{", "{{").replace("}", "}}")


def _url(operation: Operation, unknown: Json | None = None) -> Json:
    """Return the address; `unknown` is an example whose answer names the id that is asked for in vain."""
    path = operation.path.replace("{", "{{").replace("}", "}}")
    if unknown:
        path = re.sub(r"{{\w+}}", _UUID.findall(unknown["response_body"]["detail"])[0], path)
    url: Json = {"raw": "{{base_url}}" + path, "host": ["{{base_url}}"], "path": path.split("/")[1:]}
    if operation.parameters == SIZES:
        url |= {"raw": url["raw"] + "?from=1", "query": [{"key": "from", "value": "1"}]}
    return url


def _request(operation: Operation, url: Json, body: Json | None) -> Json:
    if body is None:
        header = [{"key": "Accept", "value": "application/json"}] if "text/plain" in operation.media else []
        return {"method": operation.method, "header": header, "url": url}
    raw = json.dumps(body, indent=2, ensure_ascii=False)
    return {
        "method": operation.method,
        "header": [{"key": "Content-Type", "value": "application/json"}],
        "body": {"mode": "raw", "raw": raw, "options": {"raw": {"language": "json"}}},
        "url": url,
    }


def _saved(operation: Operation, url: Json, example: Json) -> Json:
    """Return an example as Postman keeps one, word for word."""
    answer = example["response_body"]
    kind = "application/problem+json" if answer and "code" in answer else "application/json"
    return {
        "name": example["name"],
        "originalRequest": _request(operation, url, example["request_body"]),
        "status": HTTPStatus(example["status"]).phrase,
        "code": example["status"],
        "_postman_previewlanguage": "json",
        "header": [{"key": "Content-Type", "value": kind}] if answer else [],
        "cookie": [],
        "body": json.dumps(answer, indent=2, ensure_ascii=False) if answer else "",
    }


def _event(listen: str, lines: list[str]) -> Json:
    return {"listen": listen, "script": {"type": "text/javascript", "exec": lines}}


def _checks(
    operation: Operation, status: int, schema: Json | None = None, *, answer: Json | None = None, variable: str = ""
) -> list[str]:
    """Return the test of an answer, by its schema or word for word; what a request that passes makes is remembered."""
    expected = (
        'pm.expect(pm.response.text()).to.equal("");'
        if status == HTTPStatus.NO_CONTENT
        else f"pm.response.to.have.jsonSchema({_script(schema)});"
        if schema
        else f"pm.expect(pm.response.json()).to.eql({_script(answer or {})});"
    )
    lines = [
        f'pm.test("answers {status}, as documented", () => {{',
        f"    pm.response.to.have.status({status});",
        *f"    {expected}".splitlines(),
    ]
    if (
        status == operation.status
        and operation.answer
        and "id" in operation.answer.__struct_fields__
        and operation.method == "POST"
    ):
        lines.append(f'    pm.collectionVariables.set("{variable or _created(operation)}", pm.response.json().id);')
    return [*lines, "});"]


def _created(operation: Operation) -> str:
    """Return the variable for what a POST creates: the id by which a collection shows it, or a transaction's."""
    collections = operation.path, "/" + operation.path.rpartition("/")[2]
    found = (
        re.fullmatch(re.escape(collection) + r"/{(\w+)}", each.path)
        for collection in collections
        for each in OPERATIONS
    )
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
    """Return the JSON Schema of a type of answers, it and those inside it closed to further keys."""
    definitions = {
        name: {**each, "additionalProperties": False} for name, each in msgspec.json.schema(answer)["$defs"].items()
    }
    return {**definitions.pop(answer.__name__), **({"$defs": definitions} if definitions else {})}


if __name__ == "__main__":
    main()
