"""One batch, one transaction: load, decide each command in turn, seal and append, commit."""

from collections.abc import Sequence

from monedero.ledger.commands import Command, RegisterOwner
from monedero.ledger.decide import decide, touched
from monedero.ledger.errors import Refusal
from monedero.ledger.events import Recorded, encode, sides
from monedero.ledger.evolve import evolve
from monedero.ledger.ids import WalletId
from monedero.ledger.merkle import seal
from monedero.ledger.profiles import PersonalData
from monedero.ledger.state import State, Wallet
from monedero.storage.store import (
    AnswerLostError,
    Batch,
    CommitUnknownError,
    EventRow,
    NotStoredError,
    Store,
    StoredOwner,
    TransientError,
)

Outcome = Recorded | Refusal
"""What became of a command: the event, at its place in the log, or why there is none."""

ATTEMPTS_LIMIT = 4
"""How often a batch is decided and committed when others, or a lost connection, roll it back."""


async def commit(store: Store, commands: Sequence[Command]) -> list[Outcome]:
    """Decide and record the commands, in order, in one transaction; return an outcome for each.

    Raises NotStoredError when nothing was recorded, CommitUnknownError when that could not be found out,
    StoreBrokenError when the disk failed. A COMMIT that failed is looked up before anyone is answered.
    """
    for _ in range(ATTEMPTS_LIMIT - 1):
        try:
            return await _commit(store, commands)
        except TransientError:
            continue
    return await _commit(store, commands)


async def _commit(store: Store, commands: Sequence[Command]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    try:
        async with store.transaction() as transaction:
            state = await transaction.load(touched(commands))
            head = await transaction.head()
            recorded: list[Recorded] = []
            owners: list[StoredOwner] = []
            changed: dict[WalletId, Wallet] = {}
            for command in commands:
                decision = decide(state, command)
                if isinstance(decision, Refusal):
                    outcomes.append(decision)
                    continue
                fact = Recorded(head.size + len(recorded), decision)
                recorded.append(fact)
                outcomes.append(fact)
                changes = evolve(state, fact)
                state.apply(changes)
                changed.update((record.id, record) for record in changes if isinstance(record, Wallet))
                if isinstance(command, RegisterOwner):
                    state.emails.add((command.kind, command.profile.email_key))
                    owners.append(stored_owner(command, fact.position))
            if recorded:
                payloads = [encode(fact.event) for fact in recorded]
                head, links, roots = seal(head, payloads)
                rows = [
                    EventRow(fact.position, fact.event.id, *wallet_numbers(state, fact), payload, link)
                    for fact, payload, link in zip(recorded, payloads, links, strict=True)
                ]
                transaction.append(Batch(rows, head, list(changed.values()), owners, roots))
    except CommitUnknownError as error:
        ids = [outcome.event.id for outcome in outcomes if isinstance(outcome, Recorded)]
        try:
            stored = await store.stored(ids)
        except NotStoredError as failed:
            raise error from failed  # The look-up failed, which says nothing of the batch.
        if not stored:
            kind = TransientError if isinstance(error, AnswerLostError) else NotStoredError
            raise kind(str(error)) from error
        if len(stored) != len(ids):
            raise  # A transaction is whole or not there: this is a broken store, and nobody is told a guess.
    return outcomes


def stored_owner(command: RegisterOwner, position: int) -> StoredOwner:
    """Return what is stored of an owner whose registration is the event at `position`."""
    personal = PersonalData(command.profile, command.profile.email_key, command.salt)
    return StoredOwner(command.id, position, command.kind, command.at, personal)


def wallet_numbers(state: State, fact: Recorded) -> tuple[int | None, int | None]:
    """Return the numbers of the wallets that the event concerns, as the log's columns hold them."""
    payer, payee = sides(fact.event)
    return (
        None if payer is None else state.wallets[payer].number,
        None if payee is None else state.wallets[payee].number,
    )
