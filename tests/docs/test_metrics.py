import re

from prometheus_client import Counter, Gauge, Histogram

from monedero.observability.metrics import Metrics
from tests.docs import pages

PAGE = pages.ROOT / "docs/how-to/observe.md"


def rows() -> list[list[str]]:
    """Return the table of metrics as the code has them, in its order."""
    found = []
    for metric in vars(Metrics()).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            (described,) = metric.describe()
            name = described.name + ("_total" if isinstance(metric, Counter) else "")
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 - told nowhere else
            found.append([f"`{name}`", described.type, labels, described.documentation])
    return found


def test_the_table_of_metrics_is_complete_and_right() -> None:
    """Each metric has one row, in the order of the code, with its type, labels and meaning."""
    assert pages.table(PAGE, "metric") == rows()


def test_every_metric_is_named_by_the_rules() -> None:
    """Names begin alike, are in base units, and counters end in `_total`."""
    for name, kind, _, meaning in rows():
        assert re.fullmatch(r"`monedero_[a-z_]+`", name)
        assert not re.search(r"milliseconds|minutes|_ms|kilobytes|percent", name)
        assert name.endswith("_total`") == (kind == "counter")
        assert meaning.endswith(".")
