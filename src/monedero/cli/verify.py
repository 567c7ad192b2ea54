"""The command `monedero verify`."""

import sys

import click

from monedero.cli.common import ALTERED, altered, database_option, one_sentence, progress, settings_of
from monedero.engine.replay import DiscrepancyError
from monedero.engine.verify import verify as audit
from monedero.ledger.money import render_amount
from monedero.stores import ledger_name, open_snapshot


@click.command()
@database_option
@one_sentence()
def verify(database_url: str | None) -> None:
    """Prove that the ledger is whole.

    Reads every stored byte: recomputes the hash chain and the Merkle tree, replays every event, and compares the
    head, the columns, each wallet's balance and version, the personal data's seals and the sum of all money. Reads
    one moment of the ledger, so that a running service may go on. Exits 1 naming the first position, wallet or
    owner that differs, or because an import is not finished.
    """
    settings = settings_of(database_url)
    with open_snapshot(settings) as snapshot, progress("verifying", snapshot.head().size) as step:
        try:
            found = audit(snapshot, step)
        except DiscrepancyError as error:
            altered(error)
            return
        unfinished = snapshot.importing()
    click.echo(f"{ledger_name(settings)} verifies:")
    click.echo(f"  {found.events:>12,} events without a gap, each with its link in the chain")
    click.echo(f"  {found.transactions:>12,} accepted transactions, replayed")
    click.echo(f"  {found.wallets:>12,} wallets with the balance and version that follow")
    for currency, money in found.turnover.items():
        total, came_in = render_amount(money.deposited - money.paid_out), render_amount(money.deposited)
        click.echo(f"  {currency:>12} {total} in them: {came_in} came in, {render_amount(money.paid_out)} went out")
    click.echo(f"  {found.holds:>12,} holds, and the refunds of debits, as they follow")
    kept = found.owners - found.owners_without_personal_data
    click.echo(f"  {kept:>12,} owners with the personal data that was sealed")
    if found.owners_without_personal_data:
        click.echo(f"  {found.owners_without_personal_data:>12,} owners whose personal data is not kept here")
    click.echo(f"  Merkle root {found.root}")
    if unfinished:
        click.echo(
            f"monedero: the import into it is not finished: it has {found.events:,} of {unfinished.size:,} events",
            err=True,
        )
        sys.exit(ALTERED)
