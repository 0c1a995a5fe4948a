"""OK-VQA (Marino et al. 2019): loader and VQA accuracy."""

import re
from collections.abc import Sequence
from typing import Literal

from corpus.benchmarks.answer_text import ARTICLES, CONTRACTIONS, DIGITS

Variant = Literal["official", "lavis"]

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
# The official pattern has a look-behind that is mistyped and never holds; and re.UNICODE is
# passed where the number of replacements belongs, so at most 32 periods go.
_PERIOD = re.compile(r"\.(?!\d)")
_MOST_PERIODS = int(re.UNICODE)


def vqa_accuracy(prediction: str, answers: Sequence[str], variant: Variant = "official") -> float:
    """Return the VQA accuracy, from 0 to 1, of a prediction.

    For each annotator: a third of the number of others who gave the prediction, at most 1;
    then the mean over the annotators. Two codes of it circulate and differ in what they compare:

    - "official" (the current VQA evaluation, and RA-VQA's copy): when the annotators' answers
      differ, all of them and the prediction are normalised; when they are all the same, nothing
      is but white space, so "yes." does not match ten times "yes".
    - "lavis" (LAVIS, BLIP-2 and the first VQA evaluation): the prediction is always normalised;
      of the answers only the punctuation is, and only when they differ, so an answer "two"
      matches no prediction.

    >>> vqa_accuracy("ride", ["race"] * 7 + ["ride"] * 3)
    0.9
    >>> vqa_accuracy("yes.", ["yes"] * 10), vqa_accuracy("yes.", ["yes"] * 10, variant="lavis")
    (0.0, 1.0)

    Raises:
        ValueError: there are no answers, or no such variant.
    """
    if not answers:
        raise ValueError("no answers: such a question cannot be scored")
    if variant == "official":
        texts = [_one_line(answer) for answer in answers]
        given = _one_line(prediction)
        if len(set(texts)) > 1:
            texts = [normalise(text) for text in texts]
            given = normalise(given)
    elif variant == "lavis":
        texts = list(answers)
        given = normalise(_one_line(prediction))
        if len(set(texts)) > 1:
            texts = [_without_punctuation(text) for text in texts]
    else:
        raise ValueError(f"variant must be 'official' or 'lavis', not {variant!r}")
    return _agreement(given, texts)


def normalise(text: str) -> str:
    """Return a text as VQA accuracy compares it.

    >>> normalise("The teddy-bear, dont  you see 1,000 of them?")
    "teddybear don't you see 1000 of them"
    """
    words = [DIGITS.get(word, word) for word in _without_punctuation(text).lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _agreement(given: str, answers: Sequence[str]) -> float:
    same = sum(answer == given for answer in answers)
    scores = [min(1.0, (same - (answer == given)) / 3) for answer in answers]
    return sum(scores) / len(scores)


def _one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def _without_punctuation(text: str) -> str:
    """Return a text with each mark deleted, or replaced by a space where it joins words.

    Whether a mark joins is judged on the whole text: it does unless it stands beside a space
    somewhere, and no mark does in a text with a number like 1,000.
    """
    delete_all = _DIGIT_COMMA_DIGIT.search(text) is not None
    result = text
    for mark in _PUNCTUATION:
        delete = delete_all or f"{mark} " in text or f" {mark}" in text
        result = result.replace(mark, "" if delete else " ")
    return _PERIOD.sub("", result, count=_MOST_PERIODS)
