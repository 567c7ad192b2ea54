"""Our debits over HTTP beside a ledger function inside PostgreSQL, called by `pgbench` without any service before it.

Both have the same customers, businesses, clients and amounts, and the same durable settings. The peer's function takes
a debit to be one database transaction; it has no HTTP, no JSON and no seal to pay for.
"""

import os
import re
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

from benchmarks.ledgers import BUSINESSES, CUSTOMERS, FUNDS, MOST_UNITS, create
from benchmarks.load import drive, workloads
from benchmarks.report import Comparison, Found, MissingError, VoidError
from benchmarks.service import LIMIT_SECONDS, described, postgres, run, serve_ledger
from benchmarks.suite import Sizes, alone
from tests.postgres import Server, servers

TARGET = 3
SCHEMA = Path(__file__).with_name("peer.sql")
SCRIPT = f"""\
\\set business random(1, {BUSINESSES})
\\set customer random({BUSINESSES} + 1, {BUSINESSES} + {CUSTOMERS})
\\set amount random(1, {MOST_UNITS})
SELECT debit(:customer, :business, :amount, 'An order');
"""
OPEN = f"""
    INSERT INTO accounts (id, balance)
    SELECT id, CASE WHEN id <= {BUSINESSES} THEN 0 ELSE {FUNDS} END
    FROM generate_series(1, {BUSINESSES + CUSTOMERS}) AS id
"""  # noqa: S608 - numbers of ours
WRONG = f"""
    SELECT id
    FROM accounts LEFT JOIN (
        SELECT account, sum(amount) AS moved, count(*) AS times FROM entries GROUP BY account
    ) AS summed ON account = accounts.id
    WHERE version <> coalesce(times, 0)
        OR balance <> coalesce(moved, 0) + CASE WHEN id <= {BUSINESSES} THEN 0 ELSE {FUNDS} END
"""  # noqa: S608 - likewise
"""The accounts whose balance does not follow from their entries."""


def measure(sizes: Sizes, folder: Path) -> Found:
    """Measure the peer and both stores by turns."""
    pgbench = _pgbench()
    with ExitStack() as opened:
        server = opened.enter_context(postgres())
        ledgers = {"PostgreSQL": server.create_database("ours"), "embedded": f"sqlite:///{folder}/ledger.db"}
        served = {}
        for label, url in ledgers.items():
            (folder / label).write_text("\n".join(workloads(create(url))["debit"]))
            served[label] = opened.enter_context(serve_ledger(url))
        _prepare(server, folder)
        rounds = [
            [
                _call(pgbench, server, folder, sizes),
                *(
                    drive(service, folder / label, sizes.seconds, sizes.connections).requests_per_second
                    for label, service in served.items()
                ),
            ]
            for _ in range(1 + sizes.rounds)
        ]
        _check(server)
        for url in ledgers.values():
            run("verify", url)
        where = described(server)
    peer, *ours = zip(*rounds[1:], strict=True)
    against = f"SQL function, {sizes.connections} pgbench clients"
    rows = [
        Comparison(f"debit over HTTP, {label}", "/s", mine, against, peer, TARGET if label == "PostgreSQL" else None)
        for label, mine in zip(ledgers, ours, strict=True)
    ]
    return Found(rows, environment=where)


def _pgbench() -> str:
    """Find the load generator of PostgreSQL, which not every installation has. Raises MissingError."""
    places = os.pathsep.join([*map(str, servers().values()), os.environ.get("PATH", "")])
    if found := shutil.which("pgbench", path=places):
        return found
    raise MissingError("pgbench is not installed")


def _prepare(server: Server, folder: Path) -> None:
    server.create_database("peer")
    server.sql(SCHEMA.read_text(encoding="utf-8"), "peer")
    server.sql(OPEN, "peer")
    server.sql("VACUUM ANALYZE accounts", "peer")
    (folder / "script").write_text(SCRIPT)


def _call(pgbench: str, server: Server, folder: Path, sizes: Sizes) -> float:
    """Return how many debits a second the function makes. Raises VoidError when a call fails."""
    command = [pgbench, "--no-vacuum", "--protocol=prepared", f"--client={sizes.connections}", "--jobs=1"]
    command += [f"--time={sizes.seconds}", f"--file={folder / 'script'}", server.url("peer")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=sizes.seconds + LIMIT_SECONDS
    )  # fmt: skip
    rate = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if done.returncode or rate is None:
        raise VoidError(f"pgbench failed: {done.stderr}")
    return float(rate[1])


def _check(server: Server) -> None:
    """Raise VoidError unless the peer's entries make its balances: what is compared has to be right."""
    wrong = server.sql(WRONG, "peer")
    if wrong:
        raise VoidError(f"the peer's balances do not follow from its entries: {wrong[:3]}")


if __name__ == "__main__":
    alone("peer", measure)
