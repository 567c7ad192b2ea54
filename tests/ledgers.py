"""Ledgers of every kind that there is: embedded, and one for each PostgreSQL server on this machine."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from monedero.settings import load_settings
from monedero.sources import new_id
from monedero.storage.store import Store
from monedero.stores import migrate_store, open_store
from tests.postgres import Server, server_folder, servers

EMBEDDED = "sqlite"
POSTGRES = [f"postgres-{version}" for version in servers()]
"""The newest first."""
KINDS = [EMBEDDED, *POSTGRES]
BOTH = [EMBEDDED, POSTGRES[0]]

_TEMPLATE = "migrated"


class Ledgers:
    """Makes empty ledgers; starts each server when it is first needed and ends all of them at last."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._servers: dict[str, Server] = {}
        self._template: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def server(self, kind: str = POSTGRES[0]) -> Server:
        """Return the running server of a kind, with a migrated ledger to copy."""
        if kind not in self._servers:
            folder = self._open.enter_context(server_folder())
            binaries = servers()[kind.removeprefix("postgres-")]
            self._servers[kind] = self._open.enter_context(Server(binaries, folder / "server"))
            migrate(self._servers[kind].create_database(_TEMPLATE))
        return self._servers[kind]

    def new(self, kind: str, folder: Path) -> str:
        """Return the address of a new ledger, which a test may keep in `folder`."""
        if kind != EMBEDDED:
            name, server = f"ledger_{new_id()}", self.server(kind)
            server.sql(f'CREATE DATABASE "{name}" TEMPLATE {_TEMPLATE}')
            return server.url(name)
        if self._template is None:
            self._template = self._open.enter_context(server_folder()) / "ledger.db"
            migrate(f"sqlite:///{self._template}")
        return f"sqlite:///{shutil.copy(self._template, folder / 'ledger.db')}"

    def drop(self, url: str) -> None:
        """Remove a ledger from its server, whoever is connected; a file goes with its folder."""
        parts = urlsplit(url)
        for server in self._servers.values():
            if server.port == parts.port:
                server.sql(f'DROP DATABASE "{parts.path.removeprefix("/")}" WITH (FORCE)')


def migrate(url: str) -> None:
    """Make a ledger."""
    migrate_store(load_settings(database_url=url))


def opened(url: str, **settings: object) -> Store:
    """Open a ledger."""
    return open_store(load_settings(database_url=url, **settings))
