"""compose.yaml agrees with the settings and publishes no more than it should."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]


def test_the_services_are_the_page_the_index_server_and_the_generator() -> None:
    assert set(SERVICES) == {"app", "qdrant", "vllm"}


@pytest.mark.parametrize("name", ["app", "qdrant", "vllm"])
def test_every_service_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


def test_only_the_page_is_published_and_on_this_machine() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["app"]
    assert SERVICES["app"]["ports"] == ["${KBVQA_HOST:-127.0.0.1}:${KBVQA_PORT:-7860}:7860"]
    assert not any(service.get("network_mode") for service in SERVICES.values())


def test_files_that_settings_name_can_be_mounted() -> None:
    assert "${FILES:-files}:/files:ro" in SERVICES["app"]["volumes"]
    assert "files" in yaml.safe_load(TEXT)["volumes"]  # where FILES is not set
    paths = [name for name, field in Settings.model_fields.items() if "Path" in str(field)]
    deploy = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    for name in {*paths, "checkpoint", "reader"} - {"home"}:
        variable = f"{PREFIX}{name}".upper()
        assert SERVICES["app"]["environment"][variable] is None
        assert f"{variable}=/files/" in deploy, variable


def test_one_variable_chooses_the_build_of_torch() -> None:
    build = SERVICES["app"]["build"]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for argument in build["args"]:
        assert re.search(rf"^ARG {argument}\b", dockerfile, re.MULTILINE)
    assert build["args"]["TORCH"] == "${TORCH:-auto}"
    assert "http" not in str(build["args"]) and "http" not in dockerfile
    gpu = yaml.safe_load((ROOT / "compose.gpu.yaml").read_text(encoding="utf-8"))["services"]
    assert set(gpu) == {"app"}
    assert gpu["app"]["build"]["args"]["TORCH"] == "cuda"
    (device,) = gpu["app"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_every_setting_named_exists() -> None:
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+", TEXT))
    assert named
    assert named <= known
    # Where the container keeps and serves things is fixed; everything else can be set.
    assert known - named == {f"{PREFIX}HOME"}


@pytest.mark.parametrize(("name", "least"), [("qdrant", (1, 19, 0)), ("vllm", (0, 14, 1))])
def test_images_are_pinned_to_safe_versions(name: str, least: tuple[int, ...]) -> None:
    _, tag = SERVICES[name]["image"].split(":")
    assert re.fullmatch(r"v\d+\.\d+\.\d+", tag)
    assert tuple(map(int, tag.removeprefix("v").split("."))) >= least


def test_no_secret_has_a_literal_value() -> None:
    for service in SERVICES.values():
        for variable, value in service.get("environment", {}).items():
            if re.search("KEY|TOKEN|SECRET|PASSWORD", variable):
                assert value is None or re.fullmatch(r"\$\{[A-Z_]+:-\}", value), variable
    assert "--api-key" not in str([service.get("command") for service in SERVICES.values()])


def test_the_index_server_asks_for_keys() -> None:
    environment = SERVICES["qdrant"]["environment"]
    assert {"QDRANT__SERVICE__API_KEY", "QDRANT__SERVICE__READ_ONLY_API_KEY"} <= set(environment)
    assert environment["QDRANT__SERVICE__ENABLE_SNAPSHOT_URL_RECOVERY"] == "false"
    assert SERVICES["app"]["depends_on"]["qdrant"]["required"] is False


def test_services_that_need_more_than_a_cpu_are_asked_for() -> None:
    assert "profiles" not in SERVICES["app"]
    assert SERVICES["vllm"]["profiles"] == ["vllm"]
    assert SERVICES["qdrant"]["profiles"] == ["qdrant"]
    (gpu,) = SERVICES["vllm"]["deploy"]["resources"]["reservations"]["devices"]
    assert gpu["capabilities"] == ["gpu"]


def test_the_image_is_built_from_files_that_exist_and_runs_as_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]]
    assert copied
    assert all((ROOT / name).exists() for name in copied)
    assert "USER kbvqa" in lines
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
