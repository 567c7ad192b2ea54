"""What is written during one turn of the loop leaves at once, in order; nothing is lost but by abort."""

import asyncio
from collections.abc import Callable

from monedero.api.joining import JOINED_LIMIT_BYTES, JoiningTransport

NOISE = b"x" * (JOINED_LIMIT_BYTES - 5)


class Below(asyncio.Transport):
    """Records what reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes | str] = []
        self.gone = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def close(self) -> None:
        self.calls.append("close")
        self.gone = True

    def write_eof(self) -> None:
        self.calls.append("end")

    def resume_reading(self) -> None:
        self.calls.append("read on")

    def abort(self) -> None:
        self.calls.append("abort")
        self.gone = True

    def is_closing(self) -> bool:
        return self.gone


class Client:
    """Is in the middle of a request, or not."""

    def __init__(self, sending: bool) -> None:
        self.sending = sending

    def take_no_more(self) -> bool:
        return self.sending


def written(
    use: Callable[[JoiningTransport, Below], None], *, sending: bool = False
) -> tuple[list[bytes | str], list[bytes | str]]:
    """Return what reached the transport below during the turn, and in all after the next one."""

    async def scenario() -> tuple[list[bytes | str], list[bytes | str]]:
        below = Below()
        use(JoiningTransport(below, asyncio.get_running_loop(), Client(sending)), below)
        during = below.calls.copy()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return during, below.calls

    return asyncio.run(scenario())


def test_parts_leave_in_one_write() -> None:
    """Head, body and the next answer: one write, after the turn."""

    def use(transport: JoiningTransport, _: Below) -> None:
        for part in (b"head", b"body", b"next"):
            transport.write(part)

    assert written(use) == ([], [b"headbodynext"])


def test_what_is_much_leaves_at_once() -> None:
    """An answer in many parts is not gathered without bound: the transport below tells when the client is slow."""

    def use(transport: JoiningTransport, _: Below) -> None:
        for part in (b"head", NOISE, b"b", b"last"):
            transport.write(part)

    assert written(use) == ([b"head" + NOISE + b"b"], [b"head" + NOISE + b"b", b"last"])


def test_close_waits_for_what_is_held() -> None:
    """What was written before a close is written before it."""

    def use(transport: JoiningTransport, _: Below) -> None:
        transport.write(b"last words")
        transport.close()

    assert written(use) == ([b"last words", "close"],) * 2


def test_close_waits_for_a_client_that_is_sending() -> None:
    """It says that nothing more comes, once, and then nothing; it reads on, so that the client can end."""

    def use(transport: JoiningTransport, _: Below) -> None:
        transport.write(b"last words")
        transport.close()
        transport.write(b"too late")
        transport.close()
        assert transport.is_closing()

    assert written(use, sending=True) == ([b"last words", "end", "read on"],) * 2


def test_a_client_that_is_gone_is_written_to_no_more() -> None:
    """The connection is lost, or aborted, during the turn."""

    def lost(transport: JoiningTransport, below: Below) -> None:
        transport.write(b"too late")
        below.gone = True

    def aborted(transport: JoiningTransport, _: Below) -> None:
        transport.write(b"too late")
        transport.abort()

    assert written(lost) == ([], [])
    assert written(aborted) == (["abort"],) * 2
