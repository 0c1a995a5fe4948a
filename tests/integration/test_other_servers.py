"""Servers that are not vLLM, as they were seen to answer: what they have is had."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from corpus.types import Passage, Query
from generator.client import OpenAIGenerator
from generator.errors import BadCompletion, GeneratorError, GeneratorUnavailable
from generator.interface import Completion, wait
from generator.prompts import CHOICES, closed, relevance
from tests.integration.generator_server import KEY, MODEL, Handler, Server, serve

PARIS = Passage("p1", "France", "France. Its capital is Paris.")
QUERY = Query("What is the capital?", Image.new("RGB", (64, 64), "red"))
PROMPT = closed(QUERY, "instruct")


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        running.answer = lambda handler: handler.events("Nai", "robi")
        yield running


def generator(server: Server, **options: Any) -> OpenAIGenerator:
    options = {"api_key": KEY, "timeout_s": 30.0, "retries": 0, **options}
    return OpenAIGenerator(server.url, options.pop("model", MODEL), **options)


def answer(client: OpenAIGenerator) -> Completion:
    *_, completion = client.stream(PROMPT)
    assert isinstance(completion, Completion)
    return completion


def has(body: dict, name: str) -> bool:
    return name in body


Refuse = Callable[[dict], tuple[int, str] | None]
# Each as a server said it; what it said it to; and what is then asked otherwise.
OPTIONS: dict[str, tuple[Refuse, Callable[[dict], bool]]] = {
    "max_completion_tokens": (
        lambda b: (
            (400, "'max_tokens' is not supported with this model. Use 'max_completion_tokens'.")
            if "max_tokens" in b
            else None
        ),
        lambda b: b["max_completion_tokens"] == 48,
    ),
    "temperature": (
        lambda b: (
            (400, "'temperature' does not support 0 with this model. Only the default (1) is.")
            if b.get("temperature") == 0
            else None
        ),
        lambda b: "temperature" not in b,
    ),
    "stream_options": (
        lambda b: (
            (422, "stream_options: extra inputs are not permitted")
            if "stream_options" in b
            else None
        ),
        lambda b: "stream_options" not in b,
    ),
    "sixteen": (
        lambda b: (
            (400, "integer below minimum value: expected a value >= 16")
            if b["max_tokens"] < 16
            else None
        ),
        lambda b: b["max_tokens"] == 48,
    ),
    "top_logprobs": (
        lambda b: (400, "top_logprobs must be <= 5") if b.get("top_logprobs", 0) > 5 else None,
        lambda b: b["logprobs"] is True,
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_is_refused_is_put_otherwise_from_then_on(
    server: Server, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuse, put = OPTIONS[name]
    refused: list[dict] = []

    def refuse(body: dict) -> tuple[int, str] | None:
        if said := OPTIONS[name][0](body):
            refused.append(body)
        return said

    server.refuse = refuse
    client = generator(server)
    with caplog.at_level(logging.WARNING):
        assert [answer(client).text for _ in range(3)] == ["Nairobi"] * 3
    can = client.capabilities()
    assert (can.images, can.logprobs, can.choices) == (True, True, True)
    assert len(server.requests) == 3 and all(map(put, server.requests))
    assert isinstance(server.requests[0]["messages"][-1]["content"], list)  # with the picture
    assert 1 <= len(refused) <= 4, "asked in the wrong way by requests under way, never again"
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1
    [verdict] = wait(client.choose([relevance(QUERY, PARIS, "instruct")], CHOICES))
    assert verdict.probabilities == pytest.approx((0.7311, 0.2689), abs=1e-4)


def test_all_of_them_at_once(server: Server) -> None:
    servers = [refuse for refuse, _ in OPTIONS.values()]
    said = "stop is not supported"
    server.refuse = lambda body: next(
        (answer for refuse in servers[1:] if (answer := refuse({"max_tokens": 99, **body}))),
        (400, said) if "stop" in body else servers[0](body),
    )
    client = generator(server)
    assert answer(client).text == "Nairobi"
    assert "takes no temperature" in client.health()


def test_a_server_that_refuses_everything_has_its_words_in_the_error(server: Server) -> None:
    server.refuse = lambda body: (400, "The model is deprecated.")
    client = generator(server)
    with pytest.raises(BadCompletion, match="400: The model is deprecated"):
        client.capabilities()
    server.refuse = lambda body: None
    assert client.capabilities().images, "nothing was learnt about pictures"


# The list of models

LISTS: dict[str, Callable[[Handler], None]] = {
    "404": lambda h: h.error(404, "no such route"),
    "403": lambda h: h.error(403, "not for you"),
    "500": lambda h: h.error(500, "oops"),
    "null": lambda h: h.reply(200, '{"object": "list", "data": null}'),
    "empty": lambda h: h.reply(200, '{"data": []}'),
    "html": lambda h: h.reply(200, "<html>Welcome</html>", "text/html"),
    "names": lambda h: h.reply(200, f'["{MODEL}"]'),
    "dropped": lambda h: h.drop(),
}


@pytest.mark.parametrize("name", LISTS)
def test_the_list_of_models_is_not_needed(server: Server, name: str) -> None:
    server.models = LISTS[name]
    client = generator(server)
    assert answer(client).text == "Nairobi"
    assert client.capabilities().context_tokens is None
    assert "gives no list of models" in client.health()


@pytest.mark.parametrize(
    ("listed", "context"),
    [
        ({"data": [{"id": MODEL, "context_length": 4096}]}, 4096),
        ({"data": [{"id": MODEL, "max_context_length": 32768}]}, 32768),
        ({"data": [{"id": MODEL, "meta": {"n_ctx": 8192, "n_ctx_train": 131072}}]}, 8192),
        ({"models": [{"id": f"{MODEL}:latest", "max_model_len": 512}]}, 512),
        ([{"id": MODEL, "context_window": 1000}], 1000),
        ({"data": [{"id": MODEL, "max_model_len": None}]}, None),
    ],
)
def test_the_context_is_read_by_whichever_name(server: Server, listed: Any, context: Any) -> None:
    server.models = lambda handler: handler.reply(200, json.dumps(listed))
    assert generator(server).capabilities().context_tokens == context


def test_a_model_that_is_listed_by_another_name_answers(server: Server) -> None:
    server.models = lambda h: h.reply(200, '{"data": [{"id": "llava:13b"}, {"name": "x"}]}')
    client = generator(server)
    assert answer(client).text == "Nairobi"
    assert "lists other models: llava:13b, x" in client.health()


# Pictures


def on_pictures(status: int, words: str, times: int = 10**9) -> Refuse:
    left = [times]

    def refuse(body: dict) -> tuple[int, str] | None:
        if "image_url" not in json.dumps(body) or not left[0]:
            return None
        left[0] -= 1
        return status, words

    return refuse


@pytest.mark.parametrize("status", [400, 403, 404, 406, 413, 415, 422, 500, 501])
def test_pictures_that_are_refused_leave_text(server: Server, status: int) -> None:
    server.refuse = on_pictures(status, "No endpoints found that support image input")
    client = generator(server)
    assert answer(client).text == "Nairobi"
    assert "text only" in client.health()
    assert isinstance(server.requests[0]["messages"][-1]["content"], str)


def test_a_refusal_that_is_not_about_the_picture_says_nothing_of_it(server: Server) -> None:
    server.refuse = on_pictures(401, "no", times=1)
    client = generator(server)
    with pytest.raises(GeneratorUnavailable, match=r"401.*key"):
        client.capabilities()
    assert client.capabilities().images
    server.refuse = on_pictures(429, "no", times=1)
    client = generator(server)
    assert not client.capabilities().images
    assert client.capabilities().images


def test_one_failure_of_the_server_does_not_turn_pictures_off(server: Server) -> None:
    server.refuse = on_pictures(500, "CUDA error", times=1)
    assert generator(server).capabilities().images


def test_a_failure_that_lasts_is_said_and_asked_about_again(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuse = on_pictures(500, "CUDA error", times=2)
    client = generator(server)
    with caplog.at_level(logging.WARNING):
        assert not client.capabilities().images
    assert "failed when it was asked for pictures" in caplog.text
    assert client.capabilities().images
    # One that always breaks has none, in the end.
    server.refuse = on_pictures(500, "Internal Server Error")
    client = generator(server)
    for _ in range(5):
        assert not client.capabilities().images
    probes = len(server.probes)
    assert answer(client).text == "Nairobi"
    assert len(server.probes) == probes


@pytest.mark.parametrize("status", [402, 408, 429])
@pytest.mark.parametrize("what", ["pictures", "log-probabilities", "choices"])
def test_a_probe_that_is_refused_for_the_moment_stops_no_answer(
    server: Server, status: int, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    asks: dict[str, Callable[[dict], bool]] = {
        "pictures": lambda body: "image_url" in json.dumps(body),
        "log-probabilities": lambda body: "logprobs" in body,
        "choices": lambda body: "structured_outputs" in body,
    }
    server.refuse = lambda body: (status, "slow down") if asks[what](body) else None
    client = generator(server)
    with caplog.at_level(logging.WARNING):
        assert answer(client).text == "Nairobi"
    assert f"failed when it was asked for {what}" in caplog.text
    assert f"failed when asked for {what}" in client.health()


def test_a_picture_that_is_refused_later_leaves_its_text(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    client = generator(server)
    assert client.capabilities().images
    refuse = on_pictures(400, "Invalid image: could not process image")
    server.refuse = refuse
    with caplog.at_level(logging.WARNING):
        assert answer(client).text == "Nairobi"
    assert isinstance(server.requests[-1]["messages"][-1]["content"], str)
    assert "could not process image. It is asked without: text only" in caplog.text
    # The next one may do.
    server.refuse = lambda body: None
    assert answer(client).text == "Nairobi"
    assert isinstance(server.requests[-1]["messages"][-1]["content"], list)


# The stream


def odd_events(handler: Handler) -> None:
    handler.start_events()
    handler.send_chunk(b"retry: 3000\n\n: OPENROUTER PROCESSING\n\nid: 1\n\ndata:\n\n")
    handler.send_event(choices=[], prompt_filter_results=[])
    handler.send_event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
    handler.send_event(type="ping")
    handler.send_event(choices=[{"index": 0, "delta": {"content": "Nai"}, "finish_reason": ""}])
    handler.send_event(choices=[{"index": 0, "finish_reason": None, "content_filter": {}}])
    parts = [{"type": "text", "text": "ro"}, {"type": "text", "text": "bi"}]
    handler.send_event(choices=[{"index": 0, "delta": {"content": parts}, "finish_reason": ""}])
    handler.send_event(choices=[{"index": 0, "delta": None, "finish_reason": ""}])
    handler.end_events()


def whole(handler: Handler) -> None:
    choice = {"message": {"content": "Nairobi"}, "finish_reason": "stop"}
    handler.reply(200, json.dumps({"choices": [choice]}), "Application/JSON; charset=UTF-8")


def shouted(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "TEXT/Event-Stream")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(b'data: {"choices": [{"delta": {"content": "Nairobi"}}]}\n\ndata: [DONE]')
    handler.close_connection = True


def no_chunks(handler: Handler) -> None:
    handler.start_events()
    for data in (b"null", b"ping", b"[]", b"7", b'{"choices": [], "detail": "queue position 1"}'):
        handler.send_chunk(b"data: " + data + b"\n\n")
    handler.send_event(choices=[None])
    handler.send_event(choices=[{"index": 1, "delta": {"content": "WRONG"}}])
    handler.send_piece("Nairobi")
    handler.send_event(choices=[{"index": 1, "delta": {"content": "WRONG"}, "finish_reason": "x"}])
    handler.end_events()


def named(kind: str | None, begins: bytes = b"") -> Callable[[Handler], None]:
    """Return a stream of events that is sent as something else."""

    def stream(handler: Handler) -> None:
        handler.send_response(200)
        if kind:
            handler.send_header("Content-Type", kind)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(begins)
        handler.wfile.write(b'data: {"choices": [{"delta": {"content": "Nai"}}]}\n\n')
        handler.wfile.write(b'data: {"choices": [{"delta": {"content": "robi"}}]}\n\n')
        handler.wfile.write(b"data: [DONE]\n\n")
        handler.close_connection = True

    return stream


def whole_as_text(handler: Handler) -> None:
    handler.reply(200, json.dumps({"choices": [{"message": {"content": "Nairobi"}}]}), "text/plain")


STREAMS = [
    odd_events,
    whole,
    shouted,
    no_chunks,
    whole_as_text,
    named("application/json"),
    named("text/plain; charset=utf-8"),
    named(None),
    named("application/x-ndjson", b": hello\n\n"),
    named("application/octet-stream", b"\n\nevent: x\n"),
]


@pytest.mark.parametrize("stream", STREAMS)
def test_streams_of_other_servers_are_read(server: Server, stream) -> None:
    server.answer = stream
    assert answer(generator(server)).text == "Nairobi"


def error_amid(handler: Handler) -> None:
    handler.start_events()
    handler.send_piece("Nai")
    handler.send_event(error={"message": "Provider disconnected", "code": 502}, choices=[])
    handler.end_events()


def error_first(handler: Handler) -> None:
    handler.start_events()
    handler.send_chunk(b"event: error\n")
    handler.send_event(error={"message": "Provider returned error: quota exceeded"})
    handler.end_events()


@pytest.mark.parametrize(
    ("stream", "said"),
    [(error_amid, "502: Provider disconnected"), (error_first, "quota exceeded")],
)
def test_an_error_in_the_stream_has_the_servers_words(server: Server, stream, said: str) -> None:
    server.answer = stream
    with pytest.raises(GeneratorError, match=said):
        answer(generator(server))


def test_an_option_may_be_refused_in_the_stream_too(server: Server) -> None:
    def stream(handler: Handler) -> None:
        if "stream_options" not in handler.asked:
            handler.events("Nairobi")
            return
        handler.start_events()
        handler.send_event(error={"message": "Unknown parameter: stream_options", "code": 400})
        handler.end_events()

    server.answer = stream
    assert answer(generator(server)).text == "Nairobi"


# Thinking


def thinking(handler: Handler) -> None:
    handler.start_events()
    for _ in range(48):
        handler.send_event(choices=[{"index": 0, "delta": {"reasoning_content": "hmm "}}])
    handler.send_piece("", "length")
    handler.end_events()


def test_tokens_that_went_into_thinking_are_named_with_what_to_set(server: Server) -> None:
    server.answer = thinking
    client = generator(server)
    said = "48 tokens went into thinking.*KBVQA_GENERATOR_EXTRA_BODY.*KBVQA_GENERATOR_MAX_TOKENS"
    with pytest.raises(BadCompletion, match=said):
        answer(client)
    [completion] = wait(client.complete([PROMPT]))
    assert completion.text == "" and "thinking" in completion.lack


def test_a_refusal_of_the_model_is_told(server: Server) -> None:
    def refuse(handler: Handler) -> None:
        handler.start_events()
        handler.send_event(choices=[{"delta": {"refusal": "I cannot help."}}])
        handler.send_piece("", "stop")
        handler.end_events()

    server.answer = refuse
    with pytest.raises(BadCompletion, match="It refuses: I cannot help"):
        answer(generator(server))


def test_what_is_set_for_the_server_goes_into_every_request(server: Server) -> None:
    off = {"chat_template_kwargs": {"enable_thinking": False}, "temperature": 0.5}
    client = generator(server, extra_body=off, max_tokens=900)
    assert answer(client).text == "Nairobi"
    for request in (*server.probes, *server.requests):
        assert request["chat_template_kwargs"] == {"enable_thinking": False}
        assert request["temperature"] == 0.5
    assert server.requests[0]["max_tokens"] == 900
    server.refuse = lambda body: (400, "Unknown parameter: chat_template_kwargs")
    with pytest.raises(BadCompletion, match="chat_template_kwargs is set in KBVQA_GENERATOR_EXTRA"):
        answer(client)
    with pytest.raises(ValueError, match="'messages' cannot be set"):
        generator(server, extra_body={"messages": []})


def test_a_critic_that_thinks_is_given_the_tokens_that_are_allowed(server: Server) -> None:
    def judge(handler: Handler, body: dict) -> None:
        done = body["max_tokens"] > 1
        text = "<think>It says so.</think>\n\nno" if done else "<think>"
        handler.reply(200, json.dumps({"choices": [{"message": {"content": text}}]}))

    server.judge = judge
    prompt = relevance(QUERY, PARIS, "instruct")
    [verdict] = wait(generator(server, max_tokens=500).choose([prompt], CHOICES))
    assert verdict.probabilities == (0.0, 1.0)
    with pytest.raises(BadCompletion, match="went into thinking"):
        wait(generator(server).choose([prompt], CHOICES))


# Waiting


def test_a_wait_that_is_longer_than_there_is_time_is_told_at_once(server: Server) -> None:
    server.answer = lambda handler: handler.reply(
        429, '{"error": {"message": "slow down"}}', **{"Retry-After": "3600"}
    )
    with pytest.raises(GeneratorUnavailable, match=r"429: slow down.*wait 3,600 s"):
        answer(generator(server, retries=5))
    assert len(server.requests) == 1


@pytest.mark.parametrize("after", ["0", "0.1", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", ""])
def test_a_wait_that_there_is_time_for_is_waited(server: Server, after: str) -> None:
    def busy_once(handler: Handler) -> None:
        if len(server.requests) == 1:
            handler.reply(429, "{}", **{"Retry-After": after})
        else:
            handler.events("Nairobi")

    server.answer = busy_once
    assert answer(generator(server, retries=1)).text == "Nairobi"


def test_nothing_is_read_from_variables_of_other_programs(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    assert answer(generator(server)).text == "Nairobi"
    with pytest.raises(GeneratorUnavailable, match="SSL_CERT_FILE"):
        OpenAIGenerator("https://llm.example.invalid/v1", MODEL)


def test_a_proxy_is_taken_and_named(server: Server) -> None:
    # An HTTP server that is asked for another's URL is a proxy.
    server.refuse = lambda body: (502, "cannot resolve llm.example.invalid")
    client = OpenAIGenerator(
        "http://llm.example.invalid/v1",
        MODEL,
        api_key=KEY,
        retries=0,
        proxy=server.url.replace("http://", "http://someone:hunter2@").removesuffix("/v1"),
    )
    with pytest.raises(
        GeneratorUnavailable,
        match=r"not reached through the proxy http://127\.0\.0\.1:\d+: 502, cannot resolve",
    ) as caught:
        client.capabilities()
    assert "hunter2" not in str(caught.value)
    server.refuse = lambda body: None
    assert client.capabilities().images
