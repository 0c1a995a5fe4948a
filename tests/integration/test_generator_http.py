"""The HTTP client against a real server: the protocol, and each way it can fail."""

import base64
import gc
import importlib.util
import io
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from PIL import Image

from corpus.types import Passage, Query
from generator.client import OpenAIGenerator
from generator.errors import BadCompletion, GeneratorError, GeneratorTimeout, GeneratorUnavailable
from generator.interface import Capabilities, Completion, Usage, wait
from generator.prompts import CHOICES, Message, Prompt, numbered, relevance, single
from tests.integration.generator_server import KEY, MODEL, Handler, Server, serve

PARIS = Passage("p1", "France", "France. Its capital is Paris.")
QUERY = Query("What is the capital?", Image.new("RGB", (2000, 1000), "red"))
PROMPT = numbered(QUERY, [PARIS], "few-shot")
INSTRUCT = numbered(QUERY, [PARIS], "instruct")


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


def generator(server: Server, **options) -> OpenAIGenerator:
    options = {"api_key": KEY, "timeout_s": 5.0, "retries": 0, **options}
    return OpenAIGenerator(server.url, options.pop("model", MODEL), **options)


def streamed(client: OpenAIGenerator, prompt: Prompt = PROMPT) -> tuple[list[str], Completion]:
    *pieces, completion = client.stream(prompt)
    assert isinstance(completion, Completion)
    return [piece for piece in pieces if isinstance(piece, str) and piece], completion


def complete(client: OpenAIGenerator) -> str:
    pieces, completion = streamed(client)
    assert "".join(pieces) == completion.text
    return completion.text


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


# Several at once


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
    server.answer = lambda h: h.events("\n") if len(server.requests) == 1 else h.events(" Paris")
    completions = wait(generator(server, concurrency=1).complete([PROMPT] * 2))
    assert sorted(completion.text.strip() for completion in completions) == ["", "Paris"]


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
    assert next(piece for piece in stream if piece) == "x"
    stream.close()
    assert gone.wait(5)
    gone.clear()
    work = client.complete([INSTRUCT], max_tokens=10**6)
    while len(server.requests) < 2:
        assert next(work) is None
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


def test_health_lists_the_served_models(server: Server) -> None:
    with pytest.raises(GeneratorUnavailable, match=f"'other'.*it serves: {MODEL}"):
        generator(server, model="other").health()


def html(handler: Handler) -> None:
    handler.reply(200, "<html>Welcome</html>", "text/html")


def not_utf8(handler: Handler) -> None:
    handler.start_events()
    handler.send_chunk(b'data: {"choices": [{"delta": {"content": "caf\xe9"}}]}\n\n')
    handler.send_chunk(b"")


def raw_event(data: bytes):
    def answer(handler: Handler) -> None:
        handler.start_events()
        handler.send_chunk(b"data: " + data + b"\n\n")
        handler.send_chunk(b"")

    return answer


def cut_in_a_chunk(handler: Handler) -> None:
    handler.start_events()
    handler.send_piece("Par")
    handler.drop()


def end_without_done(handler: Handler) -> None:
    handler.start_events()
    handler.send_piece("Par")
    handler.send_chunk(b"")


def endless_line(handler: Handler) -> None:
    handler.start_events()
    handler.send_chunk(b"data: ")
    for _ in range(30):
        handler.send_chunk(b"x" * 100_000)


def redirect(handler: Handler) -> None:
    handler.reply(307, "", Location="http://127.0.0.1:9/elsewhere")


FAULTS = [
    (lambda h: h.error(400, "maximum context length is 2048"), BadCompletion, "context length"),
    (lambda h: h.error(422, "bad field"), BadCompletion, "422: bad field"),
    (lambda h: h.error(402, "no credit"), GeneratorUnavailable, "402: no credit.*quota"),
    (lambda h: h.error(403, "not you"), GeneratorUnavailable, "403: not you.*check the API key"),
    (lambda h: h.error(404, "no such route"), GeneratorUnavailable, "no such route.*ends in /v1"),
    (lambda h: h.reply(413, "<html>big", "text/html"), BadCompletion, "413: a web page"),
    (lambda h: h.error(429, "slow down"), GeneratorUnavailable, "busy"),
    (lambda h: h.error(500, "CUDA error"), GeneratorUnavailable, "500: CUDA error"),
    (lambda h: h.error(502, "bad gateway"), GeneratorUnavailable, "502"),
    (lambda h: h.error(504, "upstream"), GeneratorTimeout, "504"),
    (redirect, GeneratorUnavailable, "redirects to 'http://127.0.0.1:9/elsewhere'"),
    (html, GeneratorUnavailable, "text/html"),
    (lambda h: h.reply(200, "{}"), BadCompletion, "not a completion: {}"),
    (
        lambda h: h.reply(200, '{"error": {"message": "spent", "code": 402}}'),
        GeneratorUnavailable,
        "402: spent",
    ),
    (lambda h: h.reply(200, '{"error": "spent"}'), BadCompletion, "an error: spent"),
    (lambda h: h.drop(), GeneratorUnavailable, "not reached"),
    (not_utf8, BadCompletion, "UTF-8"),
    (raw_event(b"{oops"), BadCompletion, "oops"),
    (raw_event(b'{"choices": [{}]}'), BadCompletion, "broke off"),
    (raw_event(b"[" * 100_000), BadCompletion, "not a completion"),
    (raw_event(b"[]"), BadCompletion, "not a completion"),
    (raw_event(b'{"error": {"message": "engine died"}}'), BadCompletion, "engine died"),
    (raw_event(b'{"choices": [{"delta": {"content": 7}}]}'), BadCompletion, "not a completion"),
    (cut_in_a_chunk, BadCompletion, "broke off"),
    (end_without_done, BadCompletion, "broke off"),
    (endless_line, BadCompletion, "without end"),
    (lambda h: h.events(), BadCompletion, "wrote nothing"),
    (lambda h: h.events(" ", "\n"), BadCompletion, "wrote nothing"),
]


@pytest.mark.parametrize(("answer", "error", "message"), FAULTS)
def test_each_fault_has_its_error(server: Server, answer, error, message) -> None:
    server.answer = answer
    with pytest.raises(error, match=message) as caught:
        complete(generator(server))
    assert KEY not in str(caught.value)
    assert server.url in str(caught.value)


def hasty(server: Server, timeout_s: float) -> OpenAIGenerator:
    """A client that knows what the model can do: what its time bounds is the request."""
    patient, client = generator(server), generator(server, timeout_s=timeout_s)
    client._capabilities = patient.capabilities()
    return client


@pytest.mark.parametrize("piece", ["x", None])
def test_an_endless_completion_ends(server: Server, piece: str | None) -> None:
    server.answer = lambda handler: handler.endless(piece)
    with pytest.raises((GeneratorTimeout, BadCompletion), match=r"within 0\.3 s|without end"):
        complete(hasty(server, 0.3))
    assert len(server.requests) == 1


def test_an_endless_completion_ends_however_long_it_may_take(server: Server) -> None:
    server.answer = lambda handler: handler.endless("x" * 1000)
    with pytest.raises(BadCompletion, match="without end"):
        complete(generator(server, timeout_s=120))


THOUGHT = {"choices": [{"index": 0, "delta": {"reasoning_content": "hm " * 100}}]}


@pytest.mark.parametrize(
    "before",
    [
        [{"choices": [{"index": 0, "delta": {"content": ""}}]}] * 300,
        [THOUGHT] * 4000,  # more than a whole reply may be
        [{"choices": [{"index": 0, "delta": {"content": f"<think>{'hm ' * 3000}</think>"}}]}],
    ],
)
def test_a_long_way_to_an_answer_in_single_characters_is_no_reply_without_end(
    server: Server, before: list[dict]
) -> None:
    text = "Nairobi, which lies on the river of the same name, " * 6

    def answer(handler: Handler) -> None:
        handler.start_events()
        for event in before:
            handler.send_event(**event)
        for character in text:
            handler.send_piece(character)
        handler.send_piece("", "stop")
        handler.end_events()

    server.answer = answer
    assert streamed(generator(server, timeout_s=60), INSTRUCT)[1].text == text


def hang(handler: Handler) -> None:
    handler.state.stopping.wait(60)


def hang_amid(handler: Handler) -> None:
    handler.start_events()
    handler.send_piece("Par")
    handler.state.stopping.wait(60)


@pytest.mark.parametrize("answer", [hang, hang_amid])
def test_a_server_that_hangs_before_or_amid_the_answer(server: Server, answer) -> None:
    server.answer = answer
    client = hasty(server, 1.0)
    with pytest.raises(GeneratorTimeout, match=r"did not finish within 1 s"):
        complete(client)
    assert len(server.requests) == 1


def test_a_turn_that_never_comes_is_a_timeout(server: Server) -> None:
    server.answer = hang
    client = OpenAIGenerator(
        server.url, MODEL, api_key=KEY, timeout_s=1.0, retries=0, concurrency=1
    )
    client._capabilities = generator(server).capabilities()
    with pytest.raises(GeneratorTimeout):
        wait(client.complete([PROMPT] * 3))
    assert len(server.requests) == 1


@pytest.mark.parametrize(("key", "message"), [("sk-wrong-77", "refused"), (None, "wants")])
def test_a_wrong_or_missing_key_is_named_but_not_shown(server: Server, key, message) -> None:
    for call in (complete, OpenAIGenerator.health):
        with pytest.raises(
            GeneratorUnavailable, match=f"{message} (the|an) API key|{message}"
        ) as e:
            call(generator(server, api_key=key))
        assert key is None or key not in str(e.value)


def test_a_wrong_model_lists_those_served(server: Server) -> None:
    with pytest.raises(GeneratorUnavailable, match=f"'other'.*it serves: {MODEL}"):
        complete(generator(server, model="other"))


def test_a_busy_server_is_tried_again_before_the_first_token(server: Server) -> None:
    def busy_twice(handler: Handler) -> None:
        if len(server.requests) < 3:
            handler.error(503, "loading")
        else:
            handler.events("Paris")

    server.answer = busy_twice
    assert complete(generator(server, retries=2)) == "Paris"
    assert len(server.requests) == 3


@pytest.mark.parametrize(("status", "tries"), [(400, 1), (429, 2), (503, 2)])
def test_tries_are_bounded(server: Server, status: int, tries: int) -> None:
    server.answer = lambda handler: handler.error(status, "no")
    with pytest.raises(GeneratorError, match=str(status)):
        complete(generator(server, retries=1))
    assert len(server.requests) == tries


def test_a_broken_stream_is_not_tried_again(server: Server) -> None:
    server.answer = cut_in_a_chunk
    with pytest.raises(BadCompletion):
        complete(generator(server, retries=2))
    assert len(server.requests) == 1


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = OpenAIGenerator(f"http://127.0.0.1:{port}/v1", MODEL, retries=0)
    for call in (complete, OpenAIGenerator.health):
        with pytest.raises(GeneratorUnavailable, match=f"127.0.0.1:{port}.*server runs"):
            call(client)


def test_a_host_that_does_not_exist() -> None:
    client = OpenAIGenerator("http://no-such-host.invalid/v1", MODEL, retries=0)
    with pytest.raises(GeneratorUnavailable, match=r"no-such-host\.invalid"):
        complete(client)


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


def test_a_password_in_the_url_is_not_shown(server: Server) -> None:
    url = server.url.replace("http://", "http://someone:hunter2@")
    client = OpenAIGenerator(url, MODEL, retries=0)
    with pytest.raises(GeneratorError) as caught:
        complete(client)
    assert "hunter2" not in str(caught.value)


def test_control_tokens_in_a_server_message_stay_on_one_line(server: Server) -> None:
    server.answer = lambda handler: handler.error(500, "a\nb\u2028c " + "x" * 5000)
    with pytest.raises(GeneratorUnavailable) as caught:
        complete(generator(server))
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500


def test_a_message_without_a_picture_is_plain_text(server: Server) -> None:
    list(generator(server).stream(Prompt("greeting", (Message("user", "hello"),))))
    assert server.requests[0]["messages"] == [{"role": "user", "content": "hello"}]


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
