import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from monedero import __version__
from monedero.cli.workers import STOP_SECONDS
from monedero.settings import PREFIX, Settings
from tests.docs import pages
from tests.support import Service

FOLDER = pages.ROOT / "deploy/kubernetes"
KUSTOMIZE = ["kustomize", "build"] if shutil.which("kustomize") else ["kubectl", "kustomize"]
APPLIED = ["base", "migrate", "overlays/linkerd"]
FILES = sorted(FOLDER.rglob("*.yaml"))
OLDEST, NEWEST = "1.30", "1.37"
GATEWAY = "gateway.networking.k8s.io/v1"
NOT_APPLIED_ALONE = {"kustomization.yaml", "annotations.yaml"}

renders = pytest.mark.skipif(
    shutil.which(KUSTOMIZE[0]) is None, reason="neither kustomize nor kubectl is installed, so nothing can be rendered"
)


def documents(file: Path) -> list[Any]:
    """Return the YAML documents of a file."""
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def resources() -> Iterator[dict[str, Any]]:
    """Return every resource as it stands in its file; patches are none."""
    for file in FILES:
        if file.name not in NOT_APPLIED_ALONE:
            yield from (each for each in documents(file) if isinstance(each, dict))


def one(kind: str) -> dict[str, Any]:
    """Return the only resource of a kind."""
    (found,) = [each for each in resources() if each["kind"] == kind]
    return found


def rendered(folder: str) -> list[dict[str, Any]]:
    """Return what would be sent to the cluster."""
    ended = subprocess.run([*KUSTOMIZE, str(FOLDER / folder)], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return list(yaml.safe_load_all(ended.stdout))


def pods() -> dict[str, dict[str, Any]]:
    """Return what describes the pods, by the kind of what makes them."""
    return {kind: one(kind)["spec"]["template"]["spec"] for kind in ("Deployment", "Job")}


def settings_of(file: Path) -> dict[str, str]:
    """Return the settings of a file of them."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return {name: text for name, _, text in (line.partition("=") for line in lines)}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_each_manifest_is_what_the_cluster_expects(version: str) -> None:
    """Every resource has the fields of its kind and no others, in the oldest and the newest version meant."""
    own = [each for each in resources() if each["apiVersion"] != GATEWAY]

    versions = {kubernetes_validate.validate(each, version, strict=True) for each in own}

    assert versions == {version}
    assert len(own) == 7


@renders
@pytest.mark.parametrize("folder", APPLIED)
def test_what_is_applied_is_what_the_cluster_expects(folder: str) -> None:
    """What kustomize makes of a folder is valid too, down to the fields that a patch adds."""
    sent = [each for each in rendered(folder) if each["apiVersion"] != GATEWAY]

    assert {kubernetes_validate.validate(each, NEWEST, strict=True) for each in sent} == {NEWEST}
    assert {each["metadata"].get("namespace", "monedero") for each in sent} == {"monedero"}


@renders
@pytest.mark.parametrize("folder", ["base", "overlays/linkerd"])
def test_the_callers_need_one_label_only(folder: str) -> None:
    """Nothing that kustomize adds to our own pods is asked of those who call them."""
    (policy,) = [each for each in rendered(folder) if each["kind"] == "NetworkPolicy"]

    callers = [each["podSelector"] for each in policy["spec"]["ingress"][0]["from"] if "podSelector" in each]

    assert callers == [{"matchLabels": {"monedero-caller": "true"}}]


@renders
def test_a_changed_setting_replaces_the_pods() -> None:
    """The name of the settings says what is in them, and the pods ask for them by that name."""
    sent = rendered("base")
    (given,) = [each["metadata"]["name"] for each in sent if each["kind"] == "ConfigMap"]
    (deployment,) = [each for each in sent if each["kind"] == "Deployment"]

    (container,) = deployment["spec"]["template"]["spec"]["containers"]

    assert re.fullmatch(r"monedero-settings-[a-z0-9]{10}", given)
    assert container["envFrom"] == [{"configMapRef": {"name": given}}]


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_a_pod_may_nothing(kind: str) -> None:
    """A pod is no root, writes only to memory, gets no more rights, and cannot ask the cluster anything."""
    pod = pods()[kind]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == "10001:10001"
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [volume["emptyDir"]["medium"] for volume in pod["volumes"]] == ["Memory"]
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_what_the_cluster_calls_the_service_is_no_setting(kind: str) -> None:
    """MONEDERO_PORT and its like, which Kubernetes sets for a Service of that name, would stop the program."""
    assert one("Service")["metadata"]["name"].upper() + "_" == PREFIX
    assert pods()[kind]["enableServiceLinks"] is False


def test_what_was_accepted_is_finished_before_the_pod_is_killed() -> None:
    """The grace is longer than requests are still taken and the longest stop together."""
    unready_seconds = float(settings_of(FOLDER / "settings/monedero.env")["MONEDERO_UNREADY_SECONDS"])
    longest_seconds = unready_seconds + Settings().stop_seconds + STOP_SECONDS

    assert unready_seconds >= 5, "until every node has heard that the pod is gone"
    assert pods()["Deployment"]["terminationGracePeriodSeconds"] > longest_seconds


def test_probes_ask_for_what_the_program_serves(tmp_path: Path) -> None:
    """Each probe's page is there and says that a healthy service is well, under the Host that the probe gives."""
    (container,) = pods()["Deployment"]["containers"]
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}

    with Service(tmp_path / "ledger.db") as service, service.client() as client:
        answers = {
            kind: client.get(probe["path"], headers={each["name"]: each["value"] for each in probe["httpHeaders"]})
            for kind, probe in probes.items()
        }

    assert {kind: answer.status_code for kind, answer in answers.items()} == dict.fromkeys(probes, 200)
    assert len({probe["path"] for probe in probes.values()}) == 3


def test_a_failover_takes_no_pod_out_of_the_service() -> None:
    """While the primary changes, writes wait for it in the pods: they must not all be called unready first."""
    probe = pods()["Deployment"]["containers"][0]["readinessProbe"]

    assert probe["periodSeconds"] * (probe["failureThreshold"] - 1) >= Settings().reconnect_seconds


def test_settings_are_real_and_can_be_used() -> None:
    """Every setting that a pod gets is one of the program's, with a value that it takes."""
    known = {PREFIX + name.upper(): name for name in Settings.model_fields}
    (container,) = pods()["Deployment"]["containers"]
    own = {each["name"]: each["value"] for each in container["env"] if each["name"].startswith(PREFIX)}
    given = {**settings_of(FOLDER / "settings/monedero.env"), **own}

    settings = Settings.model_validate({known[name]: text for name, text in given.items()})

    assert settings.port == container["ports"][0]["containerPort"]
    assert "localhost" in settings.hosts
    assert "*" not in settings.hosts


def test_the_pods_ask_for_what_no_manifest_fills() -> None:
    """The password comes from a Secret that is named and is in no file: applying these never overwrites it."""
    asked = {
        (each["valueFrom"]["secretKeyRef"]["name"], each["valueFrom"]["secretKeyRef"]["key"])
        for pod in pods().values()
        for each in pod["containers"][0]["env"]
        if each["name"] == "PGPASSWORD"
    }

    assert asked == {("monedero-database", "password")}
    assert "Secret" not in {each["kind"] for each in resources()}


@pytest.mark.parametrize("folder", ["base", "migrate"])
def test_the_image_is_this_release(folder: str) -> None:
    """The pods and the migration run the version that this folder belongs to."""
    (kustomization,) = documents(FOLDER / folder / "kustomization.yaml")

    assert [(each["name"], each["newTag"]) for each in kustomization["images"]] == [("monedero", __version__)]
    assert {pod["containers"][0]["image"] for pod in pods().values()} == {"monedero"}


def test_selectors_find_the_pods() -> None:
    """The Service, the budget and the policy select by labels that kustomize gives the pods."""
    (kustomization,) = documents(FOLDER / "base/kustomization.yaml")
    (given,) = kustomization["labels"]
    selectors = [
        one("Service")["spec"]["selector"],
        *(one(kind)["spec"]["selector"]["matchLabels"] for kind in ("Deployment", "PodDisruptionBudget")),
        one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]

    assert given["includeTemplates"] is True
    assert [selector for selector in selectors if not selector.items() <= given["pairs"].items()] == []


def test_the_mesh_tries_only_reads_again() -> None:
    """A route with retries takes GET and HEAD and nothing else; the route of all the rest has none."""
    routes = [each for each in resources() if each["apiVersion"] == GATEWAY]
    port = one("Service")["spec"]["ports"][0]["port"]
    service = {"name": "monedero", "port": port}
    methods = {}
    for route in routes:
        assert route["spec"]["parentRefs"] == [{"group": "", "kind": "Service", **service}]
        (rule,) = route["spec"]["rules"]
        assert rule["backendRefs"] == [service]
        retried = any(name.startswith("retry.") for name in route["metadata"]["annotations"])
        methods[retried] = [match["method"] for match in rule.get("matches", [])]

    assert methods == {True: ["GET", "HEAD"], False: []}


def test_the_mesh_waits_longer_than_the_program() -> None:
    """Only the program can say what became of a write, so that it gives up on its database first."""
    (writes,) = [each for each in resources() if each["metadata"]["name"] == "monedero-writes"]
    settings = Settings()

    waits_seconds = int(writes["metadata"]["annotations"]["timeout.linkerd.io/request"].removesuffix("s"))

    assert waits_seconds > 2 * settings.reconnect_seconds + settings.statement_timeout_seconds


def test_the_proxy_outlives_the_program() -> None:
    """The mesh's proxy is a native sidecar, beside which its own wait must not be set."""
    (patch,) = documents(FOLDER / "overlays/linkerd/annotations.yaml")

    annotations = patch["spec"]["template"]["metadata"]["annotations"]

    assert annotations["linkerd.io/inject"] == "enabled"
    assert annotations["config.beta.linkerd.io/proxy-enable-native-sidecar"] == "true"
    assert not [name for name in annotations if name.endswith("proxy-wait-before-exit-seconds")]
