import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs import pages
from tests.monitoring import names

COMPOSE = names.MONITORING / "compose.yaml"
MAIN = pages.ROOT / "compose.yaml"
PROFILE = "monitoring"


def services(file: Path = COMPOSE) -> dict[str, dict[str, Any]]:
    """Return the services of a file by name."""
    return dict(yaml.safe_load(file.read_text(encoding="utf-8"))["services"])


def serving() -> dict[str, dict[str, Any]]:
    """Return the services that serve the API."""
    return {name: each for name, each in services(MAIN).items() if each.get("command") == ["serve"]}


def scrape() -> dict[str, Any]:
    """Return how Prometheus asks our own services."""
    config = yaml.safe_load((names.MONITORING / "prometheus/prometheus.yaml").read_text(encoding="utf-8"))
    return dict(next(each for each in config["scrape_configs"] if each["job_name"] == "monedero"))


def test_the_linter_finds_nothing() -> None:
    """The file is what the specification of Compose expects, and the main one includes it."""
    linter = str(Path(sys.executable).with_name("check-jsonschema"))

    ended = subprocess.run(
        [linter, "--builtin-schema=vendor.compose-spec", str(COMPOSE)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    assert yaml.safe_load(MAIN.read_text(encoding="utf-8"))["include"] == [pages.name(COMPOSE)]


@pytest.mark.parametrize("name", services())
def test_what_watches_is_confined_and_runs_only_when_asked_for(name: str) -> None:
    """It has a profile, a read-only file system, no capability, a version, and a port on loopback only."""
    service = services()[name]

    assert service["profiles"] == [PROFILE]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert service["networks"] == ["monitoring"]


def test_what_watches_writes_nothing_of_ours() -> None:
    """Every file of this project and of the machine is mounted to be read, and it exists."""
    mounts = [text.split(":") for each in services().values() for text in each.get("volumes", []) if text[0] in "./"]

    assert {options.split(",")[0] for _, _, options in mounts} == {"ro"}
    assert [source for source, _, _ in mounts if not (names.MONITORING / source).exists()] == []


def test_every_process_is_scraped_and_answers_to_its_name() -> None:
    """Prometheus asks each process that serves, those of a profile while they run, by a name that is allowed."""
    port = {target.rpartition(":")[2] for target in scrape()["static_configs"][0]["targets"]}
    always = {target.rpartition(":")[0] for target in scrape()["static_configs"][0]["targets"]}
    (found,) = scrape()["dns_sd_configs"]

    assert always == {name for name, each in serving().items() if "profiles" not in each}
    assert set(found["names"]) == {name for name, each in serving().items() if each.get("profiles") == ["scale"]}
    assert port == {str(found["port"])} == {"8000"}
    for each in serving().values():
        assert serving().keys() <= set(each["environment"]["MONEDERO_ALLOWED_HOSTS"].split(","))
        assert "monitoring" in each["networks"]


def test_a_target_that_was_found_is_asked_by_name() -> None:
    """An address would be answered 421, since the program answers to its own names only."""
    asked, shown = scrape()["relabel_configs"]

    assert (asked["source_labels"], asked["target_label"]) == (["__meta_dns_name"], "__address__")
    assert re.sub(asked["regex"], asked["replacement"].replace("$1", r"\1"), "api-3", count=1) == "api-3:8000"
    assert (shown["source_labels"], shown["target_label"]) == (["__address__"], "instance")
