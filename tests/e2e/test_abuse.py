"""Pictures and callers that mean harm, at a real server: refused in words, and it goes on."""

import contextlib
import os
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from corpus.demo.data import demo_dir
from corpus.pictures.images import MAX_IMAGE_BYTES
from tests.e2e.conftest import serving
from tests.mutated_pictures import mutated

PICTURE = demo_dir() / "examples" / "kenya.png"
COUNT = int(os.environ.get("KBVQA_TEST_MUTATIONS", "150"))
MOST_GROWTH = 600 << 20  # bytes: what the first pictures of a process take, and room


def resident(process: subprocess.Popen[bytes]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return 1024 * int(line.split()[1])


@pytest.mark.slow
def test_a_server_outlasts_whoever_means_harm(home: Path, index: Path, tmp_path: Path) -> None:
    with (
        serving(home, index, tmp_path / "log", KBVQA_API_REQUESTS_PER_MINUTE="1000000") as web,
        httpx.Client(base_url=web.url, timeout=120) as client,
    ):
        fields = {"question": "What is the capital of this country?", "top_k": "1"}

        def ask(picture: bytes) -> httpx.Response:
            return client.post("/v1/search", data=fields, files={"image": picture})

        assert ask(PICTURE.read_bytes()).status_code == 200
        before = resident(web.process)
        statuses = set()
        for name, picture in mutated(min(COUNT, 500), seed=3):
            answer = ask(picture)
            statuses.add(answer.status_code)
            assert answer.status_code in (200, 422), f"{name}: {answer.status_code} {answer.text}"
            if answer.status_code == 422:
                assert answer.headers["content-type"] == "application/problem+json"
        assert statuses == {200, 422}
        body = b'{"question": "' + b"a" * (2 * MAX_IMAGE_BYTES)
        said = {"Content-Type": "application/json"}
        with contextlib.suppress(httpx.WriteError, httpx.ReadError):  # refused before it was sent
            assert client.post("/v1/search", content=body, headers=said).status_code == 413
        # A hundred callers that say nothing keep nobody out.
        port = int(web.url.rpartition(":")[2])
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(100)]
        for number, connection in enumerate(silent):
            connection.sendall(b"POST /v1/ask HTTP/1.1\r\nHost: x\r\n"[: 1 + number % 30])
        assert ask(PICTURE.read_bytes()).status_code == 200
        for connection in silent:
            connection.close()
        assert ask(PICTURE.read_bytes()).status_code == 200
        assert resident(web.process) - before < MOST_GROWTH
