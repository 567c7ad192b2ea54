import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs import pages

SCRIPTS = pages.ROOT / "deploy/compose"
REGISTRY = "ghcr.io/somebody/monedero"
FIRST, SECOND, BAD = (f"{REGISTRY}@sha256:{digit * 64}" for digit in "123")

# Stands for Docker, of which there is none in the tests: it knows images, notes what it is asked, and cannot bring up
# the one that is bad.
DOCKER = f"""#!/bin/sh
echo "$*" >> calls
case "$*" in
  "image inspect"*) exit 1 ;;
  "pull --quiet {BAD}") test ! -e bad-is-missing ;;
  "tag "*) echo "$2" > tagged ;;
  "compose config --services") printf 'postgres\\napi-2\\nbalancer\\napi-1\\nmigrate\\n' ;;
  "compose up"*) test "$(cat tagged)" != {BAD} ;;
esac
"""

Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Run a script of a host that has nothing but these files and a Docker."""
    home, programs = tmp_path / "deploy/compose", tmp_path / "bin"
    home.mkdir(parents=True)
    programs.mkdir()
    for each in ("deploy.sh", "rollback.sh"):
        shutil.copy(SCRIPTS / each, home)
    (programs / "docker").write_text(DOCKER, encoding="utf-8")
    (programs / "docker").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

    def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "calls").unlink(missing_ok=True)
        return subprocess.run(
            [home / name, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment
        )

    return run


def test_processes_are_replaced_one_after_another(script: Script, tmp_path: Path) -> None:
    """A deployment pulls the image, gives it the name that the services use, and waits for each process in turn."""
    ended = script("deploy.sh", FIRST)

    up = "compose up --detach --no-build --wait --wait-timeout 300"
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "calls").read_text(encoding="utf-8").splitlines() == [
        f"image inspect {FIRST}",
        f"pull --quiet {FIRST}",
        f"tag {FIRST} monedero:local",
        "compose config --services",
        f"{up} api-1",
        f"{up} api-2",
        f"{up} --remove-orphans",
    ]


def test_one_command_goes_back(script: Script, tmp_path: Path) -> None:
    """After a second deployment, a rollback runs the first image again, and another one the second."""
    deployed = [script("deploy.sh", image).returncode for image in (FIRST, SECOND)]

    back = script("rollback.sh")
    then = (tmp_path / "tagged").read_text(encoding="utf-8").strip()
    forth = script("rollback.sh")

    assert (deployed, back.returncode, forth.returncode) == ([0, 0], 0, 0)
    assert (back.stdout, forth.stdout) == (f"{FIRST} serves\n", f"{SECOND} serves\n")
    assert then == FIRST


def test_an_image_deployed_twice_does_not_hide_the_one_before(script: Script) -> None:
    """The way back leads to the image before, however often the current one was deployed."""
    for image in (FIRST, SECOND, SECOND):
        assert script("deploy.sh", image).returncode == 0

    back = script("rollback.sh")

    assert back.stdout == f"{FIRST} serves\n"


@pytest.mark.parametrize("missing", [False, True], ids=["does not start", "is not there"])
def test_an_image_that_does_not_come_up_is_taken_back(missing: bool, script: Script, tmp_path: Path) -> None:
    """The image before serves again, the deployment fails, and what a rollback leads to is unchanged."""
    if missing:
        (tmp_path / "bad-is-missing").touch()
    for image in (FIRST, SECOND):
        assert script("deploy.sh", image).returncode == 0

    failed = script("deploy.sh", BAD)
    calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    serving = (tmp_path / "tagged").read_text(encoding="utf-8").strip()
    back = script("rollback.sh")

    assert failed.returncode == 1
    assert f"back to {SECOND}" in failed.stderr
    assert serving == SECOND
    assert (f"tag {BAD} monedero:local" in calls) is not missing
    assert len([call for call in calls if call.endswith(" api-2")]) == 1, "only the image before reaches the second"
    assert back.stdout == f"{FIRST} serves\n"


def test_a_first_deployment_has_nothing_to_go_back_to(script: Script) -> None:
    """A rollback before there were two images says so, and so does a first image that does not come up."""
    nothing = script("rollback.sh")
    failed = script("deploy.sh", BAD)

    assert (nothing.returncode, nothing.stderr) == (1, "no image ran before this one\n")
    assert (failed.returncode, failed.stderr) == (1, f"{BAD} does not come up\n")


@pytest.mark.parametrize("image", [f"{REGISTRY}:main", f"{REGISTRY}@sha256:12", f"{FIRST}; reboot"])
def test_only_an_image_with_a_digest_is_run(image: str, script: Script, tmp_path: Path) -> None:
    """A tag may mean another image tomorrow, and then the way back leads nowhere."""
    ended = script("deploy.sh", image)

    assert ended.returncode == 2
    assert not (tmp_path / "calls").exists()
