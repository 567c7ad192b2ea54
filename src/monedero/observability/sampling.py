"""What has to be looked at, since nothing tells of it: every second, and before each scrape of this process."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from monedero import __version__
from monedero.observability.metrics import Metrics
from monedero.storage.postgres import Usage

INTERVAL_SECONDS = 1.0
_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_logger = logging.getLogger(__name__)

Sample = Callable[[], None]


class Sampler:
    """Takes samples for as long as the service runs."""

    def __init__(self) -> None:
        self._samples: list[Sample] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, sample: Sample) -> None:
        """Take this one too."""
        self._samples.append(sample)

    def take(self) -> None:
        """Take every sample now."""
        for sample in self._samples:
            try:
                sample()
            except Exception:
                _logger.exception("a sample could not be taken; the others are")

    def start(self) -> None:
        """Start, on the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="monedero-samples")

    async def stop(self) -> None:
        """Take the last ones."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self.take()

    async def _run(self) -> None:
        while True:
            self.take()
            await asyncio.sleep(INTERVAL_SECONDS)


class ProcessSample:
    """Of the process itself: CPU, memory, when it started."""

    def __init__(self, metrics: Metrics, store: str) -> None:
        self._metrics = metrics
        self._cpu_seconds = 0.0
        metrics.processes.set(1)
        metrics.build.labels(__version__, store).set(1)
        metrics.start_time.set(time.time())

    def __call__(self) -> None:
        """Take it."""
        cpu_seconds = time.process_time()
        self._metrics.cpu.inc(cpu_seconds - self._cpu_seconds)
        self._cpu_seconds = cpu_seconds
        with suppress(OSError):  # Elsewhere than on Linux it stays unknown.
            self._metrics.memory.set(int(_STATM.read_text().split()[1]) * _PAGE_BYTES)


class PostgresSample:
    """A store in PostgreSQL: its connections, its replicas, and what it counts."""

    def __init__(self, metrics: Metrics, use: Callable[[], Usage]) -> None:
        self._metrics = metrics
        self._use = use
        self._counted: dict[str, int] = {}

    def __call__(self) -> None:
        """Take it."""
        metrics, use = self._metrics, self._use()
        metrics.postgres_connections.labels("busy").set(use.busy)
        metrics.postgres_connections.labels("idle").set(use.idle)
        metrics.postgres_connections_limit.set(use.limit)
        for number, (usable, lag) in enumerate(use.replicas, 1):
            metrics.replica_usable.labels(number).set(usable)
            metrics.replica_lag.labels(number).set(lag)
        for name, count in use.counts.items():
            metrics.postgres_occurrences.labels(name).inc(count - self._counted.get(name, 0))
        self._counted = dict(use.counts)
