"""The servers and the proxy that other tests rely on do what their names say."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.postgres import Server, server_folder, servers
from tests.proxy import FaultProxy, Plan
from tests.support import until

LIMIT_SECONDS = 30
SILENCE_SECONDS = 0.2
COUNT = "select count(*) from pg_stat_activity where"
SSL_REQUEST = bytes.fromhex("0000000804d2162f")
ODD_CHARACTERS = "p@ss/word"
ORPHANED = """
import sys
from pathlib import Path
from tests.postgres import Server
Server(Path(sys.argv[1]), Path(sys.argv[2])).start()
print("started", flush=True)
sys.stdin.read()
"""

sees_processes = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs Linux's /proc")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder for servers."""
    with server_folder() as made:
        yield made


@pytest.fixture(params=servers())
def binaries(request: pytest.FixtureRequest) -> Path:
    """Return the binaries of each version in turn."""
    return servers()[request.param]


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    """Return a server of the newest version with a table."""
    with server_folder() as made, Server(next(iter(servers().values())), made / "shared") as running:
        running.sql("create table movement (units int)")
        yield running


def processes(server_data: Path) -> int:
    """Return how many processes work in a data folder, which is where all of a server's do."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # It ended meanwhile, or belongs to somebody else.
            count += (process / "cwd").readlink() == server_data
    return count


def test_a_server_keeps_its_port_and_its_data(binaries: Path, folder: Path) -> None:
    """A server answers as the version it is taken for, before and after a stop and a kill."""
    version = next(name for name, each in servers().items() if each == binaries)
    with Server(binaries, folder / "server", durable=True) as server:
        url = server.create_database("ledger")
        server.sql("create table movement (units int)", "ledger")
        server.stop()
        server.start().sql("insert into movement values (1)", "ledger")
        server.kill()
        server.start()

        assert server.url("ledger") == url
        assert server.sql("select units from movement", "ledger") == [(1,)]
        assert str(server.sql("show server_version")[0][0]).split(".")[0] == version
        assert server.sql("show server_encoding") == [("UTF8",)]
        assert server.sql("show fsync") == [("on",)]


def test_a_password_is_asked_for(binaries: Path, folder: Path) -> None:
    """A server with a password lets in who has it, its standby too, and nobody else."""
    with Server(binaries, folder / "server", password=ODD_CHARACTERS) as server:
        with server.standby(folder / "standby", name="second") as standby:
            assert standby.sql("select pg_is_in_recovery()") == [(True,)]

        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{server.port}/postgres")


def test_a_standby_streams_and_takes_over(binaries: Path, folder: Path) -> None:
    """A standby is there for its primary's synchronous commits, and waits for nobody once it is promoted."""
    with Server(binaries, folder / "first") as first:
        first.sql("create table movement (units int)")
        first.sql("alter system set synchronous_standby_names = 'second'")
        with first.standby(folder / "second", name="second") as second:
            first.stop()
            first.start()
            until(lambda: first.sql("select sync_state from pg_stat_replication") == [("sync",)])
            second.pause_replay()
            first.sql("insert into movement values (1)")
            assert second.sql("select units from movement") == []

            second.resume_replay()
            until(lambda: second.sql("select units from movement") == [(1,)])

            first.kill()
            second.promote()
            second.sql("insert into movement values (2)")
            assert second.sql("show synchronous_standby_names") == [("",)]
            assert second.sql("select sum(units) from movement") == [(3,)]


@sees_processes
def test_a_kill_leaves_nothing(binaries: Path, folder: Path) -> None:
    """No process of a killed server is left, although sessions were open, nor of one that was stopped."""
    with Server(binaries, folder / "server") as server, psycopg.connect(server.url()) as session:
        session.execute("select 1")
        assert processes(server.data) > 1

        server.kill()
        assert processes(server.data) == 0
        with pytest.raises(psycopg.OperationalError):
            session.execute("select 1")

        server.start()
    assert processes(server.data) == 0


def test_a_suspended_server_is_silent(binaries: Path, folder: Path) -> None:
    """Connections to a suspended server are neither answered nor refused; they are answered once it goes on."""
    with Server(binaries, folder / "server") as server:
        server.suspend()
        with socket.create_connection(("127.0.0.1", server.port), SILENCE_SECONDS) as client:
            client.sendall(SSL_REQUEST)
            with pytest.raises(TimeoutError):
                client.recv(1)

            server.resume()
            client.settimeout(LIMIT_SECONDS)
            assert client.recv(1) == b"N"

        server.suspend()
    assert not server.running


@sees_processes
def test_a_server_dies_with_the_tests(binaries: Path, folder: Path) -> None:
    """A server whose tests are killed does not stay behind."""
    command = [sys.executable, "-c", ORPHANED, str(binaries), str(folder / "server")]
    root, environment = Path(__file__).parents[2], {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, env=environment) as tests:
        assert tests.stdout is not None
        assert tests.stdout.readline() == b"started\n"
        assert processes(folder / "server/data") > 1

        tests.kill()
    until(lambda: processes(folder / "server/data") == 0, LIMIT_SECONDS)


def through(proxy: FaultProxy) -> str:
    """Return the address of a database behind a proxy."""
    return f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres"


async def insert(proxy: FaultProxy, units: int) -> None:
    """Insert a row through a proxy, in a transaction."""
    async with asyncio.timeout(LIMIT_SECONDS), await psycopg.AsyncConnection.connect(through(proxy)) as connection:
        await connection.execute("insert into movement values (%s)", [units])


@pytest.mark.parametrize(("plan", "stored"), [("before", {0}), ("sent", {0, 1}), ("after", {1})])
def test_a_cut_around_a_commit(shared: Server, plan: Plan, stored: set[int]) -> None:
    """The client of a planned cut learns nothing; what is stored depends on the plan, which holds once."""

    async def scenario() -> None:
        async with FaultProxy(shared.port) as proxy:
            await insert(proxy, 0)
            proxy.plan = plan
            with pytest.raises(psycopg.OperationalError):
                await insert(proxy, 1)

            assert proxy.cuts == 1
            await insert(proxy, 2)

    shared.sql("truncate movement")
    asyncio.run(scenario())

    # A commit that was forwarded may still be under way.
    until(lambda: shared.sql(f"{COUNT} backend_type = 'client backend'") == [(1,)])
    units = [row[0] for row in shared.sql("select units from movement")]
    assert (units.count(0), units.count(2)) == (1, 1)
    assert units.count(1) in stored


def test_all_connections_are_cut_at_once(shared: Server) -> None:
    """A cut ends the open connections, idle or not, and lets new ones through."""

    async def scenario() -> None:
        async with FaultProxy(shared.port) as proxy:
            idle = await psycopg.AsyncConnection.connect(through(proxy))
            busy = await psycopg.AsyncConnection.connect(through(proxy))
            waiting = asyncio.create_task(busy.execute("select pg_sleep(60)"))
            await asyncio.to_thread(until, lambda: shared.sql(f"{COUNT} wait_event = 'PgSleep'") == [(1,)])
            proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                await waiting
            with pytest.raises(psycopg.OperationalError):
                await idle.execute("select 1")

            assert proxy.cuts == 2
            await insert(proxy, 1)
            await idle.close()
            await busy.close()

    asyncio.run(scenario())
    shared.sql("select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'")


def test_connections_are_refused(shared: Server) -> None:
    """While connections are refused none gets through, nor when no server listens; afterwards they do."""

    async def scenario() -> None:
        async with FaultProxy(shared.port) as proxy:
            proxy.refuse = True
            with pytest.raises(psycopg.OperationalError):
                await insert(proxy, 1)
            proxy.refuse, proxy.target_port = False, 1
            with pytest.raises(psycopg.OperationalError):
                await insert(proxy, 1)

            proxy.target_port = shared.port
            await insert(proxy, 1)
            assert proxy.cuts == 0

    asyncio.run(scenario())


def test_a_proxy_leaves_no_connection_behind(shared: Server) -> None:
    """A proxy that ends takes its connections along, and no task of it is left."""

    async def scenario() -> None:
        async with FaultProxy(shared.port) as proxy:
            connection = await psycopg.AsyncConnection.connect(through(proxy))
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("select 1")
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await connection.close()

    asyncio.run(scenario())
