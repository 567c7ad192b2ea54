"""The command `monedero export`."""

from typing import BinaryIO

import click

from monedero.bootstrap import open_snapshot
from monedero.cli.common import database_option, one_sentence, progress, settings_of
from monedero.engine.export import export as write


@click.command()
@database_option
@click.option(
    "--output", type=click.File("wb", atomic=True), default="-", help="The file to write; standard output if absent."
)
@one_sentence()
def export(database_url: str | None, output: BinaryIO) -> None:
    """Write the log as JSON lines, without personal data.

    The first line says how many events follow and their Merkle root; each further line is an event at its position,
    byte for byte as it was sealed. Reads one moment of the ledger, so that a running service may go on.
    """
    with open_snapshot(settings_of(database_url)) as snapshot, progress("exporting", snapshot.head().size) as step:
        size = write(snapshot, output, step)
    click.echo(f"exported {size:,} events", err=True)
