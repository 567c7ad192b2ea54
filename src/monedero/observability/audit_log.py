"""The audit log: who did what, append-only, each line at once: denials, actions of operators, how a service started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from monedero.engine.observer import BatchEnded
from monedero.ledger.events import AnyDenied, Recorded, kind_and_status
from monedero.observability.lines import ECS_VERSION, SERVICE, Lines

SUCCESS, FAILURE = "success", "failure"


class AuditLog:
    """Appends to a file or standard output; without a target, nowhere."""

    def __init__(self, target: str) -> None:
        self._lines = Lines(target) if target else None

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
        recorded = (outcome for outcome in batch.outcomes if isinstance(outcome, Recorded))
        denials = [_denial(each.event, each.position) for each in recorded if isinstance(each.event, AnyDenied)]
        if denials:
            self._lines.append(b"".join(denials))


def _denial(event: AnyDenied, position: int) -> bytes:
    kind, status = kind_and_status(event)
    details: dict[str, object] = {
        "error.code": event.reason,
        "monedero.transaction.id": event.id,
        "monedero.position": position,
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
