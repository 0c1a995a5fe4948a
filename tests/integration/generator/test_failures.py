"""Each way in which a server can fail has its error, in the time that it is given."""

import socket

import pytest

from generator.errors import BadCompletion, GeneratorError, GeneratorTimeout, GeneratorUnavailable
from generator.server.client import OpenAIGenerator
from tests.integration.generator_client import (
    INSTRUCT,
    complete,
    generator,
    hasty,
    streamed,
)
from tests.integration.generator_server import KEY, MODEL, Handler, Server


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


@pytest.mark.parametrize("after", ["0", "0.1", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", ""])
def test_a_wait_that_there_is_time_for_is_waited(server: Server, after: str) -> None:
    def busy_once(handler: Handler) -> None:
        if len(server.requests) == 1:
            handler.reply(429, "{}", **{"Retry-After": after})
        else:
            handler.events("Nairobi")

    server.answer = busy_once
    assert complete(generator(server, retries=1)) == "Nairobi"
