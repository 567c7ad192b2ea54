"""Our own examples, beside the documented ones: real answers of the service as it is now."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from monedero.api.openapi import documented_examples, more_examples
from tests.ledgers import KINDS, Ledgers
from tests.support import Service
from tools.examples import TARGET, told

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path: Path) -> Iterator[httpx.Client]:
    """Return a client of an empty ledger of each kind in turn."""
    with Service(ledgers.new(request.param, tmp_path)) as service, service.client() as client:
        yield client


def test_our_examples_are_what_the_service_answers(client: httpx.Client) -> None:
    """The story of the examples is answered as shown, apart from ids and times; `make examples` brings it there."""
    answered = told(client)

    assert normal(answered) == normal(json.loads(TARGET.read_text(encoding="utf-8")))


def test_our_examples_take_no_name_of_the_documented_ones() -> None:
    """Whoever names an example names one of them."""
    names = [
        example["name"]
        for endpoints in (documented_examples(), more_examples())
        for endpoint in endpoints.values()
        for example in endpoint["examples"]
    ]

    assert len(names) == len(set(names))


def normal(examples: list[dict[str, Any]]) -> Any:
    """Replace ids by their numbers in order of appearance, so that each stays itself, and times by one."""
    numbers: dict[str, str] = {}
    text = TIME.sub("<time>", json.dumps(examples))
    return json.loads(ID.sub(lambda found: numbers.setdefault(found[0], f"<id {len(numbers)}>"), text))
