"""`make up`: the page, a generator and an index server under a supervisor, which are killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from corpus.demo.data import demo_dir
from tests.doc_blocks import ROOT
from tests.e2e.conftest import free_port
from tests.integration.generator_server import KEY, MODEL

pytest.importorskip("supervisor")
pytestmark = pytest.mark.slow

INDEX_SERVER = """\
import os, signal
from pathlib import Path
from tests.integration.qdrant_server import StandIn
asked = {name.removeprefix("QDRANT__"): value for name, value in os.environ.items()}
folder = Path(asked["STORAGE__STORAGE_PATH"]).absolute()
folder.mkdir(parents=True, exist_ok=True)
StandIn(
    folder,
    address=asked["SERVICE__HOST"],
    ports=(int(asked["SERVICE__HTTP_PORT"]), int(asked["SERVICE__GRPC_PORT"])),
)
signal.pause()
"""
GENERATOR = """\
import signal, sys
from tests.integration.generator_server import serve
with serve(int(sys.argv[1])) as server:
    server.answer = lambda handler: handler.events(" Nairobi", " [1]")
    signal.pause()
"""


class Up:
    """What runs under the supervisor, as its log tells."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, url: str) -> None:
        self.process, self.log, self.url = process, log, url

    def pids(self, part: str) -> list[int]:
        """Return the ids of a part's processes, the latest last."""
        said = re.findall(rf"spawned: '{part}' with pid (\d+)", self.log.read_text())
        return [int(pid) for pid in said]

    def kill(self, part: str) -> None:
        """Kill a part, and return when there is another."""
        before = self.pids(part)
        os.kill(before[-1], signal.SIGKILL)
        self.until(lambda: self.pids(part) != before)

    def answers(self) -> bool:
        """Return whether the page answers from the index, by the generator."""
        files = {"image": (demo_dir() / "examples" / "kenya.png").read_bytes()}
        fields = {"question": "What is the capital of this country?"}
        try:
            said = httpx.post(f"{self.url}/v1/ask", data=fields, files=files, timeout=60)
        except httpx.TransportError:
            return False
        return said.status_code == 200 and said.json()["answer"] == "Nairobi"

    def until(self, happens: Callable[[], bool], seconds: float = 300) -> None:
        """Return when something happens, or fail."""
        end = time.monotonic() + seconds
        while not happens():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.2)


def program(path: Path, source: str) -> Path:
    path.write_text(f"#!{sys.executable}\nimport sys\nsys.path[0] = {str(ROOT)!r}\n{source}")
    path.chmod(0o755)
    return path


@contextmanager
def up(home: Path, folder: Path, **environment: str) -> Iterator[Up]:
    """Give what `make up` starts, from a copy of what it reads, so that it writes there."""
    for name in ("examples/supervisor", "data/demo"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("images"))
    port = free_port()
    ours = {name: value for name, value in os.environ.items() if not name.startswith("KBVQA_")}
    ours |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HF_HUB_OFFLINE": "1",
        "KBVQA_HOME": str(home),
        "KBVQA_PORT": str(port),
    }
    log = folder / "log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            ["examples/supervisor/up.sh"],
            cwd=folder,
            env={**ours, **environment},
            stdout=file,
            stderr=file,
        )
    try:
        yield Up(process, log, f"http://127.0.0.1:{port}")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=120)


def test_what_dies_is_started_again_and_all_stop_in_order(
    home: Path, index: Path, tmp_path: Path
) -> None:
    rest, grpc, model = free_port(), free_port(), free_port()
    settings = {
        "QDRANT": str(program(tmp_path / "qdrant", INDEX_SERVER)),
        "QDRANT__SERVICE__HTTP_PORT": str(rest),
        "QDRANT__SERVICE__GRPC_PORT": str(grpc),
        "KBVQA_INDEX": f"http://127.0.0.1:{rest}/mine",
        "KBVQA_QDRANT_GRPC_PORT": str(grpc),
        "PASSAGES": str(index.with_name("passages.jsonl")),
        "GENERATOR": f"{program(tmp_path / 'generator', GENERATOR)} {model}",
        "KBVQA_GENERATOR_URL": f"http://127.0.0.1:{model}/v1",
        "KBVQA_GENERATOR_MODEL": MODEL,
        "KBVQA_GENERATOR_API_KEY": KEY,
        "KBVQA_STRATEGY": "concat",
    }
    with up(home, tmp_path, **settings) as run:
        run.until(run.answers)
        run.kill("generator")
        run.until(run.answers)
        run.kill("app")
        run.until(run.answers)
        run.kill("index")
        run.process.send_signal(signal.SIGINT)
        assert run.process.wait(timeout=120) == 0, run.log.read_text()
        stopped = re.findall(r"stopped: (\w+)", run.log.read_text())
    assert stopped == ["app", "generator", "index"]
    assert all(not Path(f"/proc/{run.pids(part)[-1]}").exists() for part in stopped)


def test_what_no_start_can_mend_is_not_started_again(home: Path, tmp_path: Path) -> None:
    with up(home, tmp_path, KBVQA_INDEX="http://127.0.0.1:1/") as run:
        run.until(lambda: "exited: app (exit status 78; expected)" in run.log.read_text())
        time.sleep(2)
        assert len(run.pids("app")) == 1
        assert "names no index" in run.log.read_text()
