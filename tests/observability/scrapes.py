"""Reading what `/metrics` says."""

from collections.abc import Iterator

import httpx
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.support import Service

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Scrape:
    """One scrape, parsed."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))

    @property
    def samples(self) -> Iterator[Sample]:
        """All samples."""
        for family in self.families:
            yield from family.samples

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of that name that have these labels, whatever others they have."""
        return sum(
            sample.value for sample in self.samples if sample.name == name and labels.items() <= sample.labels.items()
        )


def scrape(client: httpx.Client) -> Scrape:
    """Ask for the metrics as Prometheus does."""
    answer = client.get("/metrics", headers={"accept": OPENMETRICS})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    return Scrape(answer.text)


def processes(service: Service) -> int:
    """Return how many processes of a service say that they serve."""
    try:
        with service.client() as client:
            return round(scrape(client).value("monedero_processes"))
    except httpx.TransportError:
        return 0
