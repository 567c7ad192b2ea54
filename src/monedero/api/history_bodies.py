"""How the past of a wallet is shown as JSON: its balance at some moment, and its statement."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from monedero.api.schemas import AmountOut, Id, Timestamp, amount_out
from monedero.api.times import timestamp
from monedero.api.transaction_bodies import Kind, Status
from monedero.engine.statements import Line, Statement
from monedero.ledger.events import kind_and_status
from monedero.ledger.standing import Standing, counterparty
from monedero.ledger.state import Wallet

Position = Annotated[int, Meta(ge=0)]
SignedAmount = Annotated[Raw, Meta(extra_json_schema={"type": "number"}, description="Below 0: it left the wallet")]


class BalanceBody(msgspec.Struct, frozen=True):
    """A wallet as it stood after the event at `position` in the log, and all before it."""

    id: Id
    balance: AmountOut
    held: AmountOut
    available: AmountOut
    currency: str
    version: Annotated[int, Meta(ge=0, description="How many transactions had moved or held its money.")]
    position: Position


class LineBody(msgspec.Struct, frozen=True):
    """A transaction that moved the wallet's balance, which is `balance` after it.

    `counterparty_wallet_id` is null where the other side is the world outside.
    """

    position: Position
    created_at: Timestamp
    id: Id
    kind: Kind
    status: Status
    description: str | None
    amount: SignedAmount
    balance: AmountOut
    counterparty_wallet_id: Id | None


class StatementBody(msgspec.Struct, frozen=True):
    """What moved a wallet's balance at the positions from `from` to below `to`, oldest first.

    The opening balance and the amounts of the lines make the closing balance. `unmoved` counts transactions of the
    wallet that moved nothing: denied ones, and those that only held money or freed it. `next` is there when the period
    goes on: it is the statement of the rest.
    """

    wallet_id: Id
    currency: str
    from_: Position = msgspec.field(name="from")
    to: Position
    opening_balance: AmountOut
    closing_balance: AmountOut
    total_in: AmountOut
    total_out: AmountOut
    unmoved: Annotated[int, Meta(ge=0)]
    lines: list[LineBody]
    next: str | UnsetType = UNSET


def balance_body(wallet: Wallet, stood: Standing, position: int) -> BalanceBody:
    """Show how a wallet stood after the event at a position."""
    return BalanceBody(
        wallet.id,
        amount_out(stood.balance),
        amount_out(stood.held),
        amount_out(stood.available),
        wallet.currency,
        stood.version,
        position,
    )


def line_body(line: Line, wallet: Wallet) -> LineBody:
    """Show a line of a wallet's statement."""
    movement = line.movement
    kind, status = kind_and_status(movement)
    return LineBody(
        line.position,
        timestamp(movement.at),
        movement.id,
        kind,
        status,
        movement.description,
        amount_out(line.amount),
        amount_out(line.balance),
        counterparty(movement, wallet.id),
    )


def statement_body(statement: Statement, following: str | UnsetType) -> StatementBody:
    """Show a statement; `following` is the address of the rest of it."""
    wallet = statement.wallet
    return StatementBody(
        wallet.id,
        wallet.currency,
        statement.first,
        statement.end,
        amount_out(statement.opening.balance),
        amount_out(statement.closing),
        amount_out(statement.total_in),
        amount_out(statement.total_out),
        statement.unmoved,
        [line_body(line, wallet) for line in statement.lines],
        following,
    )
