"""The OpenAPI document says what there is: its examples are sent as they stand."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api import schema
from app.api.application import build_api
from app.pipeline import Pipeline
from app.settings import Settings
from generator.answers.confidence import Calibration, Fit
from retriever.index.passage_index import PassageIndex
from retriever.index.watching import RecallWatch
from tests.served_here import HERE

MODELS = {
    "AskBody": schema.AskBody,
    "SearchBody": schema.SearchBody,
    "PassageBody": schema.PassageBody,
    "ModelsBody": schema.ModelsBody,
}


@pytest.fixture
def document(client: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/v1/openapi.json").json()
    return found


def referenced(document: dict[str, Any], schema_: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of the document, its reference followed."""
    if "$ref" in schema_:
        name = schema_["$ref"].removeprefix("#/components/schemas/")
        found: dict[str, Any] = document["components"]["schemas"][name]
        return found
    return schema_


def test_it_lists_what_there_is(document: dict[str, Any]) -> None:
    assert set(document["paths"]) == {
        *("/v1/ask", "/v1/search", "/v1/passages/{id}", "/v1/models"),
        *("/healthz", "/readyz", "/metrics"),
    }
    # Every reference leads somewhere, and nothing speaks of FastAPI's own errors.
    named = document["components"]["schemas"]
    for name in re.findall(r"#/components/schemas/(\w+)", str(document)):
        assert name in named
    assert not {"HTTPValidationError", "ValidationError"} & set(named)
    assert "securitySchemes" not in document["components"]
    for operation in operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400 and operation["tags"] != ["health"]:
                assert list(response["content"]) == ["application/problem+json"]


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_its_examples_work(client: TestClient, document: dict[str, Any]) -> None:
    for path, kind in (("/v1/ask", "AskBody"), ("/v1/search", "SearchBody")):
        body = document["paths"][path]["post"]["requestBody"]["content"]
        fields = referenced(document, body["application/json"]["schema"])["properties"]
        sent = {name: field["examples"][0] for name, field in fields.items()}
        assert set(sent) >= {"question", "image", "top_k", "boxes"}
        answer = client.post(path, json=sent)
        assert answer.status_code == 200, answer.text
        described(document, kind, answer.json())
        form = body["multipart/form-data"]["schema"]["properties"]
        assert set(form) == set(fields) and form["image"]["format"] == "binary"
    [hit, *_] = answer.json()["hits"]
    passage = f"/v1/passages/{hit['passage_id']}"
    for path, kind in ((passage, "PassageBody"), ("/v1/models", "ModelsBody")):
        said = client.get(path)
        assert said.status_code == 200
        described(document, kind, said.json())


def described(document: dict[str, Any], kind: str, said: dict[str, Any]) -> None:
    """Fail unless what is required is there, and what the document names is as it says."""
    assert set(document["components"]["schemas"][kind]["required"]) <= set(said)
    MODELS[kind].model_validate(said)


def test_models_are_named(client: TestClient, pipeline: Pipeline) -> None:
    said = client.get("/v1/models").json()
    assert said["checkpoint"] == pipeline.encoder.checkpoint.id
    assert (said["generator"], said["strategy"]) == ("scripted", "concat")
    assert said["index"]["passages"] == 4
    assert said["uncalibrated"].startswith("Nothing was calibrated")


def test_where_all_is_calibrated_there_is_nothing_to_say(pipeline: Pipeline) -> None:
    assert pipeline.answering is not None
    fit = Fit(0.0, {}, {}, {}, None, 50)
    known = Calibration("c", 1.0, {}, {"scripted/few-shot/concat": fit})
    pipeline.answering = replace(pipeline.answering, calibration=known)
    with TestClient(build_api(pipeline, Settings()).app, base_url=HERE) as client:
        assert client.get("/v1/models").json()["uncalibrated"] is None


def test_a_passage_is_given_whole(client: TestClient) -> None:
    said = client.get("/v1/passages/p:tower").json()
    assert (said["title"], said["text"][:9]) == ("Tower", "The tower")


def test_keys_and_the_proxy_s_path_are_in_the_document(pipeline: Pipeline) -> None:
    settings = Settings(api_keys="0123456789abcdef", root_path="/kbvqa")
    with TestClient(build_api(pipeline, settings).app, base_url=HERE) as client:
        document = client.get("/v1/openapi.json").json()
    assert document["servers"] == [{"url": "/kbvqa"}]
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    asking = document["paths"]["/v1/ask"]["post"]
    assert asking["security"] and "401" in asking["responses"]
    assert "security" not in document["paths"]["/readyz"]["get"]


@pytest.mark.parametrize("at_once", [1, 5])
def test_as_many_are_answered_at_once_as_the_settings_say(
    pipeline: Pipeline, generator: Any, encoded: str, at_once: int
) -> None:
    begun, free, lock = [], threading.Event(), threading.Lock()
    all_begun = threading.Event()

    def write(prompt: object) -> tuple[str, float]:
        with lock:
            begun.append(prompt)
            if len(begun) == at_once:
                all_begun.set()
        assert free.wait(60)
        return "Paris [1]", -0.1

    generator.write = write
    served = build_api(pipeline, Settings(concurrent_questions=at_once))
    body = {"question": "Which city?", "image": encoded}
    with TestClient(served.app, base_url=HERE) as client, ThreadPoolExecutor(at_once + 2) as pool:
        asked = [pool.submit(client.post, "/v1/ask", json=body) for _ in range(at_once + 2)]
        assert all_begun.wait(60)
        while served.line.waiting() < 2:
            pass
        assert len(begun) == at_once
        free.set()
        assert all(answer.result().json()["answer"] == "Paris" for answer in asked)


def test_questions_are_offered_to_the_watch_of_an_index_that_promises(
    pipeline: Pipeline, encoded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered: list[tuple[int, ...]] = []
    watches: list[RecallWatch] = []

    def of(
        index: PassageIndex, candidates: int, connection: object, share: float, compared: Any
    ) -> RecallWatch:
        assert (index, candidates, share) == (pipeline.index, pipeline.candidates, 0.01)
        watches.append(RecallWatch(index.location, 0.97, candidates))
        monkeypatch.setattr(watches[0], "offer", lambda q_QD: offered.append(q_QD.shape))
        return watches[0]

    monkeypatch.setattr(RecallWatch, "of", of)
    with TestClient(build_api(pipeline, Settings()).app, base_url=HERE) as client:
        question = {"question": "What is the capital of France?", "image": encoded}
        assert client.post("/v1/search", json=question).status_code == 200
        text = client.get("/metrics").text.splitlines()
    assert len(offered) == 1 and len(offered[0]) == 2, "the rows of one query"
    for line in ("found NaN", "promised 0.97", "queries 0.0", "low 0.0"):
        assert f"kbvqa_recall_{line}" in text
    assert watches[0]._closed, "with the application"


def test_an_index_that_promises_nothing_is_not_watched(client: TestClient) -> None:
    assert "kbvqa_recall" not in client.get("/metrics").text


def test_requests_and_questions_are_counted(client: TestClient, encoded: str) -> None:
    for question in ("What is the capital of France?", ""):
        client.post("/v1/ask", json={"question": question, "image": encoded})
    client.get("/v1/passages/p:bird")
    client.get("/v1/passages/none")
    client.get("/somewhere")
    text = client.get("/metrics").text
    for line in (
        'kbvqa_http_requests_total{method="POST",route="/v1/ask",status="200"} 1.0',
        'kbvqa_http_requests_total{method="POST",route="/v1/ask",status="422"} 1.0',
        'kbvqa_http_requests_total{method="GET",route="/v1/passages/{id}",status="404"} 1.0',
        'kbvqa_http_requests_total{method="GET",route="page",status="404"} 1.0',
        'kbvqa_stage_seconds_count{stage="encode"} 1.0',
        'kbvqa_stage_seconds_count{stage="generate"} 1.0',
        "kbvqa_questions_running 0.0",
        "kbvqa_api_waiting 0.0",
        "kbvqa_index_foreign_points 0.0",
    ):
        assert line in text.splitlines()
    counted = [line for line in text.splitlines() if line.startswith("kbvqa_questions_total{")]
    assert sum(float(line.split()[-1]) for line in counted) == 1
    batches = re.findall(
        r'^kbvqa_encoder_batches_total{questions="\d+"} (\S+)$', text, re.MULTILINE
    )
    assert sum(map(float, batches)) >= 1
