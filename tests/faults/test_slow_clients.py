"""Clients that send too much, too slowly or not at all: each loses its own connection, and nobody else notices."""

import asyncio
import gc
import json
import logging
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import pytest
import uvicorn

from monedero.api.protocol import ConnectionLimits, LimitedProtocol, PatientFlow, limited_protocol

HEADER_LIMIT_BYTES = 8192
TIMEOUT_SECONDS = 0.5
EARLIEST_SECONDS = 0.9 * TIMEOUT_SECONDS
"""The loop's clock stands still while it works, so a deadline can be a few milliseconds short."""
SWEEP_SECONDS = 0.5
SLACK_SECONDS = 0.5
"""For the machine itself, on top of what is promised."""
LIMIT_SECONDS = 10.0
"""After which a wait of these tests is a failure."""
LARGE_CHUNKS, LARGE_CHUNK_BYTES = 320, 65_536
SMALL_BYTES = 60_000
"""Under a transport's high-water mark of 64 KiB, so that writing is never paused."""

LIMITS = ConnectionLimits(HEADER_LIMIT_BYTES, TIMEOUT_SECONDS, TIMEOUT_SECONDS, TIMEOUT_SECONDS)


class Answer(NamedTuple):
    """What came before the server closed the connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def detail(self) -> str:
        """The sentence of a refusal, whose whole form is checked on the way."""
        document = json.loads(self.body)
        assert self.headers["content-type"] == "application/json"
        assert self.headers["connection"] == "close"
        assert self.headers["content-length"] == str(len(self.body))
        assert list(document) == ["detail"]
        return str(document["detail"])


class Served(NamedTuple):
    """A server that runs in a thread of this process."""

    server: uvicorn.Server
    port: int

    def connect(self, receive_buffer_bytes: int | None = None) -> socket.socket:
        """Return a new connection whose reads wait for LIMIT_SECONDS at most."""
        client = socket.socket()
        if receive_buffer_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        client.settimeout(LIMIT_SECONDS)
        client.connect(("127.0.0.1", self.port))
        return client

    def connections(self) -> int:
        """Return how many connections the server holds."""
        return len(self.server.server_state.connections)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Echo the length of the body; `/large` and `/small` answer with that much, `/early` before reading.

    `/busy` begins to read when the time to send a body is over.
    """
    path = scope["path"]
    if path == "/busy":
        await asyncio.sleep(TIMEOUT_SECONDS + 2 * SWEEP_SECONDS)
    length = 0
    more = path != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 413 if path == "/early" else 200, "headers": []})
    if path == "/large":
        for _ in range(LARGE_CHUNKS):
            await send({"type": "http.response.body", "body": bytes(LARGE_CHUNK_BYTES), "more_body": True})
    body = bytes(SMALL_BYTES) if path == "/small" else str(length).encode()
    await send({"type": "http.response.body", "body": b"" if path == "/large" else body})


@pytest.fixture
def limits() -> ConnectionLimits:
    """Return the limits of the server; a test that needs others overrides this."""
    return LIMITS


@pytest.fixture
def keep_alive_seconds() -> int:
    """Return how long an idle connection is kept; a test that needs less overrides this."""
    return 5


@pytest.fixture
def served(limits: ConnectionLimits, keep_alive_seconds: int) -> Iterator[Served]:
    """Run a server on a free port of the loopback for one test."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # Accepted connections inherit it.
    config = uvicorn.Config(
        app,
        http=limited_protocol(limits),
        loop="uvloop",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=keep_alive_seconds,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield Served(server, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(LIMIT_SECONDS)
        listener.close()
        assert not thread.is_alive()


def wait_until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; fail after LIMIT_SECONDS."""
    limit = time.monotonic() + LIMIT_SECONDS
    never = threading.Event()
    while not condition():
        assert time.monotonic() < limit, "the condition did not come to hold"
        never.wait(0.01)


def read_to_end(client: socket.socket) -> bytes:
    """Return all that comes until the server closes."""
    received = bytearray()
    try:
        while data := client.recv(65_536):
            received += data
    except ConnectionResetError:
        pass  # It closed while something of ours was on its way.
    return bytes(received)


def read_answer(client: socket.socket) -> Answer:
    """Return the one answer that comes until the server closes."""
    head, _, body = read_to_end(client).partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Answer(int(status_line.split()[1]), headers, body)


def read_echo(client: socket.socket) -> bytes:
    """Return the body of an answer, of one chunk, after which the connection stays open."""
    received = b""
    while not received.endswith(b"\r\n0\r\n\r\n"):
        data = client.recv(65_536)
        assert data, "the server closed"
        received += data
    return received.split(b"\r\n")[-4]


def header_of(length: int) -> bytes:
    """Return a header line of exactly that many bytes."""
    return b"x-filler: " + b"a" * (length - len(b"x-filler: \r\n")) + b"\r\n"


def trickle(client: socket.socket, piece: bytes) -> None:
    """Send a piece ten times a second until the server has something to say."""
    limit = time.monotonic() + LIMIT_SECONDS
    while not select.select([client], [], [], 0.1)[0]:
        assert time.monotonic() < limit, "the server lets the client trickle"
        client.sendall(piece)


REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\n"
HELD_REQUESTS = {
    "headers": b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ",
    "body": REQUEST + b"content-length: 100\r\n\r\nabc",
}


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\n" + header_of(9000), id="headers not ended"),
        pytest.param(b"GET / HTTP/1.1\r\n" + header_of(9000) + b"\r\n", id="one header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + header_of(100) * 90 + b"\r\n", id="many headers"),
        pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", id="request line"),
        pytest.param(b"GET /" + b"a" * 9000, id="request line not ended"),
    ],
)
def test_headers_over_the_cap_are_refused(served: Served, sent: bytes) -> None:
    """A request whose request line and headers take more than the cap is answered 431 and closed."""
    with served.connect() as client:
        client.sendall(sent)
        answer = read_answer(client)

    assert answer.status == 431
    assert "8192 bytes" in answer.detail


def test_headers_over_the_cap_are_refused_piece_by_piece(served: Served) -> None:
    """One header that never ends is refused once the cap is passed, however small its pieces."""
    with served.connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(b"GET / HTTP/1.1\r\nx-filler: ")
        sent = 0
        while not select.select([client], [], [], 0.001)[0]:
            client.sendall(b"a" * 512)
            sent += 512
        status = read_answer(client).status

    assert status == 431
    assert sent < 2 * HEADER_LIMIT_BYTES


def test_trailers_count_as_headers(served: Served) -> None:
    """Trailers after a chunked body, which the parser would collect without end, fall under the same cap."""
    with served.connect() as client:
        client.sendall(REQUEST + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n")
        for _ in range(100):
            if select.select([client], [], [], 0.001)[0]:
                break
            client.sendall(header_of(512))
        answer = read_answer(client)

    assert answer.status == 431


def test_body_does_not_count_as_headers(served: Served) -> None:
    """Bodies larger than the cap on headers pass, alone, chunked and with the next request behind them."""
    body = b"a" * 60_000
    chunks = b"".join(b"%x\r\n%s\r\n" % (100, b"a" * 100) for _ in range(600))
    with served.connect() as client:
        client.sendall(
            REQUEST
            + b"content-length: 60000\r\n\r\n"
            + body
            + REQUEST
            + b"transfer-encoding: chunked\r\n\r\n"
            + chunks
            + b"0\r\n\r\n"
            + b"GET / HTTP/1.1\r\nconnection: close\r\n"
            + header_of(8000)
            + b"\r\n"
        )
        received = read_to_end(client)

    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.count(b"\r\n60000\r\n") == 2


def test_headers_of_many_requests_do_not_add_up(served: Served) -> None:
    """The cap is for each request: headers just under it pass again and again, also in two reads."""
    answers = []
    with served.connect() as client:
        for _ in range(3):
            client.sendall(b"GET / HTTP/1.1\r\n" + header_of(8000) + b"\r\nGET / HTTP/1.1\r\nx-")
            answers.append(read_echo(client))
            client.sendall(header_of(8000) + b"\r\n")
            answers.append(read_echo(client))

    assert answers == [b"0"] * 6


@pytest.mark.parametrize("part", HELD_REQUESTS)
@pytest.mark.parametrize("piece", [pytest.param(b"", id="silent"), pytest.param(b"a", id="trickling")])
def test_request_sent_too_slowly_is_refused(served: Served, part: str, piece: bytes) -> None:
    """A request whose headers or body stop short or trickle is answered 408 and closed when its time is up."""
    started = time.monotonic()
    with served.connect() as client:
        client.sendall(HELD_REQUESTS[part])
        trickle(client, piece)
        answer = read_answer(client)
    took_seconds = time.monotonic() - started

    assert answer.status == 408
    assert part in answer.detail
    assert EARLIEST_SECONDS <= took_seconds < TIMEOUT_SECONDS + SWEEP_SECONDS + SLACK_SECONDS


def test_silent_connection_is_closed(served: Served) -> None:
    """A connection on which nothing is ever sent is closed when the time for headers is up."""
    started = time.monotonic()
    with served.connect() as client:
        read_to_end(client)
    took_seconds = time.monotonic() - started

    assert EARLIEST_SECONDS <= took_seconds < TIMEOUT_SECONDS + SWEEP_SECONDS + SLACK_SECONDS


@pytest.mark.parametrize("keep_alive_seconds", [1])
@pytest.mark.parametrize(
    ("sent", "then"),
    [
        pytest.param(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"", id="after an answer"),
        pytest.param(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\na", b"a" * 8, id="early answer"),
    ],
)
def test_idle_connection_is_closed(served: Served, keep_alive_seconds: int, sent: bytes, then: bytes) -> None:
    """A kept connection is closed without a word once it was idle for so long, from the end of request and answer."""
    with served.connect() as client:
        client.sendall(sent)
        read_echo(client)
        started = time.monotonic()
        client.sendall(then)
        rest = read_to_end(client)
    took_seconds = time.monotonic() - started

    assert rest == b""
    assert 0.9 * keep_alive_seconds <= took_seconds < keep_alive_seconds + SWEEP_SECONDS + SLACK_SECONDS


@pytest.mark.parametrize("keep_alive_seconds", [1])
def test_connection_in_use_is_kept(served: Served, keep_alive_seconds: int) -> None:
    """Each request starts the time to be idle anew; one that takes long to be answered is not idle."""
    started = time.monotonic()
    with served.connect() as client:
        while time.monotonic() - started < 2 * keep_alive_seconds + SWEEP_SECONDS:
            for upgrade in (b"", b"connection: upgrade\r\nupgrade: h2c\r\n"):
                client.sendall(b"GET /busy HTTP/1.1\r\nhost: x\r\n" + upgrade + b"\r\n")
                assert read_echo(client) == b"0"


@pytest.mark.parametrize("keep_alive_seconds", [1])
@pytest.mark.parametrize("limits", [ConnectionLimits(HEADER_LIMIT_BYTES, 2, 2, 2)])
def test_a_request_that_has_begun_is_not_idle(served: Served) -> None:
    """Who has begun to send headers has their time, however soon an idle connection is closed."""
    with served.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        read_echo(client)
        client.sendall(HELD_REQUESTS["headers"])
        answer = read_answer(client)

    assert answer.status == 408


def test_later_requests_have_their_deadline_too(served: Served) -> None:
    """On a kept connection the time for headers runs from the first byte of the next request."""
    with served.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        first = read_echo(client)
        started = time.monotonic()
        client.sendall(HELD_REQUESTS["headers"])
        status = read_answer(client).status
    took_seconds = time.monotonic() - started

    assert first == b"0"
    assert status == 408
    assert EARLIEST_SECONDS <= took_seconds < TIMEOUT_SECONDS + SWEEP_SECONDS + SLACK_SECONDS


def test_empty_lines_do_not_hold_a_connection(served: Served) -> None:
    """Empty lines between requests, which HTTP allows, do not keep a connection past the time for headers."""
    with served.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        read_echo(client)
        started = time.monotonic()
        client.sendall(b"\r\n")
        trickle(client, b"\r\n")
        read_to_end(client)
    took_seconds = time.monotonic() - started

    assert took_seconds < TIMEOUT_SECONDS + SWEEP_SECONDS + SLACK_SECONDS


def test_body_after_an_early_answer_ends_at_the_deadline(served: Served) -> None:
    """A client that was answered before its body ended, and sends on, is closed at the deadline, unanswered."""
    with served.connect() as client:
        client.sendall(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\na")
        answer = client.recv(65_536)
        started = time.monotonic()
        trickle(client, b"a")
        rest = read_to_end(client)
    took_seconds = time.monotonic() - started

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"408" not in rest
    assert took_seconds < TIMEOUT_SECONDS + SWEEP_SECONDS + SLACK_SECONDS


def test_who_is_still_sending_gets_the_refusal(served: Served) -> None:
    """Closed with much of it unread, the connection would break, and the refusal be lost on the way."""
    with served.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n" + header_of(8_000_000))
        answer = read_answer(client)

    assert answer.status == 431
    wait_until(lambda: served.connections() == 0)


def test_what_comes_after_the_last_answer_is_thrown_away(served: Served) -> None:
    """When the server stops, another request behind a body that nobody waited for is not carried out."""
    with served.connect() as client:
        client.sendall(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\na")
        answer = read_echo(client)
        served.server.should_exit = True
        rest = read_to_end(client)
        client.sendall(b"a" * 8 + b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    wait_until(lambda: served.connections() == 0)

    assert (answer, rest) == (b"0", b"")
    assert served.server.server_state.total_requests == 1


@pytest.mark.parametrize("limits", [ConnectionLimits(HEADER_LIMIT_BYTES, 60, 60, 60)])
def test_a_stop_waits_for_no_headers(served: Served) -> None:
    """A request whose headers have only begun to come is closed with nothing to wait for."""
    with served.connect() as client:
        client.sendall(HELD_REQUESTS["headers"])
        with served.connect() as other:
            other.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            read_echo(other)
        served.server.should_exit = True
        assert read_to_end(client) == b""
        wait_until(lambda: served.connections() == 0)


def test_a_connection_that_is_closed_leaves_nothing_behind(served: Served) -> None:
    """Nothing of it refers to itself, so that it goes without the collector, which looks seldom."""
    gc.collect()
    gc.disable()
    try:
        for close in (b"connection: close\r\n", b""):
            with served.connect() as client:
                client.sendall(REQUEST + close + b"content-length: 1\r\n\r\na")
                read_echo(client)
        wait_until(lambda: not any(isinstance(each, LimitedProtocol) for each in gc.get_objects()))
    finally:
        gc.enable()


def test_a_cancelled_answer_waits_on_for_the_client() -> None:
    """Until it is cancelled again: a service that stops gives clients a while to take what they are answered."""

    async def scenario() -> None:
        flow = PatientFlow(asyncio.Transport())

        async def answer() -> None:
            for _ in range(2):
                flow.pause_writing()
                await flow.drain()

        answering = asyncio.create_task(answer())
        await asyncio.sleep(0)
        answering.cancel()
        await asyncio.sleep(0)
        flow.resume_writing()
        await asyncio.sleep(0)
        assert not answering.done()
        answering.cancel()
        async with asyncio.timeout(LIMIT_SECONDS):
            await answering

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(scenario())


@pytest.mark.parametrize("limits", [ConnectionLimits(HEADER_LIMIT_BYTES, 60, 60, 60)])
def test_who_has_sent_all_is_closed_at_once(served: Served) -> None:
    """After a whole request, however its end came, a connection that is closed waits for nothing."""
    with served.connect() as client:
        client.sendall(REQUEST + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
        with served.connect() as other:
            other.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            read_echo(other)
        client.sendall(b"0\r\n\r\n")
        read_to_end(client)
        wait_until(lambda: served.connections() == 0)


def test_who_goes_on_after_the_last_answer_is_cut_off(served: Served) -> None:
    """A connection that waits for the client's end does so for the time to take an answer, not for ever."""
    with served.connect() as client:
        client.sendall(b"POST /early HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 9\r\n\r\na")
        read_to_end(client)
        started = time.monotonic()
        wait_until(lambda: served.connections() == 0)
        took_seconds = time.monotonic() - started

    assert took_seconds < TIMEOUT_SECONDS + 2 * SWEEP_SECONDS + SLACK_SECONDS


def test_time_in_which_we_do_not_read_is_not_the_clients(served: Served) -> None:
    """A body that waits because the application does not take it yet is not refused as slow."""
    url = f"http://127.0.0.1:{served.port}/busy"
    answer = httpx.post(url, content=bytes(8_000_000), timeout=LIMIT_SECONDS)

    assert answer.text == "8000000"


def test_deadlines_hold_after_a_lull(served: Served) -> None:
    """The sweep stops when the last connection is gone, and starts with the next one."""
    protocol: Any = served.server.config.http_protocol_class
    statuses = []
    for _ in range(2):
        with served.connect() as client:
            client.sendall(HELD_REQUESTS["headers"])
            statuses.append(read_answer(client).status)
        wait_until(lambda: not protocol.swept)

    assert statuses == [408, 408]


def test_refusal_waits_its_turn(served: Served) -> None:
    """A malformed request behind a good one does not take the good one's answer."""
    with served.connect() as client:
        client.sendall(REQUEST + b"content-length: 3\r\n\r\nabc" + b"NOT HTTP\r\n\r\n")
        received = read_to_end(client)

    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b" 400 " not in received


@pytest.mark.parametrize("path", ["/large", "/small"])
def test_slow_reader_is_cut_off(served: Served, path: str) -> None:
    """A client that does not take its answer is cut off when the time to write is up, before it has all of it."""
    with served.connect(receive_buffer_bytes=4096) as client:
        client.sendall(b"GET %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % path.encode())
        wait_until(lambda: served.connections() == 1)
        started = time.monotonic()
        wait_until(lambda: served.connections() == 0)
        took_seconds = time.monotonic() - started
        received = read_to_end(client)

    # A close that waits for its last bytes is noticed by one sweep and ended by a later one.
    assert took_seconds < TIMEOUT_SECONDS + 2 * SWEEP_SECONDS + SLACK_SECONDS
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert len(received) < SMALL_BYTES


def test_patient_reader_gets_the_large_answer(served: Served) -> None:
    """A large answer that is read as it comes arrives whole, in more than the time to write, and stays connected."""
    total_bytes = LARGE_CHUNKS * LARGE_CHUNK_BYTES
    received = bytearray()
    started = time.monotonic()
    with served.connect() as client:
        client.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        while not received.endswith(b"\r\n0\r\n\r\n"):
            received += client.recv(LARGE_CHUNK_BYTES)
            if len(received) < total_bytes // 2:
                select.select([], [], [], 0.01)  # The reader is slow, which is the point: it waits for nothing.
        took_seconds = time.monotonic() - started
        closed = select.select([client], [], [], TIMEOUT_SECONDS + 2 * SWEEP_SECONDS)[0]

    assert len(received) > total_bytes
    assert took_seconds > TIMEOUT_SECONDS
    assert not closed


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"NOT HTTP\r\n\r\n", id="no HTTP"),
        pytest.param(b"GET / HTTP/9.9\r\n\r\n", id="no such version"),
        pytest.param(b"GET / HTTP/1.1\r\nbad header: x\r\n\r\n", id="space in a name"),
        pytest.param(REQUEST + b"content-length: x\r\n\r\n", id="length is no number"),
        pytest.param(REQUEST + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabc", id="two lengths"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: one\r\nhost: other\r\n\r\n", id="two hosts"),
        pytest.param(REQUEST + b"transfer-encoding: chunked\r\n\r\nxyz\r\n", id="bad chunk"),
        pytest.param(
            REQUEST + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            id="length, then encoding",
        ),
        pytest.param(
            REQUEST + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
            id="encoding, then length",
        ),
    ],
)
def test_malformed_http_is_refused(served: Served, sent: bytes) -> None:
    """What is not well-formed HTTP, or could be read in two ways, is answered 400 in JSON and closed."""
    with served.connect() as client:
        client.sendall(sent)
        answer = read_answer(client)

    assert answer.status == 400
    assert answer.detail == "The request is not well-formed HTTP"


def test_connection_is_kept(served: Served) -> None:
    """Requests in a row use one connection, which outlives the deadlines while it is idle."""
    with served.connect() as client:
        answers, quiet = [], []
        for _ in range(3):
            client.sendall(REQUEST + b"content-length: 3\r\n\r\nabc")
            answers.append(read_echo(client))
            quiet.append(not select.select([client], [], [], TIMEOUT_SECONDS + 2 * SWEEP_SECONDS)[0])

    assert answers == [b"3", b"3", b"3"]
    assert all(quiet)


def test_pipelined_requests_are_answered_in_order(served: Served) -> None:
    """Requests sent at once, cut anywhere between reads, are each answered, in their order."""
    requests = b"".join(REQUEST + b"content-length: %d\r\n\r\n%s" % (n, b"a" * n) for n in range(1, 200))
    with served.connect() as client:
        for start in range(0, len(requests), 1000):
            client.sendall(requests[start : start + 1000])
        client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        received = read_to_end(client)

    answers = received.split(b"HTTP/1.1 200 OK")[1:]
    assert [answer.split(b"\r\n")[-4] for answer in answers] == [b"%d" % n for n in (*range(1, 200), 0)]


@pytest.mark.parametrize("cut", [None, -60, -50], ids=["one read", "cut before the body", "cut in the body"])
def test_upgrade_is_ignored(served: Served, caplog: pytest.LogCaptureFixture, cut: int | None) -> None:
    """A request to upgrade, its body and what follows are served as plain HTTP, and nothing is logged about it."""
    upgrade = b"host: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
    sent = (
        b"GET / HTTP/1.1\r\n" + upgrade + b"\r\n"
        b"POST / HTTP/1.1\r\n" + upgrade + b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
        b"POST / HTTP/1.1\r\n" + upgrade + b"content-length: 23\r\n\r\nGET /large HTTP/1.1\r\n\r\n"
        b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n"
    )
    with served.connect() as client, caplog.at_level(logging.WARNING):
        client.sendall(sent[:cut])
        if cut is not None:
            select.select([client], [], [], LIMIT_SECONDS)
            client.sendall(sent[cut:])
        received = read_to_end(client)

    answers = received.split(b"HTTP/1.1 200 OK")[1:]
    assert [answer.split(b"\r\n")[-4] for answer in answers] == [b"0", b"2", b"23", b"0"]
    assert not caplog.records


def test_connect_is_refused(served: Served) -> None:
    """CONNECT, to which nothing but an upgrade could answer, is answered 400 and closed."""
    with served.connect() as client:
        client.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nhost: example.org:443\r\n\r\n")
        answer = read_answer(client)

    assert answer.status == 400
    assert answer.detail


class Slow:
    """Many connections that send a byte a tick, or nothing, and when each was opened and closed."""

    def __init__(self, served: Served) -> None:
        """Open a hundred of each kind."""
        self._pieces: dict[socket.socket, bytes] = {}
        self._opened: dict[socket.socket, float] = {}
        self.held_seconds: list[float] = []
        for held, piece in [(HELD_REQUESTS["headers"], b"a"), (HELD_REQUESTS["body"], b"a"), (b"", b"")] * 100:
            client = served.connect()
            self._opened[client] = time.monotonic()
            self._pieces[client] = piece
            client.sendall(held)

    def trickle_until_closed(self) -> None:
        """Trickle on all of them until the server has closed each, or LIMIT_SECONDS have passed."""
        limit = time.monotonic() + LIMIT_SECONDS
        while self._opened and time.monotonic() < limit:
            # What select cannot take, above 1,023, poll can.
            poll = select.poll()
            clients = {client.fileno(): client for client in self._opened}
            for descriptor in clients:
                poll.register(descriptor, select.POLLIN)
            for descriptor, _ in poll.poll(100):
                client = clients[descriptor]
                self.held_seconds.append(time.monotonic() - self._opened.pop(client))
                client.close()
            for client in self._opened:
                try:
                    client.sendall(self._pieces[client])
                except OSError:
                    continue  # Closed since: the next poll says so.

    def close(self) -> None:
        """Close what the server did not."""
        for client in self._opened:
            client.close()


@pytest.mark.parametrize("limits", [ConnectionLimits(HEADER_LIMIT_BYTES, 2.0, 2.0, 2.0)])
def test_slow_connections_hold_up_nobody(served: Served) -> None:
    """While 300 slow connections are held, others are answered at once; all 300 are closed when their time is up."""
    slow = Slow(served)
    url = f"http://127.0.0.1:{served.port}/"
    latencies_seconds = []
    try:
        with ThreadPoolExecutor() as executor:
            trickling = executor.submit(slow.trickle_until_closed)
            wait_until(lambda: served.connections() == 300)
            with httpx.Client() as client:
                for _ in range(200):
                    started = time.monotonic()
                    answer = client.post(url, content=b"abc", headers={"connection": "close"})
                    latencies_seconds.append(time.monotonic() - started)
                    assert answer.text == "3"
            held = served.connections()
            trickling.result()
    finally:
        slow.close()

    assert held >= 300
    assert sorted(latencies_seconds)[197] < 1.0
    assert len(slow.held_seconds) == 300
    assert max(slow.held_seconds) < 2.0 + 2.0
