"""What the commands share: options, errors as one sentence, progress on a terminal."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from monedero.engine.replay import ignore_progress
from monedero.observability.audit_log import AuditLog
from monedero.proofs.keyring import KeyringError
from monedero.settings import Settings, SettingsError, load_settings
from monedero.storage.store import StoreError
from monedero.stores import ledger_name

ALTERED = 1
UNUSABLE = 2
REDRAW_SECONDS = 0.1

Command = TypeVar("Command", bound=Callable[..., Any])


def database_option(command: Command) -> Command:
    """Add `--database-url`."""
    return click.option(
        "--database-url", metavar="URL", help="Where the ledger is kept, such as sqlite:///monedero.db."
    )(command)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn what the operator can mend into one sentence on standard error and exit code 2."""
    try:
        yield
    except BrokenPipeError:
        raise  # No error of ours: see the program's group.
    except (SettingsError, StoreError, KeyringError, OSError) as error:
        click.echo(f"monedero: {error}", err=True)
        sys.exit(UNUSABLE)


def altered(error: Exception) -> None:
    """Say where the ledger is not what it was, and exit with code 1."""
    click.echo(f"monedero: the ledger does NOT verify: {error}", err=True)
    sys.exit(ALTERED)


def settings_of(database_url: str | None) -> Settings:
    """Return the settings, the option before the environment; from here on the command is in the audit log."""
    settings = load_settings(database_url=database_url)
    context = click.get_current_context()
    context.with_resource(
        AuditLog(settings.audit_log).noted(f"monedero {context.info_name}", ledger=ledger_name(settings))
    )
    return settings


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar for `total` events, on a terminal only; yield what to call with each few that are done."""
    if not sys.stderr.isatty():
        yield ignore_progress
        return
    began = drawn = time.monotonic()
    waiting = 0

    def rate(_item: object) -> str:
        return f"{bar.pos / max(time.monotonic() - began, REDRAW_SECONDS):,.0f}/s"

    def step(count: int) -> None:
        nonlocal drawn, waiting
        waiting, now = waiting + count, time.monotonic()
        if now - drawn >= REDRAW_SECONDS or bar.pos + waiting >= total:
            bar.update(waiting)
            drawn, waiting = now, 0

    bar = click.progressbar(
        length=total, label=label, file=sys.stderr, show_percent=True, show_pos=True, item_show_func=rate
    )
    with bar:
        yield step
