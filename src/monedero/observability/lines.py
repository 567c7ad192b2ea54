"""Files, or standard output, that lines are appended to."""

import logging
import os
import sys
from collections.abc import Callable

ECS_VERSION = "8.11.0"
SERVICE = "monedero"
"""Which fields the lines of every log have, of what service."""
STANDARD_OUTPUT = "-"
BUFFER_LIMIT_BYTES = 65_536

_logger = logging.getLogger(__name__)


class Lines:
    """Where lines go: a path, or `-` for standard output. Never raises: a log that is full stops no payment.

    The file is opened anew each time, so that it may be moved away at any moment, and appended to in one step, so
    that several processes can share it.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._failed = False

    def append(self, text: bytes) -> None:
        """Append whole lines."""
        try:
            if self._target == STANDARD_OUTPUT:
                sys.stdout.buffer.write(text)
                sys.stdout.buffer.flush()
            else:
                file = os.open(self._target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    os.write(file, text)
                finally:
                    os.close(file)
        except OSError as error:
            if not self._failed:
                _logger.error("lines for %s are lost: %s", self._target, error.strerror)  # noqa: TRY400 - says it all
            self._failed = True
        else:
            self._failed = False


class BufferedLines:
    """Lines kept for a while: appended when they are many, and whenever somebody flushes."""

    def __init__(self, append: Callable[[bytes], None]) -> None:
        self._append = append
        self._buffer = bytearray()

    def add(self, line: bytes) -> None:
        """Keep a line, without its end."""
        self._buffer += line
        self._buffer += b"\n"
        if len(self._buffer) >= BUFFER_LIMIT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Append what there is."""
        if self._buffer:
            self._append(bytes(self._buffer))
            self._buffer.clear()
