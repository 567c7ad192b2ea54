"""The route table: every operation of the API, once. The server, OpenAPI and the Postman collection follow it."""

from collections.abc import Awaitable, Callable

import msgspec

from monedero.api import (
    batches,
    businesses,
    checkpoints,
    customers,
    history,
    history_bodies,
    holds,
    receipts,
    refunds,
    schemas,
    transaction_bodies,
    transactions,
    wallets,
)
from monedero.api.http import Request, Response, Streamed
from monedero.api.parameters import AT, FILTERS, PERIOD, SIZES, Parameter
from monedero.api.services import Services
from monedero.proofs.receipt import Receipt

Handler = Callable[[Services, Request], Awaitable[Response | Streamed]]


class Operation(msgspec.Struct, frozen=True):
    """One method on one path.

    `refusals` are the statuses, besides those that any operation may answer, for which it has a reason.
    `denials` says that a 409 may have been recorded, `tagged` that the answer has an entity tag, `conditional` that
    one may be a condition. `parameters` are those of the query, besides pages, which may do without a `cursor`; `media`
    are the types of an answer besides JSON; `lines` says that it takes and gives JSON lines too.
    `name` is the documented name of the endpoint, or ours where the document has none.
    """

    method: str
    path: str
    name: str
    handler: Handler
    status: int
    answer: type[msgspec.Struct] | None
    body: type[msgspec.Struct] | None = None
    refusals: tuple[int, ...] = ()
    paged: bool = False
    cursor: bool = True
    denials: bool = False
    tagged: bool = False
    conditional: bool = False
    parameters: tuple[Parameter, ...] = ()
    media: tuple[str, ...] = ()
    lines: bool = False

    @property
    def tag(self) -> str:
        """The noun that the operation belongs to."""
        return self.path.split("/")[1]


OPERATIONS = (
    Operation(
        "POST", "/customers", "Customer signup", customers.sign_up,
        201, schemas.CustomerBody, schemas.NewCustomer, (409,),
    ),
    Operation(
        "GET", "/customers/{customer_id}", "Get customer", customers.show,
        200, schemas.CustomerBody, refusals=(404, 410),
    ),
    Operation(
        "DELETE", "/customers/{customer_id}", "Erase customer", customers.erase,
        204, None, refusals=(404, 409),
    ),
    Operation(
        "GET", "/customers/{customer_id}/wallets", "Get all wallets of a customer", customers.wallets,
        200, schemas.WalletsBody, refusals=(404,), paged=True,
    ),
    Operation(
        "GET", "/customers/{customer_id}/transactions", "Get all transactions of a customer", customers.transactions,
        200, transaction_bodies.CustomerTransactionsBody, refusals=(404,), paged=True, parameters=FILTERS,
    ),
    Operation(
        "POST", "/customers/wallets", "Create customer wallet", wallets.open_customer_wallet,
        200, schemas.CustomerWalletBody, schemas.NewCustomerWallet, (404,),
    ),
    Operation(
        "GET", "/customers/wallets/{wallet_id}", "Get customer wallet", wallets.show_customer_wallet,
        200, schemas.CustomerWalletBody, refusals=(404,), tagged=True,
    ),
    Operation(
        "POST", "/customers/wallets/{wallet_id}/deposit", "Deposit money in wallet", wallets.deposit,
        201, schemas.MovementBody, schemas.NewDeposit, (404, 409), conditional=True,
    ),
    Operation(
        "GET", "/customers/wallets/{wallet_id}/transactions", "Get all transactions of a customer wallet",
        wallets.customer_wallet_transactions, 200, transaction_bodies.TransactionsBody, refusals=(404,), paged=True,
        parameters=FILTERS,
    ),
    Operation(
        "POST", "/businesses", "Business signup", businesses.sign_up,
        201, schemas.BusinessBody, schemas.NewBusiness, (409,),
    ),
    Operation(
        "GET", "/businesses/{business_id}", "Get business", businesses.show,
        200, schemas.BusinessBody, refusals=(404, 410),
    ),
    Operation(
        "POST", "/businesses/wallets", "Create business wallet", businesses.open_business_wallet,
        201, schemas.WalletBody, schemas.NewBusinessWallet, (404, 409),
    ),
    Operation(
        "GET", "/businesses/wallets/{business_wallet_id}", "Get business wallet", businesses.show_business_wallet,
        200, schemas.WalletBody, refusals=(404,), tagged=True,
    ),
    Operation(
        "POST", "/businesses/wallets/{business_wallet_id}/debit", "Debit money to customer wallet", businesses.debit,
        201, schemas.MovementBody, schemas.NewDebit, (404, 409), denials=True, conditional=True,
    ),
    Operation(
        "GET", "/businesses/wallets/{business_wallet_id}/transactions", "Get business wallet transactions",
        businesses.business_wallet_transactions, 200, transaction_bodies.TransactionsBody, refusals=(404,), paged=True,
        parameters=FILTERS,
    ),
    Operation(
        "GET", "/wallets/{wallet_id}", "Get wallet", wallets.show_any_wallet,
        200, schemas.WalletDetailBody, refusals=(404,), tagged=True,
    ),
    Operation(
        "GET", "/wallets/{wallet_id}/balance", "Get the balance of a wallet at some time", history.balance,
        200, history_bodies.BalanceBody, refusals=(404,), parameters=AT,
    ),
    Operation(
        "GET", "/wallets/{wallet_id}/statement", "Get a statement of a wallet", history.show_statement,
        200, history_bodies.StatementBody, refusals=(404,), parameters=PERIOD, paged=True, cursor=False,
        media=("text/csv", "text/html"),
    ),
    Operation(
        "GET", "/transactions/{transaction_id}", "Get transaction", transactions.show,
        200, transaction_bodies.TransactionDetailBody, refusals=(404,), tagged=True,
    ),
    Operation(
        "POST", "/transactions/{transaction_id}/refunds", "Refund a debit", refunds.refund,
        201, transaction_bodies.TransactionDetailBody, schemas.NewRefund, (404, 409), denials=True,
    ),
    Operation(
        "POST", "/businesses/wallets/{business_wallet_id}/holds", "Hold money of a customer wallet", holds.place,
        201, transaction_bodies.HoldBody, schemas.NewHold, (404, 409), denials=True, conditional=True,
    ),
    Operation(
        "GET", "/holds/{hold_id}", "Get hold", holds.show,
        200, transaction_bodies.HoldBody, refusals=(404,), tagged=True,
    ),
    Operation(
        "POST", "/holds/{hold_id}/captures", "Capture a hold", holds.capture,
        201, transaction_bodies.TransactionDetailBody, schemas.NewCapture, (404, 409),
    ),
    Operation(
        "POST", "/holds/{hold_id}/void", "Void a hold", holds.void,
        201, transaction_bodies.TransactionDetailBody, schemas.NewVoid, (404, 409),
    ),
    Operation(
        "POST", "/businesses/wallets/{business_wallet_id}/payouts", "Pay out from a business wallet",
        businesses.pay_out, 201, transaction_bodies.TransactionDetailBody, schemas.NewPayout, (404, 409),
        denials=True, conditional=True,
    ),
    Operation(
        "POST", "/customers/wallets/{wallet_id}/withdrawals", "Withdraw from a customer wallet", wallets.withdraw,
        201, transaction_bodies.TransactionDetailBody, schemas.NewPayout, (404, 409), denials=True, conditional=True,
    ),
    Operation(
        "POST", "/wallets/{wallet_id}/transfers", "Transfer between wallets of a customer", wallets.transfer,
        201, transaction_bodies.TransactionDetailBody, schemas.NewTransfer, (404, 409), denials=True, conditional=True,
    ),
    Operation(
        "POST", "/batches", "Submit a batch", batches.submit_batch,
        200, batches.BatchBody, batches.NewBatch, (404, 409), lines=True,
    ),
    Operation(
        "GET", "/transactions/{transaction_id}/receipt", "Get transaction receipt", receipts.show,
        200, Receipt, refusals=(404,),
    ),
    Operation(
        "GET", "/checkpoints/latest", "Get latest checkpoint", checkpoints.latest,
        200, schemas.CheckpointBody, refusals=(404,), media=("text/plain",),
    ),
    Operation(
        "GET", "/checkpoints/consistency", "Get consistency proof", checkpoints.consistency,
        200, schemas.ConsistencyBody, parameters=SIZES,
    ),
    Operation(
        "GET", "/checkpoints/keys", "Get checkpoint keys", checkpoints.keys,
        200, schemas.KeysBody, refusals=(404,),
    ),
)  # fmt: skip
