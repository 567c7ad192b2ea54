"""Wallets: opening, showing, funding and emptying a customer's, and what both kinds have in common."""

from collections.abc import Callable, Sequence

import msgspec

from monedero.api.filters import Filtering, filtering
from monedero.api.http import Request, Response, json_response
from monedero.api.owners import opened_wallet, opening
from monedero.api.paging import Page, link, page
from monedero.api.schemas import (
    CustomerWalletBody,
    NewCustomerWallet,
    NewDeposit,
    NewPayout,
    NewTransfer,
    amount_in,
    amount_out,
    wallet_detail_body,
)
from monedero.api.services import Services, id_or_unknown, known
from monedero.api.tags import tagged
from monedero.api.transaction_bodies import TransactionsBody
from monedero.api.writes import Write, detail_body, movement_body
from monedero.engine.scans import Scanned, scan_wallet
from monedero.ledger.commands import Deposit, OpenWallet, Transfer, Withdraw
from monedero.ledger.errors import UnknownWallet
from monedero.ledger.events import Recorded
from monedero.ledger.ids import TransactionId, WalletId
from monedero.ledger.profiles import OwnerKind
from monedero.ledger.state import Wallet
from monedero.storage.store import Queries


def wallet_id(text: str) -> WalletId:
    """Return the id of a wallet that a client wrote. Raises Problem 404: no id at all."""
    return WalletId(id_or_unknown(text, UnknownWallet(WalletId(text))))


def customer_wallet_id(text: str) -> WalletId:
    """Return the id of a customer's wallet that a client wrote in a body. Raises Problem 404: no id at all."""
    return WalletId(id_or_unknown(text, UnknownWallet(WalletId(text), "customer wallet")))


def _opening(services: Services, _ids: Sequence[str], body: NewCustomerWallet) -> OpenWallet:
    return opening(services, OwnerKind.CUSTOMER, body.customer_id)


def _opened(recorded: Recorded, _body: NewCustomerWallet) -> msgspec.Struct:
    return _customer_wallet_body(opened_wallet(recorded))


def make_deposit(services: Services, ids: Sequence[str], body: NewDeposit) -> Deposit:
    """Return the command of a deposit into the wallet in the path. Raises Problem."""
    amount = amount_in(body.amount)
    return Deposit(TransactionId(services.new_id()), services.now(), wallet_id(ids[0]), amount, body.description)


def make_withdrawal(services: Services, ids: Sequence[str], body: NewPayout) -> Withdraw:
    """Return the command of a withdrawal from the wallet in the path. Raises Problem."""
    amount = amount_in(body.amount)
    return Withdraw(TransactionId(services.new_id()), services.now(), wallet_id(ids[0]), amount, body.description)


def make_transfer(services: Services, ids: Sequence[str], body: NewTransfer) -> Transfer:
    """Return the command of a transfer from the wallet in the path. Raises Problem."""
    amount = amount_in(body.amount)
    return Transfer(
        TransactionId(services.new_id()),
        services.now(),
        wallet_id(ids[0]),
        customer_wallet_id(body.wallet_id),
        amount,
        body.description,
    )


OPEN_WALLET = Write(NewCustomerWallet, _opening, _opened, "/customers/wallets", 200)
DEPOSIT = Write(NewDeposit, make_deposit, movement_body, on_wallet=True)
WITHDRAWAL = Write(NewPayout, make_withdrawal, detail_body, on_wallet=True)
TRANSFER = Write(NewTransfer, make_transfer, detail_body, on_wallet=True)


async def open_customer_wallet(services: Services, request: Request) -> Response:
    """Open a wallet for a customer, who may have several."""
    return await OPEN_WALLET.answer(services, request)


async def show_customer_wallet(services: Services, request: Request) -> Response:
    """Return a customer's wallet."""
    wallet = await show_wallet(services, request, OwnerKind.CUSTOMER)
    return wallet_response(request, wallet, _customer_wallet_body)


async def show_any_wallet(services: Services, request: Request) -> Response:
    """Return everything about a wallet of either kind: its balance, what of it is held, what is available."""
    return wallet_response(request, await show_wallet(services, request), wallet_detail_body)


async def deposit(services: Services, request: Request) -> Response:
    """Bring money from outside into a customer's wallet."""
    return await DEPOSIT.answer(services, request)


async def withdraw(services: Services, request: Request) -> Response:
    """Pay money of a customer out to the world outside. A withdrawal that lacks the money is denied, and recorded."""
    return await WITHDRAWAL.answer(services, request)


async def transfer(services: Services, request: Request) -> Response:
    """Move money between two wallets of one customer. A transfer that lacks the money is denied, and recorded."""
    return await TRANSFER.answer(services, request)


async def customer_wallet_transactions(services: Services, request: Request) -> Response:
    """List a customer wallet's transactions, the denied ones too, newest first."""
    return await list_transactions(services, request, OwnerKind.CUSTOMER, "/customers/wallets")


def wallet_response(request: Request, wallet: Wallet, show: Callable[[Wallet], msgspec.Struct]) -> Response:
    """Answer with a wallet, whose version is its entity tag."""
    return tagged(request, f'"{wallet.version}"', lambda: json_response(200, show(wallet)))


async def show_wallet(services: Services, request: Request, kind: OwnerKind | None = None) -> Wallet:
    """Return the wallet that a path names; one of another kind is unknown."""
    return await shown_wallet(await services.reading(request), request, kind)


async def shown_wallet(queries: Queries, request: Request, kind: OwnerKind | None = None) -> Wallet:
    """Return the wallet that a path names as a read side shows it; one of another kind is unknown. Raises Problem."""
    unknown = UnknownWallet(WalletId(request.ids[0]))
    wallet = known(await queries.wallet(wallet_id(request.ids[0])), unknown)
    return known(wallet if kind in (None, wallet.owner_kind) else None, unknown)


async def list_transactions(services: Services, request: Request, kind: OwnerKind, path: str) -> Response:
    """Answer a page of the transactions of a wallet under the collection `path`."""
    unknown = UnknownWallet(WalletId(request.ids[0]))
    wallet = wallet_id(request.ids[0])
    wanted = filtering(request)
    asked = page(request, f"{path}/{wallet}/transactions{wanted.query}")
    if wanted.query:
        scanned = await _scanned(services, request, kind, asked, wanted)
        shown, last = scanned.transactions, scanned.following
    else:
        queries = await services.reading(request, asked.seen)
        found = known(await queries.wallet_transactions(kind, wallet, asked.before, asked.fetch), unknown).transactions
        shown = found[: asked.limit]
        last = shown[-1].position if len(found) > asked.limit else None
    following = msgspec.UNSET if last is None else asked.next(last)
    return json_response(200, TransactionsBody(services.shown.transactions(shown, kind), following), *link(following))


async def _scanned(services: Services, request: Request, kind: OwnerKind, asked: Page, wanted: Filtering) -> Scanned:
    queries, size = await services.settled(request, asked.seen)
    wallet = await shown_wallet(queries, request, kind)
    bounds = await wanted.bounds(queries, size)
    most = request.limits.read_items
    return await scan_wallet(queries, wallet, bounds, before=asked.before, limit=asked.limit, most=most)


def _customer_wallet_body(wallet: Wallet) -> CustomerWalletBody:
    return CustomerWalletBody(wallet.id, amount_out(wallet.balance))
