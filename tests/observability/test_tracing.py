import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from monedero.engine.engine import Engine
from monedero.engine.work import Submission
from monedero.ledger.profiles import OwnerKind
from monedero.observability.store import ObservedStore
from monedero.observability.trace_context import Traced
from monedero.observability.tracing import Tracing
from monedero.storage.store import TransientError
from tests.api.world import World
from tests.engine.test_engine import LIMIT_SECONDS, HeldStore
from tests.ledgers import BOTH, EMBEDDED, POSTGRES, Ledgers, opened
from tests.observability.receivers import Receiver
from tests.observability.test_health import waits_for_a_lock
from tests.support import Service, deposit, happened, new_wallet, run, until

PRIVATE = "ada@example.com"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a collector of traces."""
    with Receiver() as running:
        yield running


def traced(receiver: Receiver, ledgers: Ledgers, folder: Path, kind: str = EMBEDDED, **settings: str) -> Service:
    """Return a service that sends its traces to a receiver."""
    url = f"http://{receiver.address}/v1/traces"
    return Service(ledgers.new(kind, folder), MONEDERO_TRACE_URL=url, **settings)


def spans(receiver: Receiver) -> list[Any]:
    """Return the spans that a receiver was sent, after the service has stopped."""
    found = []
    for path, body in receiver.received:
        assert path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert attributes["service.name"] == "monedero"
            found += [span for scope in resource.scope_spans for span in scope.spans]
    return found


def attributes(span: Any) -> dict[str, Any]:
    """Return the attributes of a span."""
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


@pytest.mark.parametrize("kind", BOTH)
def test_a_sampled_write(receiver: Receiver, ledgers: Ledgers, tmp_path: Path, kind: str) -> None:
    """Under the caller's trace there are the request, its wait, its batch and the store's steps, each in its time."""
    with traced(receiver, ledgers, tmp_path, kind, MONEDERO_TRACE_RATIO="0") as service:
        with service.client() as client:
            world = World(client)
            world.deposit(5)
            answer = world.debit(
                1, PRIVATE, headers={"traceparent": f"00-{TRACE}-{SPAN}-01", "x-request-id": "order-7"}
            )
        service.stop()
        exported = service.run("export").stdout.splitlines()

    assert [line for line in exported if TRACE in line] == exported[-1:]
    found = {span.name: span for span in spans(receiver)}
    assert set(found) >= {"queue", "batch", "store load", "store commit"}
    request = found["POST /businesses/wallets/{business_wallet_id}/debit"]
    assert {span.trace_id.hex() for span in found.values()} == {TRACE}
    assert request.parent_span_id.hex() == SPAN
    assert found["queue"].parent_span_id == found["batch"].parent_span_id == request.span_id
    assert found["store commit"].parent_span_id == found["batch"].span_id
    order = [found[name].start_time_unix_nano for name in ("queue", "batch", "store load", "store commit")]
    assert sorted(order) == order
    assert all(
        request.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        and span.end_time_unix_nano <= request.end_time_unix_nano + 1_000_000
        for span in found.values()
    )
    assert attributes(request) == {
        "http.request.method": "POST",
        "http.route": "/businesses/wallets/{business_wallet_id}/debit",
        "http.response.status_code": 201,
        "monedero.request.id": "order-7",
        "monedero.transaction.id": answer.json()["id"],
    }
    assert answer.headers["traceresponse"] == f"00-{TRACE}-{request.span_id.hex()}-01"
    assert PRIVATE.encode() not in b"".join(body for _, body in receiver.received)


def test_a_sampled_read(receiver: Receiver, ledgers: Ledgers, tmp_path: Path) -> None:
    """A query is a step under its own request, and not under a batch."""
    with traced(receiver, ledgers, tmp_path, MONEDERO_TRACE_RATIO="0") as service:
        with service.client() as client:
            world = World(client)
            client.get(f"/wallets/{world.wallet}", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
        service.stop()

    request, query = sorted(spans(receiver), key=lambda span: span.name)
    assert (request.name, query.name) == ("GET /wallets/{wallet_id}", "store wallet")
    assert query.parent_span_id == request.span_id


def test_what_others_read_meanwhile_is_not_in_the_trace(receiver: Receiver, ledgers: Ledgers, tmp_path: Path) -> None:
    """While a sampled command waits for its batch, the queries of others are not taken for steps of that."""
    with traced(receiver, ledgers, tmp_path, POSTGRES[0], MONEDERO_TRACE_RATIO="0") as service:
        with service.client() as client, ThreadPoolExecutor(1) as threads:
            world = World(client)
            path, headers = f"/customers/wallets/{world.wallet}/deposit", {"traceparent": f"00-{TRACE}-{SPAN}-01"}
            with psycopg.connect(service.url) as connection:
                connection.execute("SELECT FROM head FOR UPDATE")
                answer = threads.submit(client.post, path, json={"amount": 1}, headers=headers)
                until(lambda: waits_for_a_lock(service.url))
                assert client.get(f"/wallets/{world.wallet}").status_code == 200
                connection.rollback()
            assert answer.result().status_code == 201
        service.stop()

    found = {span.name for span in spans(receiver)}
    assert {"store load", "store commit"} <= found
    assert "store wallet" not in found


@pytest.mark.parametrize("header", ["", f"00-{TRACE}-{SPAN}-00", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01"])
def test_what_is_not_sampled(receiver: Receiver, ledgers: Ledgers, tmp_path: Path, header: str) -> None:
    """A caller that does not record, and a header that is none, leave no span."""
    with traced(receiver, ledgers, tmp_path, MONEDERO_TRACE_RATIO="0") as service:
        with service.client(headers={"traceparent": header}) as client:
            World(client)
            assert "traceresponse" not in client.get("/wallets/nobody").headers
        service.stop()

    assert not receiver.received


def test_a_request_of_nobody_is_sampled_by_chance(receiver: Receiver, ledgers: Ledgers, tmp_path: Path) -> None:
    """Of requests without a trace the share is recorded that is set; each begins a trace of its own."""
    with traced(receiver, ledgers, tmp_path, MONEDERO_TRACE_RATIO="1") as service:
        with service.client() as client:
            for _ in range(3):
                client.get("/wallets/nobody")
        service.stop()

    found = [span for span in spans(receiver) if span.name.startswith("GET")]
    assert len({span.trace_id for span in found}) == 3
    assert {attributes(span)["error.type"] for span in found} == {"unknown_wallet"}


@pytest.mark.parametrize("batches", [[2], [1, 2]], ids=["while it waits for its turn", "at the second attempt"])
def test_who_joins_a_batch(ledgers: Ledgers, tmp_path: Path, batches: list[int]) -> None:
    """A batch takes in who comes while it waits, or fails: nothing in that one's trace is before it came."""
    store, kept = opened(ledgers.new(EMBEDDED, tmp_path)), InMemorySpanExporter()
    held, tracing = HeldStore(store), Tracing("", 0, kept)
    if batches == [2]:
        held.turn.clear()
        held.gate.set()
    else:
        held.failures.append(TransientError("again"))
    observed = ObservedStore(held, [tracing]).as_store()
    engine = Engine(observed, batch_limit=9, queue_limit=9, on_broken=print, observers=[tracing])
    wallet = new_wallet(store, OwnerKind.CUSTOMER)

    async def sampled(trace: str) -> Traced | None:
        begun = tracing.begin({"headers": [(b"traceparent", f"00-{trace}-{SPAN}-01".encode())]})
        await tracing.watch(engine).submit_all(Submission((deposit(wallet, 1),)))
        return begun

    async def decided() -> bool:
        return held.batches == batches[:-1]

    async def scenario() -> Traced | None:
        engine.start()
        first = asyncio.create_task(sampled(TRACE[::-1]))
        async with asyncio.timeout(LIMIT_SECONDS):
            await held.entered.wait()
            await happened(decided)
        second = asyncio.create_task(sampled(TRACE))
        await asyncio.sleep(0)
        held.turn.set()
        held.gate.set()
        await first
        begun = await second
        await engine.drain()
        return begun

    begun = run(scenario())
    tracing.close()
    run(store.close())
    found = [
        (span.name, span.start_time or 0, span.end_time or 0)
        for span in kept.get_finished_spans()
        if span.context and span.context.trace_id == int(TRACE, 16)
    ]
    assert held.batches == batches
    assert {name for name, *_ in found} == {"queue", "batch", "store load", "store commit"}
    assert begun
    assert all(begun.began <= began <= ended for _, began, ended in found)


def test_one_that_is_not_sampled_touches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a request makes no span, not even one that is thrown away."""
    tracing = Tracing("http://127.0.0.1:9", 0)
    monkeypatch.setattr(tracing._tracer, "start_span", None)  # noqa: SLF001 - to see that nobody calls it

    assert tracing.begin({"headers": []}) is None
    assert tracing.begin({"headers": [(b"traceparent", f"00-{TRACE}-{SPAN}-00".encode())]}) is None
    tracing.close()


def test_logs_name_the_trace(receiver: Receiver, ledgers: Ledgers, tmp_path: Path) -> None:
    """The access line of a sampled request has the ids of its trace and span."""
    path = tmp_path / "access.log"
    settings = {"MONEDERO_TRACE_RATIO": "0", "MONEDERO_ACCESS_LOG": str(path)}
    with traced(receiver, ledgers, tmp_path, **settings) as service:
        with service.client() as client:
            client.get("/wallets/nobody", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
            client.get("/wallets/nobody")
        service.stop()

    first, second = map(json.loads, path.read_text().splitlines())
    request = next(span for span in spans(receiver) if span.name.startswith("GET"))
    assert (first["trace.id"], first["span.id"]) == (TRACE, request.span_id.hex())
    assert "trace.id" not in second


def test_a_receiver_that_is_away(ledgers: Ledgers, tmp_path: Path) -> None:
    """Requests are answered all the same, and the service stops."""
    ledger = ledgers.new(EMBEDDED, tmp_path)
    settings = {"MONEDERO_TRACE_RATIO": "1", "MONEDERO_TRACE_URL": "http://127.0.0.1:9/v1/traces"}
    with Service(ledger, **settings) as service, service.client() as client:
        World(client).deposit(1)
        assert service.stop() == 0
