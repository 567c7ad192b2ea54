import contextvars
import json
import logging
import os
import signal
import stat
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from monedero.cli.server import Server
from monedero.observability import logs, request_ids
from monedero.observability.lines import BUFFER_LIMIT_BYTES, SERVICE, BufferedLines, Lines
from monedero.settings import load_settings
from monedero.storage.store import NotStoredError
from tests.api.world import World
from tests.ledgers import EMBEDDED, POSTGRES, Ledgers
from tests.support import Service

PRIVATE = "s3cr3t-of-ada@example.com"


@pytest.fixture
def stream() -> Iterator[StringIO]:
    """Return what to log to, with the standard library's logging put back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger(SERVICE)
    before = root.handlers[:], root.level, ours.level
    yield StringIO()
    root.handlers[:], root.level, ours.level = before


def lines(text: str) -> list[dict[str, Any]]:
    """Return the lines of JSON in a text."""
    return [json.loads(line) for line in text.splitlines()]


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file."""
    return lines(path.read_text())


def test_whatever_is_logged_is_one_line_of_ecs(stream: StringIO) -> None:
    """A record of the standard library's loggers, ours or another's, is one line with the names of ECS."""
    logs.configure("json", "info", stream)

    logging.getLogger("monedero.engine").warning("a batch of %d\nwas lost", 7)
    logging.getLogger("another").error("its own matter")

    ours, theirs = lines(stream.getvalue())
    assert ours.pop("@timestamp").endswith("Z")
    assert ours == {
        "log.level": "warning",
        "message": "a batch of 7\nwas lost",
        "ecs.version": "8.11.0",
        "service.name": "monedero",
        "log.logger": "monedero.engine",
    }
    assert (theirs["log.level"], theirs["message"]) == ("error", "its own matter")


@pytest.mark.parametrize(("level", "heard"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_from_a_level_on(stream: StringIO, level: str, heard: int) -> None:
    """Our records count from the level that is set, others' from warning."""
    logs.configure("json", level, stream)

    for each in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger("monedero").log(each, "said")
    logging.getLogger("another").info("chatter")

    assert len(lines(stream.getvalue())) == heard


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_exception_is_told_without_its_message(stream: StringIO, log_format: str) -> None:
    """There are type and frames, but no message, which may quote a row; of our own errors there is the sentence."""
    logs.configure(log_format, "info", stream)

    for error in (ValueError(PRIVATE), NotStoredError("the disk is full")):
        try:
            raise error from KeyError(PRIVATE)
        except (ValueError, NotStoredError):
            logging.getLogger("monedero").exception("it failed")

    text = stream.getvalue()
    assert PRIVATE not in text
    assert "builtins.ValueError" in text
    assert "the disk is full" in text
    assert text.count("test_logs.py") == 2
    if log_format == "json":
        first, second = lines(text)
        assert (first["error.type"], "error.message" in first) == ("builtins.ValueError", False)
        assert second["error.message"] == "the disk is full"


def test_a_terminal_gets_lines_for_people(stream: StringIO) -> None:
    """`auto` is JSON unless the stream is a terminal."""
    terminal = StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]

    for each in (stream, terminal):
        logs.configure("auto", "info", each)
        logging.getLogger("monedero").info("serving")

    assert lines(stream.getvalue())[0]["message"] == "serving"
    assert "serving" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def test_the_service_tells_when_it_starts_and_stops(ledgers: Ledgers, tmp_path: Path) -> None:
    """Standard error has lines of JSON and nothing else."""
    with Service(ledgers.new(EMBEDDED, tmp_path)) as service:
        service.process.send_signal(signal.SIGTERM)
        _, said = service.process.communicate(timeout=20)

    assert [line["message"] for line in lines(said)] == ["serving", "stopping", "stopped"]


def test_a_signal_is_none_of_the_request_that_it_interrupts(stream: StringIO) -> None:
    """The line that tells of a stop bears no request's id, whatever ran when the signal came."""
    logs.configure("json", "info", stream)
    context = contextvars.copy_context()
    context.run(request_ids.current.set, "order-7")

    context.run(Server(load_settings(), None, lambda: None).handle_exit, signal.SIGTERM, None)

    (stopping,) = lines(stream.getvalue())
    assert stopping["message"] == "stopping"
    assert "http.request.id" not in stopping


def test_a_worker_that_dies_is_told_of(ledgers: Ledgers, tmp_path: Path) -> None:
    """What the supervisor and its workers have to say is in the same form."""
    with Service(ledgers.new(POSTGRES[0], tmp_path), "--workers", "2") as service:
        children = Path(f"/proc/{service.process.pid}/task/{service.process.pid}/children").read_text().split()
        os.kill(int(children[-1]), signal.SIGKILL)
        assert service.process.stderr is not None
        said = (json.loads(line) for line in service.process.stderr)
        died = next(line for line in said if line["log.level"] == "error")

    assert died["message"] == "a worker ended with -9; another takes its place"


def test_an_error_of_ours_is_told_with_the_request(ledgers: Ledgers, tmp_path: Path) -> None:
    """A store that cannot be read leaves a line with the route and the request's id, without the path."""
    url = ledgers.new(POSTGRES[0], tmp_path)
    with Service(url) as service, service.client() as client:
        ledgers.drop(url)
        answer = client.get(f"/wallets/{PRIVATE}0", headers={"x-request-id": "order-7"})
        answer = client.get("/wallets/01a20416-28d8-7169-9f70-5ca70eb1da03", headers={"x-request-id": "order-7"})
        service.process.send_signal(signal.SIGTERM)
        _, said = service.process.communicate(timeout=20)

    assert answer.status_code == 503
    (told,) = [line for line in lines(said) if line.get("http.request.id")]
    assert told["http.request.id"] == "order-7"
    assert told["message"].startswith("GET /wallets/{wallet_id} cannot be answered")
    assert "01a20416" not in said


def test_each_request_leaves_a_line(ledgers: Ledgers, tmp_path: Path) -> None:
    """A line has route, status, duration and ids, and nothing that a client wrote into its path or body."""
    path = tmp_path / "access.log"
    with Service(ledgers.new(EMBEDDED, tmp_path), MONEDERO_ACCESS_LOG=str(path)) as service:
        with service.client() as client:
            world = World(client)
            deposit = world.deposit(1).json()["id"]
            denied = world.debit(2, description=PRIVATE, headers={"x-request-id": "order-7"})
            client.get(f"/nothing/{PRIVATE}", headers={"user-agent": PRIVATE})
        service.stop()

    found = read(path)
    assert len(found) == 7
    *_, deposited, debited, nothing = found
    assert deposited["monedero.transaction.id"] == deposit
    assert debited.pop("@timestamp").endswith("Z")
    assert 0 < debited.pop("event.duration") < 60e9
    assert debited == {
        "message": "POST /businesses/wallets/{business_wallet_id}/debit 409",
        "log.level": "info",
        "ecs.version": "8.11.0",
        "service.name": "monedero",
        "event.dataset": "monedero.access",
        "http.request.method": "POST",
        "url.path": "/businesses/wallets/{business_wallet_id}/debit",
        "http.response.status_code": 409,
        "http.request.id": "order-7",
        "error.code": "insufficient_funds",
        "monedero.transaction.id": denied.headers["location"].rpartition("/")[2],
    }
    assert (nothing["url.path"], nothing["http.response.status_code"]) == ("unmatched", 404)
    assert PRIVATE not in path.read_text()
    assert "example.com" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_lines_on_standard_output(ledgers: Ledgers, tmp_path: Path) -> None:
    """`-` is standard output, where the lines follow what the program prints at its start."""
    with Service(ledgers.new(EMBEDDED, tmp_path), MONEDERO_ACCESS_LOG="-") as service, service.client() as client:
        client.get("/wallets/nobody")
        service.process.send_signal(signal.SIGTERM)
        printed, _ = service.process.communicate(timeout=20)

    assert lines(printed.splitlines()[-1])[0]["http.response.status_code"] == 404


def test_what_operators_do_is_in_the_audit_log(ledgers: Ledgers, tmp_path: Path) -> None:
    """Each command leaves how it began and ended; a start shows the settings, but nothing that may be a secret."""
    path = tmp_path / "audit.log"
    url = ledgers.new(POSTGRES[0], tmp_path)
    address = f"{url}{'&' if '?' in url else '?'}password={PRIVATE}"
    with Service(address, MONEDERO_AUDIT_LOG=str(path)) as service:
        service.stop()
    assert service.run("verify").returncode == 0
    assert service.run("import", "--input", "/nowhere").returncode == 2

    found = read(path)
    assert [(line["event.action"], line["event.outcome"]) for line in found] == [
        ("monedero migrate", "unknown"),
        ("monedero migrate", "success"),
        ("monedero serve", "unknown"),
        ("monedero verify", "unknown"),
        ("monedero verify", "success"),
        ("monedero import", "unknown"),
        ("monedero import", "failure"),
    ]
    assert {line["user.id"] for line in found} == {str(os.getuid())}
    settings = found[2]["settings"]
    assert (settings["database_url"], settings["replica_urls"], settings["currency"]) == ("(set)", "", "EUR")
    assert PRIVATE not in path.read_text()


def test_denials_are_in_the_audit_log(ledgers: Ledgers, tmp_path: Path) -> None:
    """Each denied debit leaves a line with its id and the reason; accepted ones leave none."""
    path = tmp_path / "audit.log"
    with Service(ledgers.new(EMBEDDED, tmp_path), MONEDERO_AUDIT_LOG=str(path)) as service, service.client() as client:
        world = World(client)
        world.deposit(5)
        world.debit(1, PRIVATE)
        denied = world.debit(1000, PRIVATE)

    (line,) = [line for line in read(path) if line["event.action"] == "debit.denied"]
    assert line["event.outcome"] == "failure"
    assert line["error.code"] == "insufficient_funds"
    assert line["monedero.transaction.id"] == denied.headers["location"].rpartition("/")[2]
    assert line["monedero.position"] == int(denied.headers["ledger-position"])
    assert PRIVATE not in path.read_text()


def test_a_file_may_be_moved_away(tmp_path: Path) -> None:
    """Lines go to the name, whatever became of the file that had it."""
    path = tmp_path / "some.log"
    target = Lines(str(path))

    target.append(b"one\n")
    path.rename(tmp_path / "some.log.1")
    target.append(b"two\n")

    assert path.read_bytes() == b"two\n"


def test_a_log_that_is_full_stops_no_payment(caplog: pytest.LogCaptureFixture) -> None:
    """Lines that cannot be written are lost, which is told once, not each time."""
    target = Lines("/dev/full")

    for _ in range(3):
        target.append(b"one\n")

    (told,) = caplog.messages
    assert told == "lines for /dev/full are lost: No space left on device"


def test_many_lines_are_not_kept_waiting() -> None:
    """What is buffered is appended once it is large, in order, and the rest when it is flushed."""
    written: list[bytes] = []
    buffered = BufferedLines(written.append)
    line = b"x" * 1000

    for _ in range(BUFFER_LIMIT_BYTES // 1000 + 1):
        buffered.add(line)
    assert len(written) == 1
    buffered.add(b"last")
    buffered.flush()
    buffered.flush()

    assert len(written) == 2
    assert written[1] == b"last\n"


def test_a_wrong_format_is_refused(ledgers: Ledgers, tmp_path: Path) -> None:
    """A setting that is none of its choices stops the program with one sentence."""
    ended = Service(ledgers.new(EMBEDDED, tmp_path), MONEDERO_LOG_FORMAT="xml").run("serve")

    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "MONEDERO_LOG_FORMAT" in ended.stderr
