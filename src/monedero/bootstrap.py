"""The only wiring: from settings to an application."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from monedero.api.app import create_app
from monedero.api.dispatch import ASGIApplication
from monedero.api.http import Limits
from monedero.api.services import Services
from monedero.api.shown import Shown
from monedero.engine.engine import Engine
from monedero.engine.expirer import LIMIT_HOLDS, Expirer
from monedero.observability import logs, shared
from monedero.observability.access import AccessLog
from monedero.observability.audit_log import AuditLog
from monedero.observability.counting import EngineCounts, HoldCounts, RequestCounts, StoreTimes
from monedero.observability.health import Health
from monedero.observability.hooks import Hooks
from monedero.observability.lines import BufferedLines, Lines
from monedero.observability.metrics import Metrics
from monedero.observability.middleware import Watched
from monedero.observability.sampling import PostgresSample, ProcessSample, Sampler
from monedero.observability.scrape import scrape
from monedero.observability.self_audit import AuditCounts, SelfAudit
from monedero.observability.shared import Place
from monedero.observability.store import ObservedStore
from monedero.settings import Settings, SettingsError
from monedero.sources import new_id, now_microseconds
from monedero.storage.postgres import PostgresStore
from monedero.storage.store import Store, StoreError
from monedero.stores import open_keyring

if TYPE_CHECKING:
    from monedero.observability.tracing import Tracing


def configure_logs(settings: Settings) -> None:
    """Have what this process logs written, and errors reported, as it is configured. Raises SettingsError."""
    logs.configure(settings.log_format, settings.log_level)
    if settings.sentry_dsn:
        try:
            from monedero.observability.errors import report_errors  # noqa: PLC0415 - an extra, maybe not installed

            report_errors(settings.sentry_dsn)
        except ModuleNotFoundError as error:
            raise SettingsError("MONEDERO_SENTRY_DSN needs another package: `make extras` installs it") from error
        except ValueError:
            raise SettingsError("The setting MONEDERO_SENTRY_DSN cannot be used: it is no DSN of Sentry") from None


def observability(settings: Settings, store: Store, place: Place | None = None) -> Hooks:
    """Return what watches the service over an open store, as it is configured; `place` is a worker's among several."""
    hooks = Hooks(store, Sampler(), Health(store, settings.queue_limit_commands))
    hooks.around += hooks.health.routes
    if settings.trace_url:
        hooks.tracer = tracing = _tracing(settings)
        hooks.observers.append(tracing)
        hooks.around_engine = tracing.watch
        hooks.at_end.append(tracing.close)
        hooks.store = ObservedStore(store, [tracing]).as_store()
    if settings.metrics:
        _count(settings, store, hooks, place)
    if settings.audit_interval_seconds and (place is None or place.number == 1):
        hooks.background.append(SelfAudit(settings.audit_interval_seconds, settings.database_url, hooks.on_audited))
    if settings.access_log:
        lines = BufferedLines(Lines(settings.access_log).append)
        hooks.watchers.append(AccessLog(lines))
        hooks.sampler.add(lines.flush)
    if settings.audit_log:
        hooks.observers.append(AuditLog(settings.audit_log))
    return hooks


def _tracing(settings: Settings) -> "Tracing":
    try:
        from monedero.observability.tracing import Tracing  # noqa: PLC0415 - an extra that may not be installed
    except ModuleNotFoundError as error:
        raise SettingsError("MONEDERO_TRACE_URL needs more packages: `make extras` installs them") from error
    return Tracing(settings.trace_url, settings.trace_ratio)


def _count(settings: Settings, store: Store, hooks: Hooks, place: Place | None) -> None:
    if place:
        shared.share(place)
    metrics = Metrics()
    metrics.queue_limit.set(settings.queue_limit_commands)
    with store.snapshot() as snapshot:
        metrics.log_size.set(snapshot.head().size)
    hooks.sampler.add(ProcessSample(metrics, "postgresql" if isinstance(store, PostgresStore) else "sqlite"))
    hooks.sampler.add(lambda: metrics.ready.set(hooks.health.ready))
    hooks.sampler.add(lambda: metrics.http_connections.set(hooks.connections()))
    if isinstance(store, PostgresStore):
        hooks.sampler.add(PostgresSample(metrics, store.usage))
    times = StoreTimes(metrics)
    observed = ObservedStore(hooks.store, [times])
    requests = RequestCounts(metrics)
    hooks.store = observed.as_store()
    batches = EngineCounts(metrics)
    hooks.observers.append(batches)
    hooks.watchers.append(requests)
    hooks.sampler.add(requests.flush)
    hooks.sampler.add(times.flush)
    hooks.sampler.add(batches.flush)
    hooks.on_refused = requests.refused
    hooks.on_audited = AuditCounts(metrics)
    hooks.on_holds = HoldCounts(metrics)
    hooks.around.append(scrape(shared.together(place.folder) if place else metrics.registry, hooks.sampler))


def application(
    settings: Settings, store: Store, on_broken: Callable[[StoreError], None], hooks: Hooks | None = None
) -> ASGIApplication:
    """Return the service over an open store; it starts the engine, and drains it and closes the store at the end.

    `on_broken` hears that the disk has failed and writing has stopped; `hooks` is what watches the service.
    Raises SettingsError, KeyringError.
    """
    hooks = hooks or observability(settings, store)
    engine = Engine(
        hooks.store,
        batch_limit=settings.batch_limit_commands,
        queue_limit=settings.queue_limit_commands,
        on_broken=on_broken,
        claims_kept_seconds=settings.idempotency_hours * 60 * 60,
        observers=hooks.observers,
    )

    expirer = Expirer(
        engine,
        store,
        now_microseconds,
        new_id,
        limit_holds=min(LIMIT_HOLDS, settings.queue_limit_commands),
        on_looked=hooks.on_holds,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        engine.start()
        expirer.start()
        await hooks.health.start(engine)
        for each in (hooks.sampler, *hooks.background):
            each.start()
        try:
            yield
        finally:
            try:
                await hooks.health.close()
                await expirer.stop()
                for each in hooks.background:
                    await each.stop()
                async with asyncio.timeout(settings.stop_seconds):
                    await engine.drain()
            except TimeoutError:
                on_broken(StoreError(f"What was accepted could not be committed in {settings.stop_seconds:g} seconds"))
                await engine.abandon()
            finally:
                await hooks.sampler.stop()
                for end in hooks.at_end:
                    await asyncio.to_thread(end)
                await store.close()

    keyring = open_keyring(settings)
    hold_seconds = settings.hold_hours * 60 * 60
    services = Services(
        hooks.around_engine(engine),
        hooks.store,
        Shown(),
        settings.currency,
        hold_seconds,
        now_microseconds,
        new_id,
        os.urandom,
        keyring,
    )
    limits = Limits(
        settings.body_limit_bytes,
        settings.json_depth_limit,
        settings.page_default_items,
        settings.page_limit_items,
        settings.read_limit_items,
        settings.batch_limit_bytes,
    )
    return Watched(create_app(services, limits, settings.hosts, lifespan, hooks.around), hooks.watchers, hooks.tracer)
