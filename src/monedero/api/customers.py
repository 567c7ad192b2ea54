"""Customers: signing up, and what one has."""

import msgspec

from monedero.api.http import Request, Response, json_response
from monedero.api.owners import owner_in_path, register, show_owner
from monedero.api.paging import link, page
from monedero.api.schemas import (
    CustomerTransactionsBody,
    NewCustomer,
    WalletsBody,
    WalletTransactionsBody,
    customer_body,
    wallet_body,
)
from monedero.api.services import Services, known
from monedero.ledger.profiles import OwnerKind, Profile

_new_customer = msgspec.json.Decoder(NewCustomer)


async def sign_up(services: Services, request: Request) -> Response:
    """Sign up a customer. The e-mail must be new among customers, ignoring case."""
    body = await request.json(_new_customer)
    profile = Profile(body.name, body.last_name, body.email, body.phone)
    owner, headers = await register(services, OwnerKind.CUSTOMER, profile, "/customers")
    return json_response(201, customer_body(owner.id, profile), *headers)


async def show(services: Services, request: Request) -> Response:
    """Return what signing up answered."""
    owner_id, profile, _ = await show_owner(services, request, OwnerKind.CUSTOMER)
    return json_response(200, customer_body(owner_id, profile))


async def wallets(services: Services, request: Request) -> Response:
    """List a customer's wallets, last changed first."""
    owner_id, unknown = owner_in_path(request, OwnerKind.CUSTOMER)
    asked = page(request, f"/customers/{owner_id}/wallets")
    queries = await services.reading(request)
    found = known(await queries.wallets(OwnerKind.CUSTOMER, owner_id, asked.before, asked.fetch), unknown)
    shown = found[: asked.limit]
    following = asked.next(shown[-1].position) if len(found) > asked.limit else msgspec.UNSET
    return json_response(200, WalletsBody([wallet_body(wallet) for wallet in shown], following), *link(following))


async def transactions(services: Services, request: Request) -> Response:
    """List a customer's transactions over all wallets, newest first; a wallet without any shows where it was opened."""
    owner_id, unknown = owner_in_path(request, OwnerKind.CUSTOMER)
    asked = page(request, f"/customers/{owner_id}/transactions")
    queries = await services.reading(request)
    found = known(await queries.owner_transactions(OwnerKind.CUSTOMER, owner_id, asked.before, asked.limit), unknown)
    following = asked.next(found.last) if found.more else msgspec.UNSET
    body = CustomerTransactionsBody(
        [
            WalletTransactionsBody(each.wallet.id, services.shown.transactions(each.transactions, OwnerKind.CUSTOMER))
            for each in found.wallets
        ],
        following,
    )
    return json_response(200, body, *link(following))
