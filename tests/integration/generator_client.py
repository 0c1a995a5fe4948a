"""The HTTP client as its tests ask it."""

from typing import Any

from PIL import Image

from corpus.types import Passage, Query
from generator.interface import Completion, wait
from generator.prompts import Prompt, closed, numbered
from generator.server.client import OpenAIGenerator
from tests.integration.generator_server import KEY, MODEL, Server
from tests.scripted import drained

PARIS = Passage("p1", "France", "France. Its capital is Paris.")
QUERY = Query("What is the capital?", Image.new("RGB", (2000, 1000), "red"))
PROMPT = numbered(QUERY, [PARIS], "few-shot")
INSTRUCT = numbered(QUERY, [PARIS], "instruct")
SMALL = Query("What is the capital?", Image.new("RGB", (64, 64), "red"))
CLOSED = closed(SMALL, "instruct")


def generator(server: Server, **options: Any) -> OpenAIGenerator:
    options = {"api_key": KEY, "timeout_s": 10.0, "retries": 0, **options}
    return OpenAIGenerator(server.url, options.pop("model", MODEL), **options)


def streamed(client: OpenAIGenerator, prompt: Prompt = PROMPT) -> tuple[list[str], Completion]:
    return drained(client.stream(prompt))


def complete(client: OpenAIGenerator) -> str:
    pieces, completion = streamed(client)
    assert "".join(pieces) == completion.text
    return completion.text


def hasty(server: Server, timeout_s: float, **options: Any) -> OpenAIGenerator:
    """A client that knows what the model can do: what its time bounds is the request."""
    patient, client = generator(server), generator(server, timeout_s=timeout_s, **options)
    client._capabilities = patient.capabilities()
    return client


def allow(client: OpenAIGenerator, timeout_s: float) -> None:
    """Bound the requests from now on: a hang ends soon; an answer has time on a busy machine."""
    client._endpoint._timeout_s = timeout_s


def answer(client: OpenAIGenerator) -> Completion:
    return wait(client.stream(CLOSED))
