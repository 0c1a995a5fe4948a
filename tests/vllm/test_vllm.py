"""The client and the strategies against a real vLLM: the whole protocol, and its faults."""

import os
import subprocess
import sys
import time

import pytest
from PIL import Image
from transformers import AutoTokenizer

from corpus.demo.data import demo_passages_path
from corpus.files.passages import read_passages
from corpus.types import Hit, Passage, Query
from generator.answers.plan import AnswerPlan
from generator.answers.strategies import respond
from generator.embedded import EmbeddedReader
from generator.errors import BadCompletion, GeneratorError, GeneratorTimeout, GeneratorUnavailable
from generator.interface import Waiting, wait
from generator.pictures import image_data_uri
from generator.prompts import CHOICES, Message, Prompt, closed, numbered, relevance, single
from generator.quoting import estimate_tokens, passage_text
from generator.server.client import OpenAIGenerator
from tests.scripted import drained
from tests.vllm.conftest import CONTEXT, KEY, MODELS, VllmServer

pytestmark = pytest.mark.vllm

RED = Image.new("RGB", (640, 480), "red")
CLIMATE = Passage("c", "France", "France - Climate. Highest point: Mont Blanc 4,810 m.")
NAME = Passage("n", "France", "France - Name. Capital: Paris. Time difference: UTC+1.")
HITS = [Hit(CLIMATE, 20.0), Hit(NAME, 19.8)]
QUESTION = "What is the capital of the country with this flag?"
QUERY = Query(QUESTION, RED)
LONG = Prompt("long", (Message("user", "Tell me everything."),))
# Without end, on any processor: what random weights write hangs on the last bits of float32, so
# they may choose among " a", " the", " of" and " and" alone, of which none ends a line or a text.
ENDLESS = {"ignore_eos": True, "allowed_token_ids": [253, 260, 282, 284]}


def client(server: VllmServer, **options) -> OpenAIGenerator:
    options = {"api_key": KEY, "timeout_s": 120.0, "retries": 0, **options}
    return OpenAIGenerator(server.url, options.pop("model", server.model), **options)


def text(words: str) -> dict[str, object]:
    return {"type": "text", "text": words}


def picture(url: str) -> dict[str, object]:
    return {"type": "image_url", "image_url": {"url": url}}


def test_what_it_can_do_is_found_out_and_shown_by_doctor(seeing: VllmServer) -> None:
    can = client(seeing).capabilities()
    assert (can.images, can.logprobs, can.choices, can.context_tokens) == (
        True,
        True,
        True,
        CONTEXT,
    )
    ours = {k: v for k, v in os.environ.items() if not k.startswith("KBVQA_")}
    settings = {"URL": seeing.url, "MODEL": seeing.model, "API_KEY": KEY}
    environment = {**ours, **{f"KBVQA_GENERATOR_{k}": v for k, v in settings.items()}}
    run = subprocess.run(
        [sys.executable, "-m", "kbvqa", "doctor"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert (
        f"generator    {seeing.model} at {seeing.url} (chat; sees pictures; gives "
        "log-probabilities; can be held to choices; 2,048 tokens of context)"
    ) in run.stdout
    assert KEY not in run.stdout


@pytest.mark.parametrize(("key", "said"), [("sk-wrong", "refused the API key"), (None, "wants")])
def test_a_wrong_or_missing_key(seeing: VllmServer, key: str | None, said: str) -> None:
    with pytest.raises(GeneratorUnavailable, match=f"401.*{said}") as caught:
        client(seeing, api_key=key).health()
    assert "sk-wrong" not in str(caught.value)


def test_a_wrong_model_names_the_right_one(seeing: VllmServer) -> None:
    with pytest.raises(GeneratorUnavailable, match=f"'other'.*serves: {seeing.model}"):
        list(client(seeing, model="other").stream(closed(QUERY, "few-shot")))


def test_streaming_with_logprobs_and_usage(seeing: VllmServer) -> None:
    pieces, completion = drained(client(seeing).stream(closed(QUERY, "instruct"), max_tokens=12))
    assert "".join(pieces) == completion.text
    assert completion.token_logprobs is not None
    assert all(value <= 0 for value in completion.token_logprobs)
    assert not completion.usage.estimated
    assert completion.usage.completion_tokens >= len(completion.token_logprobs) > 0


def test_the_picture_reaches_the_model(seeing: VllmServer) -> None:
    def logprobs(image: Image.Image | None) -> tuple[float, ...] | None:
        [completion] = wait(
            client(seeing).complete([closed(Query(QUESTION, image), "instruct")], max_tokens=4)
        )
        return completion.token_logprobs

    halves = Image.new("RGB", (640, 480), "white")
    halves.paste("blue", (0, 0, 320, 480))
    assert logprobs(RED) == pytest.approx(logprobs(RED), abs=1e-3)
    assert logprobs(RED) != pytest.approx(logprobs(halves), abs=1e-3)
    assert logprobs(RED) != pytest.approx(logprobs(None), abs=1e-3)


def test_several_pictures_and_the_limit(seeing: VllmServer) -> None:
    uri = image_data_uri(RED)
    assert seeing.post([picture(uri), picture(uri), text("Both?")]).status_code == 200
    refused = seeing.post([picture(uri)] * 3 + [text("All three?")])
    assert refused.status_code == 400
    assert "image" in refused.text


def test_a_corrupt_picture_is_refused_and_the_server_goes_on(seeing: VllmServer) -> None:
    broken = image_data_uri(RED)[:200]
    assert seeing.post([picture(broken), text("What?")]).status_code == 400
    assert client(seeing).health()


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_structured_output_gives_probabilities(reading: VllmServer, api: str) -> None:
    prompts = [relevance(QUERY, passage, "few-shot") for passage in (CLIMATE, NAME)]
    asking = client(reading, api=api)
    assert asking.capabilities().choices
    for verdict in wait(asking.choose(prompts, CHOICES)):
        assert sum(verdict.probabilities) == pytest.approx(1)
        assert all(0 <= p <= 1 for p in verdict.probabilities)


def test_an_over_long_prompt_is_a_bad_completion(seeing: VllmServer) -> None:
    long = Passage("l", "Long", "word " * 3000)
    prompt = numbered(QUERY, [long], "instruct", budget=10**6)
    with pytest.raises(BadCompletion, match=r"answered 400.*Use fewer passages"):
        wait(client(seeing).complete([prompt]))


def test_a_slow_server_times_out_and_is_not_kept_busy(seeing: VllmServer) -> None:
    generator = client(seeing)
    generator.capabilities()
    hasty = client(seeing, timeout_s=0.4, extra_body=ENDLESS)
    hasty._capabilities = generator.capabilities()
    with pytest.raises((GeneratorTimeout, BadCompletion)):
        wait(hasty.complete([LONG] * 4, max_tokens=1500))
    assert_idle(seeing)


def test_leaving_ends_the_generation_on_the_server(seeing: VllmServer) -> None:
    stream = client(seeing, extra_body=ENDLESS).stream(LONG, max_tokens=1800)
    while next(stream) == Waiting():
        pass
    stream.close()
    assert_idle(seeing)


def assert_idle(server: VllmServer) -> None:
    deadline = time.monotonic() + 60  # a step under way is finished first
    while server.metric("vllm:num_requests_running") > 0:
        assert time.monotonic() < deadline, "the server still works on a request that was left"
        time.sleep(0.1)


def test_the_embedded_reader_gives_the_same_answers_and_log_probabilities(
    reading: VllmServer,
) -> None:
    embedded = EmbeddedReader.load(MODELS / "smollm2")
    served = client(reading, api="completions")
    prompts = [
        numbered(QUERY, [CLIMATE, NAME], "few-shot"),
        numbered(QUERY, [NAME], "few-shot"),
        closed(QUERY, "few-shot"),
    ]
    here = wait(embedded.complete(prompts, max_tokens=16))
    there = wait(served.complete(prompts, max_tokens=16))
    for mine, other in zip(here, there, strict=True):
        assert mine.text == other.text
        assert mine.token_logprobs == pytest.approx(other.token_logprobs, abs=5e-3)
        assert mine.usage == other.usage


@pytest.mark.parametrize("strategy", ["ra-vqa", "critic", "concat"])
def test_each_strategy_answers_from_the_right_passage(reading: VllmServer, strategy) -> None:
    served = client(reading, api="chat")
    plan = AnswerPlan(strategy, temperature=5.0, relevant_from=0.0)
    answer = wait(respond(served, Query(QUESTION, RED), HITS, plan))
    assert answer.saw_picture  # it was given the picture; this model makes nothing of it
    assert answer.text
    assert {citation.passage_id for citation in answer.citations} <= {"c", "n"}
    assert not answer.usage.estimated
    if strategy == "concat":
        assert "Paris" in answer.text


def test_several_prompts_are_worked_on_at_once(reading: VllmServer) -> None:
    served = client(reading)
    prompts = [single(Query(f"{QUESTION} {n}"), NAME, "few-shot") for n in range(8)]
    wait(served.complete(prompts))

    def steps(work) -> float:
        before = reading.metric("vllm:iteration_tokens_total_count")
        work()
        return reading.metric("vllm:iteration_tokens_total_count") - before

    together = steps(lambda: wait(served.complete(prompts)))
    one_by_one = steps(lambda: [wait(served.complete([prompt])) for prompt in prompts])
    assert 0 < together < one_by_one / 2


def test_the_estimate_is_hardly_ever_under_what_a_tokenizer_counts() -> None:
    """On every tenth passage of the demo corpus, so that a prompt that fits does fit."""
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "smollm2")
    texts = [passage_text(passage) for passage in read_passages(demo_passages_path())][::10]
    counted = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
    ratios = [estimate_tokens(t) / n for t, n in zip(texts, counted, strict=True)]
    assert sum(ratio < 1 for ratio in ratios) / len(ratios) < 0.01
    assert min(ratios) > 0.9
    assert sum(ratios) / len(ratios) < 1.5


def test_killed_in_the_middle_then_down_then_started_again(seeing: VllmServer) -> None:
    """The last test of this server: it is killed."""
    generator = client(seeing)
    stream = client(seeing, extra_body=ENDLESS).stream(LONG, max_tokens=1800)
    while next(stream) == Waiting():
        pass
    seeing.stop()
    with pytest.raises(GeneratorError, match=r"broke off|not reached"):
        list(stream)
    started = time.monotonic()
    with pytest.raises(GeneratorUnavailable, match=r"not reached.*server runs"):
        list(generator.stream(closed(QUERY, "few-shot")))
    assert time.monotonic() - started < 10
    seeing.start()
    seeing.wait()
    assert drained(generator.stream(closed(QUERY, "instruct"), max_tokens=4))[0]
