"""The command `monedero receipt`, which needs no ledger, no settings and no network."""

import sys
from datetime import UTC, datetime, timedelta
from typing import IO

import click

from monedero.ledger.events import Accepted, sides
from monedero.ledger.money import render_amount
from monedero.proofs.note import NoteError, VerifierKey
from monedero.proofs.receipt import LIMIT_BYTES, Proven, ReceiptError, verify_receipt

DOES_NOT_VERIFY = 1

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OUTSIDE = "the world outside"


def _key(_: click.Context, __: click.Parameter, text: str) -> VerifierKey:
    """Read the key, or say on the command line what is wrong with it."""
    try:
        return VerifierKey.parse(text.strip())
    except NoteError as error:
        raise click.BadParameter(str(error)) from None


@click.group()
def receipt() -> None:
    """Check receipts, offline."""


@receipt.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--key",
    metavar="KEY",
    callback=_key,
    required=True,
    help="The ledger's verifier key, name+id+base64, from a source that you trust other than the receipt's.",
)
def verify(file: IO[bytes], key: VerifierKey) -> None:
    """Check the receipt in FILE, and say what it proves.

    FILE is what GET /transactions/{id}/receipt answered; - is standard input. Exits 1 when the receipt does not verify.
    """
    try:
        proven = verify_receipt(file.read(LIMIT_BYTES + 1), key)
    except ReceiptError as error:
        click.echo(f"monedero: the receipt does NOT verify: {error}", err=True)
        sys.exit(DOES_NOT_VERIFY)
    click.echo("The receipt verifies. It proves that the ledger has recorded:")
    for name, value in _shown(proven):
        click.echo(f"  {name:<12} {value}")


def _shown(proven: Proven) -> list[tuple[str, str]]:
    movement, checkpoint = proven.movement, proven.checkpoint
    payer, payee = sides(movement)
    tag = str(movement.__struct_config__.tag)
    return [
        ("what", f"{tag}{'' if isinstance(movement, Accepted) else ', so no money was moved'}"),
        ("transaction", movement.id),
        ("amount", render_amount(movement.amount)),
        ("from", f"wallet {payer}" if payer else _OUTSIDE),
        ("to", f"wallet {payee}" if payee else _OUTSIDE),
        *([("description", repr(movement.description))] if movement.description is not None else []),
        ("at", (_EPOCH + timedelta(microseconds=movement.at)).isoformat().replace("+00:00", "Z")),
        ("position", f"{proven.position} of the log"),
        ("checkpoint", f"{checkpoint.size:,} events of {checkpoint.origin}, Merkle root {checkpoint.root.hex()}"),
    ]
