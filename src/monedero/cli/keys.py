"""The command `monedero keys`."""

from pathlib import Path

import click

from monedero.api.times import timestamp
from monedero.cli.common import database_option, one_sentence, settings_of
from monedero.proofs.keyring import create_keyring, read_keyring, rotate_keyring
from monedero.settings import SettingsError
from monedero.sources import now_microseconds
from monedero.stores import keyring_path


@click.group()
def keys() -> None:
    """Make, change and show the key that signs checkpoints and receipts.

    It is kept in the file that MONEDERO_SIGNING_KEY_FILE names, or beside the embedded ledger.
    """


@keys.command()
@database_option
@click.option("--origin", metavar="NAME", help="The ledger's name in checkpoints, such as example.com/ledger.")
@one_sentence()
def create(database_url: str | None, origin: str | None) -> None:
    """Make the key, in a file that only its owner may read, and print its verifier key.

    The origin is for ever; without one the ledger gets a name by chance. Never touches a file that exists.
    """
    click.echo(create_keyring(_path(database_url), now_microseconds(), origin).key.verifier_key)


@keys.command()
@database_option
@one_sentence()
def rotate(database_url: str | None) -> None:
    """Put a new key in the place of the one that signs, and print its verifier key.

    The private half of the old one is gone then; its verifier key stays listed, so that old receipts verify. The
    service signs with the new key once it is started again.
    """
    click.echo(rotate_keyring(_path(database_url), now_microseconds()).key.verifier_key)


@keys.command("list")
@database_option
@one_sentence()
def list_(database_url: str | None) -> None:
    """Print every verifier key with the times from and until when it signed, the newest first."""
    for known in read_keyring(_path(database_url)).keys:
        until = "now" if known.retired_at is None else timestamp(known.retired_at)
        click.echo(f"{known.verifier_key}  {timestamp(known.created_at)}  {until}")


@keys.command()
@database_option
@one_sentence()
def export(database_url: str | None) -> None:
    """Print the verifier key of the key that signs, and nothing else."""
    click.echo(read_keyring(_path(database_url)).key.verifier_key)


def _path(database_url: str | None) -> Path:
    path = keyring_path(settings_of(database_url))
    if path is None:
        raise SettingsError(
            "MONEDERO_SIGNING_KEY_FILE has to name the file: a ledger in PostgreSQL has none of its own"
        )
    return path
