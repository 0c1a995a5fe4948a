"""What is learnt from a server's refusals, in the words that servers use."""

from typing import Any

import pytest

from generator.server.dialect import Dialect, says_too_long

ASKED: dict[str, Any] = {
    "messages": [],
    "max_tokens": 1,
    "temperature": 0,
    "stream_options": {"include_usage": True},
    "stop": ["\n"],
    "logprobs": True,
    "top_logprobs": 20,
    "structured_outputs": {"choice": ["yes", "no"]},
}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in ASKED.items() if name not in names}


REFUSALS = [
    (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.",
        without("max_tokens") | {"max_completion_tokens": 1},
    ),
    (
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default "
        "(1) value is supported.",
        without("temperature"),
    ),
    ("body.stream_options: Extra inputs are not permitted", without("stream_options")),
    ("Unknown parameter: 'stream_options.include_usage'.", without("stream_options")),
    ("Unrecognized request argument supplied: structured_outputs", without("structured_outputs")),
    ("Unsupported parameter: 'stop' is not supported with this model.", without("stop")),
    ("logprobs is not supported for this model", without("logprobs", "top_logprobs")),
    ("top_logprobs must be <= 5", ASKED | {"top_logprobs": 5}),
    (
        "Invalid value for 'top_logprobs': must be between 0 and 8, inclusive.",
        ASKED | {"top_logprobs": 8},
    ),
    ("top_logprobs: unsupported value", ASKED | {"top_logprobs": 5}),
    ("top_logprobs must be <= 0", without("logprobs", "top_logprobs")),
    ("integer below minimum value: expected a value >= 16", ASKED | {"max_tokens": 16}),
    (
        "Invalid 'max_tokens': integer below minimum value. Expected a value >= 16, but got 1 "
        "instead.",
        ASKED | {"max_tokens": 16},
    ),
    ("max_tokens must be at least 16", ASKED | {"max_tokens": 16}),
    (
        "Requested sample logprobs of 20, which is greater than max allowed: 5",
        ASKED | {"top_logprobs": 5},
    ),
    ("top_logprobs: max allowed value is 8", ASKED | {"top_logprobs": 8}),
    ("top_logprobs (20) is greater than max allowed (8)", ASKED | {"top_logprobs": 8}),
    ("logprobs cannot be greater than 3", ASKED | {"top_logprobs": 3}),
    ("The number of top_logprobs is too large: the limit is 10.", ASKED | {"top_logprobs": 10}),
    ("top_logprobs exceeds the maximum of 4", ASKED | {"top_logprobs": 4}),
    ("top_logprobs should be in [0, 6]", ASKED | {"top_logprobs": 6}),
    ("`top_n_tokens` must be >= 0 and <= 5. Given: 20", ASKED | {"top_logprobs": 5}),
    ("logprobs: max allowed: 0", without("logprobs", "top_logprobs")),
]


@pytest.mark.parametrize(("said", "put"), REFUSALS)
def test_a_refusal_is_learnt_from_once(said: str, put: dict[str, Any]) -> None:
    dialect = Dialect()
    sent = dialect.written(ASKED)
    assert sent == ASKED
    assert dialect.learn(said, ASKED, sent)
    assert dialect.written(ASKED) == put
    assert len(dialect.notes) == 1
    # Another request that was under way is put right too; the same one is not sent for ever.
    assert dialect.learn(said, ASKED, sent)
    assert not dialect.learn("no", ASKED, dialect.written(ASKED))


@pytest.mark.parametrize(
    "said",
    [
        # vLLM's words for a prompt that is too long name options too.
        "'max_tokens' or 'max_completion_tokens' is too large: 48. This model's maximum context "
        "length is 2048 tokens and your request has 2040 input tokens (48 > 2048 - 2040).",
        "the request exceeds the available context size (4096 tokens), try increasing it",
        "Prompt is too long: 250000 tokens",
        "Input tokens exceed the configured limit of 272000 tokens.",
    ],
)
def test_a_prompt_that_is_too_long_is_no_matter_of_options(said: str) -> None:
    assert says_too_long(said)
    assert not Dialect().learn(said, ASKED, ASKED)


@pytest.mark.parametrize("said", ["", "engine died", "The image cannot be decoded.", "no"])
def test_what_names_no_option_teaches_nothing(said: str) -> None:
    assert not says_too_long(said)
    assert not Dialect().learn(said, ASKED, ASKED)


def test_several_refusals_add_up() -> None:
    dialect = Dialect()
    for said, _ in (REFUSALS[0], REFUSALS[1], REFUSALS[7], REFUSALS[11]):
        assert dialect.learn(said, ASKED, dialect.written(ASKED))
    assert dialect.written(ASKED) == without("max_tokens", "temperature") | {
        "max_completion_tokens": 16,
        "top_logprobs": 5,
    }


def test_the_number_of_a_completions_log_probabilities_is_lowered() -> None:
    asked = {"prompt": "x", "max_tokens": 1, "logprobs": 5}
    dialect = Dialect()
    said = "Requested sample logprobs of 5, which is greater than max allowed: 2"
    assert dialect.learn(said, asked, dialect.written(asked))
    assert dialect.written(asked) == asked | {"logprobs": 2}
    assert dialect.learn("logprobs are not supported", asked, dialect.written(asked))
    assert dialect.written(asked) == {"prompt": "x", "max_tokens": 1}
