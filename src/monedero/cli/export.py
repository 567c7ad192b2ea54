"""The command `monedero export`."""

import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

import click

from monedero.cli.common import database_option, one_sentence, progress, settings_of
from monedero.engine.export import export as write
from monedero.settings import SettingsError
from monedero.stores import database_path, open_snapshot


@click.command()
@database_option
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="The file to write, whole or not at all; standard output if absent.",
)
@click.option("--personal-data", is_flag=True, help="Add names, e-mails and phones: the export then moves the ledger.")
@one_sentence()
def export(database_url: str | None, output: Path | None, personal_data: bool) -> None:
    """Write the log as JSON lines, without personal data unless asked for.

    The first line says how many events follow and their Merkle root; each further line is an event at its position,
    byte for byte as it was sealed. With --personal-data the owners come before the events. Reads one moment of the
    ledger, so that a running service may go on.
    """
    settings = settings_of(database_url)
    ledger = database_path(settings)
    if output and ledger and output.resolve().name.startswith(ledger.name) and output.resolve().parent == ledger.parent:
        raise SettingsError(f"{output} is the ledger, or a file beside it that belongs to it: name another one")
    with open_snapshot(settings) as snapshot, progress("exporting", snapshot.head().size) as step:
        if output is None:
            header = write(snapshot, sys.stdout.buffer, step, personal_data=personal_data)
        else:
            with NamedTemporaryFile(dir=output.parent, prefix=f"{output.name}.", delete=False) as unfinished:
                try:
                    header = write(snapshot, unfinished, step, personal_data=personal_data)
                except BaseException:
                    Path(unfinished.name).unlink()
                    raise
            Path(unfinished.name).replace(output)
    people = f" and the personal data of {header.owners:,} owners" if personal_data else ""
    click.echo(f"exported {header.size:,} events{people}", err=True)
