"""Wallets: opening, showing and funding a customer's, and what both kinds have in common."""

import msgspec

from monedero.api.http import Request, Response, json_response
from monedero.api.owners import open_wallet
from monedero.api.paging import link, page
from monedero.api.schemas import (
    CustomerWalletBody,
    MovementBody,
    NewCustomerWallet,
    NewDeposit,
    TransactionsBody,
    amount_in,
    amount_out,
    wallet_detail_body,
)
from monedero.api.services import Services, id_or_unknown, known, recorded_at
from monedero.ledger.commands import Debit, Deposit
from monedero.ledger.errors import UnknownWallet
from monedero.ledger.events import Recorded
from monedero.ledger.ids import TransactionId, WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Wallet

_new_wallet = msgspec.json.Decoder(NewCustomerWallet)
_new_deposit = msgspec.json.Decoder(NewDeposit)


async def open_customer_wallet(services: Services, request: Request) -> Response:
    """Open a wallet for a customer, who may have several."""
    body = await request.json(_new_wallet)
    wallet, headers = await open_wallet(services, OwnerKind.CUSTOMER, body.customer_id, "/customers/wallets")
    return json_response(200, CustomerWalletBody(wallet.id, amount_out(wallet.balance)), *headers)


async def show_customer_wallet(services: Services, request: Request) -> Response:
    """Return a customer's wallet."""
    wallet = await show_wallet(services, request, OwnerKind.CUSTOMER)
    return json_response(200, CustomerWalletBody(wallet.id, amount_out(wallet.balance)))


async def show_any_wallet(services: Services, request: Request) -> Response:
    """Return everything about a wallet of either kind."""
    return json_response(200, wallet_detail_body(await show_wallet(services, request)))


async def deposit(services: Services, request: Request) -> Response:
    """Bring money from outside into a customer's wallet."""
    body = await request.json(_new_deposit)
    amount = amount_in(body.amount)
    wallet = request.ids[0]
    command = Deposit(
        TransactionId(services.new_id()),
        services.now(),
        WalletId(id_or_unknown(wallet, UnknownWallet(WalletId(wallet)))),
        amount,
        body.description,
    )
    location = f"/transactions/{command.id}"
    return movement_response(command, await services.submit(command, location), location)


async def customer_wallet_transactions(services: Services, request: Request) -> Response:
    """List a customer wallet's deposits and debits, the denied ones too, newest first."""
    return await list_transactions(services, request, OwnerKind.CUSTOMER, "/customers/wallets")


async def show_wallet(services: Services, request: Request, kind: OwnerKind | None = None) -> Wallet:
    """Return the wallet that a path names; one of another kind is unknown."""
    unknown = UnknownWallet(WalletId(request.ids[0]))
    wallet_id = WalletId(id_or_unknown(request.ids[0], unknown))
    queries = await services.reading(request)
    wallet = known(await queries.wallet(wallet_id), unknown)
    return known(wallet if kind in (None, wallet.owner_kind) else None, unknown)


async def list_transactions(services: Services, request: Request, kind: OwnerKind, path: str) -> Response:
    """Answer a page of the transactions of a wallet under the collection `path`."""
    unknown = UnknownWallet(WalletId(request.ids[0]))
    wallet_id = WalletId(id_or_unknown(request.ids[0], unknown))
    asked = page(request, f"{path}/{wallet_id}/transactions")
    queries = await services.reading(request)
    found = known(await queries.wallet_transactions(kind, wallet_id, asked.before, asked.fetch), unknown).transactions
    shown = found[: asked.limit]
    following = asked.next(shown[-1].position) if len(found) > asked.limit else msgspec.UNSET
    return json_response(200, TransactionsBody(services.shown.transactions(shown, kind), following), *link(following))


def movement_response(command: Deposit | Debit, recorded: Recorded, location: str) -> Response:
    """Answer an accepted deposit or debit."""
    body = MovementBody(amount_out(command.amount), command.description, command.id)
    return json_response(201, body, *recorded_at(location, recorded))
