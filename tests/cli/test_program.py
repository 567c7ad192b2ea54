"""The program as an operator meets it: commands, exit codes, one sentence for what can be mended."""

import json
import os
import pty
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import apsw
import httpx
import pytest

from monedero.storage.sqlite import statements
from monedero.storage.sqlite.connection import create_file, open_reader, open_writer
from monedero.storage.sqlite.migrate import expected_schema, migrate, migrations, pending
from tests.api.world import World
from tests.support import PROGRAM, Service, until


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return the program serving a file."""
    with Service(tmp_path_factory.mktemp("file") / "ledger.db") as running:
        yield running


@pytest.fixture
def offline(tmp_path: Path) -> Service:
    """Return a service that is not started, on a ledger that does not exist."""
    return Service(tmp_path / "ledger.db")


def test_a_ledger_from_nothing(offline: Service) -> None:
    """`migrate` creates the ledger, folder and all, and does nothing the second time."""
    offline = Service(offline.database.parent / "new folder" / "ledger.db")
    first, second = offline.run("migrate"), offline.run("migrate")

    names = ["0001_ledger", "0002_personal_data_is_optional", "0003_import", "0004_money", "0005_roots"]
    assert (first.returncode, first.stdout) == (0, "".join(f"applied {name}\n" for name in names))
    assert (second.returncode, second.stdout) == (0, f"{offline.database} is up to date\n")


def test_several_migrations_at_once(offline: Service) -> None:
    """Started together, each of several `migrate` succeeds, and one of them applied each migration."""
    with ThreadPoolExecutor(6) as threads:
        runs = list(threads.map(lambda _: offline.run("migrate"), range(6)))

    assert [run.returncode for run in runs] == [0] * 6, runs
    assert sum(run.stdout.startswith("applied") for run in runs) == 1


def test_who_asks_during_a_migration_hears_of_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing of a file is not told from what it was and what it became meanwhile."""
    path = tmp_path / "ledger.db"
    create_file(path)
    open_writer(path).close()
    everything = [name for _, name, _ in migrations()]

    def opened(file: Path) -> apsw.Connection:
        connection = open_reader(file)

        def migrated_meanwhile(_: apsw.Cursor, statement: str, __: object) -> bool:
            if "sqlite_schema" in statement:
                connection.exec_trace = None
                monkeypatch.undo()
                assert migrate(path) == everything
            return True

        connection.exec_trace = migrated_meanwhile
        return connection

    monkeypatch.setattr(sys.modules["monedero.storage.sqlite.migrate"], "open_reader", opened)
    assert pending(path) == everything
    assert pending(path) == []


@pytest.mark.parametrize("command", [["verify"], ["export"]])
def test_who_has_read_enough_is_no_failure(offline: Service, command: list[str]) -> None:
    """Output into a pipe that is closed ends the program as the signal would, without a word; 1 and 2 mean others."""
    offline.run("migrate")
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [PROGRAM, *command], stdout=write, stderr=subprocess.PIPE, text=True, check=False,
        env={**offline.environment, "MONEDERO_DATABASE_URL": offline.url},
    )  # fmt: skip
    os.close(write)

    assert (ended.returncode, ended.stderr) == (141, "")


def test_the_schema_is_its_migrations(offline: Service) -> None:
    """The schema of a migrated ledger is exactly what its numbered migrations say, in order, without gaps."""
    offline.run("migrate")
    migrated = apsw.Connection(str(offline.database))

    assert migrated.execute(statements.SCHEMA).fetchall() == expected_schema()
    assert len(expected_schema()) > 10
    assert migrated.pragma("user_version") == len(migrations())
    assert [number for number, _, _ in migrations()] == list(range(1, len(migrations()) + 1))
    migrated.close()


@pytest.mark.parametrize("command", ["serve", "verify", "rebuild", "export"])
def test_a_ledger_that_does_not_exist(offline: Service, command: str) -> None:
    """Whoever asks for a ledger that is not there is told what makes one, and none is made."""
    run = offline.run(command)

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == f"monedero: There is no ledger at {offline.database}: `monedero migrate` makes one\n"
    assert not offline.database.exists()


@pytest.mark.parametrize("command", ["serve", "migrate", "verify", "rebuild", "export"])
def test_a_ledger_of_a_newer_release(offline: Service, command: str) -> None:
    """A ledger that a newer release has written is refused by every command and left as it is."""
    offline.run("migrate")
    with sqlite3.connect(offline.database) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    run = offline.run(command)

    assert run.returncode == 2
    assert "has schema version 99, newer than" in run.stderr


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be looked at" * 99])
@pytest.mark.parametrize("command", ["serve", "migrate", "verify"])
def test_a_file_that_is_no_database(offline: Service, command: str, content: bytes) -> None:
    """A file of something else is not touched; an empty one is a ledger that `migrate` may make."""
    offline.database.write_bytes(content)
    run = offline.run(command)

    assert run.returncode == (0 if command == "migrate" and not content else 2)
    assert "Traceback" not in run.stderr
    if content:
        assert offline.database.read_bytes() == content


def test_a_folder_that_is_closed_to_us() -> None:
    """Where no ledger can be kept, `migrate` says so in one sentence."""
    run = Service(Path("/proc/nowhere/ledger.db")).run("migrate")

    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert "cannot be kept at /proc/nowhere" in run.stderr


def test_the_ledger_is_the_owners_alone(offline: Service) -> None:
    """The file holds names and e-mails: nobody else on the machine may read it."""
    with offline, offline.client() as client:
        World(client)
        modes = {path.name: path.stat().st_mode & 0o777 for path in offline.database.parent.iterdir()}

    assert set(modes.values()) == {0o600}
    assert {"ledger.db", "ledger.db-wal"} <= modes.keys()


def test_a_file_of_an_older_schema(offline: Service) -> None:
    """A ledger that lacks a migration is not served: who serves it is told what to run."""
    sqlite3.connect(offline.database).close()
    offline.database.touch()
    run = offline.run("serve")

    assert (run.returncode, run.stderr.endswith("run `monedero migrate` first\n")) == (2, True)


def test_somebody_elses_database(offline: Service) -> None:
    """A database that is no ledger is refused and left as it is."""
    with sqlite3.connect(offline.database) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    run = offline.run("migrate")

    assert (run.returncode, "is a database, but no ledger" in run.stderr) == (2, True)


def test_one_process_owns_the_file(service: Service) -> None:
    """A second process that would write is refused with a sentence that says so; reading is allowed."""
    for command in ("serve", "rebuild"):
        run = service.run(command)
        assert run.returncode == 2
        assert f"Another process is using the ledger at {service.database}" in run.stderr
    assert service.run("verify").returncode == 0
    assert service.run("migrate").returncode == 0


def test_verify_and_export_while_the_service_runs(service: Service, client: httpx.Client) -> None:
    """Both read one moment of a ledger that is being written."""
    world = World(client)
    world.deposit(5)
    audit, export = service.run("verify"), service.run("export")
    header, *lines = export.stdout.splitlines()

    assert audit.returncode == 0
    assert "Merkle root" in audit.stdout
    assert json.loads(header)["size"] == len(lines)
    assert [json.loads(line)["position"] for line in lines] == list(range(len(lines)))
    assert export.stderr == f"exported {len(lines):,} events\n"


def test_an_export_is_written_whole_or_not_at_all(service: Service, tmp_path: Path) -> None:
    """The file is replaced by the finished export; one that fails leaves the earlier file, and nothing else."""
    target = tmp_path / "log.jsonl"
    target.write_text("an earlier export")
    assert Service(tmp_path / "absent.db").run("export", "--output", str(target)).returncode == 2
    assert target.read_text() == "an earlier export"
    assert service.run("export", "--output", str(target)).returncode == 0

    for name in ("ledger.db", "ledger.db-wal"):
        over = service.run("export", "--output", str(service.database.with_name(name)))
        assert (over.returncode, "is the ledger" in over.stderr) == (2, True)
    nowhere = service.run("export", "--output", str(tmp_path / "no folder" / "log.jsonl"))
    assert (nowhere.returncode, "Traceback" in nowhere.stderr) == (2, False)
    assert json.loads(target.read_text().splitlines()[0])["format"] == "monedero-log"
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_second_name_of_the_file_is_the_same_file(service: Service, tmp_path: Path) -> None:
    """A link to a ledger that is in use is refused like the ledger itself."""
    (tmp_path / "link.db").symlink_to(service.database)
    run = Service(tmp_path / "link.db").run("rebuild")

    assert (run.returncode, "Another process is using the ledger" in run.stderr) == (2, True)


def test_no_personal_data_leaves_with_the_log(service: Service, client: httpx.Client) -> None:
    """Neither the log nor its export holds a name, an e-mail or a phone."""
    person = {"name": "Zacarías", "last_name": "Ybarra", "email": "zacarias@ybarra.example", "phone": "+34600000000"}
    assert client.post("/customers", json=person).status_code == 201
    export = service.run("export").stdout
    with closing(sqlite3.connect(service.database)) as connection:
        payloads = connection.execute("SELECT payload FROM events").fetchall()

    for personal in person.values():
        assert personal not in export
        assert not any(personal.encode() in payload for (payload,) in payloads)


def test_verify_fails_on_an_altered_ledger(offline: Service) -> None:
    """An altered balance: exit code 1, and the wallet by name; `rebuild` mends it."""
    with offline, offline.client() as client:
        world = World(client)
        world.deposit(5)
    with sqlite3.connect(offline.database) as connection:
        connection.execute("UPDATE wallets SET balance = 70000 WHERE kind = 'customer'")
    connection.close()
    audit = offline.run("verify")
    assert audit.returncode == 1
    assert f"wallet {world.wallet}: balance is 70000, the log makes it 50000" in audit.stderr
    assert offline.run("rebuild").stdout == "rebuilt 2 wallets from 5 events\n"
    assert offline.run("verify").returncode == 0


def test_rebuild_fails_on_an_altered_log(offline: Service) -> None:
    """An altered event: exit code 1, and its position."""
    with offline, offline.client() as client:
        World(client).deposit(5)
    with sqlite3.connect(offline.database) as connection:
        connection.execute("UPDATE events SET payload = CAST(replace(payload, ':50000', ':90000') AS BLOB)")
    connection.close()
    run = offline.run("rebuild")

    assert (run.returncode, "position 4" in run.stderr) == (1, True)


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_stopping(offline: Service, by: signal.Signals) -> None:
    """Ctrl-C and SIGTERM stop within two seconds with code 0, idle connections or not, and leave no log."""
    with offline, offline.client() as client:
        world = World(client)
        world.deposit(5)
        before = time.monotonic()
        code = offline.stop(by)
        took = time.monotonic() - before

    assert (code, took < 2) == (0, True)
    assert sorted(path.name for path in offline.database.parent.iterdir()) == [
        "ledger.db",
        "ledger.db.keys",
        "ledger.db.lock",
    ]
    assert offline.run("verify").returncode == 0


def test_stopping_finishes_what_was_accepted(tmp_path: Path) -> None:
    """Who waits longer than a stopping server does is told where to look, and there the command is."""
    limits = {"MONEDERO_QUEUE_LIMIT_COMMANDS": "4", "MONEDERO_BATCH_LIMIT_COMMANDS": "1"}
    with Service(tmp_path / "ledger.db", **limits) as running, ThreadPoolExecutor(7) as threads:
        with running.client() as client:
            world = World(client)
        deposit = f"{running.base}/customers/wallets/{world.wallet}/deposit"
        other = sqlite3.connect(running.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # Nothing can be written until this ends: two are begun, four wait.
        asked = [threads.submit(httpx.post, deposit, json={"amount": 1}, timeout=30) for _ in range(7)]
        until(lambda: sum(each.done() for each in asked) == 1)
        running.process.send_signal(signal.SIGTERM)
        answers = [each.result() for each in asked]
        other.execute("ROLLBACK")
        other.close()
        running.process.communicate(timeout=10)
        code = running.process.returncode
        running.start()
        with running.client() as client:
            looked_up = [client.get(answer.headers.get("location", "/none")) for answer in answers]

    assert code == 0
    assert [answer.status_code for answer in answers] == [503] * 7
    assert sorted(answer.status_code for answer in looked_up) == [200] * 6 + [404]


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["--port", "70000"], {}, "MONEDERO_PORT"),
        ([], {"MONEDERO_PORT": "x"}, "MONEDERO_PORT"),
        ([], {"MONEDERO_CURRENCY": "euro"}, "MONEDERO_CURRENCY"),
        ([], {"MONEDERO_PROT": "1"}, "There is no setting MONEDERO_PROT"),
        ([], {"monedero_port": "1"}, "There is no setting monedero_port"),
        ([], {"MONEDERO_PAGE_LIMIT_ITEMS": "10"}, "MONEDERO_PAGE_DEFAULT_ITEMS is larger than"),
        ([], {"MONEDERO_BATCH_LIMIT_COMMANDS": "0"}, "MONEDERO_BATCH_LIMIT_COMMANDS"),
        (["--host", "0.0.0.0"], {}, "--insecure-allow-open"),  # noqa: S104 - refused, which is the point
        (["--host", "no.such.host.invalid"], {}, "Cannot listen on"),
        (["--database-url", "mysql://x/y"], {}, "MONEDERO_DATABASE_URL"),
        (["--database-url", "sqlite:///"], {}, "MONEDERO_DATABASE_URL"),
        (["--database-url", "sqlite:///:memory:"], {}, "MONEDERO_DATABASE_URL"),
        (["--workers", "2"], {}, "PostgreSQL"),
        (["--workers", "0"], {}, "MONEDERO_WORKERS"),
        ([], {"MONEDERO_REPLICA_URLS": "postgresql://localhost/x"}, "MONEDERO_REPLICA_URLS"),
        ([], {"MONEDERO_RECONNECT_SECONDS": "5"}, "MONEDERO_RECONNECT_SECONDS is not more than"),
        (["--database-url", "sqlite:////proc/nowhere/x.db"], {}, "migrate"),
    ],
)
def test_what_cannot_be_served(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], sentence: str
) -> None:
    """A setting that cannot be used: one sentence that names it, exit code 2, and nothing is served."""
    offline = Service(tmp_path / "ledger.db", **environment)
    offline.run("migrate")
    command = [str(PROGRAM), "serve", "--database-url", offline.url, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=offline.environment)

    assert (run.returncode, run.stdout) == (2, "")
    assert sentence in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_a_port_that_is_taken(service: Service, offline: Service) -> None:
    """Whoever finds the port taken is told so in one sentence."""
    offline.run("migrate")
    command = [str(PROGRAM), "serve", "--port", service.base.rpartition(":")[2], "--database-url", offline.url]
    run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert "Cannot listen on 127.0.0.1 port" in run.stderr


def test_the_banner_says_where_to_go(tmp_path: Path) -> None:
    """What `serve` prints leads to the interactive page, the file and a first call that works."""
    with Service(tmp_path / "ledger.db") as running:
        assert running.process.stdout is not None
        lines = [running.process.stdout.readline() for _ in range(2)]
        page = httpx.get(f"{running.base}/docs", follow_redirects=True)

    assert page.status_code == 200
    assert f"curl {running.base}/customers -H 'content-type: application/json'" in lines[0]
    assert '"email": "ada@example.com"' in lines[1]


def test_settings_reach_the_service(tmp_path: Path) -> None:
    """Limits and currency come from the environment."""
    limits = {"MONEDERO_CURRENCY": "USD", "MONEDERO_PAGE_LIMIT_ITEMS": "2", "MONEDERO_PAGE_DEFAULT_ITEMS": "1",
              "MONEDERO_BODY_LIMIT_BYTES": "200", "MONEDERO_ALLOWED_HOSTS": "127.0.0.1, shop.example"}  # fmt: skip
    with Service(tmp_path / "ledger.db", **limits) as running, running.client() as client:
        world = World(client)
        world.deposit(1)
        world.deposit(1)
        listing = f"/customers/wallets/{world.wallet}/transactions"
        assert client.get(f"/wallets/{world.wallet}").json()["currency"] == "USD"
        assert len(client.get(listing).json()["transactions"]) == 1
        assert client.get(f"{listing}?limit=3").status_code == 400
        assert client.post("/customers", json={"name": "x" * 200}).status_code == 413
        assert client.get(listing, headers={"host": "shop.example"}).status_code == 200
        assert client.get(listing, headers={"host": "localhost"}).status_code == 421


def test_money_of_two_currencies_is_not_added_up(tmp_path: Path) -> None:
    """A ledger may hold wallets of several currencies; an audit tells of each by itself."""
    running = Service(tmp_path / "ledger.db")
    for currency, amount in (("EUR", 5), ("USD", "7.25")):
        running.environment["MONEDERO_CURRENCY"] = currency
        with running, running.client() as client:
            world = World(client)
            world.deposit(amount)
            world.debit(1)
            world.created(f"/businesses/wallets/{world.till}/payouts", amount="0.5")
    audit = running.run("verify")

    assert "EUR 4.5 in them: 5 came in, 0.5 went out\n" in audit.stdout, audit
    assert "USD 6.75 in them: 7.25 came in, 0.5 went out\n" in audit.stdout


def test_a_full_queue_over_http(tmp_path: Path) -> None:
    """When too many commands wait: 503 with Retry-After at once; those that were taken are recorded."""
    limits = {"MONEDERO_QUEUE_LIMIT_COMMANDS": "2", "MONEDERO_BATCH_LIMIT_COMMANDS": "1"}
    running = Service(tmp_path / "ledger.db", **limits)
    with running, running.client() as client, ThreadPoolExecutor(10) as threads:
        world = World(client)
        deposit = f"{running.base}/customers/wallets/{world.wallet}/deposit"
        other = sqlite3.connect(running.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # Holds the two transactions that are begun; two more commands may wait.
        asked = [threads.submit(httpx.post, deposit, json={"amount": 1}, timeout=30) for _ in range(10)]
        until(lambda: sum(each.done() for each in asked) == 6)
        reading = client.get(f"/wallets/{world.wallet}")
        other.execute("ROLLBACK")
        other.close()
        answers = [each.result() for each in asked]
        balance = world.balance(world.wallet)

    assert reading.status_code == 200
    busy = [answer for answer in answers if answer.status_code == 503]
    assert [answer.status_code for answer in answers if answer not in busy] == [201] * 4
    assert balance == "4"
    for answer in busy:
        assert answer.headers["retry-after"] == "1"
        assert answer.json() == {"detail": "Too many commands are waiting; try again shortly"}


def test_progress_is_shown_on_a_terminal_only(offline: Service) -> None:
    """Somebody who waits at a terminal sees how far the audit is; a log file is not filled with bars."""
    with offline, offline.client() as client:
        World(client)
    ours, theirs = pty.openpty()
    command = [str(PROGRAM), "verify", "--database-url", offline.url]
    watched = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, timeout=20, check=False)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)

    assert watched.returncode == 0
    assert "verifying" in shown
    assert "4/4" in shown
    assert offline.run("verify").stderr == ""


def test_one_connection_too_many(tmp_path: Path) -> None:
    """Beyond the limit a connection is refused with 503; as soon as one is closed, the next is served."""
    with Service(tmp_path / "ledger.db", MONEDERO_CONNECTION_LIMIT="3") as running:
        address = running.base.removeprefix("http://").split(":")
        held = [socket.create_connection((address[0], int(address[1])), timeout=10) for _ in range(3)]
        refused = httpx.get(f"{running.base}/openapi.json")
        held.pop().close()
        until(lambda: httpx.get(f"{running.base}/openapi.json").status_code == 200)
        for connection in held:
            connection.close()

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json() == {"detail": "Too many connections are open; try again shortly"}
