"""The series that the program has, and the files of the monitoring that speak of them."""

import re

from prometheus_client.metrics_core import Metric

from monedero.observability.metrics import Metrics
from tests.docs import pages

MONITORING = pages.ROOT / "deploy/monitoring"
RULES = MONITORING / "prometheus/rules.yaml"

_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
_NAME = re.compile(r"\bmonedero_[a-z_]+[a-z]\b")


def series() -> set[str]:
    """Return the name of every series that a process may show."""
    families: list[Metric] = list(Metrics().registry.collect())
    return {family.name + suffix for family in families for suffix in _SUFFIXES[family.type]}


def named(text: str) -> set[str]:
    """Return the names of our series in a text, queries or prose."""
    return set(_NAME.findall(text))
