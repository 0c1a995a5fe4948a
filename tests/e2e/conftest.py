"""The real page in a process of its own, and a real Chromium that may talk to it alone."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from app.components import open_checkpoint
from app.settings import MINI, Settings
from corpus.demo.data import demo_passages_path, example_gallery
from corpus.files.passages import read_passages, write_passages
from corpus.types import Passage
from retriever.building.build import build_index
from tests.integration.generator_server import KEY, MODEL, Server, serve

PASSAGES = 200
START_SECONDS = 300
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Chromium's own calls home would look like the page's.
QUIET_CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where checkpoint and reader are built; KBVQA_TEST_HOME keeps them for the next time."""
    kept = os.environ.get("KBVQA_TEST_HOME")
    return Path(kept) if kept else tmp_path_factory.mktemp("home")


def small_corpus(count: int = PASSAGES) -> list[Passage]:
    """Return what the gallery asks about, the capitals of its countries, and other passages."""
    gold = {passage_id for example in example_gallery() for passage_id in example.gold_passage_ids}
    of_countries = [id_.split(":")[1] for id_ in gold if id_.startswith("factbook:")]
    gold |= {f"factbook:{country}:Country name and capital" for country in of_countries}
    every = list(read_passages(demo_passages_path()))
    others = [passage for passage in every if passage.id not in gold]
    step = len(others) // (count - len(gold))
    return [p for p in every if p.id in gold] + others[::step]


@pytest.fixture(scope="session")
def index(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of the small corpus."""
    folder = tmp_path_factory.mktemp("index")
    write_passages(folder / "passages.jsonl", small_corpus())
    checkpoint = open_checkpoint(Settings(home=home, checkpoint=MINI))
    build_index(folder / "passages.jsonl", folder / "index", checkpoint, lambda done, total: None)
    return folder / "index"


@pytest.fixture(scope="session")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `server` keeps what is uploaded."""
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="session")
def server(
    home: Path, index: Path, uploads: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of `kbvqa web` with the extractive reader."""
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(home, index, log, GRADIO_TEMP_DIR=str(uploads)) as web:
        yield web.url
    assert not list(uploads.glob("kbvqa-uploads-*")), "uploads go when the page stops"


@pytest.fixture(scope="session")
def model() -> Iterator[Server]:
    """A stand-in for a generator server, which answers as it is told."""
    with serve() as running:
        yield running


@pytest.fixture(scope="session")
def slow_server(
    home: Path, index: Path, model: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of `kbvqa web` with `model` as its generator."""
    settings = {"URL": model.url, "MODEL": MODEL, "API_KEY": KEY, "TIMEOUT_SECONDS": "300"}
    environment = {f"KBVQA_GENERATOR_{name}": value for name, value in settings.items()}
    environment |= {"KBVQA_STRATEGY": "concat", "KBVQA_PROMPT_STYLE": "instruct"}
    log = tmp_path_factory.mktemp("slow") / "log"
    with serving(home, index, log, **environment) as web:
        yield web.url


@dataclass
class Web:
    """A page in a process of its own."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def serving(
    home: Path, index: Path, log: Path, *, port: int | None = None, **environment: str
) -> Iterator[Web]:
    """Give `kbvqa web`, which must stop when it is told to."""
    port = port or free_port()
    ours = {name: value for name, value in os.environ.items() if not name.startswith("KBVQA_")}
    environment = {**ours, "KBVQA_HOME": str(home), "HF_HUB_OFFLINE": "1", **environment}
    command = [sys.executable, "-m", "kbvqa", "web", "--port", str(port), "--index", str(index)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=environment, stdout=file, stderr=file, preexec_fn=_end_with_this_process
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, process, log)
        yield Web(url, process, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, log.read_text()
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.kill()
        process.wait()


def _end_with_this_process() -> None:
    """Have Linux stop the child where this process ends, be it by SIGKILL: nobody else would."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            httpx.get(url, trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.5)
    pytest.fail(f"no page after {START_SECONDS} s:\n{log.read_text()}")


# Of a module: while it is open this thread runs an event loop, and other tests want their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = os.environ.get("KBVQA_TEST_CHROMIUM") or shutil.which("chromium")
    assert chromium, "install Chromium (apt install chromium) or set KBVQA_TEST_CHROMIUM"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(QUIET_CHROMIUM))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    """The open page. No error in its console and no request elsewhere is allowed."""
    with opened(browser, server) as page:
        yield page


@pytest.fixture
def slow_page(browser: Browser, slow_server: str, model: Server) -> Iterator[Page]:
    """Likewise, of the page whose generator is `model`."""
    model.requests.clear()
    with opened(browser, slow_server) as page:
        yield page


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    errors: list[str] = []
    requests: list[str] = []
    page.on(
        "console",
        lambda m: errors.append(f"{m.text} {m.location}") if m.type == "error" else None,
    )
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(url)
    page.locator("#ask").wait_for()
    # The page's own scripts come behind its parts; without them nothing is dropped or framed.
    page.wait_for_function("() => window.kbvqaBox && window.kbvqaKeep")
    yield page
    context.close()
    assert errors == []
    elsewhere = [asked for asked in requests if not asked.startswith((url, "data:", "blob:"))]
    assert elsewhere == []
    assert requests
