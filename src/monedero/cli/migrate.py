"""The command `monedero migrate`."""

import click

from monedero.cli.common import database_option, one_sentence, settings_of
from monedero.stores import ledger_name, migrate_store


@click.command()
@database_option
@one_sentence()
def migrate(database_url: str | None) -> None:
    """Create the ledger, or bring it to this release's schema.

    Applies the numbered migrations that the ledger lacks, each once, in one transaction. Does nothing when there
    are none. Safe to start several times at once. Refuses a ledger that a newer release has written.
    """
    settings = settings_of(database_url)
    applied = migrate_store(settings)
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo(f"{ledger_name(settings)} is up to date")
