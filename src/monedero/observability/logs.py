"""The application log: one line an event on standard error, with the field names of ECS, or for a person to read.

What anybody logs through the standard library comes out so. Of an exception there are type and frames; its message
only where it is one of our own sentences, since a driver's may quote a row.
"""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import IO, Any

import msgspec
import structlog
from structlog.stdlib import ProcessorFormatter

from monedero.observability import request_ids, trace_context
from monedero.observability.lines import ECS_VERSION, SERVICE
from monedero.storage.store import StoreError

Event = MutableMapping[str, Any]
_LEVELS = {"warn": "warning", "exception": "error", "fatal": "critical"}


def configure(log_format: str, level: str, stream: IO[str] = sys.stderr) -> None:
    """Have everything that this process logs written to `stream`, from a level on: `debug` to `error`.

    `log_format` is `json`, `console`, or `auto`: `console` on a terminal. Others than us are heard from `warning` on.
    """
    readable = log_format == "console" or (log_format == "auto" and stream.isatty())
    console = structlog.dev.ConsoleRenderer(colors=stream.isatty(), sort_keys=False)
    formatter = ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            _name_error,
            *([console] if readable else [_name_fields, _render_json]),
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(SERVICE).setLevel(level.upper())


def _name_error(_: object, __: str, event: Event) -> Event:
    """Put what may be told of an exception in the place of the exception."""
    _, error, trace = event.pop("exc_info", None) or (None, None, None)
    if error is None:
        return event
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    said = f"{kind}: {error}" if isinstance(error, StoreError) else kind
    event["exception"] = f"{''.join(traceback.format_tb(trace))}{said}"
    return event


def _name_fields(_: object, __: str, event: Event) -> Event:
    """Give each field its name in ECS."""
    level = event.pop("level")
    fields = {
        "@timestamp": event.pop("timestamp"),
        "log.level": _LEVELS.get(level, level),
        "message": event.pop("event"),
        "ecs.version": ECS_VERSION,
        "service.name": SERVICE,
        "log.logger": event.pop("logger"),
    }
    if request_id := request_ids.current.get():
        fields["http.request.id"] = request_id
    if traced := trace_context.current.get():
        fields["trace.id"], fields["span.id"] = traced.trace_id, traced.span_id
    if trace := event.pop("exception", ""):
        fields["error.type"], _, said = trace.rpartition("\n")[2].partition(": ")
        fields["error.stack_trace"] = trace
        if said:
            fields["error.message"] = said
    return {**fields, **event}


def _render_json(_: object, __: str, event: Event) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
