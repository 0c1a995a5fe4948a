"""The page mounted behind the API, as it is served."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from gradio.utils import get_upload_folder
from PIL import Image

from app.api.application import build_api
from app.pipeline import Pipeline
from app.settings import Settings
from app.web import page
from app.web.page import build_page
from app.web.serving.serve import mounted
from app.web.serving.uploads import kept_pictures, own_uploads
from corpus.demo.data import demo_dir, example_gallery, example_image_path
from tests.served_here import HERE

KEY = "0123456789abcdef"


def served(pipeline: Pipeline, settings: Settings) -> TestClient:
    api, uploads = build_api(pipeline, settings), Path(get_upload_folder())
    app = mounted(api, build_page(api.pipeline, settings), settings, uploads)
    return TestClient(app, base_url=HERE)


@pytest.fixture
def client(pipeline: Pipeline) -> Iterator[TestClient]:
    with served(pipeline, Settings()) as client:
        yield client


def test_page_and_api_share_an_address(client: TestClient) -> None:
    assert "gradio_config" in client.get("/").text
    assert client.get("/config").json()["title"] == "kbvqa"
    assert client.get("/v1/models").json()["generator"] == "scripted"
    assert client.get("/gradio_api/info").json()["named_endpoints"].keys() == {"/ask"}
    assert client.get("/v1/nothing").headers["content-type"] == "application/problem+json"


def test_neither_page_nor_its_streams_answer_to_another_name(client: TestClient) -> None:
    paths = ("/", "/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=a")
    for path in paths:
        answer = client.get(path, headers={"Host": "evil.example:7860"})
        assert answer.status_code == 421, path
        assert "KBVQA_ALLOWED_HOSTS" in answer.json()["detail"]
    for path in ("/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/call/ask"):
        answer = client.post(path, json={}, headers={"Host": "evil.example:7860"})
        assert answer.status_code == 421, path


def test_every_script_of_a_page_has_its_word_and_no_other_page_s(client: TestClient) -> None:
    words = set()
    for _ in range(2):
        page = client.get("/")
        policy = page.headers["content-security-policy"]
        found = re.search(r"script-src 'self' 'nonce-([\w-]+)' 'unsafe-eval';", policy)
        assert found is not None
        scripts = re.findall(r"<script\b[^>]*>", page.text)
        assert scripts and all(f'nonce="{found[1]}"' in script for script in scripts)
        words.add(found[1])
        assert "default-src 'self'" in policy and "http" not in policy
    assert len(words) == 2
    # Markup in the page's own data is escaped: it cannot get the word.
    assert "\\u003cheader" in page.text and "<header" not in page.text


def test_with_keys_the_page_asks_for_one(pipeline: Pipeline) -> None:
    with served(pipeline, Settings(api_keys=KEY)) as client:
        assert client.get("/config").status_code == 401
        assert client.post("/login", data={"username": "me", "password": "no"}).status_code == 400
        assert client.get("/config").status_code == 401
        assert client.post("/login", data={"username": "me", "password": KEY}).status_code == 200
        assert client.get("/config").status_code == 200
        # What opens the page does not open the API.
        assert client.get("/v1/models").status_code == 401


FILE = {"meta": {"_type": "gradio.FileData"}}
NOT_UPLOADED = "The picture was not uploaded here."


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    with own_uploads() as folder:
        yield folder


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A picture of this machine that nobody uploaded."""
    Image.new("RGB", (32, 24), "red").save(tmp_path / "private.png")
    return tmp_path / "private.png"


def called(client: TestClient, *data: Any) -> str:
    """Return what comes of a question at the address for programs."""
    began = client.post("/gradio_api/call/ask", json={"data": data})
    return client.get(f"/gradio_api/call/ask/{began.json()['event_id']}").text


def run_at_once(client: TestClient, *data: Any) -> str:
    return client.post("/gradio_api/run/ask", json={"data": data}).text


def queued(client: TestClient, *data: Any, session: str = "s") -> str:
    """Return what comes of a question as the page's own script sends one."""
    events = client.get("/config").json()["dependencies"]
    [asked] = [event["id"] for event in events if event["api_name"] == "ask"]
    sent = {"data": data, "fn_index": asked, "session_hash": session}
    assert client.post("/gradio_api/queue/join", json=sent).status_code == 200
    return client.get("/gradio_api/queue/data", params={"session_hash": session}).text


@pytest.mark.parametrize("ask", [called, run_at_once, queued])
def test_a_request_opens_no_file_that_was_not_uploaded(
    pipeline: Pipeline, uploads: Path, private: Path, ask: Any
) -> None:
    rest = ["Which city?", 3, "concat", "", False]
    through = f"{uploads}/../../{private.name}"
    with served(pipeline, Settings()) as client:
        for path in ("/proc/self/environ", str(private), through, "http://127.0.0.1:9/x.png", "\0"):
            for record in ({"path": path, **FILE}, {"path": path}):
                assert NOT_UPLOADED in ask(client, record, *rest)
        forged = {"path": str(private), **FILE}
        assert "must be a text" in ask(client, {"path": ""}, forged, *rest[1:])
        assert NOT_UPLOADED in ask(client, {**forged, "path": "/x", "of": [forged]}, *rest)
        assert "passages, not" in ask(client, None, "Which city?", [{"a": forged}], *rest[2:])
        assert list(uploads.rglob("*")) == []


@pytest.mark.parametrize("ask", [called, run_at_once, queued])
def test_a_file_without_an_end_is_not_begun(pipeline: Pipeline, uploads: Path, ask: Any) -> None:
    with served(pipeline, Settings()) as client:
        said = ask(client, {"path": "/dev/zero", **FILE}, "Which city?", 3, "concat", "", False)
    assert NOT_UPLOADED in said


def test_of_pages_that_were_left_the_last_alone_take_memory(
    pipeline: Pipeline, uploads: Path, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_SESSIONS", 2)
    with served(pipeline, Settings()) as client:
        [path] = client.post("/gradio_api/upload", files={"files": private.open("rb")}).json()
        asked = ({"path": path, **FILE}, "Which city?", 3, "concat", "", False)
        for session in ("a", "b", "c", "a"):  # the first is forgotten meanwhile
            assert "Paris" in queued(client, *asked, session=session)
        assert list(client.app.routes[-1].app.state_holder.session_data) == ["c", "a"]


def test_uploads_and_examples_are_asked_about(
    pipeline: Pipeline, uploads: Path, private: Path
) -> None:
    rest = ["Which city?", 3, "concat", "", False]
    kept_pictures(demo_dir() / "examples")
    example = str(example_image_path(example_gallery()[0]))
    with served(pipeline, Settings()) as client:
        [path] = client.post("/gradio_api/upload", files={"files": private.open("rb")}).json()
        for ours in (path, example):
            answered = json.loads(run_at_once(client, {"path": ours, **FILE}, *rest))
            assert answered["data"][0]["answer"] == "Paris"
    assert Path(path).is_relative_to(uploads)
