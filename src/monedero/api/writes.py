"""Commands of clients: what each reads, asks of the ledger and answers, alone or among others in a batch."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from monedero.api.conditions import Conditions, conditions, if_match_elsewhere
from monedero.api.errors import Data, Problem, outcome_unknown, refused, unavailable
from monedero.api.http import Request, Response, json_response
from monedero.api.schemas import MovementBody, amount_out
from monedero.api.services import Services
from monedero.api.transaction_bodies import available, transaction_detail_body
from monedero.engine.engine import EngineStoppedError, KeyInUseError, QueueFullError
from monedero.engine.work import Answers, Outcome, Submission
from monedero.ledger.commands import Command
from monedero.ledger.errors import Refusal, denial_sentence
from monedero.ledger.events import AnyDenied, Movement, Recorded, kind_and_status
from monedero.ledger.evolve import debited
from monedero.ledger.ids import WalletId
from monedero.ledger.state import Erased
from monedero.storage.store import NotStoredError, StoreError, StoreUnavailableError

Make = Callable[[Services, Sequence[str], Any], Command]
Show = Callable[[Recorded, Any], msgspec.Struct]
Headers = tuple[tuple[bytes, bytes], ...]


class Write(msgspec.Struct, frozen=True):
    """A command that clients give.

    `make` turns the ids of the path and the body into it, or raises Problem; `show` turns the event and the body into
    the answer. What is recorded is found under `collection`. `on_wallet`: the first id of the path is a wallet, whose
    version a request may make a condition.
    """

    body: type[msgspec.Struct]
    make: Make
    show: Show
    collection: str = "/transactions"
    status: int = 201
    on_wallet: bool = False

    async def answer(self, services: Services, request: Request) -> Response:
        """Carry a request out. Raises Problem for everything but a success."""
        body = await request.json(self.body)
        asked = conditions(request)
        command = self.make(services, request.ids, body)
        answers = await submit(services, self.submission(asked, request, command), f"{self.collection}/{command.id}")
        return self.reply(answers.refusal or answers.outcomes[0], body, asked, replayed=answers.replayed)

    def reply(self, outcome: Outcome, body: object, asked: Conditions, *, replayed: bool) -> Response:
        """Return the answer to what became of a command. Raises Problem for everything but a success."""
        again: Headers = ((b"idempotency-replayed", b"true"),) if replayed else ()
        if isinstance(outcome, Refusal):
            raise refused(outcome, (*again, *asked.applied))
        if isinstance(outcome, Erased):  # pragma: no cover - no command of a client's body
            raise TypeError(outcome)
        headers = (*(() if asked.dry_run else self.recorded_at(outcome)), *again, *asked.applied)
        if isinstance(outcome.event, AnyDenied):
            raise denied(outcome.event, headers, recorded=not asked.dry_run)
        return json_response(self.status, self.shown(outcome, body, in_full=asked.in_full), *headers)

    def submission(self, asked: Conditions, request: Request, command: Command) -> Submission:
        """Return what is asked of the engine."""
        versions = asked.versions
        if versions is not None and not self.on_wallet:
            raise if_match_elsewhere()
        condition = None if versions is None else (WalletId(request.ids[0].lower()), versions)
        return Submission((command,), asked.claiming(request), dry_run=asked.dry_run, versions=condition)

    def shown(self, recorded: Recorded, body: object, *, in_full: bool) -> msgspec.Struct:
        """Return the body of a success: the documented one, or the whole transaction."""
        if in_full and isinstance(recorded.event, Movement):
            return transaction_detail_body(recorded.event, recorded.position, debited(recorded))
        return self.show(recorded, body)

    def recorded_at(self, recorded: Recorded) -> Headers:
        """Return the headers that say where something was recorded: where it is, and its position in the log."""
        location = f"{self.collection}/{recorded.event.id}"
        return (b"location", location.encode()), (b"ledger-position", b"%d" % recorded.position)


async def submit(services: Services, submission: Submission, location: str) -> Answers:
    """Submit; whoever has no key and cannot be told the outcome looks at `location`. Raises Problem."""
    try:
        return await services.engine.submit_all(submission)
    except (KeyInUseError, QueueFullError, EngineStoppedError, StoreError, asyncio.CancelledError) as error:
        raise not_told(error, location, keyed=submission.claiming is not None) from error


def not_told(error: BaseException, location: str, *, keyed: bool) -> Problem:
    """Return the answer to a command of which no outcome is known: it is at `location`, or told under its key."""
    match error:
        case KeyInUseError():
            return Problem(
                409,
                "A request with this Idempotency-Key is being carried out",
                "idempotency_key_in_use",
                headers=((b"retry-after", b"1"),),
            )
        case QueueFullError() | EngineStoppedError() | NotStoredError() | StoreUnavailableError():
            return unavailable(error)
        case _:
            # Cancelled: the server stops and waits no longer, but what was queued is decided all the same.
            return outcome_unknown(location, keyed=keyed)


def denied(event: AnyDenied, headers: Headers, *, recorded: bool = True) -> Problem:
    """Return the answer to what was denied, which is itself recorded unless it was a try."""
    data: Data = {"required": amount_out(event.amount), "available": amount_out(available(event))}
    if recorded:
        data["transaction_id"] = event.id
    sentence = denial_sentence(kind_and_status(event)[0], event.reason)
    return Problem(409, sentence, event.reason, headers=headers, data=data)


def movement_body(recorded: Recorded, _body: object) -> MovementBody:
    """Show a deposit or a debit as documented."""
    event = recorded.event
    if not isinstance(event, Movement):  # pragma: no cover - asked of movements only
        raise TypeError(event)
    return MovementBody(amount_out(event.amount), event.description, event.id)


def detail_body(recorded: Recorded, _body: object) -> msgspec.Struct:
    """Show a transaction in full."""
    event = recorded.event
    if not isinstance(event, Movement):  # pragma: no cover - asked of movements only
        raise TypeError(event)
    return transaction_detail_body(event, recorded.position, debited(recorded))
