"""The services of compose.yaml in real containers, by podman and podman-compose."""

import base64
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from retriever.engines.connection import QdrantConnection
from retriever.index.passage_index import PassageIndex

ROOT = Path(__file__).parents[2]
PORT = 17860
VERSION, NEXT_VERSION = "0.1.0", "0.2.0"
PICTURE = ROOT / "data" / "demo" / "examples" / "kenya.png"
PROFILES = tuple(word for name in ("index", "qdrant", "vllm") for word in ("--profile", name))
PATIENCE_SECONDS = 1800.0


def podman(*arguments: str, check: bool = True, stdin: str | None = None) -> str:
    run = subprocess.run(
        ["podman", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        input=stdin,
    )
    assert not check or run.returncode == 0, run.stdout + run.stderr
    return (run.stdout + run.stderr).strip()


def until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.5)


@dataclass(frozen=True)
class Project:
    """The services under a name of their own.

    Attributes:
        name: of the project.
        file: what podman-compose reads: compose.yaml but for what podman does not know.
        environment: what compose.yaml takes from the shell.
        keys: by the names of the secrets.
    """

    name: str
    file: Path
    environment: dict[str, str]
    keys: dict[str, str]

    @property
    def url(self) -> str:
        """Return where users ask."""
        return f"http://127.0.0.1:{PORT}"

    def write(self, version: str) -> None:
        """Write the file, for the images of a version of kbvqa."""
        text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
        said = yaml.safe_load(text.replace(f"image: kbvqa:{VERSION}-", f"image: kbvqa:{version}-"))
        del said["services"]["vllm"]["deploy"]  # a GPU
        # podman starts nothing again whose dependency has ended.
        del said["services"]["vllm"]["depends_on"]
        for service in said["services"].values():
            service.get("healthcheck", {}).pop("start_interval", None)
        self.file.write_text(yaml.safe_dump(said), encoding="utf-8")

    def words(self, *arguments: str) -> list[str]:
        """Return the command that does something with the services."""
        file = ("-p", self.name, "-f", str(self.file))
        return ["podman-compose", "--in-pod", "false", *file, *PROFILES, *arguments]

    def compose(self, *arguments: str, check: bool = True) -> str:
        run = subprocess.run(
            self.words(*arguments),
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env=self.settings,
        )
        assert not check or run.returncode == 0, run.stdout + run.stderr
        return run.stdout + run.stderr

    @property
    def settings(self) -> dict[str, str]:
        """Return the environment of podman-compose."""
        return {**os.environ, **self.environment}

    def start(self) -> None:
        """Start the servers, and wait until the page is ready."""
        self.compose("up", "-d", "--no-build", "model")
        assert podman("wait", self.container("model")) == "0"
        for service in ("qdrant", "vllm"):
            self.compose("up", "-d", "--no-build", service)
            until(lambda name=service: self.healthy(name), f"{service} does not come up")
        self.compose("up", "-d", "--no-build", "--no-deps", "app")
        until(lambda: self.get("/readyz")[0] == 200, "the page does not come up")

    def container(self, service: str) -> str:
        """Return the name of the container of a service."""
        return f"{self.name}_{service}_1"

    def healthy(self, service: str) -> bool:
        """Return what the health check of a service finds."""
        check = ["podman", "healthcheck", "run", self.container(service)]
        return subprocess.run(check, capture_output=True, check=False).returncode == 0

    def crash(self, service: str) -> None:
        """Kill all processes of a container as the system does that is out of memory: what happens
        then is up to the restart policy."""
        pid = podman("inspect", "--format", "{{.State.Pid}}", self.container(service))
        os.kill(int(pid), signal.SIGKILL)

    def inside(self, service: str, script: str) -> str:
        return podman("exec", self.container(service), "sh", "-c", script, check=False)

    def job(self, *arguments: str, service: str = "index") -> str:
        """Return what a command says in a container of its own."""
        return self.compose("run", "-T", "--rm", "--no-deps", service, *arguments, check=False)

    def get(self, path: str, body: Any = None, key: str | None = "") -> tuple[int, str]:
        """Return what the published port answers; the user's key is sent unless another is."""
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key or self.keys['api_keys']}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read().decode()
        except OSError as exc:
            return 0, str(exc)

    def asked(self) -> Any:
        """Return the answer to a question."""
        picture = base64.b64encode(PICTURE.read_bytes()).decode()
        question = {"question": "What is the capital of this country?", "image": picture}
        status, text = self.get("/v1/ask", question)
        assert status == 200, text
        return json.loads(text)

    @property
    def index(self) -> str:
        """Return where the index server is, for this machine: it reaches the bridge of every
        network of its containers."""
        networks = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        address = podman("inspect", "--format", networks, self.container("qdrant"))
        return f"http://{address}:6333"

    def held(self, name: str) -> list[str]:
        """Return the ids of the passages that an index on the index server has."""
        connection = QdrantConnection(api_key=self.keys["qdrant_read_only_api_key"])
        with PassageIndex.open(f"{self.index}/{name}", connection=connection) as index:
            return sorted(passage.id for passage, _ in index.scroll())

    def written(self, name: str) -> int:
        """Return how many points an index has that is being built, 0 where there is none yet."""
        headers = {"api-key": self.keys["qdrant_read_only_api_key"]}
        with httpx.Client(base_url=self.index, headers=headers, trust_env=False) as client:
            found = client.post(f"/collections/{name}/points/count", json={"exact": True})
        return int(found.json()["result"]["count"]) if found.is_success else 0
