"""The past of a wallet: its balance at some moment, and its statement."""

import asyncio
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, UnsetType

from monedero.api.errors import Problem, invalid_value
from monedero.api.formats import Format, wanted_format
from monedero.api.history_bodies import balance_body, statement_body
from monedero.api.http import Request, Response, json_response
from monedero.api.moments import Moment, moment
from monedero.api.paging import link, page_limit
from monedero.api.services import Services
from monedero.api.statement_csv import CSV, statement_csv
from monedero.api.statement_html import HTML_HEADERS, statement_html
from monedero.api.times import timestamp
from monedero.api.wallets import shown_wallet
from monedero.engine.moments import standing_at
from monedero.engine.statements import Statement, statement
from monedero.ledger.state import Wallet
from monedero.storage.store import Queries

_VARY = (b"vary", b"accept")


class _Period(msgspec.Struct, frozen=True):
    """From the event at `first` to below `end`."""

    first: int
    end: int


async def balance(services: Services, request: Request) -> Response:
    """Return what a wallet held at a time or a position in the log, that one included; now, unless `at` says."""
    asked = moment(request.query(), "at")
    seen = None if asked is None else asked.position
    queries, size = await _settled(services, request, seen)
    wallet = await shown_wallet(queries, request)
    length = size if asked is None else await asked.including(queries, size)
    stood = await standing_at(queries, wallet, length)
    if stood is None:
        raise _not_open(wallet)
    return json_response(200, balance_body(wallet, stood, length - 1))


async def show_statement(services: Services, request: Request) -> Response:
    """Return what moved a wallet's balance in a period, oldest first; from its opening until now, unless it is said.

    JSON comes in pages. CSV and HTML are the whole period in one answer, or 400 where it has too much.
    """
    query = request.query()
    since, until, form = moment(query, "from"), moment(query, "to"), wanted_format(request, query)
    limit = page_limit(request, query)
    named = [each.position for each in (since, until) if each and each.position]
    queries, size = await _settled(services, request, max(named) - 1 if named else None)
    wallet = await shown_wallet(queries, request)
    period = await _period(queries, size, wallet, since, until)
    most = request.limits.read_items
    lines = limit if form == "json" else most
    made = await statement(queries, wallet, period.first, period.end, limit=lines, most=most)
    if form == "json":
        return _json(made, period, query, limit)
    if made.more:
        raise Problem(
            400,
            f"The wallet has more than {most} transactions in this period: ask for a shorter one, or for JSON, which "
            "comes in pages",
            "statement_too_long",
        )
    words = _words(since, wallet.created_at), _words(until, services.now())
    return await asyncio.to_thread(_document, made, form, words)  # It may take a good part of a second.


async def _settled(services: Services, request: Request, position: int | None) -> tuple[Queries, int]:
    """Return a read side that shows a position. Raises Problem 412: the log is not that long."""
    if position is not None:
        await services.shows(position)
    return await services.settled(request, position)


async def _period(queries: Queries, size: int, wallet: Wallet, since: Moment | None, until: Moment | None) -> _Period:
    """Return the positions of a period. Raises Problem: it ends before it begins, or before the wallet was opened."""
    first = wallet.number if since is None else await since.before(queries, size)
    end = size if until is None else await until.before(queries, size)
    if wallet.number >= end:
        raise _not_open(wallet)
    if first > end:
        raise invalid_value("to", "must not be before 'from'")
    return _Period(first, end)


def _not_open(wallet: Wallet) -> Problem:
    return Problem(
        404,
        f"The wallet with id {wallet.id} was not open then: it was opened at position {wallet.number}",
        "wallet_not_open_then",
    )


def _json(made: Statement, period: _Period, query: dict[str, str], limit: int) -> Response:
    """Answer a page. The next one is the statement from where this one ends, so that each adds up by itself."""
    following: str | UnsetType = UNSET
    if made.more:
        named = {"format": query["format"]} if "format" in query else {}
        rest = urlencode({"from": made.end, "to": period.end, "limit": limit, **named})
        following = f"/wallets/{made.wallet.id}/statement?{rest}"
    return json_response(200, statement_body(made, following), *link(following), _VARY)


def _document(made: Statement, form: Format, period: tuple[str, str]) -> Response:
    if form == "html":
        return Response(200, statement_html(made, period), [*HTML_HEADERS, _VARY])
    name = f'attachment; filename="statement-{made.wallet.id}.csv"'
    return Response(200, statement_csv(made), [CSV, (b"content-disposition", name.encode()), _VARY])


def _words(asked: Moment | None, otherwise: int) -> str:
    """Say where a period begins or ends: as it was asked for, or at the time that is meant otherwise."""
    if asked is None or asked.position is None:
        return timestamp(otherwise if asked is None else asked.at)
    return f"position {asked.position}"
