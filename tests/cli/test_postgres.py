"""The program on PostgreSQL as an operator meets it: one sentence for what can be mended."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from monedero.storage.postgres import connection
from monedero.storage.postgres.migrate import expected_schema, migrations
from monedero.storage.store import StoreUnavailableError
from tests.ledgers import POSTGRES, Ledgers, opened
from tests.postgres import Server, server_folder, servers
from tests.support import Service

SKIM = """
    CREATE FUNCTION skim() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER skim BEFORE UPDATE ON wallets FOR EACH ROW EXECUTE FUNCTION skim()
"""
PASSWORD = "p w"  # noqa: S105 - of the server that these tests start


@pytest.fixture
def ledger(ledgers: Ledgers, tmp_path: Path) -> Service:
    """Return a service that is not started, on an empty ledger."""
    return Service(ledgers.new(POSTGRES[0], tmp_path))


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    """Return a server that asks for a password."""
    binaries = servers()[POSTGRES[0].removeprefix("postgres-")]
    with server_folder() as folder, Server(binaries, folder / "server", password=PASSWORD) as server:
        yield server


@pytest.mark.parametrize("kind", POSTGRES)
def test_a_ledger_from_nothing(ledgers: Ledgers, kind: str) -> None:
    """`migrate` makes the ledger on every supported version, the same schema, and does nothing the second time."""
    url = ledgers.server(kind).create_database("from_nothing")
    service = Service(url)
    first, second, audit = service.run("migrate"), service.run("migrate"), service.run("verify")
    ledgers.drop(url)

    assert (first.returncode, first.stdout.splitlines()) == (0, [f"applied {name}" for _, name, _ in migrations()])
    assert (second.returncode, second.stdout) == (0, f"{connection.name_of(url)} is up to date\n")
    assert audit.returncode == 0, audit.stderr
    assert expected_schema() == sorted(expected_schema())


@pytest.mark.parametrize("command", ["serve", "migrate", "verify", "rebuild", "export"])
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://127.0.0.1:1/ledger", "cannot be reached"),
        ("postgresql://127.0.0.1:1/ledger?no_such_option=1", "cannot be read: it has to be"),
        ("postgresql://127.0.0.1:1,127.0.0.1:2/ledger", "cannot be reached"),
    ],
)
def test_a_server_that_is_not_there(command: str, url: str, said: str) -> None:
    """Nothing is served and nothing shown of user and password; the exit code is 2."""
    run = Service(url.replace("//", "//somebody:secret@")).run(command)

    assert (run.returncode, run.stdout) == (2, "")
    assert said in run.stderr
    assert run.stderr.count("\n") == 1
    assert "secret" not in run.stderr


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://somebody:s3cr/et@127.0.0.1:1/ledger",
        "postgresql://somebody:1/s3cret@127.0.0.1:1/ledger",
        "postgresql://somebody:s3cr@et@127.0.0.1:1/ledger",
        "postgresql://somebody:s3cr%zzet@127.0.0.1:1/ledger",
        "postgresql://127.0.0.1:1/ledger?password=s3 cret",
        "postgresql://somebody:s3%20cr%2Fet@127.0.0.1:1/ledger",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    """However the address is mistyped, no part of the password is in the sentence."""
    run = Service(url).run("serve")

    assert run.returncode == 2
    assert run.stderr.count("\n") == 1
    assert "s3" not in run.stderr
    assert "cr" not in run.stderr.replace("written", "")


@pytest.mark.parametrize("command", ["serve", "migrate", "verify"])
def test_a_wrong_password(guarded: Server, command: str) -> None:
    """Who is not let in is told so."""
    run = Service(guarded.url().replace("p%20w", "wrong")).run(command)

    assert run.returncode == 2
    assert "password authentication failed" in run.stderr
    assert run.stderr.count("\n") == 1


def test_a_password_with_odd_characters(guarded: Server) -> None:
    """The password comes from the address, or from libpq's own environment, and is shown nowhere."""
    service = Service(guarded.create_database("odd"), "--workers", "2")
    with service as running:
        assert running.process.poll() is None
    bare = Service(service.url.replace(":p%20w@", "@"), PGPASSWORD="p w")
    assert bare.run("verify").returncode == 0


@pytest.mark.parametrize("command", ["serve", "verify", "rebuild", "export"])
def test_a_database_without_a_ledger(guarded: Server, command: str) -> None:
    """Whoever asks for a ledger that is not there is told what makes one."""
    run = Service(guarded.url()).run(command)

    assert (run.returncode, run.stdout) == (2, "")
    assert "There is no ledger at postgresql://127.0.0.1" in run.stderr
    assert "`monedero migrate` makes one" in run.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("INSERT INTO migrations (number, name) VALUES (99, 'later')", "has schema version 99, newer than"),
        ("DELETE FROM migrations WHERE number = (SELECT max(number) FROM migrations)", "lacks the migration"),
    ],
)
def test_a_ledger_of_another_release(ledgers: Ledgers, ledger: Service, change: str, said: str) -> None:
    """A newer ledger is refused, an older one has to be migrated first."""
    ledgers.server().sql(change, ledger.url.rpartition("/")[2])
    run = ledger.run("serve")

    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert said in run.stderr


def test_a_server_of_an_older_version(ledger: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that is not supported is named, with the one that is needed."""
    monkeypatch.setattr(connection, "OLDEST_VERSION", 99)

    with pytest.raises(StoreUnavailableError, match=r"is PostgreSQL [0-9]+; monedero needs 99 or later"):
        opened(ledger.url)


def test_a_database_in_another_encoding(ledgers: Ledgers) -> None:
    """Names of people need UTF-8: a database in anything else is refused."""
    server = ledgers.server()
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    run = Service(server.url("latin")).run("migrate")

    assert run.returncode == 2
    assert "is encoded as LATIN1" in run.stderr


def test_tables_of_somebody_else_are_left_alone(ledgers: Ledgers) -> None:
    """Where a table of ours would clash, nothing is made."""
    server = ledgers.server()
    url = server.create_database("theirs")
    server.sql("CREATE TABLE owners (x int)", "theirs")
    run = Service(url).run("migrate")

    assert run.returncode == 2
    assert "could not be migrated" in run.stderr
    assert server.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "theirs") == [(1,)]


@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX events_by_payee",
        "ALTER TABLE wallets DROP CONSTRAINT wallets_balance_check",
        "CREATE RULE quiet AS ON UPDATE TO wallets DO INSTEAD NOTHING",
        SKIM,
        "ALTER TABLE head ADD COLUMN more integer",
    ],
)
def test_a_changed_schema_is_found(ledgers: Ledgers, ledger: Service, change: str) -> None:
    """The audit finds what was added to the tables and what was taken away."""
    ledgers.server().sql(change, ledger.url.rpartition("/")[2])
    run = ledger.run("verify")

    assert run.returncode == 1
    assert "tables and indexes are not those" in run.stderr
