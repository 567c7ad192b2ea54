"""The description of the API is true: it is valid, it is complete, and the service answers as it says."""

import json
import re
from collections import Counter, defaultdict
from html.parser import HTMLParser
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from monedero.api.openapi import documented_examples, more_examples
from monedero.api.routes import OPERATIONS, Operation
from tests.api.world import World
from tests.support import Service

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture
def description(client: httpx.Client) -> dict[str, Any]:
    """Return the document that the service serves."""
    answer = client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = answer.json()
    return document


def test_the_document_is_valid(description: dict[str, Any]) -> None:
    """The document is OpenAPI 3.1 by the specification's own schema."""
    validate(description)

    assert description["openapi"].startswith("3.1")


def test_every_operation_is_described(description: dict[str, Any]) -> None:
    """The document has every route of the table and nothing else, each with a summary and its answers."""
    described = {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}

    assert described == {(operation.method, operation.path) for operation in OPERATIONS}
    assert len({each["operationId"] for methods in description["paths"].values() for each in methods.values()}) == len(
        OPERATIONS
    )


def test_the_examples_fit_their_schemas(description: dict[str, Any]) -> None:
    """Every example in the document, documented or our own, is one that its own schema allows."""
    shown: dict[str, Counter[str]] = defaultdict(Counter)
    for operation in (each for methods in description["paths"].values() for each in methods.values()):
        for answer in operation["responses"].values():
            for kind, media in answer.get("content", {}).items():
                for name, example in media.get("examples", {}).items():
                    schema = strict({**media["schema"], "components": description["components"]})
                    jsonschema.validate(example["value"], schema, format_checker=jsonschema.FormatChecker())
                    shown[kind][name] += 1

    documented, own = names(documented_examples()), names(more_examples())
    assert shown["application/json"] == documented + own
    assert documented.total() == 22
    assert shown["application/problem+json"] == names(more_examples(), from_status=400)


def test_every_operation_shows_its_success_and_what_it_is_asked(description: dict[str, Any]) -> None:
    """Each operation has an example of its success, and of the body that it takes, which its schema allows.

    What is signed differs each time, so its examples are those of the types.
    """
    for operation in OPERATIONS:
        described = description["paths"][operation.path][operation.method.lower()]

        success = described["responses"][str(operation.status)]
        if operation.answer is None:
            assert "content" not in success
            continue
        answer = success["content"]["application/json"]
        assert "examples" in (shown_by_type(description, operation) if signed(operation) else answer)
        if operation.body:
            body = described["requestBody"]["content"]["application/json"]
            jsonschema.validate(body["example"], {**body["schema"], "components": description["components"]})


def signed(operation: Operation) -> bool:
    """Tell whether the operation answers what is signed or proven."""
    return operation.tag == "checkpoints" or operation.path.endswith("/receipt")


def shown_by_type(description: dict[str, Any], operation: Operation) -> str:
    """Return the text of the types of answers, as far as one refers to another."""
    schemas = description["components"]["schemas"]
    text = json.dumps(schemas[operation.answer.__name__]) if operation.answer else ""
    return text + "".join(json.dumps(schemas[name]) for name in re.findall(r"schemas/(\w+)", text))


def names(endpoints: dict[str, Any], from_status: int = 200) -> Counter[str]:
    """Return the names of the examples of endpoints that have at least that status."""
    examples = (example for endpoint in endpoints.values() for example in endpoint["examples"])
    return Counter(each["name"] for each in examples if each["status"] >= from_status and each["response_body"])


def test_answers_are_as_described(client: httpx.Client, description: dict[str, Any]) -> None:
    """What the service really answers, success or not, validates against the document."""
    world = World(client)
    wallet, till, listing = (
        "/customers/wallets/{wallet_id}",
        "/businesses/wallets/{business_wallet_id}",
        "/transactions",
    )
    mine, theirs = f"/customers/wallets/{world.wallet}", f"/businesses/wallets/{world.till}"
    answers = [
        ("post", f"{wallet}/deposit", world.deposit("5.25")),
        ("post", f"{till}/debit", world.debit(1)),
        ("post", f"{till}/debit", world.debit(100)),
        ("get", "/customers/{customer_id}", client.get(f"/customers/{world.customer}")),
        ("get", "/businesses/{business_id}", client.get(f"/businesses/{world.business}")),
        ("get", "/customers/{customer_id}/wallets", client.get(f"/customers/{world.customer}/wallets")),
        (
            "get",
            "/customers/{customer_id}/transactions",
            client.get(f"/customers/{world.customer}/transactions?limit=1"),
        ),
        ("get", wallet, client.get(mine)),
        ("get", wallet + listing, client.get(mine + listing)),
        ("get", till, client.get(theirs)),
        ("get", till + listing, client.get(theirs + listing)),
        ("get", "/wallets/{wallet_id}", client.get(f"/wallets/{world.till}")),
        ("get", "/transactions/{transaction_id}", client.get(world.debit(1).headers["location"])),
        ("get", "/transactions/{transaction_id}", client.get("/transactions/x")),
        ("get", "/transactions/{transaction_id}/receipt", client.get(f"{world.debit(1).headers['location']}/receipt")),
        ("get", "/checkpoints/latest", client.get("/checkpoints/latest", headers={"accept": "application/json"})),
        ("get", "/checkpoints/consistency", client.get("/checkpoints/consistency?from=1")),
        ("get", "/checkpoints/consistency", client.get("/checkpoints/consistency?from=0")),
        ("get", "/checkpoints/keys", client.get("/checkpoints/keys")),
    ]
    for method, path, answer in answers:
        media = description["paths"][path][method]["responses"][str(answer.status_code)]["content"]["application/json"]
        schema = {**media["schema"], "components": description["components"]}
        jsonschema.validate(answer.json(), strict(schema), format_checker=jsonschema.FormatChecker())


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with objects that allow no key that they do not name."""
    components = {
        name: {**each, "additionalProperties": False} for name, each in schema["components"]["schemas"].items()
    }
    return {**schema, "components": {"schemas": components}}


class _Addresses(HTMLParser):
    """Collects what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in {"src", "href"} and value]


def test_the_interactive_page_needs_no_internet(client: httpx.Client) -> None:
    """Everything that the page loads is served by the service itself."""
    page = client.get("/docs", follow_redirects=True)
    addresses = _Addresses()
    addresses.feed(page.text)

    assert len(addresses.found) >= 4
    for address in addresses.found:
        assert address.startswith("/")
        assert client.get(address).status_code == 200
    assert client.get("/").headers["location"] == "/docs/"


def test_generated_requests_meet_no_surprise(
    service: Service, client: httpx.Client, request: pytest.FixtureRequest
) -> None:
    """Whatever is sent, well-formed or not, the answer is one that the document describes, and never a 5xx."""
    schema = schemathesis.openapi.from_url(f"{service.base}/openapi.json")
    tested = 0
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        exercise(result.ok(), World(client), request.config.getoption("--api-examples"))
        tested += 1

    assert tested == len(OPERATIONS)


def exercise(operation: Any, world: World, examples: int) -> None:
    """Send generated requests to one operation, to ids that exist and others, meant to be right and meant not to be."""
    existing = {
        "customer_id": world.customer,
        "wallet_id": world.wallet,
        "business_id": world.business,
        "business_wallet_id": world.till,
        "transaction_id": world.transaction,
        "hold_id": world.hold,
    }
    named = {name: existing[name] for name in re.findall(r"{(\w+)}", operation.path)}
    cases = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE, path_parameters=named or None),
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(cases)
    def send(case: Any) -> None:
        case.call_and_validate(checks=CHECKS, timeout=10)

    send()
