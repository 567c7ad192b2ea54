"""From rows of panels to the JSON that Grafana reads."""

import json
from pathlib import Path
from typing import Any

from tools.dashboard.rows import ROWS, Panel

Json = dict[str, Any]

TARGET = Path(__file__).resolve().parents[2] / "deploy/monitoring/grafana/dashboards/monedero.json"
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT = 24, 8


def main() -> None:
    """Write the dashboard where Grafana is told to look for it."""
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(rendered(), encoding="utf-8")


def rendered() -> str:
    """Return the text of the dashboard, always the same."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


def dashboard() -> Json:
    """Return the dashboard: below each row's title its panels, side by side, as many as fit."""
    panels: list[Json] = []
    top = 0
    for row in ROWS:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
            }
        )
        top += 1
        numbers = all(panel.number for panel in row.panels)
        across = len(row.panels) if numbers else min(len(row.panels), 3)
        width, height = WIDTH // across, HEIGHT // 2 if numbers else HEIGHT
        for place, panel in enumerate(row.panels):
            position = {"x": place % across * width, "y": top + place // across * height, "w": width, "h": height}
            panels.append(_panel(len(panels) + 1, panel, position))
        top += -(-len(row.panels) // across) * height
    return {
        "uid": "monedero",
        "title": "Monedero",
        "tags": ["monedero"],
        "schemaVersion": 39,
        "editable": False,
        "timezone": "",
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_instances()]},
        "panels": panels,
    }


def _instances() -> Json:
    query = 'label_values(up{job="monedero"}, instance)'
    return {
        "name": "instance",
        "label": "Instance",
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": "instance"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _panel(number: int, panel: Panel, position: Json) -> Json:
    return {
        "id": number,
        "type": "stat" if panel.number else "timeseries",
        "title": panel.title,
        "datasource": DATASOURCE,
        "gridPos": position,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}} if panel.number else {"tooltip": {"mode": "multi"}},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": DATASOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
            }
            for place, query in enumerate(panel.queries)
        ],
    }
