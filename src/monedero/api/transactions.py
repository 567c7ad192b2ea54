"""Transactions, each by its id."""

import msgspec

from monedero.api.errors import refused
from monedero.api.http import Request, Response, json_response
from monedero.api.services import Services, id_or_unknown, known
from monedero.api.tags import tagged
from monedero.api.transaction_bodies import transaction_detail_body
from monedero.ledger.errors import UnknownTransaction
from monedero.ledger.events import Movement
from monedero.ledger.evolve import debited
from monedero.ledger.ids import TransactionId


async def show(services: Services, request: Request) -> Response:
    """Return everything about a transaction, accepted or denied; of a debit, what has been refunded."""
    unknown = UnknownTransaction(TransactionId(request.ids[0]))
    transaction_id = id_or_unknown(request.ids[0], unknown)
    queries = await services.reading(request)
    recorded = known(await queries.event(transaction_id), unknown)
    movement = recorded.event
    if not isinstance(movement, Movement):
        raise refused(unknown)
    debit = debited(recorded)
    tag = f'"{recorded.position}"'
    if debit is not None:
        debit = msgspec.structs.replace(debit, refunded=await queries.refunded(recorded.position))
        tag = f'"{recorded.position}-{debit.refunded}"'
    return tagged(request, tag, lambda: json_response(200, transaction_detail_body(movement, recorded.position, debit)))
