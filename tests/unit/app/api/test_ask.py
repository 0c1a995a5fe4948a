"""/v1/ask and /v1/search: the same answer as everywhere, as one object and as events."""

import base64
import json
import threading

import pytest
from fastapi.testclient import TestClient

from app.api.application import Served, build_api
from app.api.line import SharedPipeline
from app.api.metrics import Metrics
from app.api.schema import AskBody, FoundBody, SearchBody
from app.asking.ask import run
from app.asking.questions import CITED_TOO
from app.asking.report import result_as_json, search_as_json
from app.asking.why import explain
from app.errors import InvalidQuestion
from app.flow.events import Found, Result
from app.machine.memory import GiveBack
from app.pipeline import Pipeline
from app.settings import Settings
from app.web.endpoint import ask as ask_page
from app.web.serving.uploads import own_uploads
from corpus.pictures.images import load_image
from corpus.types import Query
from generator.errors import GeneratorUnavailable
from generator.extractive.reader import ExtractiveReader
from generator.interface import Waiting
from retriever.errors import IndexUnavailable
from tests.served_here import HERE

QUESTION = "What is the capital of France?"


def timeless(said: dict) -> dict:
    return {k: v for k, v in said.items() if k not in ("timings_ms", "request_id")}


def test_every_way_of_asking_gives_one_answer(
    client: TestClient, pipeline: Pipeline, png: bytes, encoded: str
) -> None:
    query = Query(QUESTION, load_image(png))
    expected = timeless(json.loads(json.dumps(result_as_json(pipeline.ask(query, 3)))))
    assert expected["answer"] == "Paris" and len(expected["hits"]) == 3
    fields = {"question": QUESTION, "top_k": 3}
    by_json = client.post("/v1/ask", json={**fields, "image": encoded})
    address = f"data:image/png;base64,{encoded}"
    by_data_url = client.post("/v1/ask", json={**fields, "image": address})
    by_form = client.post("/v1/ask", data=fields, files={"image": ("a.png", png)})
    for answer in (by_json, by_data_url, by_form):
        assert answer.status_code == 200, answer.text
        assert timeless(answer.json()) == expected
        AskBody.model_validate(answer.json())
    with own_uploads() as folder:
        (folder / "a.png").write_bytes(png)
        record = {"path": str(folder / "a.png"), "orig_name": "a.png"}
        page = ask_page(pipeline, record, QUESTION, 3, "concat")
    assert timeless(json.loads(json.dumps(page))) == expected


@pytest.mark.parametrize(
    ("headers", "field"), [({"Accept": "text/event-stream"}, {}), ({}, {"stream": True})]
)
def test_events_come_in_order_and_end_in_the_whole_result(
    client: TestClient, encoded: str, headers: dict, field: dict
) -> None:
    body = {"question": QUESTION, "image": encoded, "top_k": 2}
    whole = client.post("/v1/ask", json=body).json()
    answer = client.post("/v1/ask", json=body | field, headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_of(answer.text)
    names = [name for name, _ in events]
    assert names[0] == "found" and names[-1] == "result"
    assert set(names[1:-1]) == {"piece"}
    assert [hit["passage_id"] for hit in events[0][1]["hits"]] == [
        hit["passage_id"] for hit in whole["hits"]
    ]
    assert timeless(events[-1][1]) == timeless(whole)
    document = client.get("/v1/openapi.json").json()
    known = document["components"]["schemas"]["FoundBody"]
    assert set(known["required"]) == set(known["properties"]) == set(events[0][1])
    assert "`FoundBody`" in document["paths"]["/v1/ask"]["post"]["description"]
    FoundBody.model_validate(events[0][1])


def events_of(text: str) -> list[tuple[str, dict]]:
    events = []
    for block in text.strip().split("\n\n"):
        if block.startswith(":"):
            continue
        name, data = block.split("\n")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


def test_a_search_needs_no_picture_and_no_generator(
    client: TestClient, pipeline: Pipeline, generator, png: bytes
) -> None:
    asked = len(generator.asked)
    for files in (None, {"image": png}):
        answer = client.post("/v1/search", data={"question": QUESTION, "top_k": 2}, files=files)
        if files is None:  # an HTML form without a file is of another kind
            assert answer.status_code == 415
            answer = client.post("/v1/search", json={"question": QUESTION, "top_k": 2})
        assert answer.status_code == 200, answer.text
        said = answer.json()
        SearchBody.model_validate(said)
        assert len(said["hits"]) == 2 and "answer" not in said
        picture = load_image(png) if files else None
        found = pipeline.ask(Query(QUESTION, picture), 2, answer=False)
        assert timeless(search_as_json(found)) == timeless(said)
        assert {"recognised", "similar"} <= set(said)
    assert len(generator.asked) == asked


def test_a_part_of_the_picture_is_looked_at(client: TestClient, png: bytes, encoded: str) -> None:
    fields = {"question": QUESTION}
    by_json = client.post("/v1/ask", json={**fields, "image": encoded, "boxes": [[0, 0, 8, 8]]})
    by_form = client.post("/v1/ask", data={**fields, "boxes": "0,0,8,8"}, files={"image": png})
    assert by_json.json()["boxes"] == by_form.json()["boxes"] == [[0, 0, 8, 8]]


def test_why_is_said_where_it_is_asked_for(
    client: TestClient, pipeline: Pipeline, png: bytes, encoded: str
) -> None:
    fields = {"question": QUESTION, "image": encoded, "top_k": 2}
    query = Query(QUESTION, load_image(png))
    result = pipeline.ask(query, 2)
    whys = explain(pipeline, query, result.retrieval)
    expected = json.loads(json.dumps(result_as_json(result, whys)))
    asked = client.post("/v1/ask", json=fields | {"why": True}).json()
    assert asked["why"] == expected["why"] and asked["given"] == expected["given"]
    streamed = client.post("/v1/ask", json=fields | {"why": True, "stream": True})
    assert timeless(events_of(streamed.text)[-1][1]) == timeless(asked)
    found = client.post("/v1/search", json=fields | {"why": True}).json()
    assert found["why"] == expected["why"]
    assert "why" not in client.post("/v1/search", json=fields).json()


def test_a_generator_that_fails_leaves_the_passages(
    client: TestClient, generator, encoded: str
) -> None:
    def fail(prompt: object) -> tuple[str, float]:
        raise GeneratorUnavailable("it is away")

    generator.write = fail
    answer = client.post("/v1/ask", json={"question": QUESTION, "image": encoded})
    assert answer.status_code == 200
    said = answer.json()
    assert said["answer"] is None and said["failure"] == "it is away" and said["hits"]
    AskBody.model_validate(said)
    assert (said["verdict"], said["confidence"], said["reasons"]) == (None, None, [])
    assert 'kbvqa_questions_total{outcome="failed"} 1.0' in client.get("/metrics").text


def test_more_passages_than_asked_for_are_shown_where_they_are_cited_and_that_is_said(
    client: TestClient, generator, encoded: str
) -> None:
    generator.write = lambda prompt: ("Paris [2]", -0.1)
    body = {"question": QUESTION, "image": encoded, "top_k": 1}
    assert len(client.post("/v1/ask", json=body).json()["hits"]) == 2
    said = client.get("/v1/openapi.json").json()["components"]["schemas"]["AskRequest"]
    assert CITED_TOO in said["properties"]["top_k"]["description"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_strategy_that_is_not_here_is_refused_with_those_that_are(
    client: TestClient, generator, encoded: str, stream: bool
) -> None:
    body = {"question": QUESTION, "image": encoded, "strategy": "extract", "stream": stream}
    answer = client.post("/v1/ask", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "strategy: what answers here has no 'extract'. Leave it out, or send concat or ra-vqa or "
        "critic or no-retrieval."
    )
    assert not generator.asked


def test_the_reader_refuses_what_writes(pipeline: Pipeline, png: bytes) -> None:
    reads = Pipeline(pipeline.encoder, pipeline.index, ExtractiveReader.from_pretrained())
    query = Query(QUESTION, load_image(png))
    with pytest.raises(InvalidQuestion, match=r"no 'ra-vqa'. Leave it out, or send extract\."):
        run(reads, query, 3, "ra-vqa")


def test_an_index_that_is_away_is_not_the_caller_s_fault(
    client: TestClient, served: Served, encoded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: object, **options: object) -> None:
        raise IndexUnavailable("the index does not answer")

    monkeypatch.setattr(served.pipeline.index, "search_many", away)
    body = {"question": QUESTION, "image": encoded}
    answer = client.post("/v1/ask", json=body)
    assert answer.status_code == 503 and answer.headers["retry-after"]
    assert answer.json()["detail"] == "the index does not answer"
    # Where the answer has begun, it ends in the problem.
    [(name, problem)] = events_of(client.post("/v1/ask", json=body | {"stream": True}).text)
    assert (name, problem["status"]) == ("problem", 503)
    counted = client.get("/metrics").text
    assert 'kbvqa_questions_total{outcome="away"} 2.0' in counted
    assert 'kbvqa_questions_total{outcome="error"} 0.0' in counted, "it is no bug"


def test_a_bug_says_nothing_of_the_inside(
    client: TestClient, served: Served, encoded: str, monkeypatch: pytest.MonkeyPatch, caplog
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(served.pipeline.index, "search_many", broken)
    answer = client.post("/v1/ask", json={"question": QUESTION, "image": encoded})
    assert answer.status_code == 500 and "secret" not in answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "/secret/path" in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_too_little_memory_is_said(
    client: TestClient, served: Served, encoded: str, monkeypatch: pytest.MonkeyPatch, error
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(served.pipeline.index, "search_many", broken)
    answer = client.post("/v1/ask", json={"question": QUESTION, "image": encoded})
    assert answer.status_code == 503 and answer.headers["retry-after"]
    assert "not enough memory" in answer.json()["detail"]


def test_questions_share_their_turns_and_wait(pipeline: Pipeline, png: bytes) -> None:
    shared = SharedPipeline(pipeline, Metrics(), at_once=1)
    query = Query(QUESTION, load_image(png))
    first = shared.run(query, 1)
    assert isinstance(next(first), Found)
    second = shared.run(query, 1)
    assert isinstance(next(second), Waiting)
    first.close()  # who leaves makes room
    assert isinstance(list(second)[-1], Result)
    # Many threads at once: all are answered.
    results: list[Result] = []
    threads = [
        threading.Thread(target=lambda: results.append(shared.ask(query, 1))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [r.answer.text for r in results if r.answer] == ["Paris"] * 4


def test_memory_is_given_back_after_every_question(
    pipeline: Pipeline, png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []
    monkeypatch.setattr(GiveBack, "__call__", lambda self: done.append(shared.under_way))
    shared, query = SharedPipeline(pipeline, Metrics()), Query(QUESTION, load_image(png))
    shared.ask(query, 1)
    assert done == [1]
    first = shared.run(query, 1)
    next(first)
    assert done == [1]
    first.close()
    assert done == [1, 1]


def test_a_follow_up_comes_with_what_was_asked_before(client: TestClient, png: bytes) -> None:
    before = [{"question": QUESTION, "answer": "Paris", "about": "France", "unsure": False}]
    fields = {"question": "and its river?", "top_k": 2}
    picture = base64.b64encode(png).decode()
    by_json = client.post("/v1/ask", json={**fields, "image": picture, "after": before})
    form = {**fields, "after": json.dumps(before)}
    by_form = client.post("/v1/ask", data=form, files={"image": png})
    alone = client.post("/v1/ask", json={"question": "What is France's river?", "top_k": 2,
                                         "image": picture})  # fmt: skip
    for answer in (by_json, by_form):
        assert answer.status_code == 200, answer.text
        assert answer.json()["asked_as"] == "What is France's river?"
        assert answer.json()["hits"] == alone.json()["hits"]
    assert alone.json()["asked_as"] == ""
    for wrong in (
        "[",
        "{}",
        "3",
        '["x"]',
        '[{"answer": "x"}]',
        '[{"question": "x", "y": 1}]',
        json.dumps(before * 9),
    ):
        refused = client.post("/v1/ask", data=form | {"after": wrong}, files={"image": png})
        assert refused.status_code == 422 and refused.json()["detail"].startswith("after")


def test_turns_are_made_of_results_as_the_guide_says(
    client: TestClient, encoded: str, generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(prompt: object) -> tuple[str, float]:
        raise GeneratorUnavailable("it is away")

    turns: list[dict[str, object]] = []
    for question, away in ((QUESTION, False), ("and its river?", True), ("and its sea?", False)):
        asked = {"question": question, "image": encoded, "after": turns}
        with monkeypatch.context() as patch:
            if away:
                patch.setattr(generator, "write", fail)
            said = client.post("/v1/ask", json=asked)
        assert said.status_code == 200, said.text
        result = said.json()
        assert (result["answer"] is None) == away
        kept = {name: result[name] for name in ("answer", "about", "unsure", "picture")}
        turns.append({"question": result["asked_as"] or question, **kept})


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        ({"anser": "x"}, "after.0.anser: there is no such field of a turn; there are question, an"),
        ({"about": None}, "after.0.about: send a text, or leave it out"),
        ({"answer": 3}, "after.0.answer: send a text, or leave it out"),
        ({"question": None}, "after.0.question: send a text that is not empty"),
        ({"question": ""}, "after.0.question: send a text that is not empty"),
        ({"unsure": None}, "after.0.unsure: send true or false, or leave it out"),
        ({"picture": "x" * 65}, "after.0.picture: send at most 64 characters, or leave it out"),
    ],
)
def test_what_is_wrong_with_a_turn_is_said(
    client: TestClient, encoded: str, turn: dict[str, object], said: str
) -> None:
    body = {"question": QUESTION, "image": encoded, "after": [{"question": "Where?"} | turn]}
    refused = client.post("/v1/ask", json=body)
    assert refused.status_code == 422 and refused.json()["detail"].startswith(said)


def test_a_body_may_begin_with_a_byte_order_mark_and_a_question_hold_a_nul(
    client: TestClient, encoded: str
) -> None:
    body = json.dumps({"question": "What\0 is the capital?", "image": encoded})
    headers = {"Content-Type": "application/json"}
    answer = client.post("/v1/ask", content=body.encode("utf-8-sig"), headers=headers)
    assert answer.status_code == 200, answer.text
    assert "\0" not in answer.json()["asked_as"]


def test_a_search_is_held_to_sources(client: TestClient, pipeline: Pipeline, png: bytes) -> None:
    assert client.get("/v1/models").json()["index"]["sources"] == ["Atlas", "Zoo"]
    form = {"question": QUESTION, "top_k": 4}
    for sources, count in ((["Zoo"], 1), (["Atlas"], 3), (["Zoo", "Atlas"], 4), ([], 4)):
        for address in ("/v1/ask", "/v1/search"):
            answer = client.post(address, data=form | {"sources": sources}, files={"image": png})
            assert answer.status_code == 200, answer.text
            assert (len(answer.json()["hits"]), answer.json()["sources"]) == (count, sources)
    unknown = form | {"sources": ["Zoo", "Attic"], "image": base64.b64encode(png).decode()}
    for address, stream in (("/v1/search", {}), ("/v1/ask", {}), ("/v1/ask", {"stream": True})):
        refused = client.post(address, json=unknown | stream)
        assert refused.status_code == 422
        assert refused.json()["detail"] == (
            "There is no source 'Attic' in the index. It has: Atlas; Zoo"
        )
    assert 'outcome="error"} 0.0' in client.get("/metrics").text, "who asks is at fault"


def test_a_server_may_show_more_passages_than_there_are(pipeline: Pipeline, png: bytes) -> None:
    served = build_api(pipeline, Settings(top_k=20))
    with TestClient(served.app, base_url=HERE) as client:
        answer = client.post("/v1/ask", data={"question": QUESTION}, files={"image": png})
        assert answer.status_code == 200, answer.text
        assert len(answer.json()["hits"]) == 4
