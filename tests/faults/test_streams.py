"""Streams of commands: long, slow, broken off, unread, and cut by the end of the service."""

import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from monedero.sources import new_id
from tests.api.world import World
from tests.streams import Json, Stream, deposit, line
from tests.support import Service

MANY = 20_000
TIMEOUT_SECONDS = 1.0
SWEEP_SECONDS = 1.0
SLACK_SECONDS = 5.0
"""For the machine itself, on top of what is promised."""
STOP_SECONDS = 20.0
UNREAD_MEGABYTES = 20


@pytest.fixture
def world(client: httpx.Client) -> World:
    """Return a customer and a business of their own."""
    return World(client)


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Service]:
    """Return a service of its own that waits a second for a client."""
    timeout, never = str(TIMEOUT_SECONDS), "60"
    with Service(
        tmp_path / "ledger.db",
        MONEDERO_BODY_TIMEOUT_SECONDS=timeout,
        MONEDERO_WRITE_TIMEOUT_SECONDS=timeout,
        MONEDERO_KEEP_ALIVE_SECONDS=never,
    ) as service:
        yield service


def stored(client: httpx.Client, answers: list[Json]) -> bool:
    """Tell whether everything that was answered as done is there."""
    done = [each for each in answers if each["status"] == 201]
    return all(client.get(each["location"]).status_code == 200 for each in done)


def amounts(answers: list[Json]) -> list[int]:
    """Return the amounts of movements that were all done."""
    assert {each["status"] for each in answers} == {201}
    return [each["body"]["amount"] for each in answers]


def pump(stream: Stream, world: World, stop: threading.Event) -> threading.Thread:
    """Send commands from another thread until told to stop or until nobody takes them."""

    def send() -> None:
        try:
            while not stop.is_set():
                stream.send_command(*[deposit(world, 1)] * 50)
        except OSError:
            return

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_any_number_of_commands_is_answered_in_order_on_the_way(world: World, service: Service) -> None:
    """The first answer comes before the next line is sent; then 20,000 more lines, the last of which has no end."""
    with Stream(service.base) as stream:
        stream.send_command(deposit(world, 1))
        first = stream.answer()
        lines = [line(deposit(world, n)) for n in range(2, MANY + 1)]
        sender = threading.Thread(target=stream.send, args=(b"".join(lines)[:-1],))
        sender.start()
        answers = [each for _ in range(MANY - 2) if (each := stream.answer())]
        sender.join()
        stream.end()
        answers += stream.rest()
        head = stream.response.status, stream.response.headers["content-type"]

    assert first is not None
    assert head == (200, "application/x-ndjson")
    assert amounts([first, *answers]) == list(range(1, MANY + 1))
    positions = [first["position"], *(each["position"] for each in answers)]
    assert positions == list(range(positions[0], positions[0] + MANY))


def test_the_connection_goes_on_after_a_stream(world: World, service: Service) -> None:
    """A stream that ended leaves its connection to the next request, another stream too."""
    with Stream(service.base) as stream:
        stream.send_command(deposit(world, 1))
        stream.end()
        answers = stream.rest()
        stream.connection.request("GET", f"/wallets/{world.wallet}")
        status = stream.connection.getresponse().status

    assert (amounts(answers), stream.cut, status) == ([1], False, 200)


def test_a_line_that_is_no_command_is_answered_in_its_place(world: World, service: Service) -> None:
    """Malformed lines are 400 and the stream goes on; empty lines are nothing; CRLF and pieces of lines are fine."""
    good = line(deposit(world, 1))
    lines = [good, b"{\n", b"\n", b" \r\n", b"[]\n", b"5\n", b'{"path": "/\xff"}\n', b'{"body": {}}\n', b"\x00\n",
             good.replace(b"\n", b"\r\n"), line({"path": "/nowhere"}), b"\xef\xbb\xbf" + good, good]  # fmt: skip
    with Stream(service.base, accept="application/problem+json") as stream:
        for start in range(0, len(whole := b"".join(lines)), 7):
            stream.send(whole[start : start + 7])
        stream.end()
        answers = stream.rest()

    assert [each["status"] for each in answers] == [201, 400, 400, 400, 400, 400, 400, 201, 404, 400, 201]
    codes = [each["body"].get("code") for each in answers]
    assert codes == [None, "malformed_json", "not_an_object", "not_an_object", "malformed_json", "missing_key",
                     "malformed_json", None, "unknown_path", "malformed_json", None]  # fmt: skip
    assert answers[1]["body"]["instance"] == "/batches"


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "not ended"])
def test_a_line_too_long_ends_the_stream(world: World, service: Service, ended: bool) -> None:
    """What stood before it is carried out, it is 413, what follows is thrown away."""
    good, long = line(deposit(world, 1)), b'{"path": "' + b"x" * 70_000
    with Stream(service.base) as stream:
        stream.send(good + good + long + (b"\n" + good if ended else b""))
        answers = stream.rest()
        stream.send(good)
        stream.end()
        stream.connection.request("GET", f"/wallets/{world.wallet}")
        wallet = stream.connection.getresponse().read()

    assert [each["status"] for each in answers] == [201, 201, 413]
    assert answers[-1]["body"] == {"detail": "A line of the stream is larger than 65536 bytes"}
    assert not stream.cut
    assert b'"balance":2,' in wallet


@pytest.mark.parametrize("headers", [{"Idempotency_Key": "k"}, {"Prefer": "handling=dry-run"}])
def test_a_stream_is_not_one(world: World, service: Service, headers: dict[str, str]) -> None:
    """It takes no key for the whole of it and cannot be tried: it may be without end."""
    with Stream(service.base, accept="application/problem+json", **headers) as stream:
        stream.send_command(deposit(world, 1))
        status, body = stream.response.status, stream.response.read()

    assert status == 400
    assert b'"not_for_streams"' in body
    assert world.balance(world.wallet) == "0"


def test_a_stream_with_keys_can_be_sent_again(world: World, service: Service) -> None:
    """After a cut, the same lines under the same keys do what is missing and answer the rest as before."""
    commands = [deposit(world, n, idempotency_key=new_id()) for n in range(1, 1501)]
    with Stream(service.base) as stream:
        stream.send_command(*commands[:1000])
        before = [stream.answer() for _ in range(300)]
        stream.reset()
    with Stream(service.base) as stream:
        stream.send_command(*commands)
        stream.end()
        answers = stream.rest()

    assert amounts(answers) == list(range(1, 1501))
    assert answers[:300] == [{**(each or {}), "replayed": True} for each in before]
    assert world.balance(world.wallet) == str(1500 * 1501 // 2)


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "Application/X-NDJSON; charset=utf-8"])
def test_a_slow_stream_may_take_its_time_but_not_pause(strict: Service, content_type: str) -> None:
    """Line after line it lasts far longer than a body may; a pause that is longer ends it, with half a line or none."""
    answers = []
    with strict.client() as client, Stream(strict.base, content_type, accept="application/problem+json") as stream:
        world = World(client)
        began = time.monotonic()
        while time.monotonic() < began + 3 * TIMEOUT_SECONDS + SWEEP_SECONDS:
            stream.send_command(deposit(world, 1))
            answers.append(stream.answer())
            select.select([], [], [], TIMEOUT_SECONDS / 4)
        stream.send(line(deposit(world, 1))[:-1])
        paused = time.monotonic()
        end = stream.answer()
        pause_seconds = time.monotonic() - paused
        after, closed = stream.answer(), stream.socket.recv(1) == b""

        assert [each and each["status"] for each in answers] == [201] * len(answers)
        assert end is not None
        assert (end["status"], end["body"]["code"], after, stream.cut) == (408, "too_slow", None, False)
        assert closed
        assert pause_seconds < TIMEOUT_SECONDS + SWEEP_SECONDS + SLACK_SECONDS
        assert world.balance(world.wallet) == str(len(answers))


def test_a_stream_that_was_answered_may_not_go_on_for_ever(strict: Service) -> None:
    """Who sends on after the end of the answer is closed when the time for a body is up."""
    with strict.client() as client, Stream(strict.base) as stream:
        stream.send_command(deposit(World(client), 1))
        stream.send(b"x" * 70_000)
        answers = stream.rest()
        limit = time.monotonic() + TIMEOUT_SECONDS + SWEEP_SECONDS + SLACK_SECONDS
        while not select.select([stream.socket], [], [], TIMEOUT_SECONDS / 4)[0]:
            assert time.monotonic() < limit, "the service lets the client go on"
            stream.send(b"\n")

        assert [each["status"] for each in answers] == [201, 413]


def test_a_client_that_reads_nothing_costs_little_memory_and_is_cut_off(strict: Service) -> None:
    """While answers are not taken nothing more is read, so neither commands nor answers pile up with us."""
    with strict.client() as client, Stream(strict.base) as stream:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.get("/health/live")
        before = resident_megabytes(strict)
        with pytest.raises(ConnectionError):
            send_for_ever(stream, b"{}\n" * 20_000)
        grown = resident_megabytes(strict) - before

        assert grown < UNREAD_MEGABYTES
        assert client.get("/health/live").status_code == 200


def send_for_ever(stream: Stream, some: bytes) -> None:
    """Send until the service has had enough, or a limit is reached."""
    for _ in range(1_000):
        stream.send(some)


def resident_megabytes(service: Service) -> float:
    """Return how much memory the service has."""
    status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def test_a_client_that_goes_away_loses_nothing_that_was_answered(strict: Service) -> None:
    """Gone in the middle of a line or of a thousand commands: no word of it in the log, and the service goes on."""
    with strict.client() as client:
        world = World(client)
        answered: list[Json] = []
        for _ in range(5):
            with Stream(strict.base) as stream:
                stream.send_command(*[deposit(world, 1)] * 1_000)
                answered += [each for _ in range(10) if (each := stream.answer())]
                stream.send(b'{"path": "/custom')
                stream.reset()

        assert len(answered) == 50
        assert stored(client, answered)
        world.deposit(1)
    strict.process.send_signal(signal.SIGTERM)
    _, said = strict.process.communicate(timeout=20)
    assert strict.process.returncode == 0
    assert "Traceback" not in said
    assert '"error"' not in said


def test_others_are_served_during_a_stream(world: World, service: Service) -> None:
    """Beside a client that sends as fast as it can, reads and writes of others are answered soon."""
    stop = threading.Event()
    with Stream(service.base) as stream:
        sender = pump(stream, world, stop)
        reader = threading.Thread(target=stream.rest)
        stream.answer()
        reader.start()
        spent = []
        for _ in range(20):
            began = time.monotonic()
            world.deposit(1)
            assert world.client.get(f"/wallets/{world.wallet}").status_code == 200
            spent.append(time.monotonic() - began)
        still = sender.is_alive() and reader.is_alive()
        stop.set()
        sender.join()
        stream.end()
        reader.join()

    assert still
    assert not stream.cut
    assert sorted(spent)[len(spent) // 2] < 1.0


def test_a_stream_ends_in_order_when_the_service_stops(tmp_path: Path) -> None:
    """On SIGTERM the last answer says that the service stops, exit code 0, and what was answered before it is stored.

    So is what was under way at that moment, whose outcome the client is told to look up.
    """
    database, stop = tmp_path / "ledger.db", threading.Event()
    with Service(database) as service:
        with service.client() as client:
            world = World(client)
        with Stream(service.base, accept="application/problem+json") as stream:
            sender = pump(stream, world, stop)
            answers = [each for _ in range(100) if (each := stream.answer())]
            service.process.send_signal(signal.SIGTERM)
            answers += stream.rest()
            stop.set()
            sender.join()
        _, said = service.process.communicate(timeout=20)

    assert service.process.returncode == 0
    assert "Traceback" not in said
    *done, last = answers
    assert (last["status"], last["body"]["code"]) == (503, "stopping")
    unknown = [each for each in done if each["status"] != 201]
    assert {each["body"]["code"] for each in unknown} <= {"outcome_unknown"}
    with Service(database) as service, service.client() as client:
        assert stored(client, done[::7])
        assert all(client.get(each["location"]).status_code == 200 for each in unknown)
        assert client.get(f"/wallets/{world.wallet}").json()["balance"] == len(done)


@pytest.mark.parametrize("reads_on", [True, False], ids=["reads on", "never reads"])
def test_a_client_that_is_behind_when_the_service_stops(tmp_path: Path, reads_on: bool) -> None:
    """Who did not read until the last moment still hears all of it, if soon; who never does holds nobody up."""
    patience, access = str(2 * STOP_SECONDS), tmp_path / "access.log"
    with Service(
        tmp_path / "ledger.db", MONEDERO_WRITE_TIMEOUT_SECONDS=patience, MONEDERO_ACCESS_LOG=str(access)
    ) as service:
        with service.client() as client:
            world = World(client)
        with Stream(service.base, accept="application/problem+json") as stream:
            sender = pump(stream, world, threading.Event())
            require_answers_pile_up(stream)
            service.process.send_signal(signal.SIGTERM)
            wait_until_it_ends_requests(service)
            answers = stream.rest() if reads_on else []
            _, said = service.process.communicate(timeout=STOP_SECONDS)
        sender.join()

    assert service.process.returncode == 0
    assert "Traceback" not in said
    assert '"error"' not in said
    assert stream.cut is False
    assert "/batches" in access.read_text(encoding="utf-8")
    if reads_on:
        assert [each["body"]["code"] for each in answers if each["status"] != 201][-1:] == ["stopping"]


def require_answers_pile_up(stream: Stream) -> None:
    """Wait until the service reads no more, since nobody takes its answers."""
    while select.select([], [stream.socket], [], SLACK_SECONDS / 5)[1]:
        select.select([], [], [], SLACK_SECONDS / 50)


def wait_until_it_ends_requests(service: Service) -> None:
    """Wait until the service has waited long enough for those that are being answered."""
    assert service.process.stderr is not None
    for said in iter(service.process.stderr.readline, ""):
        if "ending requests" in said:
            return
    raise AssertionError("the service waits for nobody")


def test_what_a_stream_answered_survives_a_crash(tmp_path: Path) -> None:
    """Killed in the middle of a stream, again and again: each answered command is there, once, and the ledger verifies.

    Each stream begins with what went unanswered in the one before, under the same keys.
    """
    service = Service(tmp_path / "ledger.db")
    assert service.run("migrate").returncode == 0
    with service.start().client() as client:
        world = World(client)
    pending: list[Json] = []
    answered: list[Json] = []
    for crash in range(5):
        commands = [*pending, *(deposit(world, 1, idempotency_key=new_id()) for _ in range(2_000))]
        with Stream(service.base) as stream:
            stream.send_command(*commands)
            some = [each for _ in range(len(pending) + 100 * crash + 1) if (each := stream.answer())]
            service.kill()
            some += stream.rest()
        assert {each["status"] for each in some} == {201}
        answered += some
        pending = commands[len(some) :]
        service.start()
    with service.client() as client, Stream(service.base) as stream:
        stream.send_command(*pending)
        stream.end()
        answered += stream.rest()
        balance = client.get(f"/wallets/{world.wallet}").json()["balance"]
        ids = {each["body"]["id"] for each in answered}

        assert stored(client, answered[::97])
    audit = service.run("verify")
    assert audit.returncode == 0, audit.stderr
    assert service.stop() == 0
    assert len(ids) == len(answered) == balance == 10_000
