import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs import pages

FOLDER = pages.ROOT / ".github/workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
PAGE = pages.ROOT / "docs/how-to/release-and-deploy.md"
MAKEFILE = pages.ROOT / "Makefile"
TOOLS = Path(sys.executable).parent
LINTERS = [
    ["check-jsonschema", "--builtin-schema=vendor.github-workflows", *map(str, WORKFLOWS)],
    ["zizmor", "--offline", "--no-progress", "--quiet", str(FOLDER)],
]


def workflow(file: Path) -> dict[str, Any]:
    """Return a workflow; YAML takes its key "on" for a yes."""
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")))


def jobs(file: Path) -> dict[str, dict[str, Any]]:
    """Return the jobs of a workflow by name."""
    return dict(workflow(file)["jobs"])


@pytest.mark.parametrize("command", LINTERS, ids=lambda command: command[0])
def test_a_linter_finds_nothing(command: list[str]) -> None:
    """The workflows have the form that GitHub expects, and none of the weaknesses that the linter knows."""
    environment = {**os.environ, "NO_COLOR": "1"}

    ended = subprocess.run(
        [TOOLS / command[0], *command[1:]], capture_output=True, text=True, timeout=60, check=False, env=environment
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("file", WORKFLOWS, ids=pages.name)
def test_an_action_is_one_commit(file: Path) -> None:
    """What others wrote is named by the commit that was looked at, beside the version that it is."""
    used = re.findall(r"uses: (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)

    ours = [each for each in used if each.startswith("./")]
    loose = [each for each in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)]

    assert loose == ours
    assert [each for each in ours if not (pages.ROOT / each).is_file()] == []


@pytest.mark.parametrize("file", WORKFLOWS, ids=pages.name)
def test_a_job_may_no_more_than_it_needs(file: Path) -> None:
    """By default nothing but reading is allowed, and only who pushes images or makes releases writes."""
    allowed = {
        (name, right)
        for name, job in jobs(file).items()
        for right, level in job.get("permissions", {}).items()
        if level == "write"
    }

    assert workflow(file)["permissions"] in ({}, {"contents": "read"})
    assert allowed <= {
        ("image", "packages"),
        ("image", "attestations"),
        ("image", "id-token"),
        ("release", "contents"),
    }


@pytest.mark.parametrize("name", ["main.yml", "release.yml"])
def test_nothing_is_published_that_was_not_checked(name: str) -> None:
    """The image needs the check, and whatever comes after needs the image."""
    needs = {job: each.get("needs") for job, each in jobs(FOLDER / name).items()}

    last = next(job for job in needs if job not in {"check", "image"})

    assert needs == {"check": None, "image": "check", last: "image"}


@pytest.mark.parametrize("file", WORKFLOWS, ids=pages.name)
def test_every_job_has_an_end(file: Path) -> None:
    """A job that hangs is ended, and those that call another workflow leave it to that one."""
    assert [name for name, job in jobs(file).items() if ("uses" in job) == ("timeout-minutes" in job)] == []


def test_the_page_names_every_secret_and_variable() -> None:
    """Whoever sets the deployment up finds each of them on the page, and no others."""
    text = "".join(file.read_text(encoding="utf-8") for file in WORKFLOWS)
    read = set(re.findall(r"(?:secrets|vars)\.([A-Z_]+)", text)) - {"GITHUB_TOKEN"}

    assert {cells[0].strip("`") for cells in pages.table(PAGE, "name")} == read


def test_the_check_runs_what_a_contributor_runs() -> None:
    """Every `make` of the workflow is a target."""
    targets = set(re.findall(r"^([a-z]+):.*##", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE))
    runs = [step["run"] for job in jobs(FOLDER / "check.yml").values() for step in job["steps"] if "run" in step]

    made = {text.removeprefix("make ") for text in runs if text.startswith("make ")}

    assert made == {"check", "postman"}
    assert made <= targets
