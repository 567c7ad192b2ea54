"""Receipts: what proves a transaction to whoever has the public key."""

import msgspec

from monedero.api.checkpoints import signing
from monedero.api.errors import refused
from monedero.api.http import Request, Response, json_response
from monedero.api.services import Services, id_or_unknown, known
from monedero.engine.prove import prove_inclusion
from monedero.ledger.errors import UnknownTransaction
from monedero.ledger.events import Movement
from monedero.ledger.ids import TransactionId
from monedero.proofs.note import encode_base64
from monedero.proofs.receipt import FORMAT, Receipt
from monedero.storage.store import StoreUnavailableError


async def show(services: Services, request: Request) -> Response:
    """Return the proof that a transaction, whatever became of it, is in the log, for `monedero receipt verify`."""
    keyring = signing(services)
    unknown = UnknownTransaction(TransactionId(request.ids[0]))
    queries = await services.reading(request)
    recorded = known(await queries.event(id_or_unknown(request.ids[0], unknown)), unknown)
    if not isinstance(recorded.event, Movement):
        raise refused(unknown)
    # The head is asked of a server that shows the event, and the proof is for exactly that head.
    queries_at = await services.store.queries_at(recorded.position)
    if queries_at is None:
        raise StoreUnavailableError(f"The log has lost position {recorded.position}")
    head = await queries_at.head()
    included = await prove_inclusion(queries_at, head, recorded.position)
    receipt = Receipt(
        FORMAT,
        recorded.position,
        msgspec.Raw(included.payload),
        encode_base64(included.payload),
        [encode_base64(node) for node in included.proof],
        keyring.checkpoint(head.size, head.root),
    )
    return json_response(200, receipt)
