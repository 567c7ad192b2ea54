"""Every benchmark, one after the other, in one table: what `make bench` runs."""

from benchmarks import batch, growth, history, http, latency, peer, together
from benchmarks.suite import suite

MEASURES = {
    "http": http.measure,
    "history": history.measure,
    "batch": batch.measure,
    "peer": peer.measure,
    "growth": growth.measure,
    "latency": latency.measure,
    "together": together.measure,
}

if __name__ == "__main__":
    suite(MEASURES, "latest", __doc__)()
