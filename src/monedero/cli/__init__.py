"""The program `monedero`: one file a command."""

import click

from monedero import __version__
from monedero.cli.export import export
from monedero.cli.imports import import_
from monedero.cli.keys import keys
from monedero.cli.migrate import migrate
from monedero.cli.rebuild import rebuild
from monedero.cli.receipt import receipt
from monedero.cli.serve import serve
from monedero.cli.verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="monedero")
def main() -> None:
    """Run a wallet and payments ledger that loses no cent, and can prove it.

    Every command reads its settings from the environment (MONEDERO_DATABASE_URL and so on); an option goes
    before the environment. Exit codes: 0 done; 1 verify or rebuild found the ledger altered, import the export, a
    receipt does not verify, or the disk failed under serve; 2 the command line or a setting is wrong, or the ledger
    cannot be opened.
    """


for command in (serve, migrate, verify, rebuild, export, import_, keys, receipt):
    main.add_command(command)
