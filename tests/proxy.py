"""A proxy before a PostgreSQL server that cuts connections around a commit, or whenever it is told to."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

HOST = "127.0.0.1"
CHUNK_BYTES = 65_536
COMMIT, COMMITTED = b"COMMIT", b"COMMIT\x00"
"""The statement in a request, and the tag in the answer once it is done."""

Plan = Literal["before", "sent", "after"]
"""When to cut the connection of a commit: before forwarding it, at once after that, or in place of its answer."""


class FaultProxy:
    """Forwards from `port` to the server; `cuts` counts the connections that it has cut.

    `plan` holds for one commit. While `refuse` is set, connections are accepted and closed immediately.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.plan: Plan | None = None
        self.refuse = False
        self.cuts = 0
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """Cut every connection now."""
        for link in list(self._links):
            self._cut(link)

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, HOST)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listener.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward both ways until one side ends the connection, or it is cut."""
        try:
            if self.refuse:
                return
            link = _Link(reader, writer, *await asyncio.open_connection(HOST, self.target_port))
            link.to_server.transport.set_write_buffer_limits(high=0)  # So that what is drained is sent.
            self._links.add(link)
            try:
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(self._requests(link))
                    pumps.create_task(self._answers(link))
            finally:
                self._links.discard(link)
                link.abort()
        except OSError:  # Nobody listens behind the proxy, so the client is sent away.
            return
        finally:
            writer.transport.abort()

    async def _requests(self, link: "_Link") -> None:
        with suppress(ConnectionError):
            while chunk := await link.from_client.read(CHUNK_BYTES):
                plan = self.plan if COMMIT in chunk else None
                self.plan = None if plan else self.plan
                if plan == "before":
                    self._cut(link)
                    break
                if plan == "after":
                    link.withheld = b""
                link.to_server.write(chunk)
                await link.to_server.drain()
                if plan == "sent":
                    self._cut(link)
        link.close()

    async def _answers(self, link: "_Link") -> None:
        with suppress(ConnectionError):
            while chunk := await link.from_server.read(CHUNK_BYTES):
                if link.withheld is None:
                    link.to_client.write(chunk)
                    await link.to_client.drain()
                else:
                    link.withheld += chunk
                    if COMMITTED in link.withheld:
                        self._cut(link)
        link.close()

    def _cut(self, link: "_Link") -> None:
        if link in self._links:
            self._links.discard(link)
            self.cuts += 1
            link.abort()


@dataclass(eq=False)
class _Link:
    """A client's connection and the one to the server in its name."""

    from_client: asyncio.StreamReader
    to_client: asyncio.StreamWriter
    from_server: asyncio.StreamReader
    to_server: asyncio.StreamWriter
    withheld: bytes | None = None

    def close(self) -> None:
        """End both connections once what was written is sent."""
        self.to_client.close()
        self.to_server.close()

    def abort(self) -> None:
        """End both connections now."""
        self.to_client.transport.abort()
        self.to_server.transport.abort()
