"""Everything that is answered when a request does not succeed: the one table to HTTP.

Every error is `{"detail": "<sentence>"}`; a client that accepts `application/problem+json` gets the
whole problem of RFC 9457.
"""

from http import HTTPStatus
from typing import Annotated, Any

import msgspec

from monedero.api.times import timestamp
from monedero.engine.engine import EngineStoppedError, QueueFullError
from monedero.ledger.errors import (
    BalanceLimit,
    BatchRefused,
    BusinessHasWallet,
    CaptureTooLarge,
    CurrencyMismatch,
    EmailTaken,
    ExpiryNotAhead,
    HoldClosed,
    HoldNotDue,
    KeyReused,
    MoneyLeft,
    NotOneCustomer,
    NotRefundable,
    RefundTooLarge,
    Refusal,
    SelfTransfer,
    UnknownHold,
    UnknownOwner,
    UnknownTransaction,
    UnknownWallet,
    VersionMismatch,
)
from monedero.ledger.money import render_amount
from monedero.storage.store import NotStoredError, StoreUnavailableError

REFUSALS: dict[type[Refusal], int] = {
    UnknownOwner: 404,
    UnknownWallet: 404,
    UnknownTransaction: 404,
    EmailTaken: 409,
    MoneyLeft: 409,
    BusinessHasWallet: 409,
    CurrencyMismatch: 409,
    BalanceLimit: 409,
    UnknownHold: 404,
    NotRefundable: 409,
    RefundTooLarge: 409,
    CaptureTooLarge: 409,
    HoldClosed: 409,
    ExpiryNotAhead: 400,
    HoldNotDue: 409,
    SelfTransfer: 409,
    NotOneCustomer: 409,
    VersionMismatch: 412,
    KeyReused: 422,
    BatchRefused: 409,
}

RETRY_AFTER = (b"retry-after", b"1")
"""In seconds: a queue or a disk that is full may have room again by then."""

Headers = list[tuple[bytes, bytes]]
Number = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "number"})]


class FieldError(msgspec.Struct, frozen=True):
    """Where in the body, as a JSON pointer, and what is wrong there."""

    detail: str
    pointer: str


Data = dict[str, Any]
"""Members of a problem document of its own (RFC 9457, 3.2), by name: amounts as JSON numbers, times in RFC 3339."""


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it so
    """An answer that is not a success. `code` is stable, for programs; `detail` is for people."""

    def __init__(
        self,
        status: int,
        detail: str,
        code: str,
        *,
        errors: tuple[FieldError, ...] = (),
        headers: tuple[tuple[bytes, bytes], ...] = (),
        data: Data | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.errors = errors
        self.headers = headers
        self.data = data or {}


class ProblemDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every error. All members but `detail` are for clients that accept problem documents."""

    detail: str
    type: str | msgspec.UnsetType = msgspec.UNSET
    title: str | msgspec.UnsetType = msgspec.UNSET
    status: int | msgspec.UnsetType = msgspec.UNSET
    instance: str | msgspec.UnsetType = msgspec.UNSET
    code: str | msgspec.UnsetType = msgspec.UNSET
    errors: tuple[FieldError, ...] | msgspec.UnsetType = msgspec.UNSET
    transaction_id: str | msgspec.UnsetType = msgspec.UNSET
    required: Number | msgspec.UnsetType = msgspec.UNSET
    available: Number | msgspec.UnsetType = msgspec.UNSET
    refundable: Number | msgspec.UnsetType = msgspec.UNSET
    capturable: Number | msgspec.UnsetType = msgspec.UNSET
    expired_at: str | msgspec.UnsetType = msgspec.UNSET
    version: int | msgspec.UnsetType = msgspec.UNSET
    index: int | msgspec.UnsetType = msgspec.UNSET
    cause: str | msgspec.UnsetType = msgspec.UNSET


def document(problem: Problem, instance: str, *, full: bool) -> ProblemDocument:
    """Return the body for a problem; `full` is for a client that accepts `application/problem+json`."""
    if not full:
        return ProblemDocument(problem.detail)
    return ProblemDocument(
        problem.detail,
        f"urn:monedero:problem:{problem.code}",
        HTTPStatus(problem.status).phrase,
        problem.status,
        instance,
        problem.code,
        problem.errors or msgspec.UNSET,
        **problem.data,
    )


def refused(refusal: Refusal, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Problem:
    """Return the answer to a refusal of the ledger."""
    status = REFUSALS[type(refusal)]
    return Problem(status, refusal.sentence, refusal.code, headers=headers, data=_data(refusal))


def batch_refused(index: int, problem: Problem) -> Problem:
    """Return the answer to an atomic batch of which one command is none."""
    return refused(BatchRefused(index, problem.code, problem.detail))


def _data(refusal: Refusal) -> Data:
    """Return what a program may want to know of a refusal."""
    match refusal:
        case RefundTooLarge(required=required, refundable=refundable):
            data: Data = {"refundable": _number(refundable)}
            return data if required is None else {"required": _number(required), **data}
        case CaptureTooLarge(required=required, capturable=capturable):
            return {"required": _number(required), "capturable": _number(capturable)}
        case HoldClosed(status="expired", expires_at=expires_at):
            return {"expired_at": timestamp(expires_at)}
        case VersionMismatch(version=version):
            return {"version": version}
        case BatchRefused(index=index, cause=cause):
            return {"index": index, "cause": cause}
        case _:
            return {}


def _number(units: int) -> msgspec.Raw:
    return msgspec.Raw(render_amount(units).encode())


def unavailable(error: QueueFullError | EngineStoppedError | NotStoredError | StoreUnavailableError) -> Problem:
    """Return the answer when nothing was recorded and trying again is safe."""
    if isinstance(error, StoreUnavailableError):
        return Problem(503, "The ledger cannot be read now", "unreadable", headers=(RETRY_AFTER,))
    if isinstance(error, QueueFullError):
        return Problem(503, "Too many commands are waiting; try again shortly", "queue_full", headers=(RETRY_AFTER,))
    if isinstance(error, EngineStoppedError):
        return Problem(503, "The ledger is stopping and takes no commands", "stopping", headers=(RETRY_AFTER,))
    return Problem(503, "The ledger cannot be written now; nothing was recorded", "not_stored", headers=(RETRY_AFTER,))


def outcome_unknown(location: str, *, keyed: bool) -> Problem:
    """Return the answer when the disk failed around a commit: the client has to look before it tries again.

    Not so under an idempotency key: then trying again is how to look, and a first request may be found elsewhere.
    """
    if keyed:
        return Problem(
            503,
            "It is not known whether this was recorded: the same request with the same Idempotency-Key will tell once "
            "the ledger is back",
            "outcome_unknown",
            headers=(RETRY_AFTER,),
        )
    return Problem(
        503,
        f"It is not known whether this was recorded: GET {location} will tell once the ledger is back",
        "outcome_unknown",
        headers=((b"location", location.encode()),),
    )


def malformed_json() -> Problem:
    """Return the contract's answer to a body that is no JSON."""
    return Problem(400, "Malformed JSON in request body", "malformed_json")


def missing_key(key: str) -> Problem:
    """Return the contract's answer to a body that lacks a key."""
    detail = f"There is no '{key}' key in the json of the request"
    return Problem(400, detail, "missing_key", errors=(FieldError(detail, _pointer(key)),))


def unknown_key(key: str) -> Problem:
    """Return the answer to a key that the body may not have: ignored, a misspelt one would mean something else."""
    detail = f"The key '{key}' is unknown here"
    return Problem(400, detail, "unknown_key", errors=(FieldError(detail, _pointer(key)),))


def invalid_value(key: str, wrong: str) -> Problem:
    """Return the answer to a value of the wrong type or out of bounds; `wrong` completes the sentence."""
    detail = f"The value of '{key}' {wrong}"
    return Problem(400, detail, "invalid_value", errors=(FieldError(detail, _pointer(key)),))


def _pointer(key: str) -> str:
    """Return the JSON pointer (RFC 6901) for a key as it is written in sentences: `commands[0].path`."""
    return "/" + key.replace("[", "/").replace("]", "").replace(".", "/")


INTERNAL = Problem(500, "The server met an error of its own; nothing is known to be wrong with the request", "internal")

EVERYWHERE = {
    400: "The request is malformed, or a value is wrong",
    408: "The request did not arrive in time",
    421: "The Host header names a host that this server is not",
    431: "The request line and headers are too large",
    500: "The server met an error of its own",
    503: "Not now: too much is waiting, the ledger cannot be reached or written, or the server is stopping",
}
"""What any operation may answer besides its own."""
