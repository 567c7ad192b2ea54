"""The ledger proves itself, again and again: `monedero verify` beside the service, at the lowest priority.

In a process of its own, since it takes minutes of CPU and memory by the number of wallets: what it costs is bounded by
what the service leaves, and a fault of it is none of the service's.
"""

import asyncio
import logging
import os
import re
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import msgspec

from monedero.observability.metrics import Metrics
from monedero.observability.shared import FOLDER_VARIABLE

Result = Literal["passed", "failed", "aborted"]
RESULTS: dict[int | None, Result] = {0: "passed", 1: "failed"}
"""By the exit code of `monedero verify`; any other says that it could not look."""
_PROGRAM = "import os, sys; os.nice(19); from monedero.cli import main; main(['verify'], prog_name='monedero')"
_EVENTS = re.compile(rb"([\d,]+) events")
_logger = logging.getLogger(__name__)


class Audited(msgspec.Struct, frozen=True):
    """How an audit went: `aborted` says nothing about the ledger. `events` is 0 where it is not known."""

    result: Result
    seconds: float
    events: int
    said: str


class SelfAudit:
    """Runs an audit, waits, runs the next one; never two at a time."""

    def __init__(self, interval_seconds: float, database_url: str, tell: Callable[[Audited], None]) -> None:
        """`interval_seconds` is from the end of one audit to the start of the next; `tell` hears of each."""
        self._interval_seconds = interval_seconds
        self._database_url = database_url
        self._tell = tell
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start, on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="monedero-audit")

    async def stop(self) -> None:
        """Stop at once, in the middle of an audit too."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            audited = await self._audit()
            self._tell(audited)
            if audited.result == "failed":
                _logger.critical("the audit has found the ledger altered: %s", audited.said)
            elif audited.result == "aborted":
                _logger.warning("the audit could not be finished: %s", audited.said)
            await asyncio.sleep(self._interval_seconds)

    async def _audit(self) -> Audited:
        began = time.monotonic()
        # By the environment and not by an option, which everybody on the machine could read with its password.
        environment = {**os.environ, "MONEDERO_DATABASE_URL": self._database_url}
        environment.pop(FOLDER_VARIABLE, None)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROGRAM, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environment
        )
        try:
            out, said = await process.communicate()
        finally:
            await _end(process)
        events = _EVENTS.search(out)
        return Audited(
            RESULTS.get(process.returncode, "aborted"),
            time.monotonic() - began,
            int(events[1].replace(b",", b"")) if events else 0,
            said.decode(errors="replace").strip(),
        )


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


class AuditCounts:
    """Shows the last audit."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, audited: Audited) -> None:
        """Show one. An audit that was aborted leaves what the one before has found."""
        metrics = self._metrics
        metrics.audit_runs.labels(audited.result).inc()
        if audited.result == "aborted":
            return
        metrics.audit_failed.set(audited.result == "failed")
        metrics.audit_finished.set(time.time())
        metrics.audit_duration.set(audited.seconds)
        metrics.audit_events.set(audited.events)
