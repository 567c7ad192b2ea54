"""Batches: many commands in one request, each with the path, the body and the answer that it would have alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import cache
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from monedero.api import businesses, customers, holds, refunds, wallets
from monedero.api.conditions import Conditions, conditions, if_match_elsewhere, key_of
from monedero.api.errors import Problem, batch_refused, document, invalid_value, refused, unavailable
from monedero.api.http import (
    CHECKED_BY_PARTS,
    JSON_LINES,
    Request,
    Response,
    Streamed,
    accepts_problems,
    decoded,
    is_json_lines,
    json_response,
)
from monedero.api.paths import Paths
from monedero.api.services import Services
from monedero.api.writes import Write, not_told, submit
from monedero.engine.engine import EngineStoppedError, QueueFullError
from monedero.engine.work import Answers, Outcome, Submission
from monedero.ledger.claims import Claiming, claiming
from monedero.ledger.commands import Command

LIMIT_COMMANDS = 1_000

WRITES: tuple[tuple[str, Write], ...] = (
    ("/customers", customers.SIGN_UP),
    ("/customers/wallets", wallets.OPEN_WALLET),
    ("/customers/wallets/{wallet_id}/deposit", wallets.DEPOSIT),
    ("/customers/wallets/{wallet_id}/withdrawals", wallets.WITHDRAWAL),
    ("/wallets/{wallet_id}/transfers", wallets.TRANSFER),
    ("/businesses", businesses.SIGN_UP),
    ("/businesses/wallets", businesses.OPEN_WALLET),
    ("/businesses/wallets/{business_wallet_id}/debit", businesses.DEBIT),
    ("/businesses/wallets/{business_wallet_id}/holds", holds.HOLD),
    ("/businesses/wallets/{business_wallet_id}/payouts", businesses.PAYOUT),
    ("/holds/{hold_id}/captures", holds.CAPTURE),
    ("/holds/{hold_id}/void", holds.VOID),
    ("/transactions/{transaction_id}/refunds", refunds.REFUND),
)
"""Every command that a client may give, by the path to which it is posted alone."""


class NewCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command: the path that it would be posted to, and the body."""

    path: Annotated[str, Meta(max_length=500)]
    body: Annotated[Raw, Meta(extra_json_schema={"type": "object"})] | UnsetType = UNSET
    idempotency_key: Annotated[str, Meta(max_length=512)] | None = None


class NewBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Commands to be carried out in their order; `atomic`: all of them or none."""

    commands: Annotated[list[NewCommand], Meta(min_length=1, max_length=LIMIT_COMMANDS)]
    atomic: bool = False


class CommandAnswer(msgspec.Struct, frozen=True):
    """What a command was answered: status and body as alone, and what its headers would have said."""

    status: Annotated[int, Meta(ge=200, le=599)]
    body: Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
    location: str | UnsetType = UNSET
    position: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    replayed: bool | UnsetType = UNSET


class BatchBody(msgspec.Struct, frozen=True):
    """The answers to the commands of a batch, in their order."""

    answers: list[CommandAnswer]


class _Planned(msgspec.Struct, frozen=True):
    """A command that can be submitted, and how it will be answered."""

    write: Write
    command: Command
    body: object
    claiming: Claiming | None

    @property
    def location(self) -> str:
        """Where it would be found."""
        return f"{self.write.collection}/{self.command.id}"


class _Refused(msgspec.Struct, frozen=True):
    """A command that cannot be submitted."""

    problem: Problem


_Plan = _Planned | _Refused
_Result = Outcome | BaseException
_encode = msgspec.json.Encoder().encode


async def submit_batch(services: Services, request: Request) -> Response | Streamed:
    """Carry out up to 1,000 commands in their order; as JSON lines, any number of them, answered as they come."""
    asked = conditions(request)
    if asked.versions is not None:
        raise if_match_elsewhere()
    if is_json_lines(request.header(b"content-type")):
        if asked.key is not None or asked.dry_run:
            raise Problem(
                400,
                "A stream of commands takes neither an Idempotency-Key nor a dry run: give each command its own key",
                "not_for_streams",
            )
        return Streamed(200, [JSON_LINES, *asked.applied], _stream(services, request, asked))
    batch = await request.json(NewBatch, request.limits.batch_bytes, CHECKED_BY_PARTS)
    plans = [_plan(services, request, command) for command in batch.commands]
    full = accepts_problems(request)
    nothing = not any(isinstance(plan, _Planned) for plan in plans)
    if not batch.atomic and (nothing or not (asked.key is not None or asked.dry_run)):
        answers = await _each(services, plans, asked)
        return json_response(200, BatchBody(_shown(batch.commands, answers, full=full)), *asked.applied)
    _require_no_keys(plans)
    found = await _together(services, request, asked, plans, atomic=batch.atomic)
    replayed = ((b"idempotency-replayed", b"true"),) if found.replayed else ()
    if found.refusal is not None:
        raise refused(found.refusal, (*replayed, *asked.applied))
    outcomes = iter(found.outcomes)
    answers = [_reply(plan, next(outcomes) if isinstance(plan, _Planned) else None, asked) for plan in plans]
    return json_response(200, BatchBody(_shown(batch.commands, answers, full=full)), *replayed, *asked.applied)


async def _stream(services: Services, request: Request, asked: Conditions) -> AsyncIterator[bytes]:
    """Yield the answers to what has come, then read on: a client that sends faster than we commit waits."""
    full = accepts_problems(request)
    ended: Problem | None = None
    try:
        async for lines in request.lines(LIMIT_COMMANDS):
            commands = [_command(line) for line in lines]
            plans = [
                _Refused(each) if isinstance(each, Problem) else _plan(services, request, each) for each in commands
            ]
            known = [NewCommand("/batches") if isinstance(each, Problem) else each for each in commands]
            answers = await _each(services, plans, asked)
            yield b"".join(_encode(each) + b"\n" for each in _shown(known, answers, full=full))
            if (task := asyncio.current_task()) and task.cancelling():
                ended = unavailable(EngineStoppedError())
                break
    except Problem as problem:
        ended = problem
    except asyncio.CancelledError:
        ended = unavailable(EngineStoppedError())
    if ended is not None:
        (last,) = _shown([NewCommand("/batches")], [ended], full=full)
        yield _encode(last) + b"\n"


def _command(line: bytes) -> NewCommand | Problem:
    try:
        return decoded(line, NewCommand, CHECKED_BY_PARTS)
    except Problem as problem:
        return problem


def _plan(services: Services, request: Request, command: NewCommand) -> _Plan:
    """Read a command as the path that it names would."""
    path = command.path.partition("?")[0]
    try:
        write, ids = _write_at(path)
        raw = b"" if command.body is UNSET else bytes(command.body)
        body = decoded(raw, write.body, request.limits.json_depth)
        key = None if command.idempotency_key is None else key_of(command.idempotency_key.encode())
        claim = None if key is None else claiming(key, b"POST", path.removesuffix("/").lower().encode(), raw)
        return _Planned(write, write.make(services, ids, body), body, claim)
    except Problem as problem:
        return _Refused(problem)


async def _each(services: Services, plans: Sequence[_Plan], asked: Conditions) -> list[Response | Problem]:
    """Submit every command by itself, in order."""
    submissions = [Submission((plan.command,), plan.claiming) for plan in plans if isinstance(plan, _Planned)]
    results: list[Answers | BaseException]
    try:
        results = [*await services.engine.submit_each(submissions)]
    except (QueueFullError, EngineStoppedError, asyncio.CancelledError) as error:
        results = [error] * len(submissions)
    found = iter(results)
    return [_reply(plan, next(found) if isinstance(plan, _Planned) else None, asked) for plan in plans]


async def _together(
    services: Services, request: Request, asked: Conditions, plans: Sequence[_Plan], *, atomic: bool
) -> Answers:
    """Submit all commands as one. Raises Problem: the outcome is not known, or one of an atomic batch is no command."""
    planned = [plan for plan in plans if isinstance(plan, _Planned)]
    for index, plan in enumerate(plans):
        if isinstance(plan, _Refused) and atomic:
            raise batch_refused(index, plan.problem)
    submission = Submission(
        tuple(plan.command for plan in planned), asked.claiming(request), atomic=atomic, dry_run=asked.dry_run
    )
    return await submit(services, submission, planned[0].location)


def _reply(plan: _Plan, result: Answers | _Result | None, asked: Conditions) -> Response | Problem:
    """Return what a command is answered."""
    if isinstance(plan, _Refused):
        return plan.problem  # Raised once more, it would refer to itself by this frame, and stay until it is collected.
    try:
        replayed = isinstance(result, Answers) and result.replayed
        outcome = (result.refusal or result.outcomes[0]) if isinstance(result, Answers) else result
        if outcome is None or isinstance(outcome, BaseException):
            raise not_told(outcome or EngineStoppedError(), plan.location, keyed=plan.claiming is not None)
        return plan.write.reply(outcome, plan.body, asked, replayed=replayed)
    except Problem as problem:
        return problem


def _shown(commands: Sequence[NewCommand], answers: Sequence[Response | Problem], *, full: bool) -> list[CommandAnswer]:
    shown = []
    for command, answer in zip(commands, answers, strict=True):
        if isinstance(answer, Problem):
            body = _encode(document(answer, command.path.partition("?")[0], full=full))
            headers = dict(answer.headers)
        else:
            body, headers = answer.body, dict(answer.headers)
        location, position = headers.get(b"location"), headers.get(b"ledger-position")
        shown.append(
            CommandAnswer(
                answer.status,
                Raw(body),
                UNSET if location is None else location.decode(),
                UNSET if position is None else int(position),
                True if b"idempotency-replayed" in headers else UNSET,
            )
        )
    return shown


def _require_no_keys(plans: Sequence[_Plan]) -> None:
    for index, plan in enumerate(plans):
        if isinstance(plan, _Planned) and plan.claiming is not None:
            raise invalid_value(
                f"commands[{index}].idempotency_key",
                "must be absent from a batch that is atomic, a dry run or has an Idempotency-Key itself",
            )


def _write_at(path: str) -> tuple[Write, list[str]]:
    leaves, ids = _writes().find(path)
    if "POST" not in leaves:
        raise Problem(404, f"There is no command at {path}", "unknown_path")
    return leaves["POST"], ids


@cache
def _writes() -> Paths[Write]:
    paths: Paths[Write] = Paths()
    for path, write in WRITES:
        paths.add("POST", path, write)
    return paths
