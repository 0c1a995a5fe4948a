"""InfoSeek (Chen et al. 2023): loader and official score.

    PREFIX.jsonl           data_id, image_id, question, answer, answer_eval, data_split
    PREFIX_qtype.jsonl     data_id, question_type: String, Time or Numerical; of val alone
    PREFIX_withkb.jsonl    data_id, entity_id, entity_text: what the picture shows

The score is that of the official infoseek_eval.py. Two of its habits matter when numbers are
compared. It skips questions that have no prediction, so a run that answers only what it is sure
of scores higher; `summary` gives that figure, counts the unanswered, and gives the figure with
them as wrong beside it. And a numerical answer is right within a range that the file states.
"""

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.errors import InvalidRecord, Unscorable
from corpus.files.jsonl import UniqueIds, read_records, text_field
from corpus.files.packed import find_file, packed_file
from corpus.types import Example

# official: "data_split" ends in this, or the question counts as "unseen entity"
_UNSEEN_QUESTION = "unseen_question"
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NUMBER = re.compile(r"[-+]?[.]?[\d]+(?:,\d\d\d)*[\.]?\d*(?:[eE][-+]?\d+)?")

Number = float | tuple[float, float]


@dataclass(frozen=True, slots=True)
class InfoSeekExample(Example):
    """A question of InfoSeek.

    Attributes:
        answer_eval: what counts as right: texts, or for a numerical question one
            {"wikidata": value, "range": [low, high]}.
        question_type: "String", "Time" or "Numerical"; without the qtype file "Numerical" where
            answer_eval has a range, else "String".
        data_split: for example "val_unseen_question".
        entity: the Wikidata id of what the picture shows; "" without the withkb file.
    """

    answer_eval: tuple[Any, ...] = ()
    question_type: str = "String"
    data_split: str = ""
    entity: str = ""


def read_infoseek(folder: Path, split: str = "val") -> list[InfoSeekExample]:
    """Return the questions of a split in the order of the file.

    Args:
        folder: holds infoseek_{split}.jsonl and maybe infoseek_{split}_withkb.jsonl, compressed
            or not; for "val" also infoseek_val_qtype.jsonl, which was not published for "train".
        split: "train" or "val". The answers of "test" and "human" are not public.

    Raises:
        DatasetNotFound: a file is missing.
        InvalidRecord: a row cannot be used, or a question has no type where there are types.
    """
    path = find_file(folder, f"infoseek_{split}.jsonl", "infoseek")
    typed = packed_file(folder, f"infoseek_{split}_qtype.jsonl")
    if typed is None and split == "val":
        typed = find_file(folder, f"infoseek_{split}_qtype.jsonl", "infoseek")
    types = _column(typed, "question_type") if typed else None
    linked = packed_file(folder, f"infoseek_{split}_withkb.jsonl")
    entities = _column(linked, "entity_id") if linked else {}
    ids = UniqueIds(path)
    examples = []
    for line, row in read_records(path):
        id_ = text_field(path, line, row, "data_id")
        ids.add(line, id_)
        if types is not None and id_ not in types:
            raise InvalidRecord(path, line, "data_id", f"{id_!r} has no question_type in {typed}")
        answer_eval = _listed(row.get("answer_eval"))
        if not answer_eval:
            problem = "missing or empty: the answers of this split are not public"
            raise InvalidRecord(path, line, "answer_eval", problem)
        numerical = isinstance(answer_eval[0], Mapping) and "range" in answer_eval[0]
        assumed = "Numerical" if numerical else "String"
        examples.append(
            InfoSeekExample(
                id=id_,
                image=text_field(path, line, row, "image_id"),
                question=text_field(path, line, row, "question"),
                answers=_texts(_listed(row.get("answer"))) or _texts(answer_eval),
                answer_eval=answer_eval,
                question_type=assumed if types is None else types[id_],
                data_split=text_field(path, line, row, "data_split"),
                entity=entities.get(id_, ""),
            )
        )
    return examples


def score(prediction: str, answer_eval: Any, question_type: str) -> float:
    """Return 1.0 if a prediction is right by the official script, else 0.0.

    >>> score("The Paris", ["Paris", "City of Light"], "String")
    1.0
    >>> score("about 85-115 m", [{"wikidata": 100, "range": [90, 110]}], "Numerical")
    1.0

    Args:
        prediction: the answer to judge.
        answer_eval: the field of that name: a list of texts, or a numerical question's
            {"range": [low, high]}, alone or first in a list.
        question_type: "Time", "Numerical" in any case; anything else is a string.

    Raises:
        Unscorable: answer_eval is empty, has no range, or holds what is no text.
    """
    if question_type.lower() == "numerical":
        return float(_in_range(parse_number(prediction), _range(answer_eval)))
    if not answer_eval:
        raise Unscorable("answer_eval is empty: such a question cannot be scored")
    if not all(isinstance(answer, str) for answer in answer_eval):
        raise Unscorable(f"answer_eval must hold texts only, not {answer_eval!r:.80}")
    given = normalise(prediction)
    return float(any(given == normalise(answer) for answer in answer_eval))


def normalise(text: str) -> str:
    """Return a text in lower case, without punctuation, articles and double spaces.

    >>> normalise("The  city-of-light!")
    'cityoflight'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def parse_number(text: str) -> Number:
    """Return the number in a text, or the range where it has two in rising order.

    Only the first two numbers count; without a number it is (0, 0).

    >>> parse_number("9-10"), parse_number("20 to 10"), parse_number("1,234.5 m")
    ((9.0, 10.0), 20.0, 1234.5)
    """
    numbers = [_to_float(found) for found in _NUMBER.findall(_spaced_hyphens(text))[:2]]
    if not numbers:
        return (0.0, 0.0)
    if len(numbers) == 2 and numbers[0] <= numbers[1]:
        return (numbers[0], numbers[1])
    return numbers[0]


def summary(
    predictions: Mapping[str, str] | Iterable[Mapping[str, Any]],
    examples: Iterable[InfoSeekExample | Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the official scores in percent, and how much was answered.

    Args:
        predictions: {data_id: prediction}, or rows with those two fields.
        examples: what `read_infoseek` gives, or rows with data_id, data_split, answer_eval
            and question_type.

    Returns:
        "final_score", the harmonic mean of the two splits; "unseen_question_score" and
        "unseen_entity_score", each with score, score_time, score_num, score_string; as the
        official script rounds them. "questions", "unanswered" (left out of those scores, as
        officially), "unscorable" (left out too: the official script fails there) and "unknown"
        (predictions without a question) are counts;
        "final_score_unanswered_wrong" has the unanswered as wrong.

    Raises:
        ValueError: two predictions, or two examples, have the same id.
    """
    given = _by_id(predictions)
    answered: dict[bool, dict[str, list[float]]] = {True: {}, False: {}}
    total = {True: 0, False: 0}
    seen: set[str] = set()
    unscorable: set[str] = set()
    for row in map(_as_example, examples):
        if row.id in seen:
            raise ValueError(f"two examples have the id {row.id!r}")
        seen.add(row.id)
        kind = row.question_type.lower()
        kind = kind if kind in ("time", "numerical") else "string"
        try:
            value = score(given.get(row.id, ""), row.answer_eval, kind)
        except Unscorable:
            unscorable.add(row.id)
            continue
        split = row.data_split.endswith(_UNSEEN_QUESTION)
        total[split] += 1
        if row.id in given:
            answered[split].setdefault(kind, []).append(value)
    question, entity = _split_score(answered[True]), _split_score(answered[False])
    with_all = [
        round(100 * _mean([*_all(answered[s]), *[0.0] * (total[s] - len(_all(answered[s])))]), 2)
        for s in (True, False)
    ]
    return {
        "final_score": _harmonic_mean(question["score"], entity["score"]),
        "unseen_question_score": question,
        "unseen_entity_score": entity,
        "questions": len(seen),
        "unanswered": len(seen - given.keys() - unscorable),
        "unscorable": len(unscorable),
        "unknown": len(given.keys() - seen),
        "final_score_unanswered_wrong": _harmonic_mean(*with_all),
    }


def _split_score(scores: Mapping[str, list[float]]) -> dict[str, float]:
    parts = {"time": "score_time", "numerical": "score_num", "string": "score_string"}
    result = {"score": round(100 * _mean(_all(scores)), 2)}
    for kind, name in parts.items():
        result[name] = round(100 * _mean(scores.get(kind, [])), 2)
    return result


def _all(scores: Mapping[str, list[float]]) -> list[float]:
    return [value for values in scores.values() for value in values]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _harmonic_mean(*values: float) -> float:
    return round(len(values) / sum(1 / (value or 1e-12) for value in values), 2)


def _by_id(predictions: Mapping[str, str] | Iterable[Mapping[str, Any]]) -> dict[str, str]:
    if isinstance(predictions, Mapping):
        return dict(predictions)
    given: dict[str, str] = {}
    for row in predictions:
        if row["data_id"] in given:
            raise ValueError(f"two predictions have the id {row['data_id']!r}")
        given[row["data_id"]] = row["prediction"]
    return given


def _column(path: Path, name: str) -> dict[str, str]:
    return {
        text_field(path, line, row, "data_id"): text_field(path, line, row, name)
        for line, row in read_records(path)
    }


def _listed(field: Any) -> tuple[Any, ...]:
    """Return what a field of answers holds, alone or in a list, with numbers as texts."""
    values = field if isinstance(field, list | tuple) else () if field is None else (field,)
    numbers = int | float
    return tuple(
        f"{value}" if isinstance(value, numbers) and not isinstance(value, bool) else value
        for value in values
        if value not in ("", None)
    )


def _texts(answers: Sequence[Any]) -> tuple[str, ...]:
    return tuple(answer for answer in answers if isinstance(answer, str) and answer.strip())


def _as_example(row: InfoSeekExample | Mapping[str, Any]) -> InfoSeekExample:
    if isinstance(row, InfoSeekExample):
        return row
    return InfoSeekExample(
        id=row["data_id"],
        image=str(row.get("image_id", "")),
        question=str(row.get("question", "")),
        answer_eval=_listed(row["answer_eval"]),
        question_type=row["question_type"],
        data_split=row["data_split"],
    )


def _range(answer_eval: Any) -> tuple[float, float]:
    """Return the range of a numerical question's answer_eval."""
    first = answer_eval if isinstance(answer_eval, Mapping) else next(iter(answer_eval), {})
    try:
        low, high = (float(value) for value in first["range"][:2])
    except (TypeError, KeyError, ValueError) as exc:
        raise Unscorable(
            "a numerical question needs {'range': [low, high]} in answer_eval, not "
            f"{answer_eval!r:.80}; check its question type"
        ) from exc
    return low, high


def _in_range(given: Number, answer: tuple[float, float]) -> bool:
    """Return whether a number, or enough of a range, is within the answer's range."""
    low, high = answer
    if not isinstance(given, tuple):
        return low <= given <= high
    if all(low <= value <= high for value in given):
        return True
    overlap = max(0.0, min(given[1], max(answer)) - max(given[0], min(answer)))
    lengths = (given[1] - given[0] + 1e-12) + (max(answer) - min(answer) + 1e-12)
    return overlap / (lengths - overlap) >= 0.5 - 1e-12


def _spaced_hyphens(text: str) -> str:
    """Return a text with " - " for each hyphen after a digit: "9-10" is a range, not 9 and -10."""
    return "".join(
        " - " if letter == "-" and i and text[i - 1].isdigit() else letter
        for i, letter in enumerate(text)
    )


def _to_float(found: str) -> float:
    """Return the value of a match of _NUMBER; of "1.2.3" what stands before the first point."""
    digits = found.replace(",", "").strip(".")
    if digits.count(".") > 1:
        digits = digits.split(".")[0]
    try:
        return float(digits)
    except ValueError:  # "-.5.3": the official script crashes; here it is no number
        return 0.0
