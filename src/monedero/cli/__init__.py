"""The program `monedero`: one file a command."""

import os
import signal
import sys
from importlib import import_module

import click

from monedero import __version__

COMMANDS = {
    "export": "export.export",
    "import": "imports.import_",
    "keys": "keys.keys",
    "migrate": "migrate.migrate",
    "rebuild": "rebuild.rebuild",
    "receipt": "receipt.receipt",
    "serve": "serve.serve",
    "verify": "verify.verify",
}
"""Each with its file and its function."""


class Commands(click.Group):
    """Loads a command when it is asked for: an audit need not wait for a web server to be imported."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command. Who has read enough, as `head` does, may close our output: we end as the signal would."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Nothing is left to be written at the end.
            sys.exit(128 + signal.SIGPIPE)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as in click
        """Return their names."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - likewise
        """Return the command of that name."""
        file, _, function = COMMANDS.get(cmd_name, "").partition(".")
        return getattr(import_module(f"monedero.cli.{file}"), function) if function else None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="monedero")
def main() -> None:
    """Run a wallet and payments ledger that loses no cent, and can prove it.

    Every command reads its settings from the environment (MONEDERO_DATABASE_URL and so on); an option goes
    before the environment. Exit codes: 0 done; 1 verify or rebuild found the ledger altered, import the export, a
    receipt does not verify, or the disk failed under serve; 2 the command line or a setting is wrong, or the ledger
    cannot be opened.
    """
