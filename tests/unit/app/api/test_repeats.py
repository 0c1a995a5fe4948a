"""What was asked before is answered again at once, and nothing else is taken for it."""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from pydantic import SecretStr

from app.api.application import build_api
from app.api.line import SharedPipeline
from app.api.metrics import Metrics
from app.api.repeats import Repeats, key_of
from app.flow.events import Found, Result
from app.pipeline import Pipeline
from app.settings import Settings
from corpus.pictures.images import load_image
from corpus.types import Query
from generator.errors import GeneratorUnavailable
from generator.rewriting import Turn
from retriever.errors import IndexUnavailable
from tests.served_here import HERE

QUESTION = "What is the capital of France?"


@pytest.fixture
def client(pipeline: Pipeline) -> Iterator[TestClient]:
    with TestClient(build_api(pipeline, Settings(repeated_answers=2)).app, base_url=HERE) as client:
        yield client


def picture(color: str, format_: str = "PNG") -> str:
    file = io.BytesIO()
    Image.new("RGB", (32, 24), color).save(file, format_)
    return base64.b64encode(file.getvalue()).decode()


def test_the_same_is_answered_again_and_says_so(client: TestClient, generator: Any) -> None:
    body = {"question": QUESTION, "image": picture("red"), "top_k": 2, "why": True}
    first = client.post("/v1/ask", json=body).json()
    asked = len(generator.asked)
    # Another file of the same pixels.
    again = client.post("/v1/ask", json=body | {"image": picture("red", "BMP")})
    assert len(generator.asked) == asked
    said = again.json()
    assert said["repeated"] is True and "repeated" not in first
    assert said["request_id"] == again.headers["X-Request-ID"] != first["request_id"]
    changed = {"repeated", "request_id", "timings_ms"}
    assert {k: v for k, v in said.items() if k not in changed} == {
        k: v for k, v in first.items() if k not in changed
    }
    streamed = client.post("/v1/ask", json=body | {"stream": True}).text
    names = [line for line in streamed.splitlines() if line.startswith("event:")]
    assert names == ["event: found", "event: result"]
    assert json.loads(streamed.split("data: ")[-1])["repeated"] is True
    counted = client.get("/metrics").text.splitlines()
    assert "kbvqa_repeated_questions_total 2.0" in counted
    assert 'kbvqa_stage_seconds_count{stage="encode"} 1.0' in counted


def test_how_long_it_is_of_use_makes_no_difference_to_what_was_kept(
    client: TestClient, generator: Any
) -> None:
    body = {"question": QUESTION, "image": picture("red")}
    client.post("/v1/ask", json=body)
    asked = len(generator.asked)
    for seconds in (3600, 60.0):
        again = client.post("/v1/ask", json=body | {"within_seconds": seconds})
        assert again.json()["repeated"] is True
    assert len(generator.asked) == asked


def test_no_key_is_told_what_another_asked(pipeline: Pipeline) -> None:
    keys = "a" * 16, "b" * 16
    settings = Settings(repeated_answers=5, api_keys=SecretStr(",".join(keys)))
    body = {"question": QUESTION, "image": picture("red")}

    def repeated(client: TestClient, key: str) -> bool:
        headers = {"Authorization": f"Bearer {key}"}
        return client.post("/v1/ask", json=body, headers=headers).json().get("repeated", False)

    served = build_api(pipeline, settings)
    with TestClient(served.app, base_url=HERE) as client:
        assert [repeated(client, key) for key in keys * 2] == [False, False, True, True]
        page = served.pipeline.ask(Query(QUESTION, load_image(base64.b64decode(body["image"]))))
        assert not page.repeated


def test_the_one_that_was_not_asked_for_longest_is_forgotten(
    client: TestClient, generator: Any
) -> None:
    for color, is_known in (
        *(("red", False), ("blue", False), ("red", True), ("green", False)),
        *(("red", True), ("blue", False)),
    ):
        body = {"question": QUESTION, "image": picture(color)}
        assert client.post("/v1/ask", json=body).json().get("repeated", False) is is_known, color


def test_what_failed_is_tried_again(client: TestClient, generator: Any) -> None:
    def fail(prompt: object) -> tuple[str, float]:
        raise GeneratorUnavailable("it is away")

    write, generator.write = generator.write, fail
    body = {"question": QUESTION, "image": picture("red")}
    assert client.post("/v1/ask", json=body).json()["answer"] is None
    generator.write = write
    assert client.post("/v1/ask", json=body).json()["answer"] == "Paris"


def test_every_option_makes_it_another_question(pipeline: Pipeline) -> None:
    image = Image.new("RGB", (32, 24), "red")
    query = Query(QUESTION, image)
    how: dict[str, Any] = {
        "retrieval": True,
        "answer": True,
        "strategy": None,
        "sources": (),
        "after": (),
    }
    others: list[tuple[Query, int, dict[str, Any]]] = [
        (replace(query, question="What is the capital of Spain?"), 5, how),
        (replace(query, image=Image.new("RGB", (32, 24), "blue")), 5, how),
        (replace(query, image=Image.new("RGB", (24, 32), "red")), 5, how),
        (replace(query, image=None), 5, how),
        (replace(query, boxes=((0, 0, 8, 8),)), 5, how),
        (query, 4, how),
        (query, 5, how | {"retrieval": False}),
        (query, 5, how | {"answer": False}),
        (query, 5, how | {"strategy": "ra-vqa"}),
        (query, 5, how | {"sources": ("Zoo",)}),
        (query, 5, how | {"after": (Turn("a", "b"),)}),
        (query, 5, how | {"after": (Turn("a", "b", unsure=True),)}),
    ]
    keys = {key_of(pipeline, asked, top_k, **options) for asked, top_k, options in others}
    same = key_of(pipeline, replace(query, image=image.copy()), 5, **how)
    assert same == key_of(pipeline, query, 5, **how)
    assert len(keys | {same}) == len(others) + 1


def test_another_build_of_the_index_is_asked_anew(
    pipeline: Pipeline, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, query = (
        SharedPipeline(pipeline, Metrics(), repeated=5),
        Query(QUESTION, load_image(png)),
    )
    index = pipeline.index
    assert index is not None and index.current_build().id
    first, again = (shared.ask(query, 3) for _ in range(2))
    assert (first.repeated, again.repeated) == (False, True)
    moved = replace(index.built, id="another")
    monkeypatch.setattr(index, "current_build", lambda: moved)
    assert not shared.ask(query, 3).repeated


def test_an_index_on_a_server_that_is_replaced_is_noticed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What decides is looked for at the server, not only at what was opened."""
    index = pipeline.index
    assert index is not None
    looked: list[str] = []
    monkeypatch.setattr(type(index._store), "moves", True)
    monkeypatch.setattr(index, "_look", lambda: looked.append("looked"))
    monkeypatch.setattr(index, "_looked", None)  # as after a while
    index.current_build()
    assert looked


def test_nothing_is_kept_unless_it_is_set(pipeline: Pipeline, png: bytes) -> None:
    assert not Repeats(Settings().repeated_answers)
    shared = SharedPipeline(pipeline, Metrics())
    query = Query(QUESTION, load_image(png))
    assert not any(shared.ask(query, 2).repeated for _ in range(2))
    kept = SharedPipeline(pipeline, Metrics(), repeated=1)
    list(kept.run(query, 2))
    found, result = kept.run(query, 1), kept.run(query, 2)
    assert not any(isinstance(event, Result) and event.repeated for event in found)
    assert isinstance(next(result), Found)


def test_an_index_that_is_away_is_counted_where_results_are_kept_too(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise IndexUnavailable("the index does not answer")

    monkeypatch.setattr(pipeline.index, "current_build", away)
    with TestClient(build_api(pipeline, Settings(repeated_answers=2)).app, base_url=HERE) as client:
        answer = client.post("/v1/ask", json={"question": QUESTION, "image": picture("red")})
        assert answer.status_code == 503
        assert 'kbvqa_questions_total{outcome="away"} 1.0' in client.get("/metrics").text
