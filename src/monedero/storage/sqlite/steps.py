"""What a batch does to the file, as the fewest statements."""

from collections.abc import Callable, Iterator, Sequence

from monedero.ledger.claims import encode_answers
from monedero.ledger.ids import OwnerId
from monedero.storage.sqlite import statements
from monedero.storage.sqlite.rows import from_hold, from_owner, from_wallet, id_bytes
from monedero.storage.store import Batch

MANY_EVENTS = 256
"""From so many on, events and wallets have statements of their own: each takes some time, and saves some on a row."""

Step = tuple[str, Sequence[object]]
"""A statement with its parameters."""


def steps_of(batch: Batch) -> list[Step]:
    """Return what a batch does to the file, made ready so that the thread only has to run it; mostly one statement."""
    events: list[object] = []
    moves: list[object] = []
    values: list[object] = []
    for row in batch.rows:
        events += (
            statements.EVENT, row.position, id_bytes(row.id), row.payer, row.payee, row.payload, row.link,
        )  # fmt: skip
    for each in batch.moved:
        moves += (
            statements.MOVE, each.number, each.balance, each.version, each.modified_at, each.position, each.held,
        )  # fmt: skip
    for hold in batch.holds:
        values += (statements.HOLD, *from_hold(hold), None)
    for debit in batch.debited:
        values += (statements.REFUND, debit.number, debit.refunded, None, None, None, None)
    for claim in batch.claims:
        answers = encode_answers(claim.answers)
        values += (statements.CLAIM, claim.key, claim.fingerprint, claim.at, answers, None, None)
    if batch.forget:
        values += (statements.FORGET, batch.forget, batch.forget_before, None, None, None, None)
    head = batch.head
    values += (statements.HEAD, head.size, head.frontier, head.root, head.link, None, None)
    for kept in batch.roots:
        values += (statements.ROOT, kept.height, kept.number, kept.root, None, None, None)
    if len(batch.rows) >= MANY_EVENTS:
        written = [
            *_at_once(statements.insert_events, events),
            *_at_once(statements.move_wallets, moves),
            *_at_once(statements.insert_batch, values),
        ]
    else:
        written = [*_at_once(statements.insert_batch, events + moves + values)]
    return [
        *_erasures(batch.erased),
        *((statements.INSERT_OWNER, from_owner(owner)) for owner in batch.owners),
        *((statements.INSERT_WALLET, from_wallet(wallet)) for wallet in batch.opened),
        *written,
    ]


def _erasures(owners: Sequence[OwnerId]) -> Iterator[Step]:
    if owners:
        yield statements.OVERWRITE, ()
        yield from ((statements.ERASE_OWNER, (id_bytes(owner_id),)) for owner_id in owners)
        yield statements.OVERWRITE_NO_MORE, ()


def _at_once(statement: Callable[[int], str], values: list[object]) -> Iterator[Step]:
    """Yield as few statements as the rows fit into: each of the smallest size, the rest of it empty."""
    largest = statements.BATCH_SIZES[-1] * statements.BATCH_COLUMNS
    for start in range(0, len(values), largest):
        some = values[start : start + largest]
        rows = len(some) // statements.BATCH_COLUMNS
        size = next(size for size in statements.BATCH_SIZES if size >= rows)
        some += (None,) * ((size - rows) * statements.BATCH_COLUMNS)
        yield statement(size), some
