"""A client that streams commands to `POST /batches` as JSON lines, and reads the answers meanwhile."""

import json
import socket
import struct
from collections import deque
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.api.world import World

Json = dict[str, Any]
LIMIT_SECONDS = 30.0
"""After which a wait for an answer is a failure."""


class Stream:
    """One stream on a connection of its own; `cut` says that the answers ended before their end."""

    def __init__(self, base: str, content_type: str = "application/x-ndjson", **headers: str) -> None:
        address = urlsplit(base)
        self.connection = HTTPConnection(str(address.hostname), address.port, timeout=LIMIT_SECONDS)
        self.connection.connect()
        self.connection.putrequest("POST", "/batches")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"content-type": content_type, "transfer-encoding": "chunked", **named}.items():
            self.connection.putheader(name, value)
        self.connection.endheaders()
        self.cut = False
        self._response: HTTPResponse | None = None
        self._answers: deque[Json] = deque()
        self._ended = False

    @property
    def socket(self) -> socket.socket:
        """The connection itself."""
        found: socket.socket = self.connection.sock
        return found

    @property
    def response(self) -> HTTPResponse:
        """The answer, of which the head is there and the rest may not be."""
        if self._response is None:
            self._response = self.connection.getresponse()
        return self._response

    def send(self, data: bytes) -> None:
        """Send some bytes, as a chunk."""
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def send_command(self, *commands: Json) -> None:
        """Send commands, each on its line, in one chunk."""
        self.send(b"".join(line(each) for each in commands))

    def end(self) -> None:
        """Say that nothing more comes."""
        self.socket.sendall(b"0\r\n\r\n")

    def answer(self) -> Json | None:
        """Return the next answer, or None at the end."""
        while not self._answers and not self._ended:
            self._read_chunk()
        return self._answers.popleft() if self._answers else None

    def _read_chunk(self) -> None:
        """Read as RFC 9112 has it: the library would not tell an end from a cut."""
        try:
            size = int(self.response.fp.readline(), 16)
            self._answers += map(json.loads, self.response.fp.read(size).splitlines())
            self.response.fp.readline()
        except (ValueError, OSError):
            self._ended = self.cut = True
        else:
            if size == 0:
                self._ended = True
                self.response.close()

    def rest(self) -> list[Json]:
        """Return all answers until the end."""
        return list(iter(self.answer, None))

    def reset(self) -> None:
        """Go away without a word."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self._response is not None:
            self._response.close()
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self.connection.close()


def line(command: Json) -> bytes:
    """Return a command as a line."""
    return json.dumps(command).encode() + b"\n"


def deposit(world: World, amount: Any, **more: Any) -> Json:
    """Return the command of a deposit into the world's wallet."""
    return {"path": f"/customers/wallets/{world.wallet}/deposit", "body": {"amount": amount}, **more}
