"""No key is told: not by the log, metrics, traces, errors, answers, nor what the command line says,
whatever goes wrong."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from app.settings import secret_fields
from corpus.demo.data import demo_dir
from corpus.files.passages import write_passages
from corpus.types import Passage
from tests.e2e.conftest import free_port, serving
from tests.golden_cases import GOLDEN
from tests.integration.generator_server import MODEL, Server
from tests.integration.qdrant_server import StandIn

PICTURE = demo_dir() / "examples" / "kenya.png"
QUESTION = "What is the capital of this country?"
SECRETS = {name: f"Secret-{name}-0123456789abcdef" for name in secret_fields()}
COLLECTOR = "Secret-of-the-collector"
KEYS = {f"KBVQA_{name}".upper(): value for name, value in SECRETS.items()}
PASSAGES = [Passage("facts", "Kenya", "Capital: Nairobi. Population: 54,685,051.")]


def assert_none_in(*said: str | bytes) -> None:
    for text in said:
        shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
        for secret in (*SECRETS.values(), COLLECTOR):
            assert secret not in shown, shown


def kbvqa(*words: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("KBVQA_")}
    command = [sys.executable, "-m", "kbvqa", *map(str, words)]
    ours |= {"HF_HUB_OFFLINE": "1", "KBVQA_CHECKPOINT": str(GOLDEN / "B_preflmr")}
    return subprocess.run(command, env=ours | environment, capture_output=True, check=False)


@pytest.fixture(scope="module")
def index_with_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    write_passages(folder / "passages.jsonl", PASSAGES)
    built = kbvqa(
        *("index", "build", folder / "passages.jsonl", "--index", folder / "index"),
        **KEYS,
        KBVQA_HOME=str(folder),
        KBVQA_LOG_LEVEL="debug",
    )
    assert built.returncode == 0, built.stderr
    assert_none_in(built.stdout, built.stderr)
    return folder / "index"


@contextmanager
def collecting() -> Iterator[tuple[str, list[bytes]]]:
    """Give the address of a collector of traces, and what it was sent."""
    sent: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert COLLECTOR in self.headers["x-key"], "the collector itself gets its key"
            sent.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", sent
        httpd.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_server_that_is_refused_everywhere_tells_no_key(
    index_with_keys: Path, model: Server, tmp_path: Path, form: str
) -> None:
    """The generator quotes the key that it refuses, as real ones do."""
    right = {"authorization": f"Bearer {SECRETS['api_keys']}"}
    log = tmp_path / "log"
    with collecting() as (collector, traces):
        settings = KEYS | {
            "KBVQA_CHECKPOINT": str(GOLDEN / "B_preflmr"),
            "KBVQA_GENERATOR_URL": model.url,
            "KBVQA_GENERATOR_MODEL": MODEL,
            "KBVQA_LOG_LEVEL": "debug",
            "KBVQA_LOG_FORMAT": form,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OTEL_EXPORTER_OTLP_HEADERS": f"x-key={COLLECTOR}",
        }
        with (
            serving(index_with_keys.parent, index_with_keys, log, **settings) as web,
            httpx.Client(base_url=web.url, timeout=120) as client,
        ):
            picture = {"image": PICTURE.read_bytes()}
            said = client.post("/v1/ask", data={"question": QUESTION}, files=picture, headers=right)
            assert said.json()["failure"], "the generator takes another key"
            answers = [
                said,
                client.post("/v1/ask", json={"question": SECRETS}, headers=right),
                client.post("/v1/ask", content=b"{", headers=right),
                client.post("/v1/ask", data={"question": QUESTION}, headers={"authorization": "x"}),
                client.get("/v1/models", headers=right),
                client.get("/v1/nothing", headers=right),
                client.get("/metrics", headers=right),
                client.get("/readyz"),
                client.get("/healthz"),
                client.get("/openapi.json", headers=right),
                client.get("/config", headers=right),
                client.get("/"),
                client.post("/login", data={"username": "me", "password": "wrong"}),
            ]
        assert traces and b"question" in b"".join(traces)
    # What was sent as a question is the user's own, and comes back to nobody else.
    assert_none_in(*(one.content for one in answers if one is not answers[1]), *traces)
    for one in answers:
        assert_none_in(str(one.headers))
    assert_none_in(log.read_bytes())


@pytest.mark.slow
def test_the_command_line_tells_no_key(
    index_with_keys: Path, model: Server, tmp_path: Path
) -> None:
    (tmp_path / "server").mkdir()
    stand_in = StandIn(tmp_path / "server", api_key="another")
    try:
        wrong = {
            "KBVQA_INDEX": f"{stand_in.url}/things",
            "KBVQA_QDRANT_GRPC_PORT": str(stand_in.grpc_port),
            "KBVQA_GENERATOR_URL": model.url,
            "KBVQA_GENERATOR_MODEL": MODEL,
        }
        away = wrong | {
            "KBVQA_INDEX": f"http://127.0.0.1:{free_port()}/things",
            "KBVQA_GENERATOR_URL": f"http://127.0.0.1:{free_port()}/v1",
        }
        unread = {"KBVQA_TOP_K": "none"}
        ask = ("ask", PICTURE, QUESTION)
        runs = [
            (("settings",), wrong, 0),
            (("settings", "--json"), wrong, 0),
            (("settings",), unread, 1),
            (("--help",), wrong, 0),
            (("ask", "--help"), wrong, 0),
            (("doctor",), wrong, 1),
            (("doctor",), away, 1),
            (("index", "info"), wrong, 1),
            (ask, wrong, 1),
            ((*ask, "--index", index_with_keys), wrong, 1),
            ((*ask, "--server", model.url.removesuffix("/v1")), {}, 1),
        ]
        for words, settings, code in runs:
            environment = {"KBVQA_HOME": str(tmp_path), "KBVQA_LOG_LEVEL": "debug"}
            done = kbvqa(*words, **KEYS | environment | settings)
            assert done.returncode == code, (words, done.stdout, done.stderr)
            assert_none_in(done.stdout, done.stderr)
    finally:
        stand_in.stop()
