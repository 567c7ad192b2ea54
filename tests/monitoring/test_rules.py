import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monedero.observability.counting import RESULTS
from tests.docs import pages
from tests.monitoring import names

RUNBOOKS = pages.ROOT / "docs/how-to/runbooks"
CASES = Path(__file__).with_name("rules.test.yaml")
WATCHING = [pages.ROOT / "docs/scaling.md", pages.ROOT / "docs/how-to/monitor.md", *sorted(RUNBOOKS.glob("*.md"))]
HEADINGS = ["What it means", "Look", "Do"]
OTHERS = {"up", "node_filesystem_avail_bytes", "node_filesystem_size_bytes"}


def rules() -> list[dict[str, Any]]:
    """Return the alerts."""
    (group,) = yaml.safe_load(names.RULES.read_text(encoding="utf-8"))["groups"]
    return list(group["rules"])


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt install prometheus)"
)
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "rules", "--lint-fatal", names.RULES],
        ["check", "config", names.MONITORING / "prometheus/prometheus.yaml"],
        ["test", "rules", CASES],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_prometheus_finds_the_rules_right(arguments: list[str]) -> None:
    """Prometheus reads the rules and its configuration, and each alert fires when it should and only then."""
    ended = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=120, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    """Whoever is woken by an alert finds the page that it names, and no page is about an alert that is gone."""
    expected = {rule["alert"]: rule["annotations"]["runbook"] for rule in rules()}

    found = {
        page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# "): page for page in RUNBOOKS.glob("*.md")
    }

    assert {alert: pages.name(page) for alert, page in found.items()} == expected


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=pages.name)
def test_a_page_says_what_it_means_where_to_look_and_what_to_do(page: Path) -> None:
    """Every page has the same three parts, in the order in which they are needed at night."""
    headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)

    assert headings == HEADINGS


@pytest.mark.parametrize("page", WATCHING, ids=pages.name)
def test_a_page_names_only_series_that_exist(page: Path) -> None:
    """What a page tells to look at is there, whole or as the metric that a histogram is."""
    known = names.series() | {name.removesuffix("_bucket") for name in names.series()}

    named = names.named(page.read_text(encoding="utf-8"))

    assert named <= known


def test_rules_ask_for_series_that_exist() -> None:
    """A rule on a series that nobody has would never fire."""
    text = "\n".join(rule["expr"] for rule in rules())
    results = {name for _, name in RESULTS}

    asked = set(re.findall(r"\b([a-z_]+)(?=\{|\[| offset)", text)) - {"offset"}

    assert names.named(text) <= names.series()
    assert {name for name in asked if not name.startswith("monedero_")} <= OTHERS
    assert set(re.findall(r'result="(\w+)"', text)) <= results
    assert {each for found in re.findall(r'result=~"(\S+)"', text) for each in found.split("|")} <= results


def test_each_alert_is_seen_to_fire_and_to_keep_quiet() -> None:
    """The cases of promtool have every alert, and each of them once with and once without anything else to tell."""
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]

    fires = {each["alertname"] for case in cases for each in case["alert_rule_test"] if each.get("exp_alerts")}

    assert fires == {rule["alert"] for rule in rules()}


def test_an_alert_says_whom_it_wakes() -> None:
    """Every alert wakes a person or waits for the day, and says in one sentence what is wrong."""
    assert {rule["labels"]["severity"] for rule in rules()} == {"page", "ticket"}
    assert [rule["alert"] for rule in rules() if not rule["annotations"]["summary"].endswith(".")] == []
