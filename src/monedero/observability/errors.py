"""Errors to Sentry: what is logged as an error, with release and trace, and without anybody's data.

Of an exception there are type and frames, without the values of variables; its message only where it is one of our own
sentences. Nothing is taken from the request but its route, which the log line has, and its id.
"""

import logging
from typing import Any, cast

import sentry_sdk
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.types import Event, Hint

from monedero import __version__
from monedero.observability import request_ids, trace_context
from monedero.storage.store import StoreError

_KEPT = (
    "contexts",
    "environment",
    "event_id",
    "exception",
    "level",
    "logentry",
    "logger",
    "platform",
    "release",
    "sdk",
)
_KEPT_CONTEXTS = ("runtime", "trace")


def report_errors(dsn: str) -> None:
    """Send what is logged as an error from now on, and at the end wait a little for what is under way."""
    sentry_sdk.init(
        dsn,
        release=f"monedero@{__version__}",
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR),
            AtexitIntegration(callback=lambda _pending, _timeout: None),
        ],
        include_local_variables=False,
        max_breadcrumbs=0,
        send_default_pii=False,
        before_send=_before_send,
    )


def _before_send(event: Event, hint: Hint) -> Event | None:
    """Keep what is known to be harmless, and add what ties the event to its request."""
    kept: dict[str, Any] = {name: value for name, value in event.items() if name in _KEPT}
    contexts = kept.get("contexts", {})
    kept["contexts"] = {name: contexts[name] for name in _KEPT_CONTEXTS if name in contexts}
    if traced := trace_context.current.get():
        kept["contexts"]["trace"] = {"trace_id": traced.trace_id, "span_id": traced.span_id}
    if request_id := request_ids.current.get():
        kept["tags"] = {"request_id": request_id}
    said = _sentences(hint)
    for each in kept.get("exception", {}).get("values", []):
        each["value"] = each.get("value") if each.get("value") in said else ""
    return cast("Event", kept)


def _sentences(hint: Hint) -> set[str]:
    """Return what our own errors in a chain say."""
    error: BaseException | None = hint.get("exc_info", (None, None, None))[1]
    found: set[str] = set()
    while error is not None:
        if isinstance(error, StoreError):
            found.add(str(error))
        error = error.__cause__ or error.__context__
    return found
