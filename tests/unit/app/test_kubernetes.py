"""What examples/kubernetes starts may do no more than compose.yaml does, and fits the app."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.requests import Request

from app.api.health import Health
from app.api.metrics import PROBES, Metrics
from app.settings import PREFIX, Settings, secret_fields
from tests.doc_blocks import parse

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "examples" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))
VALUES = {
    name: yaml.safe_load((FOLDER / f"{name}-values.yaml").read_text("utf-8"))
    for name in ("qdrant", "vllm")
}
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text("utf-8"))
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
OBJECTS: list[dict[str, Any]] = [
    each
    for file in FILES
    if file.name != "kustomization.yaml" and not file.name.endswith("-values.yaml")
    for each in yaml.safe_load_all(file.read_text("utf-8"))
]
NOT_APPLIED_TOGETHER = {"secrets.yaml", "index.yaml", "autoscale.yaml"}


def named(kind: str, name: str = "kbvqa") -> dict[str, Any]:
    """Return the one object of a kind and name."""
    [found] = [o for o in OBJECTS if o["kind"] == kind and o["metadata"]["name"] == name]
    return found


PODS: dict[str, dict[str, Any]] = {
    "app": named("Deployment")["spec"]["template"],
    "index": named("Job", "kbvqa-index")["spec"]["template"],
}
CONTAINERS: dict[str, dict[str, Any]] = {
    name: pod["spec"]["containers"][0] for name, pod in PODS.items()
}
pods = pytest.mark.parametrize("name", PODS)

# As containers may do no more: of ours, and of those that the charts start.
CONTAINED = {
    **{name: container["securityContext"] for name, container in CONTAINERS.items()},
    "qdrant": VALUES["qdrant"]["containerSecurityContext"],
    "engine": VALUES["vllm"]["servingEngineSpec"]["containerSecurityContext"],
    "router": VALUES["vllm"]["routerSpec"]["containerSecurityContext"],
}
OF_PODS = {
    **{name: pod["spec"]["securityContext"] for name, pod in PODS.items()},
    "qdrant": VALUES["qdrant"]["podSecurityContext"] | CONTAINED["qdrant"],
    "engine": VALUES["vllm"]["servingEngineSpec"]["securityContext"],
    "router": VALUES["vllm"]["routerSpec"]["securityContext"],
}


@pytest.mark.parametrize("name", CONTAINED)
def test_every_container_may_do_little(name: str) -> None:
    contained = CONTAINED[name]
    assert contained["readOnlyRootFilesystem"] is True
    assert contained["allowPrivilegeEscalation"] is False
    assert contained["capabilities"] == {"drop": ["ALL"]}
    assert not contained.get("privileged")
    assert OF_PODS[name]["runAsNonRoot"] is True and OF_PODS[name]["runAsUser"] > 0
    assert OF_PODS[name]["seccompProfile"] == {"type": "RuntimeDefault"}


@pods
def test_pods_see_nothing_of_the_cluster_or_the_node(name: str) -> None:
    spec = PODS[name]["spec"]
    assert spec["automountServiceAccountToken"] is False
    # Else the Service sets KBVQA_PORT, and an unknown KBVQA_SERVICE_HOST, for every container.
    assert spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"} & set(spec)
    assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} <= {
        *("emptyDir", "persistentVolumeClaim", "secret"),
    }
    assert len(spec["containers"]) == 1 and "initContainers" not in spec
    level = named("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert level == "restricted"


@pods
def test_the_user_and_where_it_writes_are_those_of_the_image(name: str) -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8")
    (uid,) = re.findall(r"useradd --uid (\d+)", image)
    context = PODS[name]["spec"]["securityContext"]
    assert {context[who] for who in ("runAsUser", "runAsGroup", "fsGroup")} == {int(uid)}
    writes = {m["mountPath"] for m in CONTAINERS[name]["volumeMounts"] if not m.get("readOnly")}
    (home,) = re.findall(r"KBVQA_HOME=(\S+)", image)
    assert writes == {home, "/tmp"}
    mounted = {mount["name"] for mount in CONTAINERS[name]["volumeMounts"]}
    assert mounted == {volume["name"] for volume in PODS[name]["spec"]["volumes"]}


@pods
def test_memory_cores_and_disk_have_limits(name: str) -> None:
    resources = CONTAINERS[name]["resources"]
    for given in (resources["requests"], resources["limits"]):
        assert set(given) == {"cpu", "memory", "ephemeral-storage"}
    scratch = [v["emptyDir"] for v in PODS[name]["spec"]["volumes"] if "emptyDir" in v]
    assert len(scratch) == 2 and all(volume["sizeLimit"] for volume in scratch)


def test_uploads_never_reach_a_disk_and_fit_into_the_memory() -> None:
    volumes = {volume["name"]: volume for volume in PODS["app"]["spec"]["volumes"]}
    assert volumes["tmp"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
    assert CONTAINERS["app"]["resources"]["limits"]["memory"] == "4Gi"


def test_probes_ask_what_the_app_answers() -> None:
    app = CONTAINERS["app"]
    [port] = app["ports"]
    known = {route.path for route in Health({}).routes().routes}  # type: ignore[attr-defined]
    asked = {probe: app[probe]["httpGet"] for probe in app if probe.endswith("Probe")}
    assert {probe: get["path"] for probe, get in asked.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",  # what is away does not come back by a restart
        "readinessProbe": "/readyz",
    }
    assert all(get["path"] in known and get["port"] == port["name"] for get in asked.values())
    assert port["containerPort"] == int(app["args"][app["args"].index("--port") + 1])
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        assert VALUES["qdrant"][name]["enabled"] is True


def test_answers_under_way_are_finished() -> None:
    spec = PODS["app"]["spec"]
    [sleep] = CONTAINERS["app"]["lifecycle"]["preStop"]["exec"]["command"][1:]
    assert spec["terminationGracePeriodSeconds"] > Settings().stop_seconds + int(sleep) + 3


@pods
def test_what_is_run_exists(name: str) -> None:
    arguments = CONTAINERS[name]["args"]
    parse([argument.replace("/files/passages.jsonl", __file__) for argument in arguments])


@pods
def test_every_setting_named_exists(name: str) -> None:
    known = {f"{PREFIX}{field}".upper() for field in Settings.model_fields}
    files = {f"{PREFIX}{field}_FILE".upper() for field in secret_fields()}
    assert {variable["name"] for variable in CONTAINERS[name]["env"]} <= known | files
    assert CONTAINERS[name]["envFrom"] == [{"configMapRef": {"name": "kbvqa"}}]
    text = (FOLDER / "settings.yaml").read_text("utf-8")
    assert set(re.findall(rf"\b{PREFIX}[A-Z_]+", text)) <= known
    Settings(**{k.removeprefix(PREFIX).lower(): v for k, v in named("ConfigMap")["data"].items()})


@pods
def test_keys_are_files_of_which_each_container_has_its_own(name: str) -> None:
    secret = named("Secret", "kbvqa-keys")
    volumes = {volume["name"]: volume for volume in PODS[name]["spec"]["volumes"]}
    handed = {item["key"] for item in volumes["keys"]["secret"]["items"]}
    for variable in CONTAINERS[name]["env"]:
        if re.search("KEY|TOKEN|SECRET|PASSWORD", variable["name"]):
            folder, _, key = variable["value"].rpartition("/")
            assert (folder, variable["name"][-5:]) == ("/run/secrets/kbvqa", "_FILE")
            assert key in handed
    assert (
        handed
        == {
            "app": {"users", "generator", "index-reads"},
            "index": {"index-writes"},
        }[name]
    )
    assert handed <= set(secret["stringData"])
    assert volumes["keys"]["secret"]["defaultMode"] == 0o440


def test_no_secret_has_a_literal_value() -> None:
    assert set(named("Secret", "kbvqa-keys")["stringData"].values()) == {""}
    keys = {"apiKey": "index-writes", "readOnlyApiKey": "index-reads"}
    for field, key in keys.items():
        reference = VALUES["qdrant"][field]["valueFrom"]["secretKeyRef"]
        assert reference == {"name": "kbvqa-keys", "key": key}
    reference = VALUES["vllm"]["servingEngineSpec"]["vllmApiKey"]
    assert reference == {"secretName": "kbvqa-keys", "secretKey": "generator"}
    shown = str([named("ConfigMap"), *(c["args"] for c in CONTAINERS.values())])
    assert not re.search("KEY|TOKEN|SECRET|PASSWORD", shown)


def test_images_are_pinned_to_the_versions_of_compose() -> None:
    [ours] = KUSTOMIZATION["images"]
    name, _, tag = CONTAINERS["app"]["image"].partition(":")
    assert (name, tag) == (ours["name"], ours["newTag"])
    assert CONTAINERS["index"]["image"] == f"{ours['newName']}:{ours['newTag']}"
    assert SERVICES["app"]["image"].startswith(f"kbvqa:{tag.partition('-')[0]}-")
    image = VALUES["qdrant"]["image"]
    assert image["useUnprivilegedImage"] is True
    assert SERVICES["qdrant"]["image"] == f"qdrant/qdrant:{image['tag']}-unprivileged"
    [model] = VALUES["vllm"]["servingEngineSpec"]["modelSpec"]
    assert SERVICES["vllm"]["image"] == f"{model['repository']}:{model['tag']}"
    assert re.fullmatch(r"v\d+\.\d+\.\d+", VALUES["vllm"]["routerSpec"]["tag"])
    for file in FILES:
        assert not re.search(r"\blatest\b|Always", file.read_text("utf-8")), file.name


def test_the_parts_find_each_other() -> None:
    settings = named("ConfigMap")["data"]
    [model] = VALUES["vllm"]["servingEngineSpec"]["modelSpec"]
    assert settings["KBVQA_GENERATOR_MODEL"] == model["modelURL"]
    assert settings["KBVQA_GENERATOR_URL"] == "http://vllm-router-service/v1"
    assert settings["KBVQA_INDEX"].startswith("http://qdrant:6333/")
    labels = PODS["app"]["metadata"]["labels"]
    for found in (
        named("Deployment")["spec"]["selector"]["matchLabels"],
        named("Service")["spec"]["selector"],
        named("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        named("PodMonitor")["spec"]["selector"]["matchLabels"],
        named("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert found == labels
    assert named("Service")["spec"]["type"] == "ClusterIP"
    assert named("Service")["spec"]["sessionAffinity"] == "ClientIP"
    [claim] = [o for o in OBJECTS if o["kind"] == "PersistentVolumeClaim"]
    for pod in PODS.values():
        [files] = [v for v in pod["spec"]["volumes"] if "persistentVolumeClaim" in v]
        used = files["persistentVolumeClaim"]
        assert used == {"claimName": claim["metadata"]["name"], "readOnly": True}


def test_the_index_server_reaches_nothing_outside_and_nobody_else_reaches_it() -> None:
    nobody = named("NetworkPolicy", "nobody")["spec"]
    assert nobody == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    qdrant = named("NetworkPolicy", "qdrant")["spec"]
    itself = [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "qdrant"}}}]
    assert qdrant["egress"] == [{"to": itself}]
    ours, nodes = qdrant["ingress"]
    assert nodes == {"from": itself}
    assert ours["from"][0]["podSelector"]["matchExpressions"][0]["values"] == [
        PODS[name]["metadata"]["labels"]["app.kubernetes.io/name"] for name in PODS
    ]


def test_the_app_reaches_the_index_and_the_generator_alone() -> None:
    policy = named("NetworkPolicy")["spec"]
    reached = [
        rule["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
        for rule in policy["egress"]
    ]
    assert reached == ["qdrant", "router"]
    assert all(len(rule["to"]) == 1 and rule["ports"] for rule in policy["egress"])
    [rule] = policy["ingress"]
    assert all("namespaceSelector" in source for source in rule["from"])
    assert rule["ports"] == [{"protocol": "TCP", "port": 7860}]


def test_more_apps_are_started_by_figures_that_the_app_has() -> None:
    counted = Metrics().response(Request({"type": "http", "headers": []})).body.decode()
    families = set(re.findall(r"^# TYPE (\S+) gauge", counted, re.MULTILINE))
    scaler = named("HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"]["kind"] == "Deployment" and scaler["minReplicas"] >= 2
    assert "replicas" not in named("Deployment")["spec"], "each apply would undo it"
    figures = [metric["pods"]["metric"]["name"] for metric in scaler["metrics"]]
    assert figures and set(figures) <= families
    [scraped] = named("PodMonitor")["spec"]["podMetricsEndpoints"]
    assert scraped["path"] in PROBES
    credentials = scraped["authorization"]["credentials"]
    assert credentials["key"] in named("Secret", credentials["name"])["stringData"]


def test_every_file_is_applied() -> None:
    together = set(KUSTOMIZATION["resources"])
    manifests = {file.name for file in FILES} - {f"{name}-values.yaml" for name in VALUES}
    assert together | NOT_APPLIED_TOGETHER | {"kustomization.yaml"} == manifests
    page = (ROOT / "docs" / "guide" / "scale.md").read_text("utf-8")
    for name in NOT_APPLIED_TOGETHER | {f"{name}-values.yaml" for name in VALUES}:
        assert f"examples/kubernetes/{name}" in page


def test_all_that_users_said_is_fetched_from_a_pod_that_goes() -> None:
    page = (ROOT / "docs" / "guide" / "scale.md").read_text("utf-8")
    [command] = re.findall(r"exec POD -- kbvqa feedback (.+)", page)
    how, file = command.split()
    assert how == "copy" and f"cp POD:{file} " in page  # an export leaves out what is no example


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kubectl_makes_of_them_what_is_meant() -> None:
    run = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    made = list(yaml.safe_load_all(run.stdout))
    assert {o["metadata"].get("namespace", "kbvqa") for o in made} == {"kbvqa"}
    [app] = [o for o in made if o["kind"] == "Deployment"]
    image = app["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == CONTAINERS["index"]["image"]
