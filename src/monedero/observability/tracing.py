"""Traces of sampled requests with OpenTelemetry: the request, its wait in the queue, its batch, each step of the store.

Whether a request is recorded is decided at its head: by who called, else by chance. One that is not costs a look for
the header and a random number, and nothing of OpenTelemetry is touched. Spans are made when what they show is over.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import msgspec
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from monedero import __version__
from monedero.api.http import Scope
from monedero.engine.engine import Engine
from monedero.engine.observer import BatchEnded
from monedero.engine.work import Answers, Submission
from monedero.observability.lines import SERVICE
from monedero.observability.middleware import Answered, transaction_id
from monedero.observability.trace_context import Traced, current, parent
from monedero.storage.store import Queries, Transaction

FLUSH_MILLISECONDS = 1_000
SERVER_ERROR = 500
_QUERIES = frozenset(vars(Queries)) - frozenset(vars(Transaction))


class Waiting(msgspec.Struct, frozen=True):
    """A command of a sampled request, and since when it waits, in nanoseconds since 1970."""

    traced: Traced
    since: int


class Tracing:
    """Records what belongs to sampled requests. Hears of requests, batches and steps of the store."""

    def __init__(self, url: str, ratio: float, exporter: SpanExporter | None = None) -> None:
        """`url` takes OTLP over HTTP; `ratio` of the requests that come without a trace are recorded."""
        self._ratio = ratio
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,  # What comes so far is sampled.
            resource=Resource({"service.name": SERVICE, "service.version": __version__}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter or OTLPSpanExporter(url), schedule_delay_millis=FLUSH_MILLISECONDS)
        )
        self._tracer = self._provider.get_tracer(SERVICE, __version__)
        self._waiting: dict[str, Waiting] = {}
        self._steps: list[tuple[str, int, int, bool]] = []

    def begin(self, scope: Scope) -> Traced | None:
        """Decide whether a request is recorded, and begin."""
        came_from = parent(scope)
        if not (came_from.sampled if came_from else random.random() < self._ratio):  # noqa: S311 - chance, no secret
            return None
        context = None
        if came_from:
            remote = SpanContext(
                came_from.trace_id, came_from.span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
            )
            context = set_span_in_context(NonRecordingSpan(remote))
        began = time.time_ns()
        span = self._tracer.start_span("request", context, SpanKind.SERVER, start_time=began)
        ids = span.get_span_context()
        traced = Traced(f"{ids.trace_id:032x}", f"{ids.span_id:016x}", span, began)
        current.set(traced)
        return traced

    def end(self, traced: Traced, answered: Answered) -> None:
        """End the record of a request."""
        span = cast("Span", traced.span)
        span.update_name(f"{answered.method} {answered.route}")
        span.set_attributes(
            {
                "http.request.method": answered.method,
                "http.route": answered.route,
                "http.response.status_code": answered.status,
                "monedero.request.id": answered.request_id,
            }
        )
        if answered.problem:
            span.set_attribute("error.type", answered.problem)
        if recorded := transaction_id(answered):
            span.set_attribute("monedero.transaction.id", recorded)
        if answered.status >= SERVER_ERROR:
            span.set_status(StatusCode.ERROR)
        span.end()

    def watch(self, engine: Engine) -> Engine:
        """Return the engine as requests are to see it."""
        return cast("Engine", _TracedEngine(engine, self._waiting))

    def batch_ended(self, batch: BatchEnded) -> None:
        """See Observer."""
        steps, self._steps = self._steps, []
        if not self._waiting:
            return
        ended = time.time_ns()
        began = ended - int(batch.commit_seconds * 1e9)
        for submission in batch.submissions:
            waiting = self._waiting.get(submission.commands[0].id)
            if waiting is None:
                continue
            joined = max(began, waiting.since)  # A batch that waits for its turn, or has another, takes in who comes.
            self._record("queue", waiting.traced.span, waiting.since, joined)
            attributes = {
                "monedero.batch.commands": batch.size,
                "monedero.batch.failure": type(batch.failure).__name__ if batch.failure else "",
            }
            span = self._record("batch", waiting.traced.span, joined, ended, attributes, failed=bool(batch.failure))
            for operation, since, until, failed in steps:
                if until > joined:
                    self._record_step(operation, span, max(since, joined), until, failed)

    def __call__(self, operation: str, seconds: float, failed: bool) -> None:
        """See StoreObserver."""
        traced = current.get()
        if traced is None and (not self._waiting or operation in _QUERIES):
            return
        until = time.time_ns()
        since = until - int(seconds * 1e9)
        if traced:
            self._record_step(operation, traced.span, since, until, failed)
        else:
            self._steps.append((operation, since, until, failed))

    def close(self) -> None:
        """Send what is left. Takes as long as the receiver, or its timeout."""
        self._provider.shutdown()

    def _record_step(self, operation: str, above: Span, since: int, until: int, failed: bool) -> None:
        self._record(f"store {operation}", above, since, until, {"db.operation.name": operation}, failed=failed)

    def _record(
        self,
        name: str,
        above: Span,
        since: int,
        until: int,
        attributes: Mapping[str, Any] | None = None,
        *,
        failed: bool = False,
    ) -> Span:
        span = self._tracer.start_span(name, set_span_in_context(above), attributes=attributes, start_time=since)
        if failed:
            span.set_status(StatusCode.ERROR)
        span.end(until)
        return span


class _TracedEngine:
    """The engine, which notes whose submission it is that waits, by the id of its first command."""

    def __init__(self, engine: Engine, waiting: dict[str, Waiting]) -> None:
        self._engine = engine
        self._waiting = waiting

    async def submit_all(self, submission: Submission) -> Answers:
        """See Engine.submit_all."""
        with self._noted(submission) as (noted,):
            return await self._engine.submit_all(noted)

    async def submit_each(self, submissions: Sequence[Submission]) -> list[Answers | Exception]:
        """See Engine.submit_each."""
        with self._noted(*submissions) as noted:
            return await self._engine.submit_each(noted)

    @contextmanager
    def _noted(self, *submissions: Submission) -> Iterator[Sequence[Submission]]:
        """Note the first; yield all, with the id of the trace for their events."""
        if (traced := current.get()) is None or not submissions:
            yield submissions
            return
        first = submissions[0].commands[0].id
        self._waiting[first] = Waiting(traced, time.time_ns())
        try:
            yield [msgspec.structs.replace(each, trace=traced.trace_id) for each in submissions]
        finally:
            del self._waiting[first]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the engine has
        return getattr(self._engine, name)
