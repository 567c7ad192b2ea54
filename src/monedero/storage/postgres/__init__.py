"""The store for several processes and hosts: PostgreSQL 15 or later, with replicas if there are any."""

from monedero.storage.postgres.connection import Limits, name_of
from monedero.storage.postgres.migrate import migrate
from monedero.storage.postgres.snapshot import snapshot
from monedero.storage.postgres.store import PostgresStore, Usage

__all__ = ["Limits", "PostgresStore", "Usage", "migrate", "name_of", "snapshot"]
