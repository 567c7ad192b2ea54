"""Disks that fail, or make a commit wait, when a test says so; and a COMMIT that lies."""

import threading
from typing import Any

import apsw

LIMIT_SECONDS = 10


class FaultyFile(apsw.VFSFile):
    """A file whose syncs and writes fail once the disk has gone bad."""

    def __init__(self, disk: "FaultyDisk", *arguments: Any) -> None:
        self._disk = disk
        super().__init__("", *arguments)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite names it
        disk = self._disk
        disk.syncing.set()
        opened = disk.gate.wait(LIMIT_SECONDS)
        if disk.closes_again:
            disk.gate.clear()
        disk.failing_syncs -= 1
        if disk.failing_syncs >= 0 or not opened:
            raise apsw.IOError
        super().xSync(flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - likewise
        if self._disk.is_full:
            raise apsw.FullError
        super().xWrite(data, offset)


class FaultyDisk(apsw.VFS):
    """A disk that fails on demand, and syncs only while its gate is open, or once each time that it is opened."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_full = self.closes_again = False
        self.failing_syncs = 0.0
        """How many syncs fail from now on."""
        self.syncing, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - likewise
        return FaultyFile(self, name, flags)

    def heal(self) -> None:
        """Be a good disk again."""
        self.is_full = self.closes_again = False
        self.failing_syncs = 0
        self.gate.set()


class FailingCommit:
    """A connection whose COMMIT reports a failure, after it has or has not happened; from then on, or so many times."""

    def __init__(self, connection: apsw.Connection, *, happens: bool, times: int = -1) -> None:
        self._connection = connection
        self._happens = happens
        self._left = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, statement: str, *arguments: Any) -> Any:
        """Run a statement."""
        commits = statement == "COMMIT" or (statement.startswith("INSERT INTO batch") and not self.in_transaction)
        if self._left and commits:
            self._left -= 1
            if self._happens:
                self._connection.execute(statement, *arguments)
            raise apsw.InterruptError
        return self._connection.execute(statement, *arguments)
