"""compose.yaml agrees with the settings, and its containers may do no more than they should."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.requests import Request

from app.api import metrics
from app.api.metrics import Metrics
from app.settings import PREFIX, Settings, secret_fields
from corpus.pictures.images import MAX_IMAGE_BYTES
from retriever.index.watching import RecallWatch

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SERVERS = ("app", "qdrant", "vllm", "prometheus", "grafana")
JOBS = ("index", "model")
DEPLOY = (ROOT / "docs" / "guide" / "deploy.md").read_text(encoding="utf-8")
MONITORING = ROOT / "examples" / "monitoring"


def test_the_page_says_what_is_lost_with_the_volume_of_the_app() -> None:
    home = str(SERVICES["app"]["volumes"])
    inside = Settings(home=Path("/var/lib/kbvqa"))
    assert "home:/var/lib/kbvqa" in home and inside.feedback_path.parent == inside.home
    [state] = re.findall(r"\*\*State\.\*\*(?:.+\n)+?(?=- )", DEPLOY)
    assert inside.feedback_path.name in state and "datasets" in state


def test_the_heading_says_what_makes_the_app_search_the_server() -> None:
    heading = TEXT[: TEXT.index("x-contained")]
    [built] = re.findall(r"index build \S+ --index (\S+)", heading)
    assert f"KBVQA_INDEX={built}" in heading and "KBVQA_INDEX" in SERVICES["app"]["environment"]


def test_servers_are_started_again_and_have_a_health_check_and_jobs_end() -> None:
    assert set(SERVICES) == {*SERVERS, *JOBS}
    assert {name for name in SERVICES if "restart" in SERVICES[name]} == set(SERVERS)
    assert {name for name in SERVICES if "healthcheck" in SERVICES[name]} == set(SERVERS)


@pytest.mark.parametrize("name", SERVERS)
def test_a_health_check_waits_for_the_start_and_asks_for_an_answer(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert re.search("127.0.0.1[:/]", str(check["test"]))
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] and service["init"] is True
    assert service["logging"]["options"]["max-size"] and service["logging"]["options"]["max-file"]
    assert not {"privileged", "network_mode", "pid", "ipc", "userns_mode"} & set(service)


@pytest.mark.parametrize("name", SERVICES)
def test_memory_has_a_limit(name: str) -> None:
    assert re.fullmatch(r"(\$\{[A-Z]+_MEMORY:-)?\d+g\}?", SERVICES[name]["mem_limit"])


def test_the_page_is_not_restarted_in_vain_and_its_health_is_the_generators_too() -> None:
    page = SERVICES["app"]
    assert page["restart"] == "on-failure"  # which stops at 0 alone
    assert page["command"][-2:] == ["--in-vain", "0"]
    assert "/readyz" in str(page["healthcheck"]["test"])


def test_uploads_cannot_fill_the_memory() -> None:
    (mount,) = SERVICES["app"]["tmpfs"]
    assert re.match(r"/tmp:size=\$\{UPLOADS:-\d+[mg]\}", mount)


def test_only_the_page_is_published_and_on_this_machine() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {
        "app": ["${KBVQA_HOST:-127.0.0.1}:${KBVQA_PORT:-7860}:7860"],
        "grafana": ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"],  # where it is asked for
    }


def test_the_index_server_and_the_generator_reach_nothing_outside() -> None:
    networks = COMPOSE["networks"]
    assert {name for name, network in networks.items() if network} == {"index", "generator"}
    assert all(networks[name] == {"internal": True} for name in ("index", "generator"))
    assert SERVICES["qdrant"]["networks"] == ["index"]
    assert SERVICES["vllm"]["networks"] == ["generator"]
    assert set(SERVICES["app"]["networks"]) == {"default", "index", "generator"}


def test_a_model_is_downloaded_by_a_job_that_has_no_key_and_ends() -> None:
    model, vllm = SERVICES["model"], SERVICES["vllm"]
    assert model["image"] == vllm["image"] and model["volumes"] == vllm["volumes"]
    assert model["command"][0] == vllm["command"][1], "what is downloaded is what is served"
    assert "secrets" not in model and "restart" not in model
    assert vllm["depends_on"] == {"model": {"condition": "service_completed_successfully"}}
    assert vllm["environment"]["HF_HUB_OFFLINE"] == "1"


@pytest.mark.parametrize("name", ["model", "vllm"])
def test_vllm_and_the_download_are_not_root_and_write_to_their_volume_alone(name: str) -> None:
    # vLLM's image starts as root; its other user is 2000:0, whose home is /home/vllm.
    service = SERVICES[name]
    assert service["user"] == "2000:0"
    assert service["volumes"] == ["huggingface:/home/vllm"]
    assert not {"HOME", "HF_HOME"} & set(service["environment"])


def test_files_that_settings_name_can_be_mounted() -> None:
    assert "${FILES:-files}:/files:ro" in SERVICES["app"]["volumes"]
    assert "files" in COMPOSE["volumes"]  # where FILES is not set
    paths = [name for name, field in Settings.model_fields.items() if "Path" in str(field)]
    for name in {*paths, "checkpoint", "reader"} - {"home"}:
        variable = f"{PREFIX}{name}".upper()
        assert SERVICES["app"]["environment"][variable] is None
        assert f"{variable}=/files/" in DEPLOY, variable


@pytest.mark.parametrize("name", ["app", "index", "model"])
def test_what_reaches_outside_is_told_the_proxies(name: str) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "HF_TOKEN"):
        assert SERVICES[name]["environment"][variable] is None  # from .env


def test_the_proxy_in_front_can_be_believed_and_lets_through_what_the_page_and_the_api_take() -> (
    None
):
    assert SERVICES["app"]["environment"]["FORWARDED_ALLOW_IPS"] is None
    nginx = (ROOT / "examples" / "nginx.conf").read_text(encoding="utf-8")
    (most,) = re.findall(r"client_max_body_size (\d+)m;", nginx)
    assert int(most) << 20 >= MAX_IMAGE_BYTES * 4 / 3 + (2 << 20)  # and the fields
    (burst,) = re.findall(r"burst=(\d+) nodelay", nginx)
    assert int(burst) >= 200  # a page that is opened is some 80 requests


def test_no_website_asks_the_page_through_a_browser_but_its_own_proxy_may() -> None:
    listed = str(SERVICES["app"]["environment"]["KBVQA_ALLOWED_HOSTS"])
    given = "${KBVQA_ALLOWED_HOSTS:-}"
    assert Settings(host="0.0.0.0", allowed_hosts=listed.replace(given, "")).host_names == ("app",)
    nginx = (ROOT / "examples" / "nginx.conf").read_text(encoding="utf-8")
    (name,) = re.findall(r"KBVQA_ALLOWED_HOSTS=(\S+)\.", nginx)
    assert f"server_name {name};" in nginx
    settings = Settings(host="0.0.0.0", allowed_hosts=listed.replace(given, name))
    assert settings.host_names == ("app", name)
    targets = (MONITORING / "prometheus.yml").read_text(encoding="utf-8")
    assert 'targets: ["app:7860"]' in targets


def test_one_variable_chooses_the_build_of_torch() -> None:
    build = SERVICES["app"]["build"]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for argument in build["args"]:
        assert re.search(rf"^ARG {argument}\b", dockerfile, re.MULTILINE)
    assert build["args"]["TORCH"] == "${TORCH:-auto}"
    assert "http" not in str(build["args"]) and "http" not in dockerfile
    gpu = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text(encoding="utf-8"))["services"]
    assert set(gpu) == {"app", "index"}
    for service in gpu.values():
        assert service["build"]["args"]["TORCH"] == "cuda"
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]


@pytest.mark.parametrize("name", ["app", "index"])
def test_every_setting_named_exists(name: str) -> None:
    known = {f"{PREFIX}{field}".upper() for field in Settings.model_fields}
    files = {f"{PREFIX}{field}_FILE".upper() for field in secret_fields()}
    named = set(SERVICES[name]["environment"])
    assert set(re.findall(rf"\b{PREFIX}[A-Z_]+", TEXT)) <= known | files
    # Where the container keeps and serves things is fixed; everything else can be set.
    assert (known | files) - named == {f"{PREFIX}HOME", f"{PREFIX}HOST", f"{PREFIX}PORT"}


PINNED = [
    ("qdrant", "qdrant/qdrant", (1, 19, 0), "-unprivileged"),
    ("vllm", "vllm/vllm-openai", (0, 14, 1), ""),
    ("model", "vllm/vllm-openai", (0, 14, 1), ""),
    ("prometheus", "prom/prometheus", (3, 5, 0), ""),
    ("grafana", "grafana/grafana", (12, 1, 0), ""),
]


@pytest.mark.parametrize(("name", "repository", "least", "kind"), PINNED)
def test_images_are_pinned_to_safe_versions(
    name: str, repository: str, least: tuple[int, ...], kind: str
) -> None:
    image, tag = SERVICES[name]["image"].split(":")
    assert image == repository
    found = re.fullmatch(rf"v?(\d+\.\d+\.\d+){kind}", tag)
    assert found and tuple(map(int, found[1].split("."))) >= least


def test_no_secret_has_a_literal_value() -> None:
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("KEY|TOKEN|SECRET|PASSWORD", variable):
                allowed = r"\$\{[A-Z_]+:-\}|/run/secrets/[a-z_]+"
                assert value is None or re.fullmatch(allowed, value), variable
    assert "--api-key" not in str([service.get("command") for service in SERVICES.values()])


def test_every_key_can_be_a_file_that_nobody_has_to_make() -> None:
    assert {name: secret["file"] for name, secret in COMPOSE["secrets"].items()} == {
        name: f"${{{name.upper()}_FILE:-/dev/null}}" for name in COMPOSE["secrets"]
    }
    for name, service in SERVICES.items():
        used = set(re.findall(r"/run/secrets/(\w+)", str(service.get("environment"))))
        assert used <= set(service.get("secrets", [])), name
    assert {name for name in COMPOSE["secrets"] if f"{name.upper()}_FILE=" not in DEPLOY} == set()


def test_the_page_may_only_read_the_index_server_and_the_job_may_write() -> None:
    key = f"{PREFIX}QDRANT_API_KEY_FILE"
    assert SERVICES["app"]["environment"][key] == "/run/secrets/qdrant_read_only_api_key"
    assert "qdrant_api_key" not in SERVICES["app"]["secrets"]
    assert SERVICES["index"]["environment"][key] == "/run/secrets/qdrant_api_key"


def test_the_index_server_asks_for_keys() -> None:
    qdrant = SERVICES["qdrant"]
    environment = qdrant["environment"]
    assert {"QDRANT__SERVICE__API_KEY", "QDRANT__SERVICE__READ_ONLY_API_KEY"} <= set(environment)
    assert environment["QDRANT__SERVICE__ENABLE_SNAPSHOT_URL_RECOVERY"] == "false"
    assert SERVICES["app"]["depends_on"]["qdrant"]["required"] is False


def in_the_shell(service: str, tmp_path: Path, keys: dict[str, str], shown: str) -> str:
    """Return a variable as what a service executes finds it, with these files of keys."""
    script = SERVICES[service]["command"][0].replace("$$", "$")
    for name, key in keys.items():
        (tmp_path / name).write_text(key, encoding="utf-8")
    script = script.replace("/run/secrets", str(tmp_path)).replace("cd /qdrant", "true")
    script = re.sub(r"exec .*", f'echo "${{{shown}-unset}}"', script)
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return run.stdout.strip()


@pytest.mark.parametrize(
    ("service", "file", "variable"),
    [
        ("qdrant", "qdrant_api_key", "QDRANT__SERVICE__API_KEY"),
        ("qdrant", "qdrant_read_only_api_key", "QDRANT__SERVICE__READ_ONLY_API_KEY"),
        ("vllm", "generator_api_key", "VLLM_API_KEY"),
    ],
)
def test_a_key_in_a_file_reaches_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, service: str, file: str, variable: str
) -> None:
    monkeypatch.delenv(variable, raising=False)
    assert in_the_shell(service, tmp_path, {file: ""}, variable) == "unset"
    assert in_the_shell(service, tmp_path, {file: "a $key\n"}, variable) == "a $key"
    monkeypatch.setenv(variable, "from .env")
    assert in_the_shell(service, tmp_path, {file: ""}, variable) == "from .env"


def test_services_that_need_more_than_a_cpu_are_asked_for() -> None:
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}
    assert profiles == {
        "app": None,
        "index": ["index"],
        "qdrant": ["qdrant"],
        "model": ["vllm"],
        "vllm": ["vllm"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }
    (gpu,) = SERVICES["vllm"]["deploy"]["resources"]["reservations"]["devices"]
    assert gpu["capabilities"] == ["gpu"]


def test_the_dashboard_shows_what_the_app_counts() -> None:
    dashboard = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(shown) >= 8
    assert_counted(shown)


def test_every_alert_is_of_what_is_counted_and_in_the_runbook() -> None:
    file = yaml.safe_load((MONITORING / "alerts.yml").read_text(encoding="utf-8"))
    rules = [rule for group in file["groups"] for rule in group["rules"]]
    assert_counted([rule["expr"] for rule in rules])
    runbook = (ROOT / "docs" / "guide" / "runbook.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(Kbvqa\w+)` \|", runbook, re.MULTILINE)
    assert rows == [rule["alert"] for rule in rules]
    outcomes = set(re.findall(r'outcome="(\w+)"', str(rules)))
    assert outcomes <= set(re.findall(r"\b[a-z]+\b", metrics.__doc__ or ""))


def assert_counted(shown: list[str]) -> None:
    """Fail unless each expression is of one figure that the app has."""
    figures = Metrics()
    figures.watch_recall(RecallWatch("an index that promises", 0.99, 400))
    counted = figures.response(Request({"type": "http", "headers": []})).body.decode()
    families = set(re.findall(r"^# TYPE (\S+)", counted, re.MULTILINE))
    for expression in shown:
        (name,) = re.findall(r"\b(?:kbvqa_|process_|up)\w*", re.sub(r"\{[^}]*\}", "", expression))
        assert name == "up" or re.sub(r"_bucket$", "", name) in families, expression


def test_what_watches_is_configured_by_files_that_exist() -> None:
    files = {name: config["file"] for name, config in COMPOSE["configs"].items()}
    assert all((ROOT / file).is_file() for file in files.values())
    used = {
        config["source"] for service in SERVICES.values() for config in service.get("configs", [])
    }
    assert used == set(files)
    scraped = yaml.safe_load((MONITORING / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = scraped["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["app:7860"]}]
    assert job["authorization"] == {"credentials_file": "/run/secrets/metrics_api_key"}


def test_the_image_is_built_from_files_that_exist_and_runs_as_nobody_special() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = text.splitlines()
    copied = [line.split()[1:-1] for line in lines if re.match(r"COPY (?!--from)", line)]
    assert copied and all((ROOT / name).exists() for names in copied for name in names)
    _, build, image = re.split(r"^FROM ", text, flags=re.MULTILINE)
    assert "pip install" in build and "pip" not in image, "nothing that builds is left"
    assert "requirements/runtime.lock" in build
    (uid,) = re.findall(r"useradd --uid (\d+)", image)
    assert re.search(rf"^USER {uid}$", image, re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".git", ".venv", ".env"} <= set(ignored)


def _has_compose() -> bool:
    docker = shutil.which("docker")
    return (
        bool(docker)
        and not subprocess.run(
            [docker, "compose", "version"], capture_output=True, check=False
        ).returncode
    )


@pytest.mark.skipif(not _has_compose(), reason="the Docker Compose plugin is not installed")
def test_compose_reads_it_as_it_is_meant() -> None:
    files = [f"--file={ROOT / name}" for name in ("compose.yaml", "compose.gpu.yaml")]
    run = subprocess.run(
        ["docker", "compose", "--profile", "*", *files, "config", "-q"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
