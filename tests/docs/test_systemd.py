import shutil
import subprocess
from pathlib import Path

import pytest

from monedero.cli import COMMANDS
from monedero.cli.workers import STOP_SECONDS
from monedero.settings import Settings
from tests.docs import pages
from tests.support import PROGRAM

UNIT = pages.ROOT / "deploy/systemd/monedero.service"
INSTALLED = "/opt/monedero/.venv/bin/monedero"
EXPOSURE_LIMIT = 20
"""In tenths, from 0 for a service that may do nothing to 100 for one that may do everything."""

analyzes = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed, so nothing else reads the unit"
)


def values(name: str) -> list[str]:
    """Return what the unit says of a name, in order."""
    lines = [line for line in UNIT.read_text(encoding="utf-8").splitlines() if line and line[0] not in "#["]
    return [text for key, _, text in (line.partition("=") for line in lines) if key == name]


def installed(folder: Path) -> Path:
    """Return the unit with the program where it is here."""
    unit = folder / UNIT.name
    unit.write_text(UNIT.read_text(encoding="utf-8").replace(INSTALLED, str(PROGRAM)), encoding="utf-8")
    return unit


@analyzes
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """Systemd knows every section, name and value of the unit, and finds its commands."""
    ended = subprocess.run(
        ["systemd-analyze", "verify", installed(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@analyzes
def test_the_service_is_hardly_exposed(tmp_path: Path) -> None:
    """By systemd's own measure there is little that the service might do to the machine."""
    command = ["systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSURE_LIMIT}", "--no-pager"]

    ended = subprocess.run([*command, installed(tmp_path)], capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 0, ended.stdout.splitlines()[-1]


def test_the_unit_runs_commands_of_the_program() -> None:
    """It migrates and then serves, with commands that exist."""
    commands = [text.split() for name in ("ExecStartPre", "ExecStart") for text in values(name)]

    assert commands == [[INSTALLED, "migrate"], [INSTALLED, "serve"]]
    assert {command for _, command in commands} <= set(COMMANDS)


def test_what_was_accepted_is_finished_before_the_service_is_killed() -> None:
    """The time to stop is longer than the longest stop, and SIGTERM goes to the process that stops the others."""
    (given_seconds,) = map(int, values("TimeoutStopSec"))
    settings = Settings()

    assert given_seconds > settings.unready_seconds + settings.stop_seconds + STOP_SECONDS
    assert values("KillMode") == ["mixed"]


def test_a_service_that_fails_is_started_again_for_ever() -> None:
    """No number of failures keeps it down: the database may come back at any time."""
    assert values("Restart") == ["on-failure"]
    assert values("StartLimitIntervalSec") == ["0"]


def test_the_ledger_is_in_a_folder_of_its_own() -> None:
    """Without settings of its own the service keeps its ledger where it may write and nobody else may look."""
    (folder,) = values("StateDirectory")

    assert values("Environment") == [f"MONEDERO_DATABASE_URL=sqlite:////var/lib/{folder}/ledger.db"]
    assert values("ProtectSystem") == ["strict"]
    assert values("StateDirectoryMode") == ["0700"]
    assert not values("ReadWritePaths")
