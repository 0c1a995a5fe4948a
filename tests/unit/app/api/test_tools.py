"""The tools for assistants, asked by the protocol's own client."""

import json
from pathlib import Path

import anyio
import pytest
from mcp.client.client import Client

from app.api.tools import build_tools
from app.asking.report import result_as_json
from app.pipeline import Pipeline
from app.settings import Settings
from corpus.pictures.images import load_image
from corpus.types import Query

QUESTION = "What is the capital of France?"


def called(pipeline: Pipeline, *calls: tuple[str, dict]) -> list:
    """Return what the tools answer to calls, one after the other."""

    async def call() -> list:
        async with Client(build_tools(pipeline, Settings())) as client:
            return [await client.call_tool(name, arguments) for name, arguments in calls]

    return anyio.run(call)


def test_both_tools_are_offered_with_what_they_take(pipeline: Pipeline) -> None:
    async def listed() -> dict:
        async with Client(build_tools(pipeline, Settings())) as client:
            return {tool.name: tool for tool in (await client.list_tools()).tools}

    tools = anyio.run(listed)
    assert set(tools) == {"ask", "search"}
    assert set(tools["ask"].input_schema["required"]) == {"question", "picture"}
    assert tools["search"].input_schema["required"] == ["question"]
    assert {"answer", "citations", "hits"} <= set(tools["ask"].output_schema["properties"])


def test_an_argument_that_there_is_not_is_named_and_not_left_out(
    pipeline: Pipeline, encoded: str
) -> None:
    data_url = f"data:image/png;base64,{encoded}"
    [said] = called(pipeline, ("search", {"question": QUESTION, "image": data_url}))
    assert said.is_error
    assert "image: there is no such argument; there are ['question', 'picture'" in str(said.content)


def test_an_answer_is_the_same_as_everywhere(
    pipeline: Pipeline, png: bytes, encoded: str, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(png)
    asked = {"question": QUESTION, "top_k": 2}
    data_url = f"data:image/png;base64,{encoded}"
    by_path, by_data = called(
        pipeline,
        ("ask", {**asked, "picture": str(tmp_path / "a.png")}),
        ("ask", {**asked, "picture": data_url}),
    )
    expected = result_as_json(pipeline.ask(Query(QUESTION, load_image(png)), 2))
    for said in (by_path, by_data):
        assert not said.is_error
        given = said.structured_content
        assert (given["answer"], given["citations"]) == ("Paris", expected["citations"])
        assert given["hits"] == json.loads(json.dumps(expected["hits"]))
        assert "prompts" not in given


def test_a_search_needs_no_picture(pipeline: Pipeline) -> None:
    [said] = called(pipeline, ("search", {"question": QUESTION, "top_k": 1}))
    found = pipeline.ask(Query(QUESTION), 1, answer=False).retrieval.hits
    assert [hit["passage_id"] for hit in said.structured_content["hits"]] == [found[0].passage.id]
    assert "answer" not in said.structured_content


def test_a_follow_up_and_a_search_of_some_sources(
    pipeline: Pipeline, png: bytes, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(png)
    asked = {"picture": str(tmp_path / "a.png"), "top_k": 2}
    [first] = called(pipeline, ("ask", {**asked, "question": QUESTION}))
    given = first.structured_content
    turn = {"question": QUESTION, "answer": "Paris", "about": "France", "picture": given["picture"]}
    follows = {**asked, "question": "and its river?", "after": [turn]}
    for answer in called(pipeline, ("ask", follows), ("search", follows)):
        assert not answer.is_error
        assert answer.structured_content["asked_as"] == "What is France's river?"
    held = {**asked, "question": QUESTION, "sources": ["Zoo"]}
    for answer in called(pipeline, ("ask", held), ("search", held)):
        assert [hit["passage_id"] for hit in answer.structured_content["hits"]] == ["p:bird"]
    another, unknown, wrong = called(
        pipeline,
        ("ask", {**follows, "after": [turn | {"picture": "another"}]}),
        ("search", {**held, "sources": ["Attic"]}),
        ("search", {**follows, "after": [{"answer": "Paris"}]}),
    )
    assert another.is_error and "about another picture" in another.content[0].text
    assert unknown.is_error and "It has: Atlas; Zoo" in unknown.content[0].text
    assert wrong.is_error and "question" in wrong.content[0].text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"picture": "/nowhere/a.png"}, "does not exist"),
        ({"picture": "http://127.0.0.1/a.png"}, "does not exist"),
        ({"picture": ""}, "picture: it is missing; send the path of a picture on this machine"),
        ({"picture": "."}, "is a directory"),
        ({"picture": 5}, "picture: send the path of a picture on this machine, or data:image/png"),
        ({"question": ["?"], "picture": "PNG"}, "question: send a text"),
        ({"top_k": "many", "picture": "PNG"}, "top_k: send a whole number from 1 to 20"),
        ({"sources": 3, "picture": "PNG"}, "sources: send at most 100 names of sources"),
        ({"after": [3], "picture": "PNG"}, "after.0: send a list of at most 8 turns, such as [{"),
        ({"after": [{"question": "a", "x": 1}], "picture": "PNG"}, "after.0.x: there is no such"),
        ({"picture": "data:image/png;base64,A"}, "not base64"),
        ({"picture": "data:image/png;base64,AAAA"}, "not a picture"),
        ({"question": " ", "picture": "PNG"}, "The question is empty"),
        ({"question": "hello", "picture": "PNG"}, "is no question"),
        ({"top_k": 21, "picture": "PNG"}, "top_k"),
    ],
)
def test_what_cannot_be_asked_is_said(
    pipeline: Pipeline, png: bytes, tmp_path: Path, arguments: dict, says: str
) -> None:
    (tmp_path / "a.png").write_bytes(png)
    asked = {"question": QUESTION} | arguments
    if asked["picture"] == "PNG":
        asked["picture"] = str(tmp_path / "a.png")
    [said] = called(pipeline, ("ask", asked))
    assert said.is_error and says in said.content[0].text
    assert "pydantic" not in said.content[0].text


def test_a_picture_in_base64_is_taken_and_what_is_none_is_not_repeated(
    pipeline: Pipeline, encoded: str
) -> None:
    asked = {"question": QUESTION, "top_k": 1}
    taken, missing, wrong = called(
        pipeline,
        ("ask", {**asked, "picture": encoded}),
        ("ask", asked),
        ("ask", {**asked, "picture": "AAAA" * 2000}),
    )
    assert not taken.is_error and taken.structured_content["answer"] == "Paris"
    assert "picture: it is missing; send the path" in missing.content[0].text
    told = wrong.content[0].text
    assert "does not exist, and is no picture in base64; send the path" in told
    assert len(told) < 300
