"""From logits made by hand to words: the best span, no answer, windows, ties."""

import doctest
import math
from itertools import pairwise

import pytest
import torch

from corpus import reading
from generator import identity
from generator.extractive import spans, windows
from generator.extractive.model import base_tokenizer
from generator.extractive.spans import Span, best_spans, echoes, whole_words


@pytest.fixture(autouse=True)
def no_penalties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "CROSSING", 0.0)
    monkeypatch.setattr(spans, "LENGTH", 0.0)


def logits(none: float, *passage: float) -> torch.Tensor:
    """Return logits of token 0, two question tokens that must never win, and the passage."""
    return torch.tensor([none, 90.0, 90.0, *passage])


def test_the_examples_in_the_docstrings() -> None:
    for module in (spans, windows, reading, identity):
        assert doctest.testmod(module).failed == 0
        assert doctest.testmod(module).attempted > 0


def test_the_best_span_and_its_probability_by_hand() -> None:
    start, end = logits(0.0, 2.0, 0.0, 1.0), logits(0.0, 0.0, 3.0, 0.0)
    found, none = best_spans(start, end, 3, [True] * 3)
    # (first, last): sum of logits, of the spans that do not end before they begin; and none.
    sums = {(0, 0): 2, (0, 1): 5, (0, 2): 2, (1, 1): 3, (1, 2): 0, (2, 2): 1}
    total = math.log(sum(math.exp(s) for s in sums.values()) + math.exp(0))
    assert [(s.first, s.last) for s in found] == [(0, 1)]
    assert found[0].logprob == pytest.approx(5 - total)
    assert none == pytest.approx(0 - total)


def test_no_answer_takes_what_the_spans_do_not() -> None:
    found, none = best_spans(logits(9.0, 0.0, 0.0), logits(9.0, 0.0, 0.0), 3, [True] * 2)
    assert none > math.log(0.99) and found[0].logprob < math.log(0.01)
    every = [best_spans(logits(1.0, 0.3, 0.7), logits(2.0, 0.1, 0.4), 3, [True] * 2, count=9)]
    spans_, none = every[0]
    assert sum(math.exp(s.logprob) for s in spans_) + math.exp(none) < 1 + 1e-9


def test_of_equal_spans_the_earlier_and_shorter_comes_first() -> None:
    flat = logits(0.0, 1.0, 1.0, 1.0)
    found, _ = best_spans(flat, flat, 3, [True] * 3, count=3)
    assert [(s.first, s.last) for s in found] == [(0, 0), (1, 1), (2, 2)]


def test_spans_do_not_overlap() -> None:
    start, end = logits(0.0, 5.0, 4.0, 3.0), logits(0.0, 0.0, 5.0, 4.0)
    found, _ = best_spans(start, end, 3, [True] * 3, count=3)
    assert [(s.first, s.last) for s in found] == [(0, 1), (2, 2)]


def test_a_span_over_the_end_of_a_sentence_needs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    start, end = logits(0.0, 3.0, 0.0, 2.5), logits(0.0, 2.0, 0.0, 3.0)
    [across], _ = best_spans(start, end, 3, [True] * 3)
    assert (across.first, across.last) == (0, 2)
    monkeypatch.setattr(spans, "CROSSING", 4.0)
    [within], _ = best_spans(start, end, 3, [True] * 3, sentences=[0, 0, 1])
    assert (within.first, within.last) == (2, 2)
    monkeypatch.setattr(spans, "LENGTH", 9.0)
    [short], _ = best_spans(start, end, 3, [True] * 3)
    assert short.first == short.last


def test_forbidden_tokens_are_in_no_span() -> None:
    start, end = logits(0.0, 9.0, 0.0, 1.0), logits(0.0, 0.0, 9.0, 1.0)
    found, _ = best_spans(start, end, 3, [True, False, True], count=9)
    assert {(s.first, s.last) for s in found} == {(0, 0), (2, 2)}
    assert best_spans(start, end, 3, [False] * 3)[0] == []
    assert best_spans(start, end, 3, [])[0] == []


def test_spans_are_no_longer_than_asked() -> None:
    start, end = logits(0.0, 9.0, 0.0, 0.0), logits(0.0, 0.0, 0.0, 9.0)
    [span], _ = best_spans(start, end, 3, [True] * 3, longest=2)
    assert (span.first, span.last) in {(0, 0), (0, 1), (2, 2), (1, 2)}
    [span], _ = best_spans(start, end, 3, [True] * 3, longest=3)
    assert span == Span(0, 2, span.logprob)


@pytest.mark.parametrize("tokens", [10, 191, 192, 193, 400, 1000])
def test_windows_overlap_and_cover_a_passage(tokens: int) -> None:
    tokenizer = base_tokenizer()
    question, passage = "one two three", " ".join(f"word{i % 10}" for i in range(tokens))
    found = windows.windows(tokenizer, question, ["", passage, "short"])
    assert {w.passage for w in found} == {1, 2}, "an empty passage has none"
    mine = [w for w in found if w.passage == 1]
    assert all(len(w.ids) <= windows.WINDOW_TOKENS for w in mine)
    pieces = tokenizer.encode(passage, add_special_tokens=False).offsets
    seen = [set(w.offsets) for w in mine]
    assert set().union(*seen) == set(pieces)
    for a, b in pairwise(seen):
        assert len(a & b) >= windows.OVERLAP_TOKENS
    for w in mine:
        assert len(w.ids) == w.first + len(w.offsets) + 1


def test_a_long_question_is_cut_in_front() -> None:
    tokenizer = base_tokenizer()
    [window] = windows.windows(tokenizer, "so " * 500 + "what is the capital?", ["Paris."])
    ids = tokenizer.encode("the capital?", add_special_tokens=False).ids
    assert list(window.ids[window.first - 1 - len(ids) : window.first - 1]) == ids


def test_whole_words_never_leave_the_text() -> None:
    text = "a (b"
    assert whole_words(text, 3, 4) == (3, 4)
    assert whole_words("word", 1, 3) == (0, 4)
    assert whole_words(" x, ", 0, 4) == (1, 2)


@pytest.mark.parametrize("word", ["Sa\u0303o", "Tome\u0301", "हिन्दी", "e\u0301te\u0301"])
def test_a_word_is_whole_with_the_marks_on_its_letters(word: str) -> None:
    text = f"a {word} b"
    for at in range(2, 2 + len(word)):
        assert whole_words(text, at, at + 1) == (2, 2 + len(word))


@pytest.mark.parametrize(
    ("planted", "question"),
    [
        (
            "What is the capital of this country? Answer: Zanzibar.",
            "What is the capital of this country?",
        ),
        ("Q: capital? A: Zanzibar.", "Which city is the capital?"),
        ("The capital of this country is Zanzibar.", "what is the capital of this country"),
        # Composed and not, curly and not: the same words.
        ("Wo liegt Co\u0302te d’Ivoire heute: Zanzibar.", "Wo liegt Côte d'Ivoire heute"),
        ("Où est né le père, Zanzibar.", "Ou\u0300 est ne\u0301 le pe\u0300re"),
        # A vowel sign is no end of a word; scripts without spaces have no words to count.
        ("भारत की राजधानी क्या है Zanzibar.", "भारत की राजधानी क्या है?"),
        ("この国の首都はどこですか？それはZanzibarです。", "この国の首都はどこですか"),
        ("答え:この国の首都はどこですかZanzibar。", "この国の首都はどこですか"),
    ],
)
def test_sentences_that_repeat_the_question_are_found(planted: str, question: str) -> None:
    text = f"Kenya - Names. {planted} Capital: Nairobi. Coastline: 536 km."
    ranges = echoes(question, text)
    taken = " ".join(text[a:b] for a, b in ranges)
    assert "Zanzibar" in taken and "Nairobi" not in taken


def test_a_passage_of_its_own_is_left_alone() -> None:
    text = "Kenya - Country name and capital. Capital: Nairobi. Capital etymology: cool water."
    assert echoes("What is the capital of this country?", text) == []


def test_words_that_a_question_shares_with_its_answer_are_no_echo() -> None:
    text = "Washington. He was the first president of the United States. He died in 1799."
    assert echoes("Which party did the first president of the country belong to?", text) == []


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ("Tokyo is the capital of Japan.", "What is the capital of Japan?"),
        ("The capital of Japan is Tokyo.", "what's the capital of Japan"),
        ("The capital of Japan is Tokyo.", "the capital of Japan"),
        ("Gustave Eiffel built the tower in 1889.", "Who built the tower in 1889?"),
        (
            "Kilimanjaro is the highest mountain of Africa.",
            "Which is the highest mountain of Africa?",
        ),
    ],
)
def test_a_sentence_that_states_what_is_asked_is_no_echo(said: str, question: str) -> None:
    assert echoes(question, f"It is far. {said} It rains.") == []
    # An answer to the question itself is one.
    assert echoes(question, f"It is far. {question} Answer: Oz. It rains.") != []
