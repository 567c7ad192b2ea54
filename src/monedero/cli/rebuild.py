"""The command `monedero rebuild`."""

import asyncio

import click

from monedero.cli.common import altered, database_option, one_sentence, progress, settings_of
from monedero.engine.rebuild import rebuild as replay
from monedero.engine.replay import DiscrepancyError
from monedero.stores import open_store


@click.command()
@database_option
@one_sentence()
def rebuild(database_url: str | None) -> None:
    """Make every balance anew from the log.

    Replays the log, drops the wallets and writes them again, in one transaction: readers see the old ones or the
    new ones. What the log does not hold, the names and e-mails, stays as it is. Needs the
    ledger for itself. Exits 1, with nothing changed, when the log itself does not verify.
    """
    store = open_store(settings_of(database_url))
    try:
        with store.snapshot() as snapshot:
            total = snapshot.head().size
        with progress("replaying", total) as step:
            wallets = replay(store, step)
        click.echo(f"rebuilt {wallets:,} wallets from {total:,} events")
    except DiscrepancyError as error:
        altered(error)
    finally:
        asyncio.run(store.close())
