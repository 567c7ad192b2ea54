"""The limits that uvicorn's HTTP/1.1 protocol lacks: bytes of headers, and time to send and to take a message.

Each connection keeps its deadlines as plain floats, and one sweep a server looks at all of them, at least once a
second: a request sets no timer.
"""

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from math import inf
from typing import ClassVar, cast
from weakref import WeakSet, proxy

import httptools
import msgspec
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from monedero.api.errors import RETRY_AFTER
from monedero.api.http import LATE, is_json_lines
from monedero.api.joining import JoiningTransport

LONGEST_SWEEP_SECONDS = 1.0
SEPARATORS_BYTES = len(b": \r\n")


class ConnectionLimits(msgspec.Struct, frozen=True):
    """What one connection may take of us; that a time is up is noticed one sweep late at most."""

    header_limit_bytes: int
    header_timeout_seconds: float
    body_timeout_seconds: float
    write_timeout_seconds: float
    connections: int = 1_000
    """How many may be open at once; one more is refused."""


def ignore_refusal(_status: int) -> None:
    """Tell nobody."""


def limited_protocol(
    limits: ConnectionLimits, on_refused: Callable[[int], None] = ignore_refusal
) -> type[asyncio.Protocol]:
    """Return the class to give to uvicorn as `Config(http=...)`; `on_refused` hears each status that it answers."""

    class Protocol(LimitedProtocol, limits=limits):
        def refuse(self, status: HTTPStatus, detail: str) -> None:
            before = self.refused
            super().refuse(status, detail)
            if self.refused and not before:
                on_refused(status)

    return Protocol


class PatientFlow(FlowControl):
    """Waits on for a client to take what was written though its request is cancelled, until it is a second time."""

    async def drain(self) -> None:
        """Wait until more can be written."""
        try:
            await super().drain()
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None or task.cancelling() > 1:
                raise
            await super().drain()


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which refuses by itself, in JSON, and cuts off a client that does not take its answer.

    400 malformed, 408 too slow, 431 headers too large, 503 too many connections.
    """

    limits: ClassVar[ConnectionLimits]
    sweep_seconds: ClassVar[float]
    swept: ClassVar[WeakSet[ServerState]]

    pending_bytes = 0
    """Read since the parser last came to anything, so what it may be holding: of headers, trailers, chunk sizes."""
    in_body = False
    in_stream = False
    """Whether the body is JSON lines, which take as long as they take."""
    refused = False
    """Whether what comes is thrown away: a refusal, or the last answer, has been given."""
    deadline = inf
    """When what the client is sending must have come, in the loop's time."""
    write_deadline = inf
    idle_deadline = inf
    """When the next request must have begun."""

    def __init_subclass__(cls, limits: ConnectionLimits) -> None:
        timeouts = limits.header_timeout_seconds, limits.body_timeout_seconds, limits.write_timeout_seconds
        cls.limits = limits
        cls.sweep_seconds = min(LONGEST_SWEEP_SECONDS, *timeouts)
        cls.swept = WeakSet()

    @classmethod
    def sweep(cls, loop: asyncio.AbstractEventLoop, server_state: ServerState) -> None:
        """Close the connections whose time is up, and come again for as long as there are any."""
        if not server_state.connections:
            cls.swept.discard(server_state)
            return
        loop.call_later(cls.sweep_seconds, cls.sweep, loop, server_state)
        for connection in tuple(server_state.connections):
            if isinstance(connection, cls):
                connection.close_if_late(loop.time())

    def close_if_late(self, now: float) -> None:
        """Refuse or cut off the client if its time is up."""
        if self.transport.is_closing():
            # It closes once its last bytes are taken, or the client has ended, which that could put off for ever.
            self.write_deadline = min(self.write_deadline, now + self.limits.write_timeout_seconds)
        if now >= self.write_deadline:
            self.transport.abort()
        elif now >= self.idle_deadline and self.cycle.response_complete:
            self.transport.close()
        elif self.flow.read_paused and self.deadline < inf:
            # It is we who do not read: the client's time starts anew once we do.
            limits = self.limits
            self.deadline = now + (limits.body_timeout_seconds if self.in_body else limits.header_timeout_seconds)
        elif now >= self.deadline and self.in_body and self.is_answering():
            self.end_stream()
        elif now >= self.deadline:
            part = "body" if self.in_body else "headers"
            self.refuse(HTTPStatus.REQUEST_TIMEOUT, f"The {part} of the request did not come in time")

    def is_answering(self) -> bool:
        """Tell whether an answer has begun and has not ended: to a request that has not ended, only in a stream."""
        return self.cycle.response_started and not self.cycle.response_complete

    def end_stream(self) -> None:
        """Let the application answer the pause, behind what it has answered so far; what comes now is thrown away."""
        self.refused, self.deadline = True, inf
        self.cycle.scope[LATE] = True  # type: ignore[literal-required]  # Ours.
        self.cycle.keep_alive = self.cycle.more_body = False
        self.cycle.message_event.set()

    def refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer in the application's place and close; no second answer is given, and none out of turn."""
        if self.refused or self.transport.is_closing():
            return
        self.refused, self.deadline = True, inf
        self.logger.info("Refused with %d: %s", status, detail)
        cycle = cast("RequestResponseCycle | None", self.cycle)  # uvicorn says it is always there: not at first.
        if cycle is not None and not self.in_body and not cycle.response_complete:
            # Written now, it would pass for the answer to an earlier request: the last of those closes instead.
            cycle.keep_alive = False
            return
        if cycle is None or not self.in_body or not (cycle.response_started or self.pipeline):
            self.transport.write(self.refusal(status, detail))
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()

    def refusal(self, status: HTTPStatus, detail: str) -> bytes:
        """Return a whole answer, from its status line on."""
        body = msgspec.json.encode({"detail": detail})
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *((RETRY_AFTER,) if status is HTTPStatus.SERVICE_UNAVAILABLE else ()),
        ]
        return b"".join([STATUS_LINE[status], *(b"%s: %s\r\n" % header for header in headers), b"\r\n", body])

    def refuse_headers(self) -> None:
        """Refuse a request whose headers, or trailers, are too large."""
        detail = f"The headers of a request may take at most {self.limits.header_limit_bytes} bytes"
        self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As in uvicorn.
        """Refuse one connection too many; start the time for the first headers, and the sweep if none is under way."""
        super().connection_made(JoiningTransport(transport, self.loop, proxy(self)))
        self.flow = PatientFlow(self.transport)
        self.deadline = self.loop.time() + self.limits.header_timeout_seconds
        if len(self.connections) > self.limits.connections:
            self.refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections are open; try again shortly")
        if self.server_state not in self.swept:
            self.swept.add(self.server_state)
            self.loop.call_later(self.sweep_seconds, self.sweep, self.loop, self.server_state)

    def take_no_more(self) -> bool:
        """Throw away what comes from now on; tell whether a request has begun to come and has not ended."""
        self.refused = True
        return self.in_body or self.pending_bytes > 0

    def data_received(self, data: bytes) -> None:
        """Parse what came; a first byte starts the time for headers. What comes after a last answer is thrown away."""
        if self.refused:
            return
        self.idle_deadline = inf
        if self.deadline == inf:
            self.deadline = self.loop.time() + self.limits.header_timeout_seconds
        self.pending_bytes += len(data)
        try:
            self.parse(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.refuse(HTTPStatus.BAD_REQUEST, "The request is not well-formed HTTP")
        if self.pending_bytes > self.limits.header_limit_bytes:
            self.refuse_headers()

    def parse(self, data: bytes) -> None:
        """Feed the parser; a request to upgrade is read anew without that header (RFC 9110, 7.8 lets us ignore it).

        At such a request the parser stops behind the headers, and would take its body for the next request.
        Raises HttpParserError, and HttpParserUpgrade for the method CONNECT, which is an upgrade without a header.
        """
        rest: bytes | memoryview = data
        while rest:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                request_line = b"%s %s HTTP/%s\r\n" % (
                    self.parser.get_method(),
                    self.url,
                    self.parser.get_http_version().encode(),
                )
                kept = [b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"]
                self.parser.feed_data(b"".join([request_line, *kept, b"\r\n"]))
                rest = memoryview(rest)[upgrade.args[0] :]
            else:
                return

    def on_headers_complete(self) -> None:
        """Start the request and the time for its body, unless its headers are too large."""
        headers_bytes, hosts, self.in_stream = len(self.url), 0, False
        for name, value in self.headers:
            headers_bytes += len(name) + len(value) + SEPARATORS_BYTES
            if name == b"content-type" and is_json_lines(value):
                self.in_stream = True
            hosts += name == b"host"
        if hosts > 1:
            raise ValueError("several hosts")  # As below: RFC 9112, 3.2 has that answered 400.
        if headers_bytes > self.limits.header_limit_bytes:
            self.refuse_headers()
            raise ValueError("headers too large")  # Stops the parser.
        super().on_headers_complete()
        self.pending_bytes = 0
        self.in_body = True
        self.deadline = self.loop.time() + self.limits.body_timeout_seconds

    def on_body(self, body: bytes) -> None:
        """Pass the bytes on: the application counts them. In a stream, until it is answered, the time starts anew."""
        self.pending_bytes = 0
        if self.in_stream and not self.cycle.response_complete:
            self.deadline = self.loop.time() + self.limits.body_timeout_seconds
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the clock until the next request."""
        super().on_message_complete()
        self.pending_bytes = 0
        self.in_body = False
        self.deadline = inf
        self.begin_to_idle()  # If the answer was there before the request was.

    def on_response_complete(self) -> None:
        """Go on with the next request, or start the time to send one: in uvicorn's place, which sets a timer."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self.begin_to_idle()

    def begin_to_idle(self) -> None:
        """Start the time to send the next request, unless one is being sent or answered."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and cycle.response_complete and self.deadline == inf:
            self.idle_deadline = self.loop.time() + self.timeout_keep_alive

    def _should_upgrade(self) -> bool:
        return True  # Tells uvicorn to leave the request alone: see parse.

    def shutdown(self) -> None:
        """Stop as uvicorn does, and wait for nobody whose request has only begun: it gets no answer."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.response_complete:
            self.pending_bytes = 0
        super().shutdown()

    def pause_writing(self) -> None:
        """Start the time to take what was written."""
        super().pause_writing()
        self.write_deadline = self.loop.time() + self.limits.write_timeout_seconds

    def resume_writing(self) -> None:
        """Stop that clock: the client took enough."""
        super().resume_writing()
        self.write_deadline = inf
