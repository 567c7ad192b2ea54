"""Businesses: signing up, the one wallet, and debiting customers."""

from collections.abc import Sequence

import msgspec

from monedero.api.http import Request, Response, json_response
from monedero.api.owners import opened_wallet, opening, registration, show_owner
from monedero.api.schemas import (
    NewBusiness,
    NewBusinessWallet,
    NewDebit,
    NewPayout,
    amount_in,
    business_body,
    wallet_body,
)
from monedero.api.services import Services
from monedero.api.wallets import customer_wallet_id, list_transactions, show_wallet, wallet_id, wallet_response
from monedero.api.writes import Write, detail_body, movement_body
from monedero.ledger.commands import Debit, OpenWallet, Payout, RegisterOwner
from monedero.ledger.events import Recorded
from monedero.ledger.ids import OwnerId, TransactionId
from monedero.ledger.profiles import OwnerKind, Profile


def _registration(services: Services, _ids: Sequence[str], body: NewBusiness) -> RegisterOwner:
    return registration(services, OwnerKind.BUSINESS, _profile(body))


def _registered(recorded: Recorded, body: NewBusiness) -> msgspec.Struct:
    return business_body(OwnerId(recorded.event.id), _profile(body), recorded.event.at)


def _profile(body: NewBusiness) -> Profile:
    return Profile(body.name, None, body.email, body.phone)


def _opening(services: Services, _ids: Sequence[str], body: NewBusinessWallet) -> OpenWallet:
    return opening(services, OwnerKind.BUSINESS, body.business_id)


def _opened(recorded: Recorded, _body: NewBusinessWallet) -> msgspec.Struct:
    return wallet_body(opened_wallet(recorded))


def make_debit(services: Services, ids: Sequence[str], body: NewDebit) -> Debit:
    """Return the command of a debit into the wallet in the path. Raises Problem."""
    amount = amount_in(body.amount)
    return Debit(
        TransactionId(services.new_id()),
        services.now(),
        wallet_id(ids[0]),
        customer_wallet_id(body.customer_wallet_id),
        amount,
        body.description,
    )


def make_payout(services: Services, ids: Sequence[str], body: NewPayout) -> Payout:
    """Return the command of a payout from the wallet in the path. Raises Problem."""
    amount = amount_in(body.amount)
    return Payout(TransactionId(services.new_id()), services.now(), wallet_id(ids[0]), amount, body.description)


SIGN_UP = Write(NewBusiness, _registration, _registered, "/businesses")
OPEN_WALLET = Write(NewBusinessWallet, _opening, _opened, "/businesses/wallets")
DEBIT = Write(NewDebit, make_debit, movement_body, on_wallet=True)
PAYOUT = Write(NewPayout, make_payout, detail_body, on_wallet=True)


async def sign_up(services: Services, request: Request) -> Response:
    """Sign up a business. The e-mail must be new among businesses, ignoring case."""
    return await SIGN_UP.answer(services, request)


async def show(services: Services, request: Request) -> Response:
    """Return what signing up answered."""
    return json_response(200, business_body(*await show_owner(services, request, OwnerKind.BUSINESS)))


async def open_business_wallet(services: Services, request: Request) -> Response:
    """Open the wallet of a business, which has one."""
    return await OPEN_WALLET.answer(services, request)


async def show_business_wallet(services: Services, request: Request) -> Response:
    """Return a business's wallet. A body is accepted and has no meaning."""
    wallet = await show_wallet(services, request, OwnerKind.BUSINESS)
    return wallet_response(request, wallet, wallet_body)


async def business_wallet_transactions(services: Services, request: Request) -> Response:
    """List the debits of a business's wallet, the denied ones too, newest first. A body has no meaning."""
    return await list_transactions(services, request, OwnerKind.BUSINESS, "/businesses/wallets")


async def debit(services: Services, request: Request) -> Response:
    """Debit a customer's wallet into the business's. A debit that lacks the money is denied, and recorded."""
    return await DEBIT.answer(services, request)


async def pay_out(services: Services, request: Request) -> Response:
    """Pay money of a business out to the world outside. A payout that lacks the money is denied, and recorded."""
    return await PAYOUT.answer(services, request)
