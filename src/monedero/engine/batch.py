"""One batch, one transaction: load, decide each submission in turn, seal and append, commit."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from monedero.engine.work import Answers, Outcome, Submission, Work
from monedero.ledger.claims import Claim
from monedero.ledger.commands import Command
from monedero.ledger.decide import touched
from monedero.ledger.errors import BatchRefused
from monedero.ledger.events import Recorded
from monedero.ledger.state import Touched, Wallet
from monedero.storage.store import (
    AnswerLostError,
    Batch,
    CommitUnknownError,
    NotStoredError,
    Store,
    StoreBrokenError,
    StoreUnavailableError,
    TransientError,
)

ATTEMPTS_LIMIT = 4
"""How often a batch is decided and committed when others, or a lost connection, roll it back."""
CLAIMS_KEPT_SECONDS = 24 * 60 * 60

TopUp = Callable[[], bool]
"""Adds to the submissions of a batch what has come since, and tells whether anything has."""


def nothing_more() -> bool:
    """Add nothing."""
    return False


class Committed(NamedTuple):
    """An answer for each submission, and the wallets that the batch has changed."""

    answers: list[Answers]
    wallets: list[Wallet]


async def commit(
    store: Store,
    submissions: Sequence[Submission],
    claims_kept_seconds: int = CLAIMS_KEPT_SECONDS,
    top_up: TopUp = nothing_more,
) -> Committed:
    """Decide and record the submissions, in order, in one transaction.

    `top_up` may add to that very sequence, once what it needed at first is loaded, which may have taken a while.
    Raises NotStoredError when nothing was recorded, CommitUnknownError when that could not be found out,
    StoreBrokenError when the disk failed. A COMMIT that failed is looked up before anyone is answered.
    """
    for _ in range(ATTEMPTS_LIMIT - 1):
        try:
            return await _commit(store, submissions, claims_kept_seconds, top_up)
        except TransientError:
            continue
    return await _commit(store, submissions, claims_kept_seconds, top_up)


async def _commit(
    store: Store, submissions: Sequence[Submission], claims_kept_seconds: int, top_up: TopUp
) -> Committed:
    work: Work | None = None
    batch: Batch | None = None
    answers: list[Answers] = []
    try:
        async with store.transaction() as transaction:
            state, head = await transaction.load(_needs(submissions))
            if top_up():
                # Whoever came while others had their turn goes along: to look again takes less than a turn more.
                state, head = await transaction.load(_needs(submissions))
            work = Work(state, head.size)
            answers = [work.answer(submission) for submission in submissions]
            if batch := work.batch(head, claims_kept_seconds * 1_000_000):
                transaction.append(batch)
    except CommitUnknownError as error:
        await _require_stored(store, work, error)
    return Committed(answers, batch.wallets if batch else [])


def _needs(submissions: Sequence[Submission]) -> Touched:
    needs = touched(command for submission in submissions for command in submission.commands)
    for submission in submissions:
        if submission.claiming is not None and not submission.dry_run:
            needs.claims.add(submission.claiming.key)
        if submission.versions is not None:
            needs.wallets.add(submission.versions[0])
    return needs


async def _require_stored(store: Store, work: Work | None, error: CommitUnknownError) -> None:
    """Look up a batch whose COMMIT failed. Raises what that has to be called: not stored, or unknown as it was."""
    ids = [recorded.event.id for recorded in work.recorded] if work else []
    try:
        stored = await store.stored(ids)
    except (NotStoredError, StoreBrokenError) as failed:
        raise error from failed  # The look-up failed, which says nothing of the batch.
    if not stored:
        # Of claims and erasures alone nothing is found either, but doing them again does no harm.
        if isinstance(error, AnswerLostError):
            raise TransientError(str(error)) from error
        if work and work.erased and not ids:
            raise error
        raise NotStoredError(str(error)) from error
    if len(stored) != len(ids):
        raise error  # A transaction is whole or not there: this is a broken store, and nobody is told a guess.


async def found_again(store: Store, answers: Answers) -> Answers:
    """Return the answers with what became of the submission when its key was claimed. Raises StoreUnavailableError."""
    return (await all_found_again(store, [answers]))[0]


async def all_found_again(store: Store, several: Sequence[Answers]) -> list[Answers]:
    """Return several answers as `found_again` does, which looks only once. Raises StoreUnavailableError."""
    claims = [answers.claim for answers in several if answers.claim is not None]
    positions = sorted({each for claim in claims for each in claim.answers if isinstance(each, int)})
    found: dict[int, Recorded] = {}
    if positions:
        queries = await store.queries_at(positions[-1])
        if queries is None:
            raise StoreUnavailableError("The log has lost what a claimed key names")
        found = {recorded.position: recorded for recorded in await queries.events(positions)}
    return [answers if answers.claim is None else _as_claimed(answers.claim, found) for answers in several]


def _as_claimed(claim: Claim, found: Mapping[int, Recorded]) -> Answers:
    outcomes: list[Outcome] = [found[each] if isinstance(each, int) else each for each in claim.answers]
    if isinstance(first := outcomes[0], BatchRefused):
        return Answers([], first, claim)
    return Answers(outcomes, None, claim)


def alone(*commands: Command) -> list[Submission]:
    """Return each command as a submission of its own."""
    return [Submission((command,)) for command in commands]
