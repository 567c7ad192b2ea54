"""The trace that a request belongs to, as W3C Trace Context carries it. Needs nothing of OpenTelemetry."""

import re
from contextvars import ContextVar
from typing import Any

import msgspec

from monedero.api.http import Scope, header

IN = b"traceparent"
OUT = b"traceresponse"

_parse = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?").fullmatch


class Parent(msgspec.Struct, frozen=True):
    """Where a request comes from, and whether the caller records it."""

    trace_id: int
    span_id: int
    sampled: bool


class Traced(msgspec.Struct, frozen=True):
    """A request that is recorded: its ids in hex, its span, and when it began, in nanoseconds since 1970."""

    trace_id: str
    span_id: str
    span: Any
    began: int


current: ContextVar[Traced | None] = ContextVar("monedero_trace", default=None)
"""The trace of the request that is being answered; None for nearly all of them, which are not recorded."""


def parent(scope: Scope) -> Parent | None:
    """Return what a request says of its trace; None where that is nothing, or nothing well-formed."""
    found = _parse(header(scope, IN) or b"")
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    return Parent(trace_id, span_id, bool(flags & 1)) if trace_id and span_id else None
