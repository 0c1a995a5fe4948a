"""Servers that are not vLLM, as they were seen to refuse options: what they have is had."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from generator.errors import BadCompletion, GeneratorUnavailable
from generator.interface import wait
from generator.prompts import CHOICES, relevance
from tests.integration.generator_client import PARIS, QUERY, answer, generator
from tests.integration.generator_server import MODEL, Handler, Server

pytestmark = pytest.mark.usefixtures("says_nairobi")


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
