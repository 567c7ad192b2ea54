"""Statements on PostgreSQL go by an index from the first row on, and a listing is always the same number of them."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from monedero.ledger.profiles import OwnerKind
from monedero.sources import new_id
from monedero.storage.postgres import PostgresStore, statements
from monedero.storage.store import NEWEST, Store
from tests.ledgers import POSTGRES, Ledgers, opened
from tests.support import accepted, deposit, new_wallet, opening, registration, run

NOBODY = new_id()
IDS = f"{{{NOBODY}}}"
PAGE = {"before": NEWEST, "limit": 101}
PART: dict[str, object] = {"wallet": 1, "first": 0, "end": NEWEST, "limit": 101}
PARAMETERS: dict[str, tuple[object, ...] | dict[str, object]] = {
    "LOAD_WALLETS": (IDS,),
    "LOAD_OWNERS": (IDS,),
    "TAKEN_EMAILS": (["customer"], ["a@x.org"]),
    "STORED_EVENTS": (IDS,),
    "LOAD_PARTIES": (IDS,),
    "LOAD_DEBITED": (IDS,),
    "LOAD_HOLDS": (IDS,),
    "LOAD_CLAIMS": ("{}",),
    "FORGET_CLAIMS": (2, 1),
    "EVENTS_BY_ID": (IDS,),
    "EVENTS_BY_POSITION": ("{1,2}",),
    "REFUNDED": (1,),
    "EXPIRING": (64,),
    "OPEN_HOLDS": (64,),
    "WALLET_BY_ID": (NOBODY,),
    "EVENT_BY_ID": (NOBODY,),
    "PAYLOADS": (0, 256),
    "ROOTS": (8, 0, 256),
    "OWNER_BY_ID": (NOBODY, "customer"),
    "NEWEST_MOVEMENTS": PART,
    "OLDEST_MOVEMENTS": PART,
    "WALLETS_OF_OWNER": (NOBODY, "customer", 101),
    "WALLET_TRANSACTIONS": {"wallet": NOBODY, **PAGE},
    "OWNER_TRANSACTIONS": {"owner": NOBODY, "kind": "customer", **PAGE},
}


@pytest.fixture(scope="module", params=POSTGRES)
def filled(request: pytest.FixtureRequest, ledgers: Ledgers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return a ledger with some history, whose statistics are known."""
    url = ledgers.new(request.param, tmp_path_factory.mktemp("plans"))
    store = opened(url)
    wallets = [new_wallet(store, OwnerKind.CUSTOMER) for _ in range(50)]
    for _ in range(40):
        accepted(store, *(deposit(wallet, 1) for wallet in wallets))
    run(store.close())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    yield url
    ledgers.drop(url)


def plan(url: str, name: str) -> str:
    """Return how the server runs a statement on the writer's or a reader's connection."""
    store = opened(url)
    assert isinstance(store, PostgresStore)

    async def explain() -> str:
        async with await psycopg.AsyncConnection.connect(store._writer._address) as connection:  # noqa: SLF001
            found = await connection.execute(b"EXPLAIN " + getattr(statements, name).encode(), PARAMETERS[name])
            return "\n".join(line for (line,) in await found.fetchall())

    return run(explain())


@pytest.mark.parametrize("name", PARAMETERS)
def test_no_statement_reads_a_table_through(filled: str, name: str) -> None:
    """Every statement that a request runs searches by an index, also where a table is small or was empty."""
    assert "Seq Scan" not in plan(filled, name)


def test_forgetting_old_claims_reads_no_more_than_it_may_forget(filled: str) -> None:
    """However many claims there are, two of the oldest are looked at, by the plan that the writer's session keeps."""
    store = opened(filled)
    assert isinstance(store, PostgresStore)
    many = (
        "INSERT INTO claims (key, fingerprint, at, answers) "
        "SELECT decode(md5(one::text), 'hex'), '', one, '' FROM generate_series(1, 20000) AS one"
    )
    forget = statements.FORGET_CLAIMS.replace("%s", "$1", 1).replace("%s", "$2", 1)
    with psycopg.connect(store._writer._address) as connection:  # noqa: SLF001 - rolled back at the end
        connection.execute(many)
        connection.execute("ANALYZE claims")
        connection.execute(f"PREPARE forget AS {forget}".encode())
        steps = connection.execute("EXPLAIN ANALYZE EXECUTE forget(2, 2)").fetchall()
        (left,) = connection.execute("SELECT count(*) FROM claims").fetchone() or (0,)
        connection.rollback()

    removed = [int(step.rpartition(" ")[2]) for (step,) in steps if "Rows Removed by Filter" in step]
    assert removed == [1]
    assert left == 19_999


def test_a_wallets_newest_page_reads_no_more_than_a_page(filled: str) -> None:
    """Both sides of a wallet's history are read backwards from the newest, by an index each, up to the limit."""
    steps = plan(filled, "WALLET_TRANSACTIONS")

    assert "Index Scan Backward using events_by_payer" in steps
    assert "Index Scan Backward using events_by_payee" in steps


@pytest.mark.parametrize(
    ("name", "scan"), [("NEWEST_MOVEMENTS", "Index Scan Backward"), ("OLDEST_MOVEMENTS", "Index Scan")]
)
def test_a_part_of_a_wallets_history_is_read_in_order(filled: str, name: str, scan: str) -> None:
    """From either end, and within bounds, by an index for each side: neither side is sorted."""
    steps = plan(filled, name)

    assert f"{scan} using events_by_payer" in steps
    assert f"{scan} using events_by_payee" in steps
    assert "Sort  (" not in steps


@pytest.mark.parametrize("wallets", [1, 100])
@pytest.mark.parametrize("kind", POSTGRES)
def test_listings_take_the_same_statements_however_many_wallets(
    ledgers: Ledgers, tmp_path: Path, kind: str, wallets: int
) -> None:
    """A customer with 100 wallets costs as many statements as one with a single wallet."""
    url = ledgers.new(kind, tmp_path)
    store = opened(url)
    owner = registration(OwnerKind.CUSTOMER)
    mine = [opening(owner.id, OwnerKind.CUSTOMER) for _ in range(wallets)]
    accepted(store, owner, *mine, *(deposit(wallet.id, 1) for wallet in mine))
    counted = {
        name: statements_of(ledgers, kind, url, store, name)
        for name in ("wallets", "owner_transactions", "wallet_transactions")
    }
    run(store.close())
    ledgers.drop(url)

    assert counted == {"wallets": 2, "owner_transactions": 3, "wallet_transactions": 2}


def statements_of(ledgers: Ledgers, kind: str, url: str, store: Store, name: str) -> int:
    """Return how many statements the server executes for a listing, by its own log."""
    server, database = ledgers.server(kind), url.rpartition("/")[2]
    with store.snapshot() as snapshot:
        owner, wallet = next(snapshot.owners()).id, next(snapshot.wallets()).id
    server.sql(f"ALTER DATABASE \"{database}\" SET log_statement = 'all'")
    run(store.close())  # The next connections log what they execute.
    before = len(server.log.read_text())
    match name:
        case "wallets":
            assert run(store.queries.wallets(OwnerKind.CUSTOMER, owner, 1000))
        case "owner_transactions":
            assert run(store.queries.owner_transactions(OwnerKind.CUSTOMER, owner, NEWEST, 1000))
        case _:
            assert run(store.queries.wallet_transactions(OwnerKind.CUSTOMER, wallet, NEWEST, 1000))
    run(store.close())
    logged = server.log.read_text()[before:]
    server.sql(f'ALTER DATABASE "{database}" RESET log_statement')
    return len(re.findall(r"LOG:  execute ", logged))
