"""`GET /metrics`: what Prometheus scrapes."""

import asyncio

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monedero.observability.sampling import Sampler

PATH = "/metrics"


def scrape(registry: CollectorRegistry, sampler: Sampler) -> Route:
    """Return the page of all metrics, in OpenMetrics for whoever accepts it, else in Prometheus's older text form."""

    async def answer(request: Request) -> Response:
        sampler.take()
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # In a thread, since adding up the shares of several processes takes longer than a commit.
        text = await asyncio.to_thread(encode, registry)
        return Response(text, headers={"content-type": content_type, "cache-control": "no-store"})

    return Route(PATH, answer)
