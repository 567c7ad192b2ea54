"""The command `monedero import`."""

import asyncio
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import click

from monedero.cli.common import ALTERED, UNUSABLE, database_option, one_sentence, progress, settings_of
from monedero.engine.imports import Imported, ImportRefusedError, import_from, read_header
from monedero.engine.replay import DiscrepancyError
from monedero.settings import Settings
from monedero.stores import ledger_name, open_for_import


@click.command("import")
@database_option
@click.option(
    "--input",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to read; standard input if absent.",
)
@one_sentence()
def import_(database_url: str | None, path: Path | None) -> None:
    """Fill an empty ledger from what `monedero export` wrote.

    Checks every event against those before it and every owner against the log, and the number of events and their
    Merkle root at the end. An import that was interrupted goes on where it stopped when it is run again; until it is
    finished the ledger is not served. Exits 1, with the ledger left unfinished, where the export is not whole.
    """
    settings = settings_of(database_url)
    with ExitStack() as opened:
        if path:
            source: IO[bytes] = opened.enter_context(path.open("rb"))
        elif sys.stdin.isatty():
            raise click.UsageError("Name a file with --input, or let `monedero export` write to the input.")
        else:
            source = sys.stdin.buffer
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once, even while it waits for its input.
        try:
            done = asyncio.run(_import(settings, source))
        except (DiscrepancyError, ImportRefusedError) as error:
            altered = isinstance(error, DiscrepancyError)
            click.echo(f"monedero: {'the export is not whole: ' if altered else ''}{error}", err=True)
            sys.exit(ALTERED if altered else UNUSABLE)
    click.echo(f"imported into {ledger_name(settings)}:")
    before = f", {done.resumed:,} of them by an import that had stopped" if done.resumed else ""
    click.echo(f"  {done.events:>12,} events{before}")
    click.echo(f"  {done.owners:>12,} owners, {done.owners_with_personal_data:,} of them with personal data")
    click.echo(f"  Merkle root {done.root}")


async def _import(settings: Settings, source: IO[bytes]) -> Imported:
    store = open_for_import(settings)
    try:
        header = read_header(source)
        with progress("importing", header.size) as step:
            return await import_from(source, header, store, step)
    finally:
        await store.close()
