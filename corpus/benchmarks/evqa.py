"""Encyclopedic-VQA (Mensink et al. 2023): loader and official score.

    train.csv, val.csv, test.csv    one question a row; lists within fields are split at "|"

Gold passages are sections of the knowledge base, "{wikipedia_url}#{evidence_section_id}": the ids
that a corpus of it has with one passage a section. Pictures are named by iNaturalist 2021 and
Google Landmarks v2; see `corpus.pictures.store`.
"""

import re
import string
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.benchmarks.answer_text import CONTRACTIONS, DIGITS, listed
from corpus.errors import CorpusError, InvalidRecord, Unscorable
from corpus.files.csv_rows import CsvRows
from corpus.pictures.store import INAT_PREFIX, LANDMARK_PREFIX
from corpus.types import Example

QUESTION_TYPES = ("templated", "automatic", "multi_answer", "2_hop")

_DELETED = str.maketrans("", "", string.punctuation + "‘’´`_")
_FILLERS = re.compile(r"\b(the answer is|a|an|the)\b")
_SPAN_PREFIX = "<extra_id_0> "
_WORDS = DIGITS | {"true": "yes", "entailment": "yes", "false": "no", "contradiction": "no"}

_COLUMNS = (
    *("question", "answer", "question_type", "dataset_name", "dataset_image_ids"),
    *("wikipedia_url", "evidence_section_id"),
)

# (question, reference, candidate) -> probability that the candidate means the reference
Bem = Callable[[str, str, str], float]


@dataclass(frozen=True, slots=True)
class EvqaExample(Example):
    """A question of Encyclopedic-VQA. `answers` are the references, lists with "&&" in them.

    Attributes:
        question_type: one of QUESTION_TYPES.
        dataset: "inaturalist" or "landmarks": whose picture it is.
        pictures: how many the question has, of which this is one.
    """

    question_type: str = ""
    dataset: str = ""
    pictures: int = 1

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the references with commas between the parts of a list."""
        return tuple(", ".join(self._listed(answer)) for answer in self.answers)

    @property
    def searched(self) -> tuple[str, ...]:
        """Return the references, of lists their parts."""
        return tuple(part for answer in self.answers for part in self._listed(answer))

    def _listed(self, answer: str) -> list[str]:
        return listed(answer) if self.question_type == "multi_answer" else [answer]


def read_evqa(
    path: Path, question_types: Collection[str] = QUESTION_TYPES, *, all_images: bool = False
) -> list[EvqaExample]:
    """Return the questions of a file in its order. Ids are "{row}" or "{row}:{image}".

    Args:
        path: train.csv, val.csv or test.csv, compressed or not.
        question_types: those to keep; ("templated", "automatic") are the single-hop ones with
            one answer.
        all_images: an example for each picture of a question, not for its first alone.

    Raises:
        DatasetNotFound: there is no such file.
        CorpusError: a column is missing.
        InvalidRecord: a row cannot be used.
    """
    optional = ("evidence_section_id", "wikipedia_url")
    examples = []
    rows = CsvRows(path, _COLUMNS, optional=optional)
    for number, (line, values) in enumerate(rows.read(), start=1):
        if isinstance(values, CorpusError):
            raise values
        row = dict(zip(_COLUMNS, values, strict=True))
        kind = row["question_type"].strip()
        if kind not in QUESTION_TYPES:
            problem = f"must be one of {', '.join(QUESTION_TYPES)}, not {kind!r}"
            raise InvalidRecord(path, line, "question_type", problem)
        if kind not in question_types:
            continue
        answers, images = _split(row["answer"]), _split(row["dataset_image_ids"])
        for column, found in (("answer", answers), ("dataset_image_ids", images)):
            if not found:
                raise InvalidRecord(path, line, column, f"nothing but separators: {row[column]!r}")
        for image in images if all_images else images[:1]:
            examples.append(
                EvqaExample(
                    id=f"{number}:{image}" if all_images else str(number),
                    image=_image(row["dataset_name"].strip(), image),
                    question=row["question"],
                    answers=answers,
                    gold_passage_ids=_gold(row["wikipedia_url"], row["evidence_section_id"]),
                    question_type=kind,
                    dataset=row["dataset_name"].strip(),
                    pictures=len(images),
                )
            )
    return examples


def _split(field: str) -> tuple[str, ...]:
    """Return what stands between "|", without spaces around it and without what is empty."""
    return tuple(part for piece in field.split("|") if (part := piece.strip()))


def _image(dataset: str, id_: str) -> str:
    return (LANDMARK_PREFIX if dataset == "landmarks" else INAT_PREFIX) + id_


def _gold(urls: str, sections: str) -> tuple[str, ...]:
    """Return the ids of the sections that prove an answer.

    >>> _gold("https://a|https://b", "3|0")
    ('https://a#3', 'https://b#0')
    """
    numbers = [number.strip().removesuffix(".0") for number in sections.split("|")]
    return tuple(
        f"{url.strip()}#{number}"
        for url, number in zip(urls.split("|"), numbers, strict=False)
        if url.strip() and number.isdecimal()
    )


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
        Unscorable: nothing is left of the reference after normalising.
    """
    if question_type != "multi_answer":
        expected = normalise(reference)
        if not expected:
            raise Unscorable(f"Reference answer is empty after preprocessing: {reference!r}")
        return expected == normalise(candidate)
    expected_parts = _parts(reference.split("&&"))
    if not expected_parts:
        raise Unscorable(f"Reference list is empty after preprocessing: {reference!r}")
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
        Unscorable: there are no references, or nothing is left of one after normalising.
        ValueError: the question type is unknown.
    """
    if not references:
        raise Unscorable("no references: such a question cannot be scored")
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
        raise Unscorable("a reference is empty: such a question cannot be scored")
    if exact_match(reference, candidate, question_type):
        return 1.0
    if bem is None:
        return 0.0
    if question_type == "multi_answer":
        reference = reference.replace("&&", ",")
    return float(bem(question, reference, candidate) >= 0.5)


def _parts(answers: Sequence[str]) -> set[str]:
    return {part for answer in answers if (part := normalise(answer))}
