"""Checkpoints: the ledger's signed word for its log, the proof that it only grew, and the keys of the signatures."""

from monedero.api.errors import Problem, invalid_value
from monedero.api.http import Request, Response, json_response, text_response
from monedero.api.schemas import CheckpointBody, ConsistencyBody, KeyBody, KeysBody
from monedero.api.services import Services
from monedero.api.times import timestamp
from monedero.engine.prove import prove_consistency
from monedero.proofs.keyring import Keyring
from monedero.proofs.note import encode_base64

_DIGITS_LIMIT = 19


async def latest(services: Services, request: Request) -> Response:
    """Return a signed checkpoint over the log as it is now. Plain text unless JSON is accepted by name."""
    keyring = signing(services)
    head = await (await services.reading(request)).head()
    note = keyring.checkpoint(head.size, head.root)
    if b"application/json" not in (request.header(b"accept") or b"").lower():
        return text_response(200, note)
    return json_response(200, CheckpointBody(keyring.origin, head.size, encode_base64(head.root), note))


async def consistency(services: Services, request: Request) -> Response:
    """Return the proof that the log of size `from` is the beginning of that of size `to`, the latest if absent."""
    queries = await services.reading(request)
    head = await queries.head()
    asked = request.query()
    second = _size("to", asked["to"], head.size) if "to" in asked else head.size
    first = _size("from", asked.get("from", ""), second)
    proof = await prove_consistency(queries, head, first, second)
    return json_response(200, ConsistencyBody(first, second, [encode_base64(node) for node in proof]))


async def keys(services: Services, _: Request) -> Response:
    """List the keys by which checkpoints and receipts are verified, also those that do not sign any more."""
    keyring = signing(services)
    known = [
        KeyBody(
            each.verifier_key,
            timestamp(each.created_at),
            None if each.retired_at is None else timestamp(each.retired_at),
        )
        for each in keyring.keys
    ]
    return json_response(200, KeysBody(keyring.origin, known))


def signing(services: Services) -> Keyring:
    """Return the key that signs. Raises Problem 404: this service has none."""
    if services.keyring is None:
        raise Problem(404, "This service has no signing key, so it gives no checkpoints and receipts", "no_signing_key")
    return services.keyring


def _size(name: str, text: str, most: int) -> int:
    """Read a size from 1 to `most` events. Raises Problem 400."""
    if text.isascii() and text.isdecimal() and len(text) <= _DIGITS_LIMIT and 1 <= int(text) <= most:
        return int(text)
    raise invalid_value(
        name, f"must be a whole number of events, from 1 to {most}" if most else "is more than 0 events"
    )
