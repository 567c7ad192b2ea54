"""Requests a second and latency of the real service, beside the same server and framework answering a constant.

All run in processes of their own and are driven by `wrk` in turns, so that whatever else the machine does hits each.
The ledgers are on disk, each commit synced; afterwards `monedero verify` must find them whole. Those in PostgreSQL are
on a server that the benchmark starts on the same machine.
"""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import msgspec

from benchmarks.constant import Answers
from benchmarks.ledgers import Wallets, create, deposit, record, with_store
from benchmarks.load import DEBIT, LISTED, PAGE, WALLET, Run, drive, middle, workloads
from benchmarks.report import Comparison, Found
from benchmarks.service import Served, described, postgres, run, serve, serve_ledger
from benchmarks.suite import Sizes, alone
from monedero.ledger.commands import Command
from monedero.ledger.money import Units

KEYED = "debit, each with a key"
SEVERAL = 2
PAGES_PER_SECOND = 5_000
CONSTANTS = "framework", "own"
ONE, TWO = "debit, PostgreSQL", f"debit, PostgreSQL, {SEVERAL} workers"
Runs = Sequence[Run]


def measure(sizes: Sizes, folder: Path) -> Found:
    """Measure each workload on the service and on the constant."""
    with ExitStack() as opened:
        server = opened.enter_context(postgres())
        ledgers = {
            "": f"sqlite:///{folder}/ledger.db",
            KEYED: f"sqlite:///{folder}/keyed.db",
            ONE: server.create_database("one"),
            TWO: server.create_database("two"),
        }
        wallets = {label: create(url) for label, url in ledgers.items()}
        with_store(ledgers[""], lambda store: record(store, _history(wallets[""])))
        requests = workloads(wallets[""])
        served = {
            label: opened.enter_context(serve_ledger(url, SEVERAL if label == TWO else 1))
            for label, url in ledgers.items()
        }
        (folder / "answers").write_bytes(msgspec.json.encode(_answers(served[""], requests)))
        constants = {
            each: opened.enter_context(serve(sys.executable, "-m", "benchmarks.constant", each, folder / "answers"))
            for each in CONSTANTS
        }
        # In the order in which they are driven, each beside its yardstick.
        driven = {label: (served[label], workloads(wallets[label])["debit"]) for label in (TWO, ONE)}
        for workload, some in requests.items():
            driven |= {f"{workload}, {each}": (constant, some) for each, constant in constants.items()}
            driven[workload] = served[""], some
            if workload == "debit":
                driven[KEYED] = served[KEYED], workloads(wallets[KEYED])["debit"]
        for what, (_, some) in driven.items():
            (folder / what).write_text("\n".join(some))
        rounds = [
            {
                what: drive(each, folder / what, sizes.seconds, sizes.connections, keyed=what == KEYED)
                for what, (each, _) in driven.items()
            }
            for _ in range(1 + sizes.rounds)
        ]
        for url in ledgers.values():
            run("verify", url)
        where = described(server)
    runs = {what: [each[what] for each in rounds[1:]] for what in driven}
    details = {what: {"median": middle(each), "rounds": each} for what, each in runs.items()}
    return Found(_compared(runs), details, where)


def _history(wallets: Wallets) -> list[Command]:
    """Return what fills a page of transactions of some customers."""
    return [deposit(wallet, Units(10_000)) for wallet in wallets.customers[:LISTED] for _ in range(100)]


def _answers(service: Served, requests: dict[str, list[str]]) -> Answers:
    """Record an answer to each operation."""
    answers: Answers = {}
    with httpx.Client(base_url=service.url) as client:
        for operation, some in zip((DEBIT, WALLET, PAGE), requests.values(), strict=False):
            method, path, body = some[0].split(" ", 2)
            answer = client.request(method, path, content=body, headers={"content-type": "application/json"})
            headers = [each for each in answer.headers.items() if each[0] not in ("date", "content-length")]
            answers[operation] = answer.raise_for_status().status_code, headers, answer.text
    return answers


def _compared(runs: dict[str, list[Run]]) -> list[Comparison]:
    page, pages = "page of 100", runs["page of 100, framework"]
    wanted = {
        "debit": 0.7,
        "wallet": 0.8,
        page: max(0.25, PAGES_PER_SECOND / middle(pages).requests_per_second),
    }
    rates = [
        _rate(what, runs[what], f"constant, {each}", runs[f"{what}, {each}"], target)
        for each in CONSTANTS
        for what, target in wanted.items()
    ]
    return [
        *rates,
        _rate(KEYED, runs[KEYED], "without keys", runs["debit"], None),
        Comparison(
            "debit, p99", "ms", [run.p99_milliseconds for run in runs["debit"]], "constant's p99",
            [run.p99_milliseconds for run in runs["debit, framework"]], target=3, at_most=True,
        ),
        _rate("mix of these, 6:3:1", runs["mix 6:3:1"], "constant, framework", runs["mix 6:3:1, framework"], None),
        _rate(ONE, runs[ONE], "constant, framework", runs["debit, framework"], 0.5),
        _rate(TWO, runs[TWO], "one worker", runs[ONE], 1.4),
    ]  # fmt: skip


def _rate(what: str, ours: Runs, against: str, yardstick: Runs, target: float | None) -> Comparison:
    rates = [[run.requests_per_second for run in runs] for runs in (ours, yardstick)]
    return Comparison(what, "/s", rates[0], against, rates[1], target)


if __name__ == "__main__":
    alone("http", measure)
