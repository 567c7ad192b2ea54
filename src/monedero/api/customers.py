"""Customers: signing up, and what one has."""

from collections.abc import Sequence

import msgspec

from monedero.api.conditions import conditions, if_match_elsewhere
from monedero.api.errors import refused
from monedero.api.filters import filtering
from monedero.api.http import Request, Response, json_response
from monedero.api.owners import owner_in_path, registration, show_owner
from monedero.api.paging import invalid_cursor, link, page
from monedero.api.schemas import NewCustomer, WalletsBody, customer_body, wallet_body
from monedero.api.services import Services, known
from monedero.api.transaction_bodies import CustomerTransactionsBody, WalletTransactionsBody
from monedero.api.writes import Write, submit
from monedero.engine.scans import scan_owner
from monedero.engine.walks import Place, PlaceUnknownError, walk_wallets
from monedero.engine.work import Submission
from monedero.ledger.commands import EraseOwner, RegisterOwner
from monedero.ledger.errors import Refusal
from monedero.ledger.events import Recorded
from monedero.ledger.ids import OwnerId
from monedero.ledger.profiles import OwnerKind, Profile


def _registration(services: Services, _ids: Sequence[str], body: NewCustomer) -> RegisterOwner:
    return registration(services, OwnerKind.CUSTOMER, _profile(body))


def _registered(recorded: Recorded, body: NewCustomer) -> msgspec.Struct:
    return customer_body(OwnerId(recorded.event.id), _profile(body))


def _profile(body: NewCustomer) -> Profile:
    return Profile(body.name, body.last_name, body.email, body.phone)


SIGN_UP = Write(NewCustomer, _registration, _registered, "/customers")


async def sign_up(services: Services, request: Request) -> Response:
    """Sign up a customer. The e-mail must be new among customers, ignoring case."""
    return await SIGN_UP.answer(services, request)


async def show(services: Services, request: Request) -> Response:
    """Return what signing up answered."""
    owner_id, profile, _ = await show_owner(services, request, OwnerKind.CUSTOMER)
    return json_response(200, customer_body(owner_id, profile))


async def erase(services: Services, request: Request) -> Response:
    """Forget who a customer is: name, e-mail and phone. The wallets must be empty; the ledger keeps their history."""
    owner_id, _ = owner_in_path(request, OwnerKind.CUSTOMER)
    asked = conditions(request)
    if asked.versions is not None:
        raise if_match_elsewhere()
    command = EraseOwner(owner_id, services.now(), OwnerKind.CUSTOMER)
    answers = await submit(services, Submission((command,), dry_run=asked.dry_run), f"/customers/{owner_id}")
    if isinstance(outcome := answers.outcomes[0], Refusal):
        raise refused(outcome, asked.applied)
    return Response(204, b"", list(asked.applied))


async def wallets(services: Services, request: Request) -> Response:
    """List a customer's wallets, last changed first; while one pages through them they keep the order they had."""
    owner_id, unknown = owner_in_path(request, OwnerKind.CUSTOMER)
    asked = page(request, f"/customers/{owner_id}/wallets", positions=2)
    queries = await services.reading(request, asked.seen)
    place = Place(*asked.place) if asked.place else None
    try:
        found = known(await walk_wallets(queries, OwnerKind.CUSTOMER, owner_id, place, asked.limit), unknown)
    except PlaceUnknownError:
        raise invalid_cursor() from None
    following = asked.next(found.following.bound, found.following.last) if found.following else msgspec.UNSET
    return json_response(200, WalletsBody([wallet_body(each) for each in found.wallets], following), *link(following))


async def transactions(services: Services, request: Request) -> Response:
    """List a customer's transactions over all wallets, newest first; a wallet without any shows where it was opened.

    A filter leaves out the wallets that have nothing to show on the page.
    """
    owner_id, unknown = owner_in_path(request, OwnerKind.CUSTOMER)
    wanted = filtering(request)
    asked = page(request, f"/customers/{owner_id}/transactions{wanted.query}")
    if wanted.query:
        queries, size = await services.settled(request, asked.seen)
        bounds, most = await wanted.bounds(queries, size), request.limits.read_items
        page_found = await scan_owner(
            queries, OwnerKind.CUSTOMER, owner_id, bounds, before=asked.before, limit=asked.limit, most=most
        )
    else:
        queries = await services.reading(request, asked.seen)
        page_found = await queries.owner_transactions(OwnerKind.CUSTOMER, owner_id, asked.before, asked.limit)
    found = known(page_found, unknown)
    following = asked.next(found.last) if found.more else msgspec.UNSET
    body = CustomerTransactionsBody(
        [
            WalletTransactionsBody(each.wallet.id, services.shown.transactions(each.transactions, OwnerKind.CUSTOMER))
            for each in found.wallets
        ],
        following,
    )
    return json_response(200, body, *link(following))
