"""A server that is told to stop answers what is under way, and nothing new; or not for ever."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from corpus.demo.data import demo_dir
from tests.e2e.conftest import serving
from tests.integration.generator_server import KEY, MODEL, Server

PICTURE = demo_dir() / "examples" / "kenya.png"
QUESTION = "What is the capital of this country?"


def settings(model: Server) -> dict[str, str]:
    generator = {"URL": model.url, "MODEL": MODEL, "API_KEY": KEY, "TIMEOUT_SECONDS": "300"}
    named = {f"KBVQA_GENERATOR_{name}": value for name, value in generator.items()}
    return named | {"KBVQA_STRATEGY": "concat", "KBVQA_PROMPT_STYLE": "instruct"}


def ask(url: str) -> httpx.Response:
    files = {"image": PICTURE.read_bytes()}
    return httpx.post(f"{url}/v1/ask", data={"question": QUESTION}, files=files, timeout=120)


def until(happens: Any) -> None:
    for _ in range(1200):
        if happens():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen in a minute")


@pytest.mark.slow
def test_answers_under_way_are_finished(
    home: Path, index: Path, tmp_path: Path, model: Server
) -> None:
    begun, free = threading.Event(), threading.Event()

    def slow(handler: Any) -> None:
        begun.set()
        assert free.wait(120)
        handler.events(" Nairobi", " [1]")

    model.answer = slow
    with (
        serving(home, index, tmp_path / "log", **settings(model)) as web,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(ask, web.url)
        assert begun.wait(120)
        web.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{web.url}/readyz").status_code == 503)
        assert httpx.get(f"{web.url}/readyz").json()["stopping"] is True
        assert httpx.get(f"{web.url}/healthz").status_code == 200
        refused = ask(web.url)
        assert refused.status_code == 503 and refused.headers["retry-after"]
        assert "is being stopped" in refused.json()["detail"]
        free.set()
        answer = asked.result(120)
        assert answer.status_code == 200 and answer.json()["answer"] == "Nairobi"
        assert web.process.wait(60) == 0


@pytest.mark.slow
@pytest.mark.parametrize("twice", [False, True])
def test_what_takes_for_ever_is_not_waited_for(
    home: Path, index: Path, tmp_path: Path, model: Server, twice: bool
) -> None:
    begun, free = threading.Event(), threading.Event()

    def endless(handler: Any) -> None:
        begun.set()
        free.wait(120)

    model.answer = endless
    seconds = "3600" if twice else "0.5"
    environment = settings(model) | {"KBVQA_STOP_SECONDS": seconds}
    with (
        serving(home, index, tmp_path / "log", **environment) as web,
        ThreadPoolExecutor(1) as pool,
    ):
        asked = pool.submit(ask, web.url)
        assert begun.wait(120)
        web.process.send_signal(signal.SIGTERM)
        if twice:
            until(lambda: httpx.get(f"{web.url}/readyz").status_code == 503)
            web.process.send_signal(signal.SIGTERM)
        assert web.process.wait(60) == 0
        free.set()
        with pytest.raises(httpx.HTTPError):
            asked.result(120).raise_for_status()
