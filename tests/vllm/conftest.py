"""Real vLLM servers, in an environment of their own: `make test-vllm` makes it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = Path(os.environ.get("KBVQA_TEST_VLLM", ROOT / ".venv-vllm"))
MODELS = ENVIRONMENT / "models"
KEY = "sk-vllm-4711"
START_SECONDS = 400
CONTEXT = 2048


class VllmServer:
    """One `vllm` process on a port of this machine, which may be killed and started again."""

    def __init__(self, model: str, log: Path) -> None:
        self.model, self._log = model, log
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start without waiting."""
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("KBVQA_", "VLLM_"))}
        environment = {
            **ours,
            "OMP_NUM_THREADS": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        command = [
            *(str(ENVIRONMENT / "bin" / "python"), "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(MODELS / self.model)),
            *("--served-model-name", self.model, "--host", "127.0.0.1", "--port", str(self.port)),
            *("--dtype", "float32", "--enforce-eager", "--max-model-len", str(CONTEXT)),
            *("--max-num-seqs", "8", "--limit-mm-per-prompt", '{"image":2}', "--api-key", KEY),
        ]
        with self._log.open("ab") as file:
            self._process = subprocess.Popen(
                command, env=environment, stdout=file, stderr=file, start_new_session=True
            )

    def wait(self) -> None:
        """Return when it answers."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self._log.read_text()[-4000:]
            try:
                health = httpx.get(f"http://127.0.0.1:{self.port}/health", trust_env=False)
                if health.is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        pytest.fail(f"no server after {START_SECONDS} s:\n{self._log.read_text()[-4000:]}")

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it and the processes that it started."""
        if self._process is not None:
            os.killpg(self._process.pid, number)
            self._process.wait(timeout=30)
            self._process = None

    def metric(self, name: str) -> float:
        """Return the value of one of its counters."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", trust_env=False).text
        lines = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def post(self, content: list[dict[str, object]], **options: object) -> httpx.Response:
        """Send one chat message as it is, past the client."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 1,
            **options,
        }
        return httpx.post(
            f"{self.url}/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=60,
            trust_env=False,
        )


@pytest.fixture(scope="session")
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, VllmServer]]:
    """Both servers, started together."""
    assert MODELS.is_dir(), f"no models in {ENVIRONMENT}: run `make test-vllm`"
    logs = tmp_path_factory.mktemp("vllm")
    servers = {
        name: VllmServer(name, logs / f"{name}.log") for name in ("random-llava", "smollm2-llava")
    }
    try:
        for server in servers.values():
            server.start()
        yield servers
    finally:
        for server in servers.values():
            server.stop()


@pytest.fixture(scope="session")
def seeing(_servers: dict[str, VllmServer]) -> VllmServer:
    """Random weights that see: for the protocol."""
    _servers["random-llava"].wait()
    return _servers["random-llava"]


@pytest.fixture(scope="session")
def reading(_servers: dict[str, VllmServer]) -> VllmServer:
    """SmolLM2 behind LLaVA's interface: it reads, and cannot see."""
    _servers["smollm2-llava"].wait()
    return _servers["smollm2-llava"]
