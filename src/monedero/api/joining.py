"""A transport that writes at once what belongs together: the head and the body of an answer."""

import asyncio
from typing import Protocol

Data = bytes | bytearray | memoryview

JOINED_LIMIT_BYTES = 65_536
"""More is not held back: the transport below has to say when the client takes no more."""


class Connection(Protocol):
    """What writes to a transport."""

    def take_no_more(self) -> bool:
        """Throw away what comes from now on; tell whether a request has begun to come and has not ended."""


class JoiningTransport(asyncio.Transport):
    """Writes at the end of a turn of the loop what was written during it.

    uvicorn writes an answer in two parts. Each costs a system call and may wake the client, which costs more than many
    an answer, and answers that leave together wake it once (docs/decisions/0022).
    """

    def __init__(self, below: asyncio.Transport, loop: asyncio.AbstractEventLoop, connection: Connection) -> None:
        """Write to `below` for `connection`, which is not to be kept alive by this."""
        super().__init__()
        self._below = below
        self._loop = loop
        self._connection = connection
        self._lingers = False
        self._parts: list[Data] = []
        self._bytes = 0

    def write(self, data: Data) -> None:
        """Hold data back until the end of the turn; what is much leaves now, with what was held."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._bytes += len(data)
        if self._bytes >= JOINED_LIMIT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held back."""
        if self._parts:
            joined = b"".join(self._parts)
            self._parts.clear()
            self._bytes = 0
            if not (self._lingers or self._below.is_closing()):
                self._below.write(joined)

    def close(self) -> None:
        """Write what is held back, then close; of a client that is still sending, wait for its end.

        Closed with bytes unread, the system would break the connection, and the client lose what it has not yet taken
        (RFC 9112, 9.6). What it sends is thrown away: see LimitedProtocol, which also sees to it that it ends.
        """
        self.flush()
        if self.is_closing():
            return
        if self._connection.take_no_more():
            self._lingers = True
            self._below.write_eof()
            self._below.resume_reading()
        else:
            self._below.close()

    def abort(self) -> None:
        """Close at once; what is held back is lost."""
        self._below.abort()

    def is_closing(self) -> bool:
        """See asyncio.Transport."""
        return self._lingers or self._below.is_closing()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """See asyncio.Transport."""
        return self._below.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """See asyncio.Transport."""
        self._below.pause_reading()

    def resume_reading(self) -> None:
        """See asyncio.Transport."""
        self._below.resume_reading()
