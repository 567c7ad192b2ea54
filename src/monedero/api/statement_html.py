"""A statement as a page to print: one document that loads nothing and runs nothing."""

from base64 import b64encode
from hashlib import sha256
from html import escape

from monedero.api.history_bodies import line_body
from monedero.engine.statements import Line, Statement
from monedero.ledger.money import render_amount

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem; margin-bottom: .25rem }
dl { display: grid; grid-template-columns: max-content auto; gap: .15rem 1.5rem }
dt { color: #595959 }
dd { margin: 0 }
table { border-collapse: collapse; width: 100%; margin: 1.5rem 0 }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #d4d4d4 }
th { border-bottom: 2px solid #1a1a1a }
td.text { overflow-wrap: anywhere; white-space: pre-wrap }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
.id { font: .8em ui-monospace, monospace; overflow-wrap: anywhere }
tr.balance td, tfoot td { font-weight: 600 }
@media print {
  @page { margin: 15mm }
  body { font-size: 9.5pt; max-width: none; margin: 0; padding: 0 }
  thead { display: table-header-group }
  tr { break-inside: avoid }
}
"""
_STYLE_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
HTML_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox allow-modals".encode(),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


def statement_html(statement: Statement, period: tuple[str, str]) -> bytes:
    """Write a whole statement; `period` are the words for its beginning and its end."""
    wallet, (since, until) = statement.wallet, map(escape, period)
    lines = "".join(_row(statement, line) for line in statement.lines)
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Statement of wallet {wallet.id}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Statement</h1>
<dl>
<dt>Wallet</dt><dd class="id">{wallet.id}</dd>
<dt>Currency</dt><dd>{escape(wallet.currency)}</dd>
<dt>From</dt><dd>{since}</dd>
<dt>To</dt><dd>{until}</dd>
<dt>Transactions without movement</dt><dd>{statement.unmoved}</dd>
</dl>
<table>
<thead>
<tr><th scope="col">Time</th><th scope="col">Transaction</th><th scope="col">Description</th>
<th scope="col" class="number">Amount</th><th scope="col" class="number">Balance</th></tr>
</thead>
<tbody>
<tr class="balance"><td colspan="4">Opening balance</td>{_number(statement.opening.balance)}</tr>
{lines}<tr class="balance"><td colspan="4">Closing balance</td>{_number(statement.closing)}</tr>
</tbody>
<tfoot>
<tr><td colspan="3">Total in</td>{_number(statement.total_in)}<td></td></tr>
<tr><td colspan="3">Total out</td>{_number(statement.total_out)}<td></td></tr>
</tfoot>
</table>
</body>
</html>
"""
    return page.encode()


def _row(statement: Statement, line: Line) -> str:
    """Write a line. The description is isolated, so that no mark in it turns the text around it."""
    shown = line_body(line, statement.wallet)
    other = f'<br><span class="id">{shown.counterparty_wallet_id}</span>' if shown.counterparty_wallet_id else ""
    return (
        f"<tr><td>{shown.created_at}</td>"
        f'<td>{shown.kind}<br><span class="id">{shown.id}</span></td>'
        f'<td class="text"><bdi>{escape(shown.description or "")}</bdi>{other}</td>'
        f"{_number(line.amount)}{_number(line.balance)}</tr>\n"
    )


def _number(units: int) -> str:
    return f'<td class="number">{render_amount(units)}</td>'
