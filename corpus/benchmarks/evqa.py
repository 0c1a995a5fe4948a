"""Encyclopedic-VQA (Mensink et al. 2023): loader and official score."""

import re
import string
from collections.abc import Callable, Sequence

from corpus.benchmarks.answer_text import CONTRACTIONS, DIGITS

QUESTION_TYPES = ("templated", "automatic", "multi_answer", "2_hop")

_DELETED = str.maketrans("", "", string.punctuation + "‘’´`_")
_FILLERS = re.compile(r"\b(the answer is|a|an|the)\b")
_SPAN_PREFIX = "<extra_id_0> "
_WORDS = DIGITS | {"true": "yes", "entailment": "yes", "false": "no", "contradiction": "no"}

# (question, reference, candidate) -> probability that the candidate means the reference
Bem = Callable[[str, str, str], float]


def exact_match(reference: str, candidate: str, question_type: str) -> bool:
    """Return whether a candidate is the reference, by the official exact match.

    For "multi_answer" the parts of both, "&&" between the reference's and commas or "and"
    between the candidate's, must overlap: intersection over union of at least a half. Other
    types compare the whole answers.

    >>> exact_match("the Menger family", "Menger family", "automatic")
    True
    >>> exact_match("cat&&dog&&bird", "dog and bird", "multi_answer")
    True

    Raises:
        ValueError: nothing is left of the reference after normalising.
    """
    if question_type != "multi_answer":
        expected = normalise(reference)
        if not expected:
            raise ValueError(f"Reference answer is empty after preprocessing: {reference!r}")
        return expected == normalise(candidate)
    expected_parts = _parts(reference.split("&&"))
    if not expected_parts:
        raise ValueError(f"Reference list is empty after preprocessing: {reference!r}")
    given = _parts(candidate.replace(" and ", ",").replace(" & ", ",").split(","))
    return len(expected_parts & given) / len(expected_parts | given) >= 0.5


def score(
    question: str,
    references: Sequence[str],
    candidate: str,
    question_type: str,
    bem: Bem | None = None,
) -> float:
    """Return 1.0 if a candidate matches one of the references, else 0.0.

    Without `bem` that is exact match alone: a lower bound of the official score, which asks
    BEM (Bulian et al. 2022) about what does not match exactly. Name it so.

    Raises:
        ValueError: there are no references, one is empty, or the question type is unknown.
    """
    if not references:
        raise ValueError("no references: such a question cannot be scored")
    if question_type not in QUESTION_TYPES:
        raise ValueError(f"question type must be one of {QUESTION_TYPES}, not {question_type!r}")
    return max(_score_one(question, r, candidate, question_type, bem) for r in references)


def normalise(text: str) -> str:
    """Return an answer as exact match compares it.

    >>> normalise("The answer is: Two cats.")
    '2 cats'
    """
    text = text.lower().replace("\n", " ").replace("\t", " ").strip()
    if text.startswith(_SPAN_PREFIX):
        text = text.replace(_SPAN_PREFIX, "")
    text = _FILLERS.sub(" ", text.translate(_DELETED))
    words = (_WORDS.get(word, word) for word in text.split())
    return " ".join(CONTRACTIONS.get(word, word) for word in words)


def _score_one(
    question: str, reference: str, candidate: str, question_type: str, bem: Bem | None
) -> float:
    if not reference:
        raise ValueError("a reference is empty: such a question cannot be scored")
    if exact_match(reference, candidate, question_type):
        return 1.0
    if bem is None:
        return 0.0
    if question_type == "multi_answer":
        reference = reference.replace("&&", ",")
    return float(bem(question, reference, candidate) >= 0.5)


def _parts(answers: Sequence[str]) -> set[str]:
    return {part for answer in answers if (part := normalise(answer))}
