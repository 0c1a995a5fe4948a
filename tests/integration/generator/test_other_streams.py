"""Servers that are not vLLM, as they were seen to answer: streams, errors in them, thoughts."""

import json
from collections.abc import Callable

import pytest

from generator.errors import BadCompletion, GeneratorError, GeneratorUnavailable
from generator.interface import wait
from generator.prompts import CHOICES, relevance
from generator.server.client import OpenAIGenerator
from tests.integration.generator_client import CLOSED, PARIS, QUERY, answer, generator
from tests.integration.generator_server import KEY, MODEL, Handler, Server

pytestmark = pytest.mark.usefixtures("says_nairobi")


def odd_events(handler: Handler) -> None:
    handler.start_events()
    handler.send_chunk(b"retry: 3000\n\n: OPENROUTER PROCESSING\n\nid: 1\n\ndata:\n\n")
    handler.send_event(choices=[], prompt_filter_results=[])
    handler.send_event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}])
    handler.send_event(type="ping")
    handler.send_event(choices=[{"index": 0, "delta": {"content": "N"}, "finish_reason": ""}])
    handler.send_event(choices=[{"index": 0, "delta": {"content": "a"}, "finish_reason": "null"}])
    handler.send_event(choices=[{"index": 0, "delta": {"content": "i"}, "finish_reason": "None"}])
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


def sent(*data: str) -> Callable[[Handler], None]:
    """Return a stream of a piece, these lines as an event, and no end."""

    def stream(handler: Handler) -> None:
        handler.start_events()
        handler.send_piece("Nai")
        handler.send_chunk("\n".join([*data, "\n"]).encode())
        handler.send_chunk(b"")

    return stream


def in_place_of(body: str) -> Callable[[Handler], None]:
    return lambda handler: handler.reply(200, body)


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (error_amid, "502: Provider disconnected"),
        (error_first, "quota exceeded"),
        (sent('data: {"error": "the engine died"}'), "an error: the engine died"),
        (sent('data: {"error": true, "message": "out of memory"}'), "an error: out of memory"),
        (sent('data: {"error": 1, "detail": "gone", "status": 503}'), "answered 503: gone"),
        (sent('data: {"error": "Bad Request", "message": "no"}'), "an error: Bad Request: no"),
        (sent("event: error", "data: the engine died"), "an error: the engine died"),
        (sent("event: error", 'data: {"message": "died", "code": 500}'), "answered 500: died"),
        (sent("event: error", 'data: {"error": {"message": "died"}}'), "an error: died"),
        (in_place_of('{"error": true, "message": "out of memory"}'), "an error: out of memory"),
        (in_place_of('{"error": "busy", "code": 429}'), "answered 429: busy"),
        (in_place_of('{"error": true}'), "an error: .*'error': True"),
    ],
)
def test_an_error_in_the_stream_has_the_servers_words(server: Server, stream, said: str) -> None:
    server.answer = stream
    with pytest.raises(GeneratorError, match=said):
        answer(generator(server))


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
    [completion] = wait(client.complete([CLOSED]))
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
