"""The HTTP client against a real server: what it asks, and what it can be told."""

import base64
import gc
import importlib.util
import io
import json
import threading

import pytest
from PIL import Image

from generator.errors import BadCompletion, GeneratorUnavailable
from generator.interface import Capabilities, Piece, Usage, Waiting, wait
from generator.prompts import CHOICES, Message, Prompt, relevance
from generator.server.client import OpenAIGenerator
from tests.integration.generator_client import (
    INSTRUCT,
    PARIS,
    PROMPT,
    QUERY,
    complete,
    generator,
    streamed,
)
from tests.integration.generator_server import KEY, MODEL, Handler, Server


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_the_first_line_is_streamed_in_pieces(server: Server, api: str) -> None:
    pieces, completion = streamed(generator(server, api=api))
    assert pieces == [" Paris", " [1]"]
    assert completion.token_logprobs == (-0.25, -0.25, -0.25)  # that of the newline too
    assert completion.usage == Usage(500, 3)


def test_chat_sends_every_message_and_the_picture_as_a_data_uri(server: Server) -> None:
    complete(generator(server, image_pixels=50_000))
    [request] = server.requests
    assert request["path"] == "/v1/chat/completions"
    assert (request["model"], request["temperature"], request["stream"]) == (MODEL, 0, True)
    assert (request["logprobs"], request["stop"]) == (True, ["\n"])
    assert [m["role"] for m in request["messages"]] == [m.role for m in PROMPT.messages]
    assert request["messages"][0]["content"] == PROMPT.messages[0].text
    picture, text = request["messages"][-1]["content"]
    assert text == {"type": "text", "text": PROMPT.messages[-1].text}
    head, _, data = picture["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (316, 158)


def test_a_text_only_model_is_sent_no_picture_and_says_so(server: Server) -> None:
    server.images = False
    client = generator(server)
    assert not client.capabilities().images
    assert "text only: the picture speaks through retrieval" in client.health()
    assert complete(client)
    assert isinstance(server.requests[0]["messages"][-1]["content"], str)


def test_completions_sends_the_plain_text_and_stops_at_a_newline(server: Server) -> None:
    complete(generator(server, api="completions"))
    [request] = server.requests
    assert request["path"] == "/v1/completions"
    assert request["prompt"] == PROMPT.text
    assert request["stop"] == ["\n"]


def test_a_leading_empty_line_and_null_content_are_skipped(server: Server) -> None:
    server.answer = lambda handler: handler.events(None, "\n\n", "Par", "is\nignored")
    assert streamed(generator(server), INSTRUCT)[1].text == "Paris"


def test_a_message_without_a_picture_is_plain_text(server: Server) -> None:
    list(generator(server).stream(Prompt("greeting", (Message("user", "hello"),))))
    assert server.requests[0]["messages"] == [{"role": "user", "content": "hello"}]


def test_a_character_split_over_two_chunks_is_whole(server: Server) -> None:
    def split(handler: Handler) -> None:
        handler.start_events()
        event = json.dumps(
            {"choices": [{"delta": {"content": "São Tomé"}, "finish_reason": "stop"}]},
            ensure_ascii=False,
        )
        data = f"data: {event}\r\n\r\ndata: [DONE]\n\n".encode()
        cut = data.index("ã".encode()) + 1
        handler.send_chunk(data[:cut])
        handler.send_chunk(data[cut:])
        handler.send_chunk(b"")

    server.answer = split
    assert complete(generator(server)) == "São Tomé"


# What it can do


def test_capabilities_are_asked_once_and_shown(server: Server) -> None:
    client = generator(server)
    pixels = 802_816
    assert client.capabilities() == Capabilities(
        True, True, True, 2048, picture_tokens=pixels // 28**2
    )
    probes = len(server.probes)
    assert client.health() == (
        f"{MODEL} at {server.url} (chat; sees pictures; gives log-probabilities; can be held to "
        "choices; 2,048 tokens of context)"
    )
    complete(client)
    assert len(server.probes) == probes == 4


def test_a_server_that_can_do_little_still_answers(server: Server) -> None:
    server.images = server.logprobs = server.choices = False
    client = generator(server)
    can = client.capabilities()
    assert (can.images, can.logprobs, can.choices) == (False, False, False)
    _, completion = streamed(client)
    assert (completion.text, completion.token_logprobs) == (" Paris [1]", None)
    assert "logprobs" not in server.requests[0]
    [verdict] = wait(client.choose([relevance(QUERY, PARIS, "instruct")], CHOICES))
    assert verdict.probabilities == (1.0, 0.0)


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_choices_come_with_their_probabilities(server: Server, api: str) -> None:
    prompts = [relevance(QUERY, PARIS, style) for style in ("few-shot", "instruct")]
    verdicts = wait(generator(server, api=api).choose(prompts, CHOICES))
    asked = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}[api]
    assert {request["path"] for request in server.probes} == {asked}
    # e^-0.5 against e^-1.5, " yes" and "No" being spellings of the choices.
    assert verdicts[0].probabilities == pytest.approx((0.7311, 0.2689), abs=1e-4)
    assert verdicts[0].usage == Usage(9, 1)
    held = [p["structured_outputs"]["choice"] for p in server.probes[-2:]]
    assert sorted(held) == [[" yes", " no"], ["yes", "no"]]


def test_a_reply_that_is_no_choice_is_a_bad_completion(server: Server) -> None:
    client = generator(server)
    client.capabilities()

    def babble(handler: Handler, body: dict) -> None:
        handler.reply(200, json.dumps({"choices": [{"message": {"content": "Perhaps"}}]}))

    server.judge = babble
    with pytest.raises(BadCompletion, match="'Perhaps' where one of yes, no"):
        wait(client.choose([relevance(QUERY, PARIS, "instruct")], CHOICES))


def test_health_lists_the_served_models(server: Server) -> None:
    with pytest.raises(GeneratorUnavailable, match=f"'other'.*it serves: {MODEL}"):
        generator(server, model="other").health()


@pytest.mark.parametrize(
    ("entry", "tokens"),
    [
        ({"meta": "none"}, None),
        ({"meta": [1]}, None),
        ({"max_model_len": True}, None),
        ({"max_model_len": "many", "meta": {"n_ctx": 4096}}, 4096),
    ],
)
def test_an_odd_entry_in_the_list_of_models_is_no_obstacle(
    server: Server, entry: dict, tokens: int | None
) -> None:
    listed = json.dumps({"data": [7, None, {"id": MODEL, **entry}]})
    server.models = lambda handler: handler.reply(200, listed)
    assert generator(server).capabilities().context_tokens == tokens


def test_leaving_ends_the_requests_on_the_server(server: Server) -> None:
    gone = threading.Event()

    def until_gone(handler: Handler) -> None:
        try:
            handler.endless("x")
        except OSError:
            gone.set()
            raise

    server.answer = until_gone
    client = generator(server)
    stream = client.stream(INSTRUCT, max_tokens=10**6)
    # On a busy machine heartbeats come before the request has gone out.
    assert next(event for event in stream if event != Waiting()) == Piece("x")
    stream.close()
    assert gone.wait(5)
    gone.clear()
    work = client.complete([INSTRUCT], max_tokens=10**6)
    while len(server.requests) < 2:
        assert next(work) == Waiting()
    work.close()
    assert gone.wait(5)


def test_a_closed_client_opens_again(server: Server) -> None:
    client = generator(server)
    assert complete(client)
    client.close()
    assert complete(client)


def test_closing_leaves_nothing_pending(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        client = generator(server)
        assert complete(client)
        client.close()
        gc.collect()
    assert "destroyed" not in caplog.text


def test_a_query_in_the_url_is_sent_behind_the_path_and_not_shown(server: Server) -> None:
    for url in (f"{server.url}?api-version=1&sig=s3", f"{server.url}/?api-version=1&sig=s3"):
        client = OpenAIGenerator(url, MODEL, api_key=KEY, retries=0)
        assert complete(client)
        assert server.requests[-1]["path"] == "/v1/chat/completions?api-version=1&sig=s3"
        assert server.url in client.health() and "s3" not in client.health()
        assert client.request_record()["url"] == server.url


def test_a_url_with_a_fragment_is_refused() -> None:
    with pytest.raises(GeneratorUnavailable, match="after '#'"):
        OpenAIGenerator("http://127.0.0.1:8000/v1#models", MODEL)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"concurrency": 0}, "concurrency must be at least 1, not 0"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"image_pixels": -1}, "image_pixels must be at least 1"),
        ({"retries": -1}, "retries must be at least 0"),
        ({"timeout_s": float("nan")}, "timeout_s must be more than 0"),
        ({"connect_timeout_s": 0.0}, "connect_timeout_s must be more than 0"),
        ({"extra_body": {"top_p": float("nan")}}, "extra_body cannot be written as JSON"),
        ({"extra_body": {"stop": {"a", "b"}}}, "extra_body cannot be written as JSON"),
        ({"extra_body": {"model": "x"}}, "'model' cannot be set in extra_body"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(options: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OpenAIGenerator("http://127.0.0.1:9/v1", MODEL, **options)


def test_a_proxy_that_cannot_be_used_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for proxy, said in {
        "socks5://me:hunter2@127.0.0.1:9": "pip install socksio",
        "ftp://me:hunter2@127.0.0.1": "must begin with http://",
        "127.0.0.1:9": "must begin with http://",
        "http://127.0.0.1:99999": "not a URL",
    }.items():
        with pytest.raises(GeneratorUnavailable, match=said) as caught:
            OpenAIGenerator("http://127.0.0.1:9/v1", MODEL, proxy=proxy)
        assert "hunter2" not in str(caught.value)


def test_the_version_is_what_the_server_reports_beside_its_api(server: Server) -> None:
    client = generator(server)
    server.models = lambda handler: handler.reply(
        200 if handler.path == "/version" else 404, '{"version": "0.11.2"}'
    )
    assert client.server_version() == "0.11.2"
    server.models = lambda handler: handler.reply(200, '{"version": 7}')
    assert client.server_version() == ""
    server.models = lambda handler: handler.error(404, "no such route")
    assert client.server_version() == ""
