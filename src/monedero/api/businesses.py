"""Businesses: signing up, the one wallet, and debiting customers."""

import msgspec

from monedero.api.http import Request, Response, json_response
from monedero.api.owners import open_wallet, register, show_owner
from monedero.api.schemas import (
    NewBusiness,
    NewBusinessWallet,
    NewDebit,
    amount_in,
    business_body,
    wallet_body,
)
from monedero.api.services import Services, denied, id_or_unknown
from monedero.api.wallets import list_transactions, movement_response, show_wallet
from monedero.ledger.commands import Debit
from monedero.ledger.errors import DENIALS, UnknownWallet
from monedero.ledger.events import DebitDenied
from monedero.ledger.ids import TransactionId, WalletId
from monedero.ledger.profiles import OwnerKind, Profile

_new_business = msgspec.json.Decoder(NewBusiness)
_new_wallet = msgspec.json.Decoder(NewBusinessWallet)
_new_debit = msgspec.json.Decoder(NewDebit)


async def sign_up(services: Services, request: Request) -> Response:
    """Sign up a business. The e-mail must be new among businesses, ignoring case."""
    body = await request.json(_new_business)
    profile = Profile(body.name, None, body.email, body.phone)
    owner, headers = await register(services, OwnerKind.BUSINESS, profile, "/businesses")
    return json_response(201, business_body(owner.id, profile, owner.at), *headers)


async def show(services: Services, request: Request) -> Response:
    """Return what signing up answered."""
    return json_response(200, business_body(*await show_owner(services, request, OwnerKind.BUSINESS)))


async def open_business_wallet(services: Services, request: Request) -> Response:
    """Open the wallet of a business, which has one."""
    body = await request.json(_new_wallet)
    wallet, headers = await open_wallet(services, OwnerKind.BUSINESS, body.business_id, "/businesses/wallets")
    return json_response(201, wallet_body(wallet), *headers)


async def show_business_wallet(services: Services, request: Request) -> Response:
    """Return a business's wallet. A body is accepted and has no meaning."""
    return json_response(200, wallet_body(await show_wallet(services, request, OwnerKind.BUSINESS)))


async def business_wallet_transactions(services: Services, request: Request) -> Response:
    """List the debits of a business's wallet, the denied ones too, newest first. A body has no meaning."""
    return await list_transactions(services, request, OwnerKind.BUSINESS, "/businesses/wallets")


async def debit(services: Services, request: Request) -> Response:
    """Debit a customer's wallet into the business's. A debit that lacks the money is denied, and recorded."""
    body = await request.json(_new_debit)
    amount = amount_in(body.amount)
    wallet, customer = request.ids[0], body.customer_wallet_id
    command = Debit(
        TransactionId(services.new_id()),
        services.now(),
        WalletId(id_or_unknown(wallet, UnknownWallet(WalletId(wallet)))),
        WalletId(id_or_unknown(customer, UnknownWallet(WalletId(customer), "customer wallet"))),
        amount,
        body.description,
    )
    location = f"/transactions/{command.id}"
    recorded = await services.submit(command, location)
    if isinstance(recorded.event, DebitDenied):
        raise denied(recorded, location, DENIALS[recorded.event.reason], recorded.event.reason)
    return movement_response(command, recorded, location)
