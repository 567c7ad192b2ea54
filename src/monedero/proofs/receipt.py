"""Receipts: one transaction, its place in the log, and what proves that it is there, for whoever has the public key."""

import json
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monedero.ledger.events import EventUnreadableError, Movement, decode
from monedero.ledger.merkle import proves_inclusion
from monedero.proofs.checkpoint import Checkpoint
from monedero.proofs.note import NoteError, VerifierKey, decode_base64, encode_base64

FORMAT: Literal["monedero-receipt.v1"] = "monedero-receipt.v1"
LIMIT_BYTES = 1_048_576

EXAMPLE_ORIGIN = "monedero.local/9da6eb05e0aa4865"
EXAMPLE_KEY = f"{EXAMPLE_ORIGIN}+a4af9c71+ARzdjZ4NwqNxi40ntteVQYRko1k93jJAbs6fY/YKpaUd"
EXAMPLE_ROOT = "LqUg6tLVQgad63rKRDRnl82bAeFjR1jTMbVTugBoe2w="
EXAMPLE_NODE = "cQEcF1N/QFjM0ZdJyXbBmIIv4uOcFUrNEQ0fm4L1gNk="
EXAMPLE_NOTE = (
    f"{EXAMPLE_ORIGIN}\n3\n{EXAMPLE_ROOT}\n\n\u2014 {EXAMPLE_ORIGIN} "
    "pK+ccSij+QfYC5j6Zg862ORN8VCfnr2X9OkFbLfWXcS00rWq5b935oeONMYrayX8OC6vrNWVKe1MP+nB1TDd82plhAs=\n"
)
_EXAMPLE_EVENT = (
    '{"type":"deposit.accepted.v1","id":"01a20555-bcd8-70ae-a849-5c205e150d86","at":1795385834712759,"amount":199000,"payee":{"wallet":"01a'
    '20555-bcbe-7664-8b97-b09744ccd88e","balance":199000,"version":1},"description":"frigorífico"}'
)

Event = Annotated[
    msgspec.Raw,
    Meta(
        description="The event, readable. Amounts are units of 1/10,000, times microseconds since 1970 in UTC.",
        extra_json_schema={"type": "object", "examples": [json.loads(_EXAMPLE_EVENT)]},
    ),
]


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A transaction with the proof that it is in the log, which is checked offline."""

    format: Annotated[Literal["monedero-receipt.v1"], Meta(description="What this is, with its version.")]
    position: Annotated[int, Meta(ge=0, description="The place in the log: the index of the leaf.", examples=[2])]
    event: Event
    event_bytes: Annotated[
        str,
        Meta(
            description="The canonical bytes of the event, in base64: what is hashed.",
            examples=[encode_base64(_EXAMPLE_EVENT.encode())],
        ),
    ]
    inclusion_proof: Annotated[
        list[str],
        Meta(
            max_length=64,
            description="The nodes beside the path to the root, in base64 (RFC 9162).",
            examples=[[EXAMPLE_NODE]],
        ),
    ]
    checkpoint: Annotated[
        str,
        Meta(
            description="The signed checkpoint that the proof leads to (C2SP tlog-checkpoint).",
            examples=[EXAMPLE_NOTE],
        ),
    ]


class Proven(msgspec.Struct, frozen=True):
    """What a receipt proves: that the event is in the log at that position, and has been since the checkpoint."""

    movement: Movement
    position: int
    checkpoint: Checkpoint


class ReceiptError(Exception):
    """A receipt that proves nothing; the message is a sentence without its end."""


_decoder = msgspec.json.Decoder(Receipt)


def verify_receipt(document: bytes, key: VerifierKey) -> Proven:
    """Check a receipt from the signature to the readable event, knowing nothing but the key. Raises ReceiptError."""
    if len(document) > LIMIT_BYTES:
        raise ReceiptError("it is too large for a receipt")
    try:
        json.loads(document, object_pairs_hook=_object)  # Of a key that is there twice, readers see one or the other.
        receipt = _decoder.decode(document)
    except (ValueError, RecursionError) as error:
        raise ReceiptError(f"it is no receipt: {error}") from None
    try:
        checkpoint = Checkpoint.open(receipt.checkpoint, key)
    except NoteError as error:
        raise ReceiptError(f"the checkpoint: {error}") from None
    try:
        payload = decode_base64(receipt.event_bytes)
        proof = [decode_base64(node) for node in receipt.inclusion_proof]
    except NoteError as error:
        raise ReceiptError(str(error)) from None
    if not proves_inclusion(checkpoint.root, checkpoint.size, receipt.position, payload, proof):
        raise ReceiptError(
            f"the event is not shown to be at position {receipt.position} of the log that the checkpoint speaks of"
        )
    return Proven(_movement(receipt, payload), receipt.position, checkpoint)


def _movement(receipt: Receipt, payload: bytes) -> Movement:
    """Return the transaction that the payload is, when the readable event says the same."""
    try:
        event = decode(payload)
    except EventUnreadableError as error:
        raise ReceiptError(f"the event is in the log, but this release cannot read it: {error}") from None
    if not isinstance(event, Movement):
        raise ReceiptError("the event is in the log, but it is no transaction")
    if _plain(bytes(receipt.event)) != _plain(payload):
        raise ReceiptError("the readable event is not the one that is proven")
    return event


def _plain(document: bytes) -> str:
    """Return JSON in one form, whatever its spaces, escapes and order of keys are."""
    return json.dumps(json.loads(document), sort_keys=True)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found
