"""Replies and chunks of many servers, read into text, log-probabilities and verdicts."""

import doctest
import math
from typing import Any

import pytest

from corpus.types import Query
from generator import marks
from generator.answers.parsing import answer_text
from generator.errors import GeneratorUnavailable
from generator.interface import Usage
from generator.prompts import CHOICES, Prompt, closed
from generator.server import dialect, faults
from generator.server.faults import Faults, Refusal, error_of, error_text
from generator.server.wire import thoughts
from generator.server.wire.protocol import Draft, NotACompletion, read_verdict, thinks

INSTRUCT = closed(Query("Which city?"), "instruct")
FEW_SHOT = closed(Query("Which city?"), "few-shot")


def chunk(text: Any = None, finish: Any = None, logprob: Any = -0.5, **delta: Any) -> dict:
    choice: dict[str, Any] = {"index": 0, "delta": {"content": text, **delta}}
    choice["finish_reason"] = finish
    if text:
        choice["logprobs"] = {"content": [{"token": str(text), "logprob": logprob}]}
    return {"choices": [choice]}


def grown(*chunks: dict, prompt: Prompt = INSTRUCT) -> Draft:
    growing = Draft(prompt)
    for one in chunks:
        growing.add(one)
    return growing


@pytest.mark.parametrize(
    "pieces",
    [
        ["<think>", "\n", "The passage says so.\n", "</think>", "\n\n", "Nairobi"],
        ["<think>\n\n</think>\n\n", "Nai", "robi"],
        ["<th", "ink>It is", " Kenya.</thi", "nk>Nairobi"],
        ["\n<THINK>x</THINK> \n\nNairobi\nmore"],
        ["[THINK]Kenya[/THINK]Nairobi"],
        ["◁think▷Kenya◁/think▷", "Nairobi"],
        ["<think>a</think><think>b</think>\nNairobi"],
        # The prompt has opened the thought already.
        ["Okay, the flag is Kenya's.\n", "So the capital...\n</think>\n\n", "Nairobi"],
        ["<|channel|>analysis<|message|>Kenya<|end|><|channel|>final<|message|>Nairobi"],
    ],
)
def test_thoughts_are_no_part_of_the_answer(pieces: list[str]) -> None:
    growing = grown(*map(chunk, pieces), chunk(None, "stop"))
    assert growing.text.strip() == "Nairobi"
    assert growing.thought


def test_only_the_answers_tokens_count() -> None:
    tokens = [
        ("<think>", -9.0),
        ("so", -9.0),
        ("</think>", -9.0),
        ("\n\n", -0.1),
        ("Nairobi", -0.3),
    ]
    growing = grown(*(chunk(text, logprob=p) for text, p in tokens), chunk(None, "stop"))
    assert growing.completion().token_logprobs == (-0.1, -0.3)


@pytest.mark.parametrize("text", ["<", "[", "<thimble>", "[1] Paris", "<b>Paris</b>"])
def test_what_only_looks_like_a_thought_is_kept(text: str) -> None:
    growing = grown(*map(chunk, text), chunk("", "stop"))
    assert (growing.text, growing.thought) == (text, False)
    assert growing.completion().token_logprobs == (-0.5,) * len(text)


@pytest.mark.parametrize(
    "text",
    [
        "<think>x</think>\n<answer>\nNairobi\n</answer>",
        "The flag is black. <answer>Nairobi</answer>",
        "<|begin_of_box|>Nairobi<|end_of_box|>",
        "<|assistant|>Nairobi",
        "Nairobi<|im_end|>",
        "Nairobi<end_of_turn>\nmore",
        "Nairobi</s>",
        "<|channel>thought\nhm hm\n<channel|>Nairobi",
        '<details type="reasoning" done="true">\n<summary>s</summary>\nhm\n</details>\nNairobi',
        '<think duration="2">\nhm\n</think>\nNairobi',
        "# Answer\nNairobi",
        "**Final answer:**\r\n\r\nNairobi\r\n",
        "Answer:\nNairobi",
        "```\nNairobi\n```",
        "```text\nNairobi\n```",
        "**Nairobi**",
        "### Nairobi",
        "**Answer:** Nairobi.",
        "`Nairobi`",
        "$\\boxed{\\text{Nairobi}}$",
    ],
)
@pytest.mark.parametrize("finish", ["stop", None])
def test_the_marks_of_models_are_no_part_of_the_answer(text: str, finish: str | None) -> None:
    for pieces in ([text], list(text)):
        growing = Draft(INSTRUCT)
        shown = [growing.add(chunk(piece)) for piece in pieces]
        shown += [growing.add(chunk(None, finish)), growing.end()]
        assert answer_text(growing.text) == "Nairobi"
        if "The flag" not in text:  # which is taken for the answer at first
            assert "".join(shown) == growing.text


@pytest.mark.parametrize(
    "text",
    ["<", "a < b", "A", "C# 8", "#1", "Final Fantasy", "**kwargs", "2**3", "Short", "Answer", "f"],
)
def test_what_only_looks_like_a_mark_is_kept(text: str) -> None:
    for pieces in ([text], list(text)):
        growing = grown(*map(chunk, pieces))
        growing.end()
        assert growing.text == text
        assert text == "<" or answer_text(growing.text) == text


def test_a_thought_without_end_is_no_answer() -> None:
    assert grown(chunk("<think>The flag"), chunk(None, "length")).text == ""


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_apart_from_the_text_are_noticed_and_left(name: str) -> None:
    growing = grown(chunk(None, **{name: "hmm"}), chunk("Paris"), chunk(None, "stop"))
    assert (growing.text, growing.thought) == ("Paris", True)
    assert growing.completion().token_logprobs == (-0.5,)


def test_text_in_parts_is_joined() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]},
        {"type": "text", "text": "Nai"},
        {"text": "r"},
        {"type": None, "text": "o"},
        "bi",
        None,
        {"type": "image_url", "image_url": {"url": "x"}},
    ]
    growing = grown(chunk(parts, "stop"))
    assert (growing.text, growing.thought) == ("Nairobi", True)


@pytest.mark.parametrize("text", ["", None, "Nairobi"])
def test_the_text_is_found_in_whichever_place_has_it(text: str | None) -> None:
    for message in ({"delta": {"content": "Nairobi"}}, {"message": {"content": "Nairobi"}}):
        assert grown({"choices": [{"text": text, **message}]}).text == "Nairobi"
    for empty in ({}, {"delta": {}}, {"delta": {"role": "assistant", "content": ""}}):
        assert grown({"choices": [{"text": text, **empty}]}).text == (text or "")


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"choices": []},
        {"choices": None, "usage": None},
        {"type": "ping"},
        {"choices": [{"index": 0, "finish_reason": None, "content_filter_results": {}}]},
        {"choices": [{"index": 0, "delta": None, "finish_reason": ""}]},
        {"choices": [{"index": 0, "delta": {"role": "assistant"}}]},
    ],
)
def test_chunks_without_text_are_skipped(odd: dict) -> None:
    growing = grown(odd, chunk("Nai", ""), odd, chunk("robi"), odd)
    assert (growing.text, growing.finish) == ("Nairobi", "")


@pytest.mark.parametrize("odd", [{"choices": 7}, {"choices": [7]}, chunk(7), chunk([{"text": 7}])])
def test_what_is_no_chunk_is_an_error(odd: dict) -> None:
    with pytest.raises(NotACompletion):
        Draft(INSTRUCT).add(odd)


def test_a_whole_reply_counts_as_one_chunk() -> None:
    reply = {
        "choices": [{"message": {"content": " Paris\nQ"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
    }
    completion = grown(reply).completion()
    assert (completion.text, completion.usage) == (" Paris", Usage(5, 2))
    assert completion.token_logprobs is None


@pytest.mark.parametrize("unknown", [None, math.nan, -math.inf, "x"])
def test_one_token_that_is_not_known_leaves_all_unknown(unknown: Any) -> None:
    known, odd = chunk("Pa"), chunk("ris", logprob=unknown)
    assert grown(known, odd).completion().token_logprobs is None
    bare = {"choices": [{"delta": {"content": "ris"}}]}
    assert grown(known, bare).completion().token_logprobs is None
    assert grown(known, known).completion().token_logprobs == (-0.5, -0.5)


@pytest.mark.parametrize("odd", [-0.1, [], {"content": 3}, {"token_logprobs": 3, "content": {}}])
def test_log_probabilities_of_another_shape_are_none(odd: Any) -> None:
    one = {"choices": [{"delta": {"content": "yes"}, "logprobs": odd}]}
    completion = grown(one).completion()
    assert (completion.text, completion.token_logprobs) == ("yes", None)
    for tops in (odd, {"top_logprobs": 3}, {"top_logprobs": [3]}, {"content": [{}]}):
        said = {"choices": [{"message": {"content": "yes"}, "logprobs": tops}]}
        assert read_verdict(said, INSTRUCT, CHOICES).probabilities[0] == 1.0


def test_a_stop_text_ends_the_line_where_the_server_goes_on() -> None:
    prompt = Prompt("p", INSTRUCT.messages, stop=("\n", " ["))
    growing = Draft(prompt)
    shown = [growing.add(chunk(text)) for text in (" Paris", " [1]", " more", "\nQ")]
    assert (growing.text, shown) == (" Paris", [" Paris", "", "", ""])


def reply(text: Any, *tops: dict[str, float], **message: Any) -> dict:
    entries = [
        {
            "token": next(iter(top)),
            "top_logprobs": [{"token": t, "logprob": p} for t, p in top.items()],
        }
        for top in tops
    ]
    choice: dict[str, Any] = {"message": {"content": text, **message}}
    if entries:
        choice["logprobs"] = {"content": entries}
    return {"choices": [choice]}


@pytest.mark.parametrize(
    ("said", "yes"),
    [
        (reply("Yes"), 1.0),
        (reply(" no."), 0.0),
        (reply("Yes, because the passage"), 1.0),
        (reply("<think>\n\n</think>\n\nno"), 0.0),
        (reply([{"type": "text", "text": "yes"}]), 1.0),
        (reply("yes", {"yes": math.log(0.6), " No": math.log(0.2), "x": -5.0}), 0.75),
        # The alternatives count in the place of the choice, not of what comes before it.
        (reply("\n no", {"\n": -0.1, "yes": -4.0}, {" no": math.log(0.5)}), 0.0),
    ],
)
def test_a_choice_is_read_from_what_stands_there(said: dict, yes: float) -> None:
    assert read_verdict(said, INSTRUCT, ("yes", "no")).probabilities[0] == pytest.approx(yes)


@pytest.mark.parametrize("said", [{}, {"choices": []}, reply("Perhaps"), reply("<think>")])
def test_a_reply_that_is_no_choice_is_an_error(said: dict) -> None:
    with pytest.raises(NotACompletion):
        read_verdict(said, INSTRUCT, ("yes", "no"))


def test_a_reply_that_thinks_is_known() -> None:
    assert thinks(reply("<think>")) and thinks(reply("", reasoning_content="hmm"))
    assert not thinks(reply("yes")) and not thinks({})


# Errors


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"error": {"message": "no such model"}}', "no such model"),
        ('{"error": "model not found"}', "model not found"),
        ('[{"error": {"code": 400, "message": "bad key"}}]', "bad key"),
        ('{"detail": "Not Found"}', "Not Found"),
        (
            '{"detail": [{"loc": ["body", "stop"], "msg": "not permitted", "input": "secret"}]}',
            "body.stop: not permitted",
        ),
        ('{"object": "error", "message": "too long", "code": 400}', "too long"),
        ("<!DOCTYPE html><html><title>413 Too\nLarge</title>...", "a web page: 413 Too\nLarge"),
        ("<html>oops", "a web page"),
        ("plain words", "plain words"),
    ],
)
def test_the_words_of_an_error_are_found(body: str, said: str) -> None:
    assert error_text(body) == said


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"error": {"message": "quota exceeded", "code": 502}}, 502),
        ({"error": {"message": "quota exceeded", "code": "429"}}, 429),
        ({"error": {"message": "quota exceeded", "code": "rate_limit"}}, 0),
        ({"error": "quota exceeded", "choices": [{"finish_reason": "error"}]}, 0),
        ({"object": "error", "message": "quota exceeded", "code": 400}, 400),
        ({"type": "error", "error": {"message": "quota exceeded"}}, 0),
    ],
)
def test_an_error_that_comes_as_a_success_is_one(document: dict, status: int) -> None:
    refused = error_of(document)
    assert refused is not None
    assert (refused.status, refused.said) == (status, "quota exceeded")


@pytest.mark.parametrize("document", [chunk("x"), {"choices": []}, {"error": None, "choices": []}])
def test_a_chunk_is_no_error(document: dict) -> None:
    assert error_of(document) is None


def test_advice_is_given_only_where_the_server_said_so() -> None:
    of = Faults("m", "chat", "http://h/v1", "key", 60, 5, None, ("top_k",))
    long = str(of.refused(Refusal(400, "maximum context length is 2048 tokens")))
    other = str(of.refused(Refusal(400, "seed must be an integer")))
    assert "fewer passages" in long and "fewer passages" not in other
    assert "KBVQA_GENERATOR_EXTRA_BODY" in str(of.refused(Refusal(400, "top_k is unknown")))
    page = str(of.refused(Refusal(413, "<html><title>413 Request Too Large</title></html>")))
    assert "<" not in page and "KBVQA_GENERATOR_IMAGE_PIXELS" in page
    busy = of.refused(Refusal(429, "slow down", wait_s=3600.0))
    assert isinstance(busy, GeneratorUnavailable) and "wait 3,600 s" in str(busy)
    assert "wants an API key" not in str(of.refused(Refusal(403, "not in your region")))


def test_few_shot_prompts_end_at_a_newline() -> None:
    growing = grown(chunk("\n"), chunk(" Paris"), chunk("\n"), prompt=FEW_SHOT)
    assert growing.text == " Paris"


def test_the_examples_in_the_docstrings() -> None:
    for module in (dialect, faults, marks, thoughts):
        tried = doctest.testmod(module)
        assert tried.attempted > 0 and tried.failed == 0
