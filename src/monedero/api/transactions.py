"""Transactions, each by its id."""

from monedero.api.errors import refused
from monedero.api.http import Request, Response, json_response
from monedero.api.schemas import transaction_detail_body
from monedero.api.services import Services, id_or_unknown, known
from monedero.ledger.errors import UnknownTransaction
from monedero.ledger.events import Movement
from monedero.ledger.ids import TransactionId


async def show(services: Services, request: Request) -> Response:
    """Return everything about a deposit or a debit, accepted or denied."""
    unknown = UnknownTransaction(TransactionId(request.ids[0]))
    recorded = known(await (await services.reading(request)).event(id_or_unknown(request.ids[0], unknown)), unknown)
    movement = recorded.event
    if not isinstance(movement, Movement):
        raise refused(unknown)
    return json_response(200, transaction_detail_body(movement, recorded.position))
