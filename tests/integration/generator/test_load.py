"""Many prompts at once: turns, connections, pictures, and what ends an answer."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from corpus.types import Hit
from generator.answers.answer import Strategy
from generator.answers.plan import AnswerPlan
from generator.answers.strategies import respond
from generator.errors import BadCompletion, GeneratorTimeout, GeneratorUnavailable
from generator.interface import wait
from generator.prompts import CHOICES, Style, closed, numbered, relevance, single
from tests.integration.generator_client import (
    INSTRUCT,
    PARIS,
    PROMPT,
    QUERY,
    complete,
    generator,
    hasty,
    streamed,
)
from tests.integration.generator_server import Handler, Server


def test_several_prompts_go_out_together_up_to_the_limit(server: Server) -> None:
    def slow(handler: Handler) -> None:
        time.sleep(0.1)
        handler.events(" Paris")

    server.answer = slow
    client = generator(server, concurrency=2)
    completions = wait(client.complete([single(QUERY, PARIS, "few-shot")] * 5))
    assert [completion.text for completion in completions] == [" Paris"] * 5
    assert server.most_at_once == 2


def test_one_that_fails_calls_off_the_others(server: Server) -> None:
    def first_fails(handler: Handler) -> None:
        if len(server.requests) == 1:
            handler.error(500, "engine died")
        else:
            handler.endless("x")

    server.answer = first_fails
    # Nothing else would end the others before the test's own time.
    with pytest.raises(GeneratorUnavailable, match="engine died"):
        wait(generator(server, timeout_s=600).complete([PROMPT] * 3, max_tokens=10**9))


def test_one_to_which_nothing_is_written_leaves_the_others(server: Server) -> None:
    def nothing_to_the_first(handler: Handler) -> None:
        first = handler.asked["messages"] == server.requests[0]["messages"]
        handler.events("\n" if first else " Paris")

    server.answer = nothing_to_the_first
    completions = wait(generator(server, concurrency=1).complete([PROMPT, INSTRUCT]))
    assert sorted(completion.text.strip() for completion in completions) == ["", "Paris"]


def test_a_turn_that_never_comes_is_a_timeout(server: Server) -> None:
    server.answer = lambda handler: handler.state.stopping.wait(60)
    client = hasty(server, 1.0, concurrency=1)
    with pytest.raises(GeneratorTimeout):
        wait(client.complete([PROMPT] * 3))
    assert len(server.requests) == 1


def test_waiting_for_a_turn_is_no_part_of_the_time(server: Server) -> None:
    def slow(handler: Handler) -> None:
        time.sleep(0.4)
        handler.events(" Paris")

    server.answer = slow
    started = time.monotonic()
    completions = wait(hasty(server, 2.0, concurrency=1).complete([PROMPT] * 6))
    assert [completion.text for completion in completions] == [" Paris"] * 6
    assert time.monotonic() - started > 2.0, "the last had to wait for longer than one may take"


def test_sixty_four_are_on_their_way_at_once_and_keep_their_connections(server: Server) -> None:
    together = threading.Barrier(64)

    def all_there(handler: Handler) -> None:
        together.wait(20)
        handler.events(" Paris")

    server.answer = all_there
    client = hasty(server, 30.0, concurrency=64)
    for _ in range(2):
        server.ports.clear()
        wait(client.complete([INSTRUCT] * 64))
    assert server.most_at_once == 64
    # On a busy machine some are idle for so long that they are not trusted any more.
    assert len(server.ports) <= 16, "new connections for requests after the first"


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_requests_one_after_the_other_are_on_one_connection(server: Server, api: str) -> None:
    client = hasty(server, 10.0, api=api)
    server.ports.clear()
    for _ in range(4):
        assert complete(client)
        wait(client.choose([relevance(QUERY, PARIS, "instruct")], CHOICES))
    assert len(server.ports) == 1


def test_a_kept_connection_that_the_server_has_dropped_is_no_failure(server: Server) -> None:
    dropped = threading.Event()

    def then_drop(handler: Handler) -> None:
        drops = dropped.is_set()
        handler.events(" Paris")
        if drops:  # once the next request is on its way
            handler.rfile.readline()
            handler.drop()

    server.answer = then_drop
    client = hasty(server, 10.0)
    assert complete(client)
    dropped.set()
    assert complete(client)
    dropped.clear()
    assert complete(client)
    assert len(server.requests) == 3


def test_a_body_that_does_not_end_with_its_events_holds_nobody_up(server: Server) -> None:
    def left_open(handler: Handler) -> None:
        handler.start_events()
        handler.send_piece("Paris", "stop")
        handler.send_chunk(b"data: [DONE]\n\n")
        server.stopping.wait(60)

    server.answer = left_open
    assert complete(generator(server, timeout_s=60.0)) == "Paris"


# The picture


@pytest.mark.parametrize("strategy", ["critic", "ra-vqa", "concat", "no-retrieval"])
def test_a_picture_is_encoded_once_a_question(
    server: Server, strategy: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[str] = []
    save = Image.Image.save

    def noted(image: Image.Image, *arguments: Any, **options: Any) -> None:
        saved.append(str(arguments[1]))
        save(image, *arguments, **options)

    client = hasty(server, 10.0)
    monkeypatch.setattr(Image.Image, "save", noted)
    hits = [Hit(PARIS, 20.0 - n) for n in range(4)]
    plan = AnswerPlan(strategy, passages=4)
    assert wait(respond(client, QUERY, hits, plan)).text == "Paris"
    assert saved == ["JPEG"]
    shown = [json.dumps(r).count("image_url") // 2 for r in server.requests + server.probes]
    assert sum(shown) >= {"critic": 8, "ra-vqa": 4}.get(strategy, 1)


# What ends an answer


@pytest.mark.parametrize("style", ["few-shot", "instruct"])
@pytest.mark.parametrize("api", ["chat", "completions"])
def test_an_answer_ends_with_its_line_in_every_style(server: Server, style: Style, api) -> None:
    client = hasty(server, 10.0, api=api)
    for prompt in (
        numbered(QUERY, [PARIS], style),
        single(QUERY, PARIS, style),
        closed(QUERY, style),
    ):
        wait(client.complete([prompt]))
        assert "\n" in server.requests[-1]["stop"]


def stopping(text: str, **end: Any) -> Callable[[Handler], None]:
    """Return how a server writes a text that ends at the stop texts it is given."""

    def answer(handler: Handler) -> None:
        ends = [text.find(stop) for stop in handler.asked.get("stop", ()) if stop in text]
        handler.start_events()
        handler.send_piece(text[: min(ends)] if ends else text)
        handler.send_event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop", **end}])
        handler.end_events()

    return answer


@pytest.mark.parametrize(
    "text", ["\n\nNairobi", "<think>\nA flag.\n</think>\n\nNairobi", "**Answer:**\nNairobi"]
)
def test_a_model_that_begins_with_what_should_end_it_is_asked_without(
    server: Server, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer = stopping(text)
    client = hasty(server, 10.0)
    pieces, completion = streamed(client, INSTRUCT)
    assert "".join(pieces) == completion.text == "Nairobi"
    assert "no stop texts" in caplog.text and "no stop texts" in client.health()
    [again] = wait(client.complete([INSTRUCT]))
    assert again.text == "Nairobi"
    assert ["stop" in request for request in server.requests] == [True, False, False]


def test_an_answer_that_is_empty_all_the_same_changes_nothing(server: Server) -> None:
    client = hasty(server, 10.0)
    server.answer = stopping("")
    with pytest.raises(BadCompletion, match="wrote nothing"):
        complete(client)
    # Where the server says that the model has ended by itself it is not asked again.
    for end in (None, 151643):
        server.answer = stopping("", stop_reason=end)
        with pytest.raises(BadCompletion, match="wrote nothing"):
            complete(client)
    server.answer = stopping("Nairobi")
    assert complete(client) == "Nairobi"
    assert ["stop" in request for request in server.requests] == [True, False, True, True, True]
