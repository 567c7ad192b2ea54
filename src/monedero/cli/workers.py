"""Several processes on one port: started, watched, replaced when one dies, stopped together.

Each worker is a new interpreter, never a fork, with a listening socket of its own on the shared port, so that the
kernel spreads the connections. The sockets stay the supervisor's: while a dead worker is replaced, its clients wait.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from tempfile import TemporaryDirectory
from typing import Any

from monedero.bootstrap import configure_logs
from monedero.cli.common import one_sentence
from monedero.cli.server import FAILED, run_server
from monedero.observability.shared import Place, forget
from monedero.settings import Settings

RESTARTS_LIMIT = 10
RESTARTS_SECONDS = 60.0
"""After so many restarts within so many seconds the service gives up."""
STOP_SECONDS = 30.0
"""For a worker, beyond what the settings give it to finish what it accepted; then it is killed."""

_logger = logging.getLogger(__name__)
_spawn = get_context("spawn")


class Worker:
    """One process, and the line to it: it says once that it serves, and it stops when the line is cut."""

    def __init__(self, settings: Settings, listener: socket.socket, place: Place) -> None:
        self._settings = settings
        self._listener = listener
        self._place = place
        self.serves = False
        self.process: SpawnProcess
        self.line: Connection[Any, Any]
        self.start()

    def start(self) -> None:
        """Start the process, in the place of one that is dead or as the first."""
        forget(self._place)
        self.serves = False
        self.line, theirs = _spawn.Pipe()
        self.process = _spawn.Process(target=_work, args=(self._settings, self._listener, theirs, self._place))
        self.process.start()
        theirs.close()

    def hear(self) -> None:
        """Take note of what the worker says."""
        with suppress(EOFError, OSError):
            self.serves = bool(self.line.recv())

    def stop(self) -> int:
        """Wait for the process, which was asked to stop, and return its exit code."""
        self.process.join(self._settings.unready_seconds + self._settings.stop_seconds + STOP_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.line.close()
        return self.process.exitcode or 0


def supervise(settings: Settings, listeners: Sequence[socket.socket], on_started: Callable[[], None]) -> int:
    """Serve with a worker for each listener until a signal says stop; return the exit code."""
    configure_logs(settings)
    alarm, bell = socket.socketpair()
    os.set_blocking(bell.fileno(), False)
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda *_: None)
    signal.set_wakeup_fd(bell.fileno())
    with TemporaryDirectory(prefix="monedero-metrics-") as folder:
        workers = [Worker(settings, listener, Place(number, folder)) for number, listener in enumerate(listeners, 1)]
        code = _watch(workers, alarm, on_started)
        for worker in workers:
            worker.process.terminate()
        codes = [worker.stop() for worker in workers]
    return code or (FAILED if any(codes) else 0)


def _watch(workers: Sequence[Worker], alarm: socket.socket, on_started: Callable[[], None]) -> int:
    """Replace workers that die until a signal says stop. Return an exit code other than 0 to give up."""
    restarts: deque[float] = deque(maxlen=RESTARTS_LIMIT)
    announced = False
    while True:
        heard = wait(
            [
                alarm,
                *(worker.process.sentinel for worker in workers),
                *(worker.line for worker in workers if not worker.serves),
            ]
        )
        if alarm in heard:
            return 0
        for worker in workers:
            if worker.line in heard:
                worker.hear()
            if worker.process.sentinel not in heard:
                continue
            worker.process.join()
            code = worker.process.exitcode
            if not announced:
                return code or FAILED  # It has said why it cannot start.
            if len(restarts) == RESTARTS_LIMIT and time.monotonic() - restarts[0] < RESTARTS_SECONDS:
                _logger.critical("the workers end again and again; the service gives up")
                return FAILED
            restarts.append(time.monotonic())
            _logger.error("a worker ended with %s; another takes its place", code)
            worker.line.close()
            worker.start()
        if not announced and all(worker.serves for worker in workers):
            announced = True
            on_started()


@one_sentence()
def _work(settings: Settings, listener: socket.socket, line: "Connection[Any, Any]", place: Place) -> None:
    """Be a worker."""
    threading.Thread(target=_stop_when_cut, args=(line,), daemon=True, name="monedero-supervisor").start()
    sys.exit(run_server(settings, listener, lambda: line.send("serving"), place))


def _stop_when_cut(line: "Connection[Any, Any]") -> None:
    """Stop this process when the supervisor is gone, however it went."""
    with suppress(EOFError, OSError):
        line.recv()
    os.kill(os.getpid(), signal.SIGTERM)
