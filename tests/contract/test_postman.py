"""The Postman collection in the documentation: up to date, and complete."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from monedero.api.openapi import documented_examples, more_examples
from monedero.api.routes import OPERATIONS, Operation
from tools.postman.collection import TARGET, rendered


def items() -> Iterator[Any]:
    """Yield the requests of the collection in the documentation, in the order in which they run."""
    for folder in json.loads(TARGET.read_text(encoding="utf-8"))["item"]:
        yield from folder["item"]


def asked(item: Any) -> tuple[str, str, str]:
    """Return the method and address of a request, and the line of its test that demands a status."""
    demand = next(line for line in item["event"][-1]["script"]["exec"] if "have.status(" in line)
    return item["request"]["method"], item["request"]["url"]["raw"].partition("?")[0], demand.strip()


def test_is_what_the_generator_writes() -> None:
    """The collection in the documentation follows the API as it is now; `make collection` brings it there."""
    assert TARGET.read_text(encoding="utf-8") == rendered()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_has_every_operation(operation: Operation) -> None:
    """Every operation of the route table is asked for, with a check that it answers its success."""
    url = "{{base_url}}" + operation.path.replace("{", "{{").replace("}", "}}")

    assert (operation.method, url, f"pm.response.to.have.status({operation.status});") in map(asked, items())


def test_keeps_every_example() -> None:
    """Every documented answer, and every one of our own examples, is a saved example, with its status and its body."""
    expected = {
        example["name"]: (example["status"], example["response_body"])
        for endpoints in (documented_examples(), more_examples())
        for endpoint in endpoints.values()
        for example in endpoint["examples"]
    }

    saved = {
        each["name"]: (each["code"], json.loads(each["body"] or "null"))
        for item in items()
        for each in item["response"]
    }
    assert saved == expected


def test_documented_requests_come_before_our_own() -> None:
    """In each folder a documented request sees a ledger as the document has it, without what came later."""
    documented = set(documented_examples())
    own = {each.name for each in OPERATIONS if each.name not in documented}
    for folder in json.loads(TARGET.read_text(encoding="utf-8"))["item"]:
        told = [item["name"] in own for item in folder["item"] if item["response"]]

        assert told == sorted(told)
