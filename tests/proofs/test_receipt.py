"""A receipt verifies as it was given, and in no other form: whatever is altered in it is caught."""

import copy
import json
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from monedero.api.schemas import CheckpointBody, ConsistencyBody, KeyBody
from monedero.ledger.events import DebitAccepted, Event, Posting, WalletOpened, encode
from monedero.ledger.ids import OwnerId, TransactionId, WalletId
from monedero.ledger.merkle import (
    EMPTY,
    Subtree,
    inclusion_nodes,
    leaf_hash,
    perfect_root,
    proof_of,
    seal,
)
from monedero.ledger.money import Units
from monedero.ledger.profiles import OwnerKind
from monedero.proofs.checkpoint import Checkpoint
from monedero.proofs.note import SigningKey, VerifierKey
from monedero.proofs.receipt import EXAMPLE_KEY, EXAMPLE_NOTE, FORMAT, Receipt, ReceiptError, verify_receipt

KEY = SigningKey.generate("example.com/ledger")
SIZE, POSITION = 23, 13
EVENT = DebitAccepted(
    TransactionId("01a20416-28ee-70fd-a35a-9b1b040b148a"),
    1795364890862251,
    Units(199_000),
    Posting(WalletId("01a20416-28e4-71ae-98c7-8a632fd66220"), Units(801_000), 2),
    Posting(WalletId("01a20416-28fe-7276-a359-7899084d395e"), Units(199_000), 1),
    'frigorífico "nuevo"',
)


def receipt_of(event: Event = EVENT, key: SigningKey = KEY) -> dict[str, Any]:
    """Return a receipt for an event in the middle of a log."""
    payload = encode(event)
    payloads = [b"event %d" % at for at in range(SIZE)]
    payloads[POSITION] = payload
    leaves = [leaf_hash(each) for each in payloads]

    def root_of(subtree: Subtree) -> bytes:
        return perfect_root(leaves[subtree.number << subtree.height : (subtree.number + 1) << subtree.height])

    proof = proof_of(inclusion_nodes(POSITION, SIZE), root_of)
    return {
        "format": FORMAT,
        "position": POSITION,
        "event": json.loads(payload),
        "event_bytes": b64encode(payload).decode(),
        "inclusion_proof": [b64encode(node).decode() for node in proof],
        "checkpoint": Checkpoint("example.com/ledger", SIZE, seal(EMPTY, payloads)[0].root).sign(key),
    }


RECEIPT = receipt_of()


def verifies(receipt: Any, key: VerifierKey = KEY.verifier_key) -> bool:
    """Tell whether a receipt verifies; nothing but a refusal may come of one that does not."""
    try:
        verify_receipt(json.dumps(receipt).encode(), key)
    except ReceiptError:
        return False
    return True


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every value in a JSON document, objects and arrays too."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


PLACES = list(places(RECEIPT))


def at_path(value: Any, path: tuple[Any, ...]) -> Any:
    """Return the value at a path."""
    for key in path:
        value = value[key]
    return value


def put(receipt: dict[str, Any], path: tuple[Any, ...], change: Any) -> dict[str, Any]:
    """Return a copy of the receipt with the value at a path changed by a function."""
    spoilt = copy.deepcopy(receipt)
    change(at_path(spoilt, path[:-1]), path[-1])
    return spoilt


def alterations(value: Any) -> Iterator[Any]:
    """Yield other values of every kind, among them those that look most like it."""
    yield from (None, "", [], {}, 0, -1, 1.5, "x", True, False, 2**70, [value], {"a": value})
    match value:
        case int():
            yield from (value + 1, value - 1, value * 10, -value, str(value), value ^ 1 << 20)
        case str():
            yield from (value + " ", value[:-1], value[1:], value.upper(), value + value, value + "\u0000")
            yield from (value[:at] + flipped(each) + value[at + 1 :] for at, each in enumerate(value))
        case list():
            yield from (value[:-1], value[1:], value[::-1], [*value, value[-1]])
        case dict():
            yield {**value, "more": 1}


def flipped(character: str) -> str:
    """Return another character that is as good as it."""
    return "B" if character == "A" else "A"


def same(left: Any, right: Any) -> bool:
    """Tell whether two values are one as JSON, where True is not 1."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def test_a_receipt_proves_what_it_says() -> None:
    """The event, its position and the checkpoint come out of it."""
    proven = verify_receipt(json.dumps(RECEIPT).encode(), KEY.verifier_key)

    assert (proven.movement, proven.position) == (EVENT, POSITION)
    assert (proven.checkpoint.origin, proven.checkpoint.size) == ("example.com/ledger", SIZE)


def test_how_a_receipt_is_laid_out_does_not_matter() -> None:
    """Spaces, escapes and the order of keys may change on the way: they say nothing."""
    backwards = json.loads(json.dumps(RECEIPT), object_pairs_hook=lambda pairs: dict(pairs[::-1]))
    for document in (
        json.dumps(RECEIPT, indent=4),
        json.dumps(RECEIPT, ensure_ascii=False),
        json.dumps(RECEIPT, sort_keys=True),
        json.dumps(backwards) + "\n",
    ):
        assert verify_receipt(document.encode(), KEY.verifier_key).movement == EVENT


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_no_value_can_be_altered(path: tuple[Any, ...]) -> None:
    """Whatever stands in a receipt, at whichever depth, cannot be replaced by anything else."""
    before = at_path(RECEIPT, path)
    others = [other for other in alterations(before) if not same(other, before)]
    for other in others:
        spoilt = put(RECEIPT, path, lambda inner, key, other=other: inner.__setitem__(key, other))
        assert not verifies(spoilt), other

    assert len(others) > 10
    assert verifies(RECEIPT)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_nothing_can_be_left_out_or_renamed(path: tuple[Any, ...]) -> None:
    """Every key and every item is needed, under its own name."""
    assert not verifies(put(RECEIPT, path, lambda inner, key: inner.pop(key)))
    if isinstance(path[-1], str):
        renamed = put(RECEIPT, path, lambda inner, key: inner.__setitem__(f"{key}_", inner.pop(key)))
        assert not verifies(renamed)


def test_nothing_can_be_added() -> None:
    """Neither a key of its own, nor one that is there already, at any depth."""
    document = json.dumps(RECEIPT)

    assert not verifies({**RECEIPT, "amount": 1})
    for twice in ('"position": 13', '"amount": 199000', '"version": 2', '"format": "monedero-receipt.v1"'):
        assert document.count(twice) == 1
        with pytest.raises(ReceiptError, match="a key is there twice"):
            verify_receipt(document.replace(twice, f"{twice}, {twice}").encode(), KEY.verifier_key)


def test_no_byte_of_the_checkpoint_can_be_altered() -> None:
    """Each character of the note, of the text and of the signature, is needed as it is, and none can be put between."""
    note = RECEIPT["checkpoint"]
    for at, character in enumerate(note):
        for other in {"", "A", "B", "0", "1", "\n", " ", "+", character.swapcase(), character * 2} - {character}:
            assert not verifies({**RECEIPT, "checkpoint": note[:at] + other + note[at + 1 :]}), (at, other)


@pytest.mark.parametrize("field", ["event_bytes", "inclusion_proof"])
def test_no_bit_of_a_hash_or_of_the_event_can_be_altered(field: str) -> None:
    """Each bit of the canonical bytes, and of each node of the proof, is needed."""
    texts = RECEIPT[field] if isinstance(RECEIPT[field], list) else [RECEIPT[field]]
    for at, text in enumerate(texts):
        raw = b64decode(text)
        for place in range(len(raw) * 8):
            spoilt = bytearray(raw)
            spoilt[place // 8] ^= 1 << place % 8
            other = b64encode(spoilt).decode()
            assert not verifies(
                {**RECEIPT, field: [*texts[:at], other, *texts[at + 1 :]] if texts != [text] else other}
            )


def test_nodes_of_the_proof_stay_in_their_places() -> None:
    """No two nodes can change places, none can be dropped or doubled."""
    proof = RECEIPT["inclusion_proof"]
    assert len(proof) == 5
    for one in range(len(proof)):
        assert not verifies({**RECEIPT, "inclusion_proof": proof[:one] + proof[one + 1 :]})
        assert not verifies({**RECEIPT, "inclusion_proof": [*proof[:one], proof[one], *proof[one:]]})
        for two in range(one + 1, len(proof)):
            swapped = [*proof]
            swapped[one], swapped[two] = proof[two], proof[one]
            assert not verifies({**RECEIPT, "inclusion_proof": swapped})


def test_only_the_key_of_the_ledger_counts() -> None:
    """Another key of the same name, and the same key under another name, verify nothing."""
    stranger = SigningKey.generate("example.com/ledger")
    impostor = SigningKey.parse(renamed(KEY, "example.com/other"))

    assert not verifies(RECEIPT, stranger.verifier_key)
    assert not verifies(RECEIPT, impostor.verifier_key)
    assert not verifies(receipt_of(key=stranger))
    assert not verifies(receipt_of(key=impostor), impostor.verifier_key)


def renamed(key: SigningKey, name: str) -> str:
    """Return a signing key written under another name, with the id that belongs to it."""
    public = VerifierKey(name, key._private_key.public_key())  # noqa: SLF001 - to forge one
    return f"PRIVATE+KEY+{name}+{public.id.hex()}+{key.written().split('+', 4)[4]}"


def test_what_is_no_transaction_is_no_receipt() -> None:
    """Other events of the log, and what this release cannot read, are not taken for transactions."""
    opened = WalletOpened(WalletId("01a20416-28e4-71ae-98c7-8a632fd66220"), 0, OwnerKind.CUSTOMER, OwnerId("x"), "EUR")
    with pytest.raises(ReceiptError, match="no transaction"):
        verify_receipt(json.dumps(receipt_of(opened)).encode(), KEY.verifier_key)


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b" " * 1_048_577, b"9" * 5_000],
)
def test_what_is_no_receipt_is_refused(document: bytes) -> None:
    """Whatever else is given is turned down with a sentence."""
    with pytest.raises(ReceiptError):
        verify_receipt(document, KEY.verifier_key)


def test_the_documented_example_verifies() -> None:
    """The values in the description of the API are those of a real ledger, and hold together."""
    key = VerifierKey.parse(EXAMPLE_KEY)
    shown = {name: examples(Receipt)[name] for name in ("position", "event_bytes", "inclusion_proof", "checkpoint")}
    event = examples(Receipt)["event"]
    proven = verify_receipt(json.dumps({"format": FORMAT, "event": event, **shown}).encode(), key)

    assert proven.position == 2
    body = examples(CheckpointBody)
    assert (body["origin"], body["size"], b64decode(body["root"])) == msgspec.structs.astuple(proven.checkpoint)
    assert body["note"] == EXAMPLE_NOTE
    assert examples(KeyBody)["key"] == EXAMPLE_KEY
    assert examples(ConsistencyBody).keys() == {"from", "to", "proof"}


def examples(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the first example of each field that has one."""
    properties = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    return {name: each["examples"][0] for name, each in properties.items() if "examples" in each}


def test_checking_needs_no_store() -> None:
    """What checks a receipt loads nothing of a store, a database's driver, the API or the settings."""
    program = "import sys, monedero.proofs.receipt; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()

    ours = {name for name in loaded if name.startswith("monedero.")}
    assert ours
    assert {name.split(".")[1] for name in ours} == {"ledger", "proofs"}
    assert not {"apsw", "psycopg", "starlette", "pydantic", "click"} & set(loaded)
