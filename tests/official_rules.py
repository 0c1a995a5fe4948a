"""The official scorers' rules written down a second time, as their code acts.

Nothing here is shared with `corpus.benchmarks`: lists instead of tables, one step a rule, no
regular expression where a loop says it. `tests/unit/corpus/benchmarks/test_official_rules.py`
compares the two on random answers. What the official scripts themselves give is in
tests/golden/scorers.
"""

import re
import string
from collections.abc import Sequence
from typing import Any

NUMBER_WORDS = "zero one two three four five six seven eight nine ten".split()  # noqa: SIM905
PUNCTUATION = [*';/[]"{}()=+\\_-><@`,?!']


# VQA accuracy (OK-VQA)


def vqa(prediction: str, answers: Sequence[str]) -> float:
    """Return the current VQA evaluation's accuracy, which RA-VQA has copied."""
    given = plain(prediction)
    expected = [plain(answer) for answer in answers]
    if any(answer != expected[0] for answer in expected):
        given = vqa_words(without_punctuation(given))
        expected = [vqa_words(without_punctuation(answer)) for answer in expected]
    return agreement(given, expected)


def vqa_lavis(prediction: str, answers: Sequence[str]) -> float:
    """Return the accuracy by the older script that LAVIS has."""
    given = vqa_words(without_punctuation(plain(prediction)))
    expected = list(answers)
    if any(answer != expected[0] for answer in expected):
        expected = [without_punctuation(answer) for answer in expected]
    return agreement(given, expected)


def agreement(given: str, expected: Sequence[str]) -> float:
    """Return the mean over annotators of a third of the others who said it, at most 1."""
    total = 0.0
    for i in range(len(expected)):
        others = [answer for j, answer in enumerate(expected) if j != i]
        total += min(1.0, others.count(given) / 3)
    return total / len(expected)


def plain(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def without_punctuation(text: str) -> str:
    digits = any(
        text[i].isdigit() and text[i + 1] == "," and text[i + 2].isdigit()
        for i in range(len(text) - 2)
    )
    out = text
    for mark in PUNCTUATION:
        if digits or mark + " " in text or " " + mark in text:
            out = "".join(letter for letter in out if letter != mark)
        else:
            out = "".join(" " if letter == mark else letter for letter in out)
    kept, gone = [], 0
    for i, letter in enumerate(out):
        before_digit = out[i + 1 : i + 2].isdigit()
        if letter == "." and not before_digit and gone < 32:
            gone += 1
        else:
            kept.append(letter)
    return "".join(kept)


def vqa_words(text: str) -> str:
    words = []
    for word in text.lower().split():
        word = number(word)
        if word not in ("a", "an", "the"):
            words.append(with_apostrophe(word))
    return " ".join(words)


def number(word: str) -> str:
    if word == "none":
        return "0"
    return str(NUMBER_WORDS.index(word)) if word in NUMBER_WORDS else word


def with_apostrophe(word: str) -> str:
    """Return the contractions that random answers here may hold, put right."""
    return {"dont": "don't", "isnt": "isn't", "its": "its", "couldntve": "couldntve"}.get(
        word, word
    )


# InfoSeek


def infoseek(prediction: str, answer_eval: Sequence[Any], kind: str) -> float:
    """Return the official infoseek_eval's score of one prediction."""
    if kind == "numerical":
        low, high = (float(value) for value in answer_eval[0]["range"][:2])
        return float(in_range(numbers(prediction), low, high))
    return float(infoseek_words(prediction) in [infoseek_words(answer) for answer in answer_eval])


def infoseek_words(text: str) -> str:
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    words = re.sub(r"\b(a|an|the)\b", " ", kept)
    return " ".join(words.split())


def numbers(text: str) -> list[float]:
    """Return one number or a rising pair; [0, 0] where there is none."""
    spaced = ""
    for i, letter in enumerate(text):
        spaced += " - " if letter == "-" and i > 0 and text[i - 1].isdigit() else letter
    pattern = r"[-+]?[.]?[\d]+(?:,\d\d\d)*[\.]?\d*(?:[eE][-+]?\d+)?"
    found = [n.replace(",", "").strip(".") for n in re.findall(pattern, spaced)]
    values = [float(n.split(".")[0] if n.count(".") > 1 else n) for n in found[:2]]
    if not values:
        return [0.0, 0.0]
    if len(values) == 2 and values[0] > values[1]:
        return values[:1]
    return values


def in_range(given: Sequence[float], low: float, high: float) -> bool:
    if all(low <= value <= high for value in given):
        return True
    if len(given) == 1:
        return False
    overlap = max(0.0, min(given[1], high) - max(given[0], low))
    union = (given[1] - given[0]) + (high - low) + 2e-12 - overlap
    return overlap / union >= 0.5 - 1e-12


# Encyclopedic-VQA


def evqa(reference: str, candidate: str, kind: str) -> bool | None:
    """Return the official exact match; None where the script raises an error."""
    if kind != "multi_answer":
        expected = evqa_words(reference)
        return expected == evqa_words(candidate) if expected else None
    parts = {evqa_words(part) for part in reference.split("&&")} - {""}
    if not parts:
        return None
    for joint in (" and ", " & "):
        candidate = candidate.replace(joint, ",")
    given = {evqa_words(part) for part in candidate.split(",")} - {""}
    return 2 * len(parts & given) >= len(parts | given)


def evqa_words(text: str) -> str:
    text = text.lower().replace("\n", " ").replace("\t", " ").strip()
    if text.startswith("<extra_id_0> "):
        text = text.replace("<extra_id_0> ", "")
    for mark in string.punctuation + "‘’´`_":
        text = text.replace(mark, "")
    text = re.sub(r"\b(the answer is|a|an|the)\b", " ", text)
    booleans = {"true": "yes", "entailment": "yes", "false": "no", "contradiction": "no"}
    words = [booleans.get(word, number(word)) for word in text.split()]
    return " ".join(with_apostrophe(word) for word in words)
