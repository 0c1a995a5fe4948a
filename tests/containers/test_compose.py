"""compose.yaml in real containers: what it starts, what it closes, and what lives on.

`make test-containers` runs it, as root, with podman and podman-compose. It builds the image from
Dockerfile, on a base image python:3.11-slim that must be there; what stands in for Qdrant's image
is built too. KBVQA_TEST_BUILD gives arguments to `podman build`, for a mirror of packages.
"""

import base64
import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(not shutil.which("podman-compose"), reason="needs podman-compose"),
]

ROOT = Path(__file__).parents[2]
PORT = 17860
IMAGE = "kbvqa:0.1.0-test"
INDEX_IMAGE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]["qdrant"][
    "image"
]
PICTURE = ROOT / "data" / "demo" / "examples" / "kenya.png"
PROFILES = ("--profile", "index", "--profile", "qdrant")
PATIENCE_SECONDS = 1800.0


def podman(*arguments: str, check: bool = True) -> str:
    run = subprocess.run(
        ["podman", *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert not check or run.returncode == 0, run.stdout + run.stderr
    return (run.stdout + run.stderr).strip()


@dataclass(frozen=True)
class Project:
    """The services of compose.yaml under a name of their own."""

    name: str
    file: Path
    environment: dict[str, str]
    keys: dict[str, str]

    def compose(self, *arguments: str, check: bool = True) -> str:
        words = ["podman-compose", "--in-pod", "false", "-p", self.name, "-f", str(self.file)]
        run = subprocess.run(
            [*words, *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env={**os.environ, **self.environment},
        )
        assert not check or run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr

    def inside(self, service: str, script: str) -> str:
        return podman("exec", f"{self.name}_{service}_1", "sh", "-c", script, check=False)

    def get(self, path: str, body: Any = None, key: str | None = "") -> tuple[int, str]:
        """Return what the published port answers; the user's key is sent unless another is."""
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key or self.keys['api_keys']}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read().decode()
        except OSError as exc:
            return 0, str(exc)


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The page on an index on the index server, under keys."""
    folder = tmp_path_factory.mktemp("containers")
    extra = shlex.split(os.environ.get("KBVQA_TEST_BUILD", ""))
    podman("build", "--network", "host", *extra, "-t", IMAGE, ".")
    stand_in = "tests/containers/Containerfile.index"
    podman("build", "--build-arg", f"KBVQA={IMAGE}", "-f", stand_in, "-t", INDEX_IMAGE, "tests")
    names = ("api_keys", "qdrant_api_key", "qdrant_read_only_api_key")
    keys = {name: secrets.token_hex(24) for name in names}
    for name, key in keys.items():
        (folder / name).write_text(f"{key}\n", encoding="utf-8")
        (folder / name).chmod(0o644)
    corpus = folder / "corpus"
    corpus.mkdir()
    passages = [
        {"id": "ke", "title": "Kenya", "text": "Capital: Nairobi. Its flag shows a shield."},
        {"id": "jp", "title": "Japan", "text": "Capital: Tokyo. Its flag shows a red disc."},
    ]
    lines = "".join(json.dumps(passage) + "\n" for passage in passages)
    (corpus / "passages.jsonl").write_text(lines, encoding="utf-8")
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    file = ROOT / "compose.test.yaml"  # beside it, where its paths begin
    file.write_text(re.sub(r"\n +start_interval: .*", "", text), encoding="utf-8")
    environment = {f"{name.upper()}_FILE": str(folder / name) for name in names} | {
        "KBVQA_PORT": str(PORT),
        "KBVQA_INDEX": "http://qdrant:6333/passages",
        "FILES": str(corpus),
        "TORCH": "test",  # names the image
    }
    project = Project("kbvqa-test", file, environment, keys)
    project.compose(*PROFILES, "down", "--volumes", check=False)
    try:
        project.compose(*PROFILES, "up", "-d", "--no-build", "qdrant")
        ready = "exec 3<>/dev/tcp/127.0.0.1/6333"
        until(lambda: not project.inside("qdrant", f"bash -c '{ready}'"), "no index server")
        yield project
    finally:
        project.compose(*PROFILES, "down", "--volumes", check=False)
        file.unlink()


@pytest.fixture(scope="module")
def page(project: Project) -> Project:
    """The same, with the page serving the index that the job built."""
    built = index(
        project, "build", "/files/passages.jsonl", "--index", "http://qdrant:6333/passages"
    )
    assert "2 passages" in built
    project.compose("up", "-d", "--no-build", "--no-deps", "app")
    until(lambda: project.get("/readyz")[0] == 200, "the page does not come up")
    return project


def index(project: Project, *arguments: str, service: str = "index") -> str:
    words = (*PROFILES, "run", "-T", "--rm", "--no-deps", service, *arguments)
    return project.compose(*words, check=False)


def asked(project: Project) -> Any:
    picture = base64.b64encode(PICTURE.read_bytes()).decode()
    question = {"question": "What is the capital of this country?", "image": picture}
    status, text = project.get("/v1/ask", question)
    assert status == 200, text
    return json.loads(text)


def test_the_page_answers_from_the_index_server_under_keys(page: Project) -> None:
    assert page.get("/v1/models", key=None)[0] == 401
    assert page.get("/v1/models", key="not-one-of-the-keys")[0] == 401
    found = asked(page)
    assert {hit["passage_id"] for hit in found["hits"]} == {"ke", "jp"}


def test_the_page_cannot_write_the_index_and_the_job_can(page: Project) -> None:
    words = ("build", "/files/passages.jsonl", "--index", "http://qdrant:6333/other")
    assert "refuses the key" in index(page, "index", *words, service="app")
    assert "2 passages" in index(page, *words)


@pytest.mark.parametrize(("service", "user"), [("app", "10001"), ("qdrant", "1000")])
def test_a_container_may_do_little(page: Project, service: str, user: str) -> None:
    assert page.inside(service, "id -u") == user
    status = page.inside(service, "cat /proc/self/status")
    assert re.search(r"CapEff:\s*0+$", status, re.MULTILINE), "no capabilities"
    assert re.search(r"NoNewPrivs:\s*1$", status, re.MULTILINE)
    for place in ("/", "/opt", "/etc", "/usr/bin"):
        assert "ead-only" in page.inside(service, f"touch {place}/mine"), place
    assert page.inside(service, "touch /tmp/mine") == ""
    assert not re.search("pip", page.inside("app", "ls /opt/kbvqa/bin"))


def test_keys_are_in_files_and_not_in_the_environment(page: Project) -> None:
    shown = podman("inspect", f"{page.name}_app_1") + podman("inspect", f"{page.name}_qdrant_1")
    assert not [name for name, key in page.keys.items() if key in shown]
    assert "KBVQA_API_KEYS_FILE" in shown


def test_the_index_server_is_reached_from_its_network_alone(page: Project) -> None:
    ports = podman("port", f"{page.name}_qdrant_1", check=False)
    assert ports == ""
    routes = page.inside("qdrant", "cat /proc/net/route").splitlines()[1:]
    assert not [route for route in routes if route.split()[1] == "00000000"], "no way outside"
    routes = page.inside("app", "cat /proc/net/route").splitlines()[1:]
    assert [route for route in routes if route.split()[1] == "00000000"], "checkpoints of the hub"


def test_a_page_that_is_killed_comes_back_and_answers_the_same(page: Project) -> None:
    before = asked(page)
    podman("kill", "--signal", "KILL", f"{page.name}_app_1")
    podman("start", f"{page.name}_app_1")
    until(lambda: page.get("/readyz")[0] == 200, "it does not come back")
    after = asked(page)
    assert after["answer"] == before["answer"]
    assert after["hits"] == before["hits"]


def test_an_index_server_that_stands_still_is_told_and_comes_back(page: Project) -> None:
    podman("pause", f"{page.name}_qdrant_1")
    try:
        until(lambda: page.get("/readyz")[0] == 503, "that the index is away is not told")
        assert page.get("/healthz")[0] == 200
    finally:
        podman("unpause", f"{page.name}_qdrant_1")
    until(lambda: page.get("/readyz")[0] == 200, "it does not come back")
    asked(page)
