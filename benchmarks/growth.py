"""What a long log costs: debits, memory and start of the service beside a short one; verify and rebuild.

`--events 10000000` is the long version; the table of all benchmarks has 1,000,000.
"""

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.ledgers import Wallets, create
from benchmarks.load import WALLET, Client, packed, workloads
from benchmarks.report import Comparison, Found, VoidError
from benchmarks.service import PROGRAM, Served, resident_megabytes, serve_ledger
from benchmarks.suite import Sizes, alone

SHORT_EVENTS = 100_000
START_SECONDS = 2.0
EVENTS_PER_SECOND = {"verify": 200_000, "rebuild": 100_000}
RATE, MEMORY = 0.9, 1.1
"""Of the short log's: the least throughput, and the most memory, which is never the same twice."""
WATCH = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""
"""Says how many KiB a command had at most. What its parent has counts too, so that one is small."""


class Ledger(NamedTuple):
    """A ledger that was built."""

    url: str
    wallets: Wallets
    events: int


class Audit(NamedTuple):
    """What one run of a command over a whole ledger took."""

    seconds: float
    megabytes: float


def measure(sizes: Sizes, folder: Path) -> Found:
    """Build a long and a short log and measure both by turns."""
    lengths = {"long": sizes.events, "short": min(SHORT_EVENTS, sizes.events // 2)}
    built: dict[str, float] = {}
    ledgers = []
    for name, events in lengths.items():
        started = time.perf_counter()
        url = f"sqlite:///{folder}/{name}.db"
        ledgers.append(Ledger(url, create(url, events), events))
        built[name] = events / (time.perf_counter() - started)
    long, short = ledgers
    log, of_short = f"{long.events:,} events", f"log of {short.events:,}"
    starts = [_start(long) for _ in range(sizes.rounds)]
    rates, memory = _under_load(sizes, ledgers)
    found = [
        Comparison(f"debit, log of {log}", "/s", rates[0], of_short, rates[1], RATE),
        Comparison(f"memory of the service, log of {log}", "MB", memory[0], of_short, memory[1], MEMORY, at_most=True),
        Comparison(f"start on {log}", "s", starts, "aim", [START_SECONDS] * len(starts), 1, at_most=True),
    ]
    audits = {}
    for command, aim in EVENTS_PER_SECOND.items():
        runs = [[_audit(command, ledger) for ledger in ledgers] for _ in range(_times(sizes))]
        audits[command] = runs
        figures = [long.events / mine.seconds for mine, _ in runs]
        peaks = [[run[number].megabytes for run in runs] for number in (0, 1)]
        found += [
            Comparison(f"{command}, events", "/s", figures, "aim", [aim] * len(runs), 1),
            Comparison(f"{command}, most memory, {log}", "MB", peaks[0], of_short, peaks[1]),
        ]
    return Found(found, {"built, events a second": built, "audits, long and short": audits})


def _times(sizes: Sizes) -> int:
    """Return how often a whole log is read: there is nothing to take turns with, and it takes long."""
    return min(sizes.rounds, 3)


def _start(ledger: Ledger) -> float:
    """Return how many seconds pass from the start of the process to its first answer."""
    request = packed(f"{WALLET.format(wallet_id=ledger.wallets.customers[0])} ")
    started = time.perf_counter()
    with serve_ledger(ledger.url) as service, Client(service) as client:
        client.send(request)
        client.receive()
        return time.perf_counter() - started


def _under_load(sizes: Sizes, ledgers: list[Ledger]) -> tuple[list[list[float]], list[list[float]]]:
    """Return debits a second and the service's megabytes after them, for each ledger a figure each round.

    Both services get equally many debits, or their memory could not be compared.
    """
    rates: list[list[float]] = [[] for _ in ledgers]
    memory: list[list[float]] = [[] for _ in ledgers]
    with ExitStack() as opened:
        services = [opened.enter_context(serve_ledger(ledger.url)) for ledger in ledgers]
        requests = [[packed(each) for each in workloads(ledger.wallets)["debit"]] for ledger in ledgers]
        count = min(sizes.requests * sizes.connections, len(requests[0]))
        for number in range(1 + sizes.rounds):
            for each, service in enumerate(services):
                rate = _debit(service, requests[each][:count], sizes.connections)
                if number:
                    rates[each].append(rate)
                    memory[each].append(resident_megabytes(service))
    return rates, memory


def _debit(service: Served, requests: list[bytes], connections: int) -> float:
    """Send so many at a time, wait for their answers, and so on; return how many a second."""
    with ExitStack() as opened:
        clients = [opened.enter_context(Client(service)) for _ in range(connections)]
        started = time.perf_counter()
        for start in range(0, len(requests), connections):
            some = list(zip(clients, requests[start : start + connections], strict=False))
            for client, request in some:
                client.send(request)
            for client, _ in some:
                client.receive()
        return len(requests) / (time.perf_counter() - started)


def _audit(command: str, ledger: Ledger) -> Audit:
    """Run a command over a whole ledger that nobody uses. Raises VoidError when it fails."""
    command_line: list[str | Path] = [PROGRAM, command, f"--database-url={ledger.url}"]
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", WATCH, *command_line], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise VoidError(f"monedero {command} failed: {done.stderr}")
    return Audit(seconds, int(done.stdout) / 1024)


if __name__ == "__main__":
    alone("growth", measure)
