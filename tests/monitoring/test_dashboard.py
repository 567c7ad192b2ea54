import json
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring import names
from tools.dashboard.grafana import DATASOURCE, TARGET, WIDTH, rendered
from tools.dashboard.rows import ROWS

PROVISIONING = names.MONITORING / "grafana/provisioning"


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard as Grafana reads them."""
    return list(json.loads(TARGET.read_text(encoding="utf-8"))["panels"])


def queries() -> list[str]:
    """Return every query of the dashboard, as Prometheus would get it."""
    found = [target["expr"] for panel in panels() for target in panel.get("targets", [])]
    return [text.replace("$__rate_interval", "1m").replace("$instance", ".*") for text in found]


def test_the_dashboard_is_up_to_date() -> None:
    """`make dashboard` would write exactly what is there."""
    assert TARGET.read_text(encoding="utf-8") == rendered()


def test_every_question_and_panel_is_shown() -> None:
    """No panel got lost on the way, and each has at least one query."""
    shown = [panel["title"] for panel in panels()]

    assert shown == [title for row in ROWS for title in (row.title, *(panel.title for panel in row.panels))]
    assert [panel["title"] for panel in panels() if panel["type"] != "row" and not panel["targets"]] == []


def test_no_panel_lies_over_another() -> None:
    """Every panel has a place of its own within the width of the page."""
    places = [panel["gridPos"] for panel in panels()]

    assert [place for place in places if place["x"] + place["w"] > WIDTH] == []
    assert [pair for pair in combinations(places, 2) if overlap(*pair)] == []


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    """Tell whether two places have something in common."""
    return all(
        one[start] < other[start] + other[length] and other[start] < one[start] + one[length]
        for start, length in (("x", "w"), ("y", "h"))
    )


def test_panels_ask_for_series_that_exist() -> None:
    """A panel of a series that nobody has would stay empty, and nobody would know why."""
    asked = names.named("\n".join(queries()))

    assert asked - names.series() == set()
    assert len(asked) > 20


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt install prometheus)"
)
def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    """Every query is one that Prometheus can read."""
    file = tmp_path / "queries.yaml"
    rules = [{"record": f"query:{number}", "expr": text} for number, text in enumerate(queries())]
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")

    ended = subprocess.run(
        ["promtool", "check", "rules", file], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_grafana_finds_the_dashboard_and_its_source() -> None:
    """What is provisioned is what the dashboard asks, in the folder that is mounted."""
    (sources,) = PROVISIONING.glob("datasources/*.yaml")
    (providers,) = PROVISIONING.glob("dashboards/*.yaml")
    mounted = yaml.safe_load((names.MONITORING / "compose.yaml").read_text(encoding="utf-8"))["services"]["grafana"]

    known = [(each["type"], each["uid"]) for each in yaml.safe_load(sources.read_text(encoding="utf-8"))["datasources"]]
    (provider,) = yaml.safe_load(providers.read_text(encoding="utf-8"))["providers"]

    assert (DATASOURCE["type"], DATASOURCE["uid"]) in known
    assert f"./grafana/{TARGET.parent.name}:{provider['options']['path']}:ro" in mounted["volumes"]
