"""Everything that can be configured: read once from the environment, checked, frozen.

Each name below is read from `MONEDERO_` and the name in capitals; docs/reference/configuration.md is the
table of them, and a test keeps it complete.
"""

import os
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
PREFIX = "MONEDERO_"
SECRET = ("url", "dsn", "password", "secret", "token", "key")
"""A setting with one of these in its name may hold a secret."""

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]


class SettingsError(Exception):
    """A setting that cannot be used; the message names it and says what is wrong."""


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    database_url: Annotated[
        str,
        Field(
            description="Where the ledger is kept: `sqlite:///` and a path, which is absolute after a fourth slash, or "
            "`postgresql://` and what libpq understands. Of several hosts the one that takes writes is used."
        ),
    ] = "sqlite:///monedero.db"
    replica_urls: Annotated[
        str,
        Field(
            description="Addresses of PostgreSQL replicas, with spaces between, that reads may go to; each as "
            "`MONEDERO_DATABASE_URL`."
        ),
    ] = ""
    signing_key_file: Annotated[
        str,
        Field(
            description="The file with the key that signs checkpoints and receipts, as `monedero keys create` makes "
            "it; all processes of a ledger share it. Empty: beside the embedded file, under its name and `.keys`, made "
            "when it is missing; on PostgreSQL nothing is signed."
        ),
    ] = ""
    workers: Annotated[
        Positive, Field(description="How many processes serve, side by side on one port. More than 1 needs PostgreSQL.")
    ] = 1
    host: Annotated[
        str, Field(description="The address to listen on. The API is open to whoever reaches it, so it is loopback's.")
    ] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="The port to listen on; 0 takes a free one.")] = 8000
    insecure_allow_open: Annotated[
        bool, Field(description="Allow an address other than loopback, though nobody is asked who they are.")
    ] = False
    allowed_hosts: Annotated[
        str,
        Field(
            description="Host names, with commas between, that a request may ask for; `*` allows any. Empty: the names "
            "of loopback, or any once `MONEDERO_INSECURE_ALLOW_OPEN` is set and another address served."
        ),
    ] = ""
    currency: Annotated[
        str,
        Field(pattern="^[A-Z]{3}$", description="The ISO 4217 code of new wallets; a wallet never changes its own."),
    ] = "EUR"
    body_limit_bytes: Annotated[Positive, Field(description="The largest request body, in bytes; over it: 413.")] = (
        65_536
    )
    batch_limit_bytes: Annotated[
        Positive, Field(description="The largest body of `POST /batches`, in bytes; over it: 413.")
    ] = 1_048_576
    json_depth_limit: Annotated[
        Positive, Field(description="How many arrays and objects may nest in a body; over it: 400.")
    ] = 32
    connection_limit: Annotated[
        Positive, Field(description="How many connections may be open at once; over it: 503 with Retry-After.")
    ] = 2_000
    header_limit_bytes: Annotated[
        Positive, Field(description="The largest request line and headers together, in bytes; over it: 431.")
    ] = 16_384
    header_timeout_seconds: Annotated[
        Seconds, Field(description="How long a request line and its headers may take, in seconds; over it: 408.")
    ] = 10.0
    body_timeout_seconds: Annotated[
        Seconds,
        Field(description="How long a body may take, or a pause in a stream of commands, in seconds; over it: 408."),
    ] = 10.0
    write_timeout_seconds: Annotated[
        Seconds,
        Field(
            description=(
                "How long a client may leave an answer unread, or send on after the last, in seconds; over it: "
                "disconnected."
            )
        ),
    ] = 10.0
    keep_alive_seconds: Annotated[Positive, Field(description="How long an idle connection is kept, in seconds.")] = 5
    unready_seconds: Annotated[
        float,
        Field(
            ge=0,
            description="After SIGTERM, how long requests are still taken while `/health/ready` says no, in seconds: "
            "the time that a balancer needs to turn away.",
        ),
    ] = 0.0
    stop_seconds: Annotated[
        Seconds,
        Field(
            description="When the service stops, how long it may take to commit what was accepted, in seconds; over "
            "it: exit code 1."
        ),
    ] = 30.0
    page_default_items: Annotated[Positive, Field(description="Items on a page of a listing unless `limit` says.")] = (
        100
    )
    page_limit_items: Annotated[Positive, Field(description="The largest `limit` of a listing, in items.")] = 1_000
    read_limit_items: Annotated[
        Positive,
        Field(
            description="How many transactions one request reads: a filtered page or a page of a statement ends there "
            "and says how to go on; a statement as CSV or HTML that would need more is answered 400."
        ),
    ] = 10_000
    queue_limit_commands: Annotated[
        Positive, Field(description="How many commands may wait to be committed; over it: 503 with Retry-After.")
    ] = 10_000
    batch_limit_commands: Annotated[
        Positive, Field(description="How many commands of different requests one transaction commits at most.")
    ] = 256
    idempotency_hours: Annotated[
        Positive, Field(description="For how many hours an Idempotency-Key is kept, at least.")
    ] = 24
    hold_hours: Annotated[
        Positive, Field(description="After how many hours a hold expires of which nothing else is said.")
    ] = 168

    metrics: Annotated[bool, Field(description="Count and time what happens, and show it at `/metrics`.")] = True

    log_format: Annotated[
        Literal["auto", "json", "console"],
        Field(
            description="How log lines look, on standard error: `json`, `console`, or `auto`: a terminal's `console`."
        ),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="From which level on something is logged.")
    ] = "info"
    access_log: Annotated[
        str, Field(description="Where each request leaves a line: a file, or `-` for standard output. Empty: nowhere.")
    ] = ""
    audit_log: Annotated[
        str,
        Field(
            description="Where denials, operators' commands and the settings at start leave a line: a file, or `-` for "
            "standard output. Empty: nowhere."
        ),
    ] = ""

    trace_url: Annotated[
        str,
        Field(
            description="Where traces are sent as OTLP over HTTP, such as `http://localhost:4318/v1/traces`. Empty: "
            "nowhere."
        ),
    ] = ""
    trace_ratio: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Which share of the requests is traced, of those that come without a trace; one that comes "
            "with a `traceparent` does as that says.",
        ),
    ] = 0.01

    sentry_dsn: Annotated[
        str, Field(description="Where errors are reported: the DSN of a project in Sentry. Empty: nowhere.")
    ] = ""

    audit_interval_seconds: Annotated[
        float,
        Field(
            ge=0,
            description="How long after an audit of the whole ledger the service begins the next one beside it, in "
            "seconds; 0: it audits nothing.",
        ),
    ] = 0.0

    statement_timeout_seconds: Annotated[
        Seconds, Field(description="PostgreSQL: how long one statement may take, in seconds.")
    ] = 10.0
    lock_timeout_seconds: Annotated[
        Seconds, Field(description="PostgreSQL: how long a batch may wait for the locks of another, in seconds.")
    ] = 5.0
    idle_in_transaction_timeout_seconds: Annotated[
        Seconds,
        Field(
            description="PostgreSQL: after how many seconds of silence a half-done batch is rolled back by the server."
        ),
    ] = 5.0
    reconnect_seconds: Annotated[
        Seconds,
        Field(
            description="PostgreSQL: how long a write waits for a server that has gone, as in a failover, in seconds; "
            "over it: 503. More than the idle timeout above."
        ),
    ] = 20.0
    pool_limit_connections: Annotated[
        Positive,
        Field(description="PostgreSQL: the most connections for reading that a process opens to a server; one writes."),
    ] = 8
    replica_lag_seconds: Annotated[
        Seconds, Field(description="About how far behind, in seconds, a replica may be and still answer.")
    ] = 1.0
    replica_wait_seconds: Annotated[
        float,
        Field(
            ge=0,
            description="How long, in seconds, a read with `Ledger-Min-Position` waits for a replica before the "
            "primary answers it.",
        ),
    ] = 0.2

    @model_validator(mode="after")
    def _check_timeouts(self) -> Self:
        if self.reconnect_seconds <= self.idle_in_transaction_timeout_seconds:
            raise ValueError("MONEDERO_RECONNECT_SECONDS is not more than MONEDERO_IDLE_IN_TRANSACTION_TIMEOUT_SECONDS")
        return self

    @model_validator(mode="after")
    def _check_pages(self) -> Self:
        if self.page_default_items > self.page_limit_items:
            raise ValueError("MONEDERO_PAGE_DEFAULT_ITEMS is larger than MONEDERO_PAGE_LIMIT_ITEMS")
        return self

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host names that a request may ask for."""
        if named := tuple(name.strip() for name in self.allowed_hosts.split(",") if name.strip()):
            return named
        return ("*",) if self.insecure_allow_open and self.host not in LOOPBACK else (*LOOPBACK_HOSTS, self.host)

    def shown(self) -> dict[str, str]:
        """Return every setting as it may be shown: what may hold a secret is only said to be set."""
        return {
            name: "(set)" if value and any(part in name for part in SECRET) else str(value)
            for name, value in self.model_dump().items()
        }


def load_settings(**given: object) -> Settings:
    """Read the environment; what is given and not None goes before it.

    Raises SettingsError, for a name that is no setting too: a misspelt limit is no limit.
    """
    for name in os.environ:
        known = name.removeprefix(PREFIX).lower() in Settings.model_fields and name.isupper()
        if name.upper().startswith(PREFIX) and not known:
            raise SettingsError(f"There is no setting {name}")
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise SettingsError(first["msg"].removeprefix("Value error, ")) from None
        name = PREFIX + "_".join(map(str, first["loc"])).upper()
        raise SettingsError(f"The setting {name} cannot be used: {first['msg']}") from None
