"""The audit log: who did what, append-only, each line at once: denials, actions of operators, how a service started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from monedero.engine.observer import BatchEnded
from monedero.ledger.events import Event, Recorded
from monedero.observability.counting import transaction_name
from monedero.observability.lines import Lines
from monedero.observability.logs import ECS_VERSION, SERVICE

SUCCESS, FAILURE = "success", "failure"
DENIED = "denied"


class AuditLog:
    """Appends to a file or standard output; without a target, nowhere."""

    def __init__(self, target: str) -> None:
        self._lines = Lines(target) if target else None
        self._denied: dict[type[Event], bool] = {}

    def note(self, action: str, outcome: str, **details: object) -> None:
        """Append what was done, by whom of the system's users, and how it went."""
        if self._lines:
            self._lines.append(_line(action, outcome, {"user.id": str(os.getuid()), **details}))

    @contextmanager
    def noted(self, action: str, **details: object) -> Iterator[None]:
        """Note what an operator does: that it begins, and how it ends."""
        self.note(action, "unknown", **details)
        try:
            yield
        except SystemExit as left:
            self.note(action, FAILURE if left.code else SUCCESS)
            raise
        except BaseException:
            self.note(action, FAILURE)
            raise
        self.note(action, SUCCESS)

    def batch_ended(self, batch: BatchEnded) -> None:
        """See Observer: note each transaction that was denied."""
        if self._lines is None:
            return
        denials = [_denial(each) for each in batch.outcomes if isinstance(each, Recorded) and self._is_denied(each)]
        if denials:
            self._lines.append(b"".join(denials))

    def _is_denied(self, recorded: Recorded) -> bool:
        kind = type(recorded.event)
        if kind not in self._denied:
            self._denied[kind] = (transaction_name(kind) or ("", ""))[1] == DENIED
        return self._denied[kind]


def _denial(recorded: Recorded) -> bytes:
    event = recorded.event
    kind, status = transaction_name(type(event)) or ("", "")
    details = {
        "error.code": getattr(event, "reason", ""),
        "monedero.transaction.id": event.id,
        "monedero.position": recorded.position,
    }
    return _line(f"{kind}.{status}", FAILURE, details)


def _line(action: str, outcome: str, details: dict[str, object]) -> bytes:
    fields = {
        "@timestamp": datetime.now(UTC),
        "log.level": "info",
        "message": f"{action}: {outcome}",
        "ecs.version": ECS_VERSION,
        "service.name": SERVICE,
        "event.dataset": "monedero.audit",
        "event.action": action,
        "event.outcome": outcome,
        **details,
    }
    return msgspec.json.encode(fields) + b"\n"
