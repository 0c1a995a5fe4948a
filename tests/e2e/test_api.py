"""The API of a real server: its guide runs, and every way of asking gives one answer."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from gradio_client import Client, handle_file
from mcp.client.client import Client as McpClient
from mcp.client.stdio import StdioServerParameters
from typer.testing import CliRunner

from app.cli import app
from corpus.demo.data import demo_dir
from tests.doc_blocks import ROOT, blocks
from tests.e2e.conftest import serving

PICTURE = demo_dir() / "examples" / "kenya.png"
QUESTION = "What is the capital of this country?"
KEY = "0123456789abcdef"
# What two processes may compute a little differently, or take another time for.
INEXACT = {"timings_ms", "request_id", "confidence", "evidence", "candidates"}


def told(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a result says, its scores rounded."""
    hits = [hit | {"score": round(hit["score"], 2)} for hit in result["hits"]]
    return {name: value for name, value in result.items() if name not in INEXACT} | {"hits": hits}


@pytest.mark.slow
def test_every_way_of_asking_gives_one_answer(
    server: str, home: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KBVQA_HOME", str(home))
    words = ["ask", str(PICTURE), QUESTION, "--top-k", "3", "--json"]
    here = json.loads(command([*words, "--index", str(index)]))
    assert here["answer"] == "Nairobi"
    there = json.loads(command([*words, "--server", server]))
    fields = {"question": QUESTION, "top_k": 3}
    api = httpx.post(
        f"{server}/v1/ask", data=fields, files={"image": PICTURE.read_bytes()}, timeout=120
    ).json()
    page = Client(server, verbose=False).predict(
        handle_file(PICTURE), QUESTION, 3, "extract", api_name="/ask"
    )
    assert told(here) == told(there) == told(api) == told(page)
    for_people = command([*words[:-1], "--server", server])
    assert "Nairobi [1]" in for_people and "[1] Kenya" in for_people
    passages = command([*words, "--no-answer", "--server", server])
    assert next(hit["title"] for hit in json.loads(passages)["hits"]) == "Kenya"


def command(words: list[str]) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, f"{result.output} {result.exception!r}"
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("guide", "said", "served"), [("api.md", "Nairobi", 5), ("talk.md", "Kenya's currency", 1)]
)
def test_the_guide_runs(server: str, tmp_path: Path, guide: str, said: str, served: int) -> None:
    (tmp_path / "flag.png").write_bytes(PICTURE.read_bytes())
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "kbvqa"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m kbvqa "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": path}
    ran = 0
    for block in blocks(ROOT / "docs" / "guide" / guide):
        if block.note != "served":
            continue
        text = block.text.replace("http://127.0.0.1:7860", server)
        words = ["bash", "-euo", "pipefail", "-c"] if block.language == "sh" else [sys.executable]
        words += [text] if block.language == "sh" else ["-c", text]
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        assert said in done.stdout, f"{text}\n{done.stdout}"
        ran += 1
    assert ran == served


@pytest.mark.slow
def test_with_keys_nobody_gets_in_without(home: Path, index: Path, tmp_path: Path) -> None:
    with serving(home, index, tmp_path / "log", KBVQA_API_KEYS=KEY) as web:
        for path in ("/v1/models", "/metrics", "/config", "/gradio_api/info"):
            assert httpx.get(f"{web.url}{path}").status_code == 401, path
        form = {"files": PICTURE.read_bytes()}
        assert httpx.post(f"{web.url}/gradio_api/upload", files=form).status_code == 401
        assert httpx.get(f"{web.url}/readyz").status_code == 200
        wrong = httpx.post(f"{web.url}/login", data={"username": "me", "password": "no"})
        assert wrong.status_code == 400
        client = Client(web.url, auth=("me", KEY), verbose=False)
        said = client.predict(handle_file(PICTURE), QUESTION, 1, "extract", api_name="/ask")
        assert said["answer"] == "Nairobi"
        words = ["ask", str(PICTURE), QUESTION, "--server", web.url]
        refused = CliRunner().invoke(app, words)
        assert "A key is needed" in str(refused.exception)
        allowed = CliRunner().invoke(app, words, env={"KBVQA_API_KEYS": KEY})
        assert "Nairobi" in allowed.output
    log = web.log.read_text(encoding="utf-8")
    assert KEY not in log


@pytest.mark.slow
def test_an_assistant_starts_the_tools(home: Path, index: Path) -> None:
    environment = {"KBVQA_HOME": str(home), "KBVQA_INDEX": str(index), "HF_HUB_OFFLINE": "1"}
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "kbvqa", "mcp"],
        env=environment | {"PYTHONPATH": str(ROOT)},
    )

    async def asked() -> Any:
        async with McpClient(parameters) as client:
            return await client.call_tool("ask", {"question": QUESTION, "picture": str(PICTURE)})

    said = anyio.run(asked)
    assert not said.is_error and said.structured_content["answer"] == "Nairobi"


def test_a_server_that_is_none_is_said(tmp_path: Path) -> None:
    for url, says in (
        ("http://127.0.0.1:9", "is not reached"),
        ("127.0.0.1:7860", "give a URL such as"),
    ):
        result = CliRunner().invoke(app, ["ask", str(PICTURE), QUESTION, "--server", url])
        assert says in str(result.exception)
    for option, says in (
        (("--index", "x"), "leave it out with --server"),
        (("--why", str(tmp_path / "heat.png")), "draws with the model in this process"),
        (("--top-k", "50"), "a server shows 1 to 20 passages, not 50"),
    ):
        asked = ["ask", str(PICTURE), QUESTION, "--server", url, *option]
        result = CliRunner().invoke(app, asked, env={"COLUMNS": "300"})
        assert result.exit_code == 2 and says in result.output, result.output
