"""Deciding a batch: every submission in turn, each against what the ones before it left."""

from typing import cast

import msgspec

from monedero.ledger.claims import Claim, Claiming
from monedero.ledger.commands import Command, RegisterOwner
from monedero.ledger.decide import decide
from monedero.ledger.errors import AnyRefusal, BatchRefused, KeyReused, Refusal, VersionMismatch, denial_sentence
from monedero.ledger.events import AnyDenied, Recorded, encode, kind_and_status, sides
from monedero.ledger.evolve import evolve
from monedero.ledger.ids import OwnerId, WalletId
from monedero.ledger.merkle import Head, seal
from monedero.ledger.profiles import PersonalData
from monedero.ledger.state import Debited, Erased, Hold, Record, State, Wallet
from monedero.storage.store import Batch, EventRow, StoredOwner

Outcome = Recorded | Erased | Refusal
"""What became of a command: the event, at its place in the log, what was done beside the log, or why nothing was."""


class Submission(msgspec.Struct, frozen=True, gc=False):
    """Commands that are decided one after the other, in one transaction, by one answer.

    `atomic`: all of them or none. `dry_run`: decided, and nothing of it kept, not even the claim. `claiming`: carried
    out once for that idempotency key. `versions`: refused unless the wallet is at one of these. `trace`:
    the id that the events are to bear.
    """

    commands: tuple[Command, ...]
    claiming: Claiming | None = None
    atomic: bool = False
    dry_run: bool = False
    versions: tuple[WalletId, tuple[int, ...]] | None = None
    trace: str | None = None


class Answers(msgspec.Struct, gc=False):
    """What became of a submission: an outcome for each command, or why there is none for any.

    `claim`, of a submission made before under the same key, says where its outcomes are found.
    """

    outcomes: list[Outcome]
    refusal: Refusal | None = None
    claim: Claim | None = None

    @property
    def replayed(self) -> bool:
        """Whether nothing was done, because it had been done before."""
        return self.claim is not None


class Work:
    """What a batch decides, and what has to be written for it."""

    def __init__(self, state: State, size: int) -> None:
        """`size` is how many events the log has."""
        self.state = state
        self.size = size
        self.recorded: list[Recorded] = []
        self.changed: dict[str, Record] = {}
        self.owners: list[StoredOwner] = []
        self.claims: list[Claim] = []
        self.erased: list[OwnerId] = []
        self.trace: str | None = None

    def answer(self, submission: Submission) -> Answers:
        """Decide a submission."""
        if submission.dry_run:
            return Work(self.state.copy(), self.size + len(self.recorded)).answer(
                msgspec.structs.replace(submission, dry_run=False, claiming=None)
            )
        self.trace = submission.trace
        claiming = submission.claiming
        if claiming is not None and (claim := self.state.claims.get(claiming.key)):
            if claim.fingerprint != claiming.fingerprint:
                return Answers([], KeyReused())
            return Answers([], claim=claim)
        if submission.versions is not None and (refusal := self._unmet(*submission.versions)):
            return Answers([], refusal)
        if submission.atomic:
            answers = self._all_or_nothing(submission.commands)
        else:
            answers = Answers([self._carry_out(command) for command in submission.commands])
        if claiming is not None:
            self._claim(claiming, submission.commands[0].at, answers)
        return answers

    def batch(self, head: Head, claims_kept: int) -> Batch | None:
        """Return what has to be written over `head`, if anything; claims are kept for so many microseconds."""
        if not (self.recorded or self.claims or self.erased):
            return None
        payloads = [encode(fact.event) for fact in self.recorded]
        head, links, roots = seal(head, payloads)
        rows = [
            EventRow(fact.position, fact.event.id, *wallet_numbers(self.state, fact), payload, link)
            for fact, payload, link in zip(self.recorded, payloads, links, strict=True)
        ]
        changed = self.changed.values()
        return Batch(
            rows,
            head,
            [record for record in changed if isinstance(record, Wallet)],
            self.owners,
            [record for record in changed if isinstance(record, Hold)],
            [record for record in changed if isinstance(record, Debited)],
            self.claims,
            self.claims[-1].at - claims_kept if self.claims else 0,
            self.erased,
            roots,
        )

    def _carry_out(self, command: Command) -> Outcome:
        decision = decide(self.state, command)
        if isinstance(decision, Refusal):
            return decision
        if isinstance(decision, Erased):
            self.erased.append(decision.id)
            return decision
        if self.trace is not None:
            decision = msgspec.structs.replace(decision, trace=self.trace)
        fact = Recorded(self.size + len(self.recorded), decision)
        self.recorded.append(fact)
        changes = evolve(self.state, fact)
        self.state.apply(changes)
        for record in changes:
            self.changed[record.id] = record
        if isinstance(command, RegisterOwner):
            self.state.emails.add((command.kind, command.profile.email_key))
            self.owners.append(stored_owner(command, fact.position))
        return fact

    def _all_or_nothing(self, commands: tuple[Command, ...]) -> Answers:
        attempt = Work(self.state.copy(), self.size + len(self.recorded))
        attempt.trace = self.trace
        outcomes: list[Outcome] = []
        for index, command in enumerate(commands):
            outcome = attempt._carry_out(command)
            outcomes.append(outcome)
            if isinstance(outcome, Refusal):
                return Answers([], BatchRefused(index, outcome.code, outcome.sentence))
            if isinstance(outcome, Recorded) and isinstance(outcome.event, AnyDenied):
                kind, _ = kind_and_status(outcome.event)
                reason = outcome.event.reason
                return Answers([], BatchRefused(index, reason, denial_sentence(kind, reason)))
        self.state = attempt.state
        self.recorded += attempt.recorded
        self.owners += attempt.owners
        self.erased += attempt.erased
        self.changed.update(attempt.changed)
        return Answers(outcomes)

    def _unmet(self, wallet_id: WalletId, versions: tuple[int, ...]) -> Refusal | None:
        wallet = self.state.wallets.get(wallet_id)
        return VersionMismatch(wallet.version) if wallet is not None and wallet.version not in versions else None

    def _claim(self, claiming: Claiming, at: int, answers: Answers) -> None:
        kept = [answers.refusal] if answers.refusal is not None else answers.outcomes
        claim = Claim(
            claiming.key,
            claiming.fingerprint,
            at,
            tuple(each.position if isinstance(each, Recorded) else cast("AnyRefusal", each) for each in kept),
        )
        self.state.claims[claim.key] = claim
        self.claims.append(claim)


def stored_owner(command: RegisterOwner, position: int) -> StoredOwner:
    """Return what is stored of an owner whose registration is the event at `position`."""
    personal = PersonalData(command.profile, command.profile.email_key, command.salt)
    return StoredOwner(command.id, position, command.kind, command.at, personal)


def wallet_numbers(state: State, fact: Recorded) -> tuple[int | None, int | None]:
    """Return the numbers of the wallets that the event concerns, as the log's columns hold them."""
    payer, payee = sides(fact.event)
    wallets = state.wallets
    return (None if payer is None else wallets[payer].number), (None if payee is None else wallets[payee].number)
