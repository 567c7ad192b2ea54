"""A statement as CSV (RFC 4180): a row for the opening balance, one a line, one for the closing balance, the totals.

Only the description is what somebody else wrote. A spreadsheet takes a cell that begins like a formula for one, in
quotes too, so such a description gets an apostrophe in front; one that begins with an apostrophe gets another one, so
that taking one away always gives what was written.
"""

import csv
import re
from io import StringIO

from monedero.api.history_bodies import line_body
from monedero.engine.statements import Statement
from monedero.ledger.money import render_amount

CSV = (b"content-type", b"text/csv; charset=utf-8; header=present")
COLUMNS = (
    "position",
    "created_at",
    "id",
    "kind",
    "status",
    "description",
    "amount",
    "balance",
    "counterparty_wallet_id",
)

_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n']")


def statement_csv(statement: Statement) -> bytes:
    """Write a whole statement. Rows without an id are no transactions."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerow(_row("opening_balance", balance=render_amount(statement.opening.balance)))
    for line in statement.lines:
        shown = line_body(line, statement.wallet)
        writer.writerow(
            (
                shown.position,
                shown.created_at,
                shown.id,
                shown.kind,
                shown.status,
                plain_cell(shown.description or ""),
                render_amount(line.amount),
                render_amount(line.balance),
                shown.counterparty_wallet_id or "",
            )
        )
    writer.writerow(_row("closing_balance", balance=render_amount(statement.closing)))
    writer.writerow(_row("total_in", amount=render_amount(statement.total_in)))
    writer.writerow(_row("total_out", amount=render_amount(statement.total_out)))
    return text.getvalue().encode()


def plain_cell(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def _row(kind: str, *, amount: str = "", balance: str = "") -> tuple[str, ...]:
    return ("", "", "", kind, "", "", amount, balance, "")
