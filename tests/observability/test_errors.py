import json
from pathlib import Path
from typing import Any

import psycopg

from monedero import __version__
from tests.ledgers import POSTGRES, Ledgers
from tests.observability.receivers import Receiver
from tests.support import Service

PERSON = {
    "name": "Ada-Secret",
    "last_name": "Lovelace-Secret",
    "email": "ada.secret@example.com",
    "phone": "555-Secret",
}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def failing(ledgers: Ledgers, folder: Path) -> str:
    """Return the address of a ledger that takes no owner, and whose server quotes the row when it says so."""
    url = ledgers.new(POSTGRES[0], folder)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE owners ADD CONSTRAINT never CHECK (number < 0) NOT VALID")
    return url


def events(receiver: Receiver) -> list[dict[str, Any]]:
    """Return the events that a receiver was sent."""
    found = []
    for path, body in receiver.heard():
        assert path == "/api/1/envelope/"
        lines = body.splitlines()
        found += [
            json.loads(lines[at + 1]) for at in range(1, len(lines), 2) if json.loads(lines[at])["type"] == "event"
        ]
    return found


def test_an_error_is_reported_and_logged_without_anybodys_data(ledgers: Ledgers, tmp_path: Path) -> None:
    """An error whose message quotes a person's row reaches Sentry and the log with its place, trace and ids."""
    with Receiver() as receiver:
        settings = {
            "MONEDERO_SENTRY_DSN": f"http://public@{receiver.address}/1",
            "MONEDERO_TRACE_URL": f"http://{receiver.address}/v1/traces",
            "MONEDERO_TRACE_RATIO": "0",
        }
        with Service(failing(ledgers, tmp_path), **settings) as service, service.client() as client:
            headers = {"x-request-id": "order-7", "traceparent": f"00-{TRACE}-{SPAN}-01"}
            assert client.post("/customers", json=PERSON, headers=headers).status_code == 500
            service.process.terminate()
            _, said = service.process.communicate(timeout=20)
        receiver.received[:] = [each for each in receiver.heard() if "envelope" in each[0]]
        (event,) = events(receiver)

    assert event["release"] == f"monedero@{__version__}"
    assert event["contexts"]["trace"]["trace_id"] == TRACE
    assert event["tags"] == {"request_id": "order-7"}
    assert event["logentry"]["formatted"] == "POST /customers failed"
    assert event["exception"]["values"][-1]["type"] == "CheckViolation"
    assert event["exception"]["values"][-1]["value"] == ""
    assert any(frame["function"] == "sign_up" for frame in event["exception"]["values"][-1]["stacktrace"]["frames"])
    (line,) = [line for line in map(json.loads, said.splitlines()) if line["log.level"] == "error"]
    assert line["error.type"] == "psycopg.errors.CheckViolation"
    assert (line["trace.id"], line["http.request.id"]) == (TRACE, "order-7")
    for private in (*PERSON.values(), service.url.rpartition("@")[0]):
        assert private not in json.dumps(event)
        assert private not in said


def test_without_a_trace_of_ours_there_is_one_all_the_same(ledgers: Ledgers, tmp_path: Path) -> None:
    """An error of a request that is not sampled has a trace id too, so that what belongs together is found."""
    with Receiver() as receiver:
        settings = {"MONEDERO_SENTRY_DSN": f"http://public@{receiver.address}/1"}
        with Service(failing(ledgers, tmp_path), **settings) as service, service.client() as client:
            assert client.post("/customers", json=PERSON).status_code == 500
            (event,) = events(receiver)

    assert len(event["contexts"]["trace"]["trace_id"]) == 32


def test_a_dsn_that_is_none(ledgers: Ledgers, tmp_path: Path) -> None:
    """The program stops with one sentence, which does not repeat it."""
    ended = Service(ledgers.new(POSTGRES[0], tmp_path), MONEDERO_SENTRY_DSN="top-secret").run("serve")

    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "MONEDERO_SENTRY_DSN" in ended.stderr
    assert "top-secret" not in ended.stderr
