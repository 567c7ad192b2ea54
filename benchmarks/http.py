"""Requests a second, latency and CPU of the real service, beside the same stack answering a constant.

All run in processes of their own and are driven by `wrk` in turns, so that whatever else the machine does
hits each. The ledgers are on disk, each commit synced; afterwards `monedero verify` must find them whole. Those in
PostgreSQL are on a server that the benchmark starts on the same machine.
"""

import asyncio
import os
import random
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click
import httpx
import msgspec

from benchmarks.constant import Answers
from benchmarks.report import RESULTS, environment, print_environment, print_table, write
from tests.postgres import Server, server_folder, servers

CUSTOMERS, BUSINESSES = 1_000, 10
LISTED = 20
"""So many of the customers have a page of transactions."""
PREPARED = 20_000
"""Requests of each workload, sent over and over."""
CLIENTS = 32
LIMIT_SECONDS = 60
SEVERAL = 2
TARGETS = {"debit": 0.7, "wallet": 0.8, "page of 100": 0.25, "debit, PostgreSQL": 0.5}
"""The share of the constant's requests a second that is aimed at."""
PROGRAM = Path(sys.executable).with_name("monedero")
DEBIT = "POST /businesses/wallets/{business_wallet_id}/debit"
WALLET = "GET /customers/wallets/{wallet_id}"
PAGE = "GET /customers/wallets/{wallet_id}/transactions"


class Served(NamedTuple):
    """A server that runs."""

    pid: int
    url: str


class Run(NamedTuple):
    """What one run of wrk found; `failed` counts answers that are no success, and connections that broke."""

    requests_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    cpu_microseconds: float
    failed: int


@click.command()
@click.option("--rounds", default=5, show_default=True, help="How often each is measured, after a round to warm up.")
@click.option("--seconds", default=4, show_default=True, help="How long each measurement takes.")
@click.option("--connections", default=64, show_default=True, help="How many clients wait for an answer at a time.")
def main(rounds: int, seconds: int, connections: int) -> None:
    """Measure the service beside the same stack answering a constant."""
    RESULTS.mkdir(exist_ok=True)
    with ExitStack() as opened:
        folder = Path(opened.enter_context(TemporaryDirectory(dir=RESULTS)))
        server = opened.enter_context(_postgres())
        ledgers = {
            "": f"sqlite:///{folder}/ledger.db",
            ", PostgreSQL": server.create_database("one"),
            f", PostgreSQL, {SEVERAL} workers": server.create_database("several"),
        }
        driven: dict[str, tuple[Served, Path]] = {}
        for label, url in ledgers.items():
            _monedero("migrate", url)
            workers = str(SEVERAL) if "workers" in label else "1"
            ours = opened.enter_context(
                _serve(PROGRAM, "serve", "--port=0", f"--database-url={url}", "--workers", workers)
            )
            answers, workloads = asyncio.run(_fund(ours.url))
            for workload, requests in workloads.items() if not label else [("debit", workloads["debit"])]:
                prepared = folder / f"{workload}{label}"
                prepared.write_text("\n".join(requests))
                driven[prepared.name] = ours, prepared
            if not label:
                (folder / "answers").write_bytes(msgspec.json.encode(answers))
        constant = opened.enter_context(_serve(sys.executable, "-m", "benchmarks.constant", folder / "answers"))
        runs = [
            [[_drive(each, prepared, seconds, connections) for each in (ours, constant)]
             for ours, prepared in driven.values()]
            for _ in range(1 + rounds)
        ]  # fmt: skip
        verified = [_monedero("verify", url) for url in ledgers.values()]
        where = environment(folder / "ledger.db")
        where["durability"] += (
            f"; PostgreSQL {server.sql('SHOW server_version')[0][0]}, fsync on, synchronous_commit on"
        )
    failed = sum(run.failed for round_ in runs for pair in round_ for run in pair)
    measured = dict(zip(driven, zip(*runs[1:], strict=True), strict=True))
    print_environment(where)
    print(f"\nours and the constant in turns: medians of {rounds} rounds of {seconds} s, {connections} connections")
    columns = ("req/s", "p50 ms", "p99 ms", "CPU us")
    print_table(
        ("", *columns, "constant req/s", *columns[1:], "ratio", "min", "max", "target", ""),
        [_row(workload, *zip(*pairs, strict=True)) for workload, pairs in measured.items()],
    )
    print(f"\nfailed requests: {failed}; {len(verified)} ledgers verify")
    write("http", {"environment": where, "connections": connections, "seconds": seconds, "runs": measured})
    sys.exit(1 if failed else 0)


@contextmanager
def _postgres() -> Iterator[Server]:
    """Run the newest PostgreSQL that there is, as durable as it is by default."""
    settings = {"shared_buffers": "256MB", "max_wal_size": "4GB"}
    binaries = next(iter(servers().values()))
    with server_folder() as folder, Server(binaries, folder / "server", durable=True, settings=settings) as server:
        yield server


def _monedero(command: str, ledger: str) -> str:
    """Run the program; a ledger that does not verify makes the benchmark void."""
    done = subprocess.run([PROGRAM, command, f"--database-url={ledger}"], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"void: monedero {command} failed\n{done.stderr}")
    return done.stdout


@contextmanager
def _serve(*command: str | Path) -> Iterator[Served]:
    """Run a server for the length of the block; its banner says where it listens."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        impatience = threading.Timer(LIMIT_SECONDS, process.kill)
        impatience.start()
        try:
            found = next(filter(None, (re.search(r"http://[\d.]+:\d+", line) for line in process.stdout or ())), None)
            impatience.cancel()
            if found is None:
                sys.exit(f"{command[0]} did not start")
            yield Served(process.pid, found[0])
            process.terminate()
            process.wait(LIMIT_SECONDS)
        finally:
            impatience.cancel()
            process.kill()


async def _fund(url: str) -> tuple[Answers, dict[str, list[str]]]:
    """Open and fund the wallets; return an answer of each operation, and the requests of each workload."""
    busy = asyncio.Semaphore(CLIENTS)
    async with httpx.AsyncClient(base_url=url, timeout=LIMIT_SECONDS) as client:

        async def post(path: str, **body: str) -> Any:  # noqa: ANN401 - JSON
            async with busy:
                return (await client.post(path, json=body)).raise_for_status().json()

        async def open_wallet(path: str, key: str, **owner: str) -> str:
            owner = await post(path, **owner)
            return str((await post(f"{path}/wallets", **{key: owner["id"]}))["id"])

        customers = await asyncio.gather(*(
            open_wallet("/customers", "customer_id", name="Ada", last_name="Lovelace", email=f"{each}@example.com")
            for each in range(CUSTOMERS)
        ))  # fmt: skip
        businesses = await asyncio.gather(*(
            open_wallet("/businesses", "business_id", name="Engines", email=f"{each}@example.com")
            for each in range(BUSINESSES)
        ))  # fmt: skip
        deposits = [*customers, *customers[:LISTED] * 100]
        await asyncio.gather(*(post(f"/customers/wallets/{each}/deposit", amount="1000000000") for each in deposits))
        workloads = _workloads(customers, businesses)
        answers: Answers = {}
        for operation, requests in zip((DEBIT, WALLET, PAGE), workloads.values(), strict=False):
            method, path, body = requests[0].split(" ", 2)
            answer = await client.request(method, path, content=body, headers={"content-type": "application/json"})
            headers = [each for each in answer.headers.items() if each[0] not in ("date", "content-length")]
            answers[operation] = answer.raise_for_status().status_code, headers, answer.text
    return answers, workloads


def _workloads(customers: list[str], businesses: list[str]) -> dict[str, list[str]]:
    """Return the same random requests every time: method, path, body."""
    choose = random.Random(1)  # noqa: S311 - no secret
    workloads: dict[str, list[str]] = {"debit": [], "wallet": [], "page of 100": [], "mix 6:3:1": []}
    for _ in range(PREPARED):
        amount = choose.randint(1, 99_999) / 10_000
        body = f'{{"customer_wallet_id":"{choose.choice(customers)}","amount":{amount:.4f},"description":"An order"}}'
        three = (
            f"{DEBIT.format(business_wallet_id=choose.choice(businesses))} {body}",
            f"{WALLET.format(wallet_id=choose.choice(customers))} ",
            f"{PAGE.format(wallet_id=choose.choice(customers[:LISTED]))} ",
        )
        for requests, request in zip(workloads.values(), (*three, *choose.choices(three, (6, 3, 1))), strict=True):
            requests.append(request)
    return workloads


def _drive(server: Served, prepared: Path, seconds: int, connections: int) -> Run:
    """Send the prepared requests for so long."""
    script = Path(__file__).with_name("requests.lua")
    command: list[str | Path] = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "-s",
        script,
        server.url,
        "--",
        prepared,
    ]
    before = _cpu_seconds(server)
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + LIMIT_SECONDS)
    cpu_seconds = _cpu_seconds(server) - before
    requests, microseconds, p50, p99, failed = map(int, done.stdout.splitlines()[-1].split())
    return Run(requests / microseconds * 1e6, p50 / 1e3, p99 / 1e3, cpu_seconds / requests * 1e6, failed)


def _cpu_seconds(server: Served) -> float:
    """Return what the process and its children have used so far, all threads, in user and kernel mode."""
    used = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # It ended meanwhile.
            fields = path.read_text().rpartition(")")[2].split()
            if server.pid in (int(path.parent.name), int(fields[1])):
                used += int(fields[11]) + int(fields[12])
    return used / os.sysconf("SC_CLK_TCK")


def _row(workload: str, ours: tuple[Run, ...], constant: tuple[Run, ...]) -> list[str]:
    middles = [[median(column) for column in zip(*runs, strict=True)] for runs in (ours, constant)]
    ratio = middles[0][0] / middles[1][0]
    ratios = [mine[0] / other[0] for mine, other in zip(ours, constant, strict=True)]
    target = TARGETS.get(workload)
    return [
        workload,
        *(f"{value:,.{digits}f}" for each in middles for value, digits in zip(each[:4], (0, 1, 1, 0), strict=True)),
        *(f"{value:.2f}" for value in (ratio, min(ratios), max(ratios))),
        *((f"{target:.2f}", "ok" if ratio >= target else "NOT OK") if target else ("-", "")),
    ]


if __name__ == "__main__":
    main()
