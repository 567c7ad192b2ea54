import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.plot import CHART, plot
from benchmarks.report import Comparison, Found, MissingError, VoidError
from benchmarks.suite import Sizes, suite
from tests.docs.pages import ROOT

TINY = ("--rounds=2", "--events=300", "--requests=5", "--connections=2", "--batches=1")
HARNESS_SECONDS = 120


def test_the_harness_prints_its_table_and_writes_json_and_plot(tmp_path: Path) -> None:
    """At tiny sizes, what needs no load generator runs to its end; what it found is printed, written and drawn."""
    parts = ("history", "latency", "batch")
    only = [f"--only={part}" for part in parts]

    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", f"--to={tmp_path}", *only, *TINY],
        cwd=ROOT, capture_output=True, text=True, timeout=HARNESS_SECONDS, check=False,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    found = json.loads((tmp_path / "latest.json").read_text())
    assert found["failures"] == {}
    assert set(found["took_seconds"]) == set(parts)
    assert {"Python", "SQLite", "PostgreSQL"} <= set(found["environment"])
    assert len(found["comparisons"]) == 5
    for each in found["comparisons"]:
        assert each["what"] in ended.stdout
        assert len(each["ours"]) == len(each["yardstick"]) == 2
        assert 0 < each["least"] <= each["ratio"] <= each["most"]
    assert ET.parse(tmp_path / "latest.svg").getroot().tag.endswith("svg")  # noqa: S314 - we wrote it


@pytest.mark.parametrize(
    ("ours", "at_most", "verdict"),
    [((1, 3, 8), False, "ok"), ((1, 1, 8), False, "NOT OK"), ((1, 3, 8), True, "NOT OK"), ((1, 1, 8), True, "ok")],
)
def test_the_median_of_the_rounds_ratios_is_held_against_the_target(
    ours: tuple[float, ...], at_most: bool, verdict: str
) -> None:
    """The verdict follows the middle round, at least or at most the target; one wild round changes nothing."""
    row = Comparison("debit", "/s", ours, "constant", (1, 1, 1), target=2, at_most=at_most)

    assert row.verdict == verdict


def test_a_bar_reaches_the_line_where_the_target_is_met() -> None:
    """A ratio that is the target ends at the line, one half as good half way there; without a target there is none."""
    rows = [
        Comparison("met", "/s", (2,), "1", (1,), target=2),
        Comparison("too little", "/s", (1,), "1", (1,), target=2),
        Comparison("too much", "ms", (4,), "1", (1,), target=2, at_most=True),
        Comparison("no target", "/s", (1,), "1", (1,)),
    ]

    drawn = ET.fromstring(plot(rows))  # noqa: S314 - likewise

    bars = [bar for bar in drawn.iterfind("{*}rect") if bar.get("x")]
    assert [bar.get("width") for bar in bars] == [f"{CHART / 2}", f"{CHART / 4}", f"{CHART / 4}"]
    assert not any("no target" in (text.text or "") for text in drawn.iterfind("{*}text"))


def test_a_void_part_is_named_and_a_missing_tool_only_leaves_a_part_out(tmp_path: Path) -> None:
    """The other parts are still in the table; the exit code is 1 for what is void, 0 for what is left out."""

    def good(_sizes: Sizes, _folder: Path) -> Found:
        return Found([Comparison("a row", "/s", (1,), "constant", (1,))])

    def void(_sizes: Sizes, _folder: Path) -> Found:
        raise VoidError("a request failed")

    def missing(_sizes: Sizes, _folder: Path) -> Found:
        raise MissingError("wrk is not installed")

    program = suite({"good": good, "void": void, "missing": missing}, "tried", None)

    whole = CliRunner().invoke(program, [f"--to={tmp_path}"])
    without = CliRunner().invoke(program, [f"--to={tmp_path}", "--only=good", "--only=missing"])

    assert (whole.exit_code, without.exit_code) == (1, 0)
    assert "void is VOID: a request failed" in whole.output
    assert "missing is left out: wrk is not installed" in without.output
    assert whole.output.count("a row") == without.output.count("a row") == 1
