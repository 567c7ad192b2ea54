"""Refunds: giving a debit or a capture back, in parts, never beyond it."""

from collections.abc import Sequence

import msgspec

from monedero.api.http import Request, Response
from monedero.api.schemas import NewRefund, amount_in
from monedero.api.services import Services, id_or_unknown
from monedero.api.writes import Write, detail_body
from monedero.ledger.commands import Refund
from monedero.ledger.errors import UnknownTransaction
from monedero.ledger.ids import TransactionId


def make_refund(services: Services, ids: Sequence[str], body: NewRefund) -> Refund:
    """Return the command of a refund of the debit in the path. Raises Problem."""
    amount = None if body.amount is msgspec.UNSET else amount_in(body.amount)
    debit = TransactionId(id_or_unknown(ids[0], UnknownTransaction(TransactionId(ids[0]))))
    return Refund(TransactionId(services.new_id()), services.now(), debit, amount, body.description)


REFUND = Write(NewRefund, make_refund, detail_body)


async def refund(services: Services, request: Request) -> Response:
    """Give a debit or a capture back, or a part of it. A refund that the business lacks the money for is denied."""
    return await REFUND.answer(services, request)
