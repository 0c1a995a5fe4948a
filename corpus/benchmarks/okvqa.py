"""OK-VQA (Marino et al. 2019): loader and VQA accuracy.

    OpenEnded_mscoco_{train,val}2014_questions.json     {"questions": [...]}
    mscoco_{train,val}2014_annotations.json             {"annotations": [...]}
    retriever_{train,testdev,test}.json                 RA-VQA's gold passages; optional
    train2014/COCO_train2014_000000000009.jpg           pictures

What papers call OK-VQA's validation and its test set are the same questions, those of val2014:
nothing may be chosen on one and reported on the other.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from corpus.benchmarks.answer_text import ARTICLES, CONTRACTIONS, DIGITS
from corpus.errors import CorpusError, DatasetNotFound, InvalidRecord, Unscorable
from corpus.files.jsonl import id_field, text_field
from corpus.files.packed import find_file, packed_file
from corpus.files.sources import DamagedFile, Source
from corpus.types import Example

Variant = Literal["official", "lavis"]

SPLITS = {"train": "train2014", "val": "val2014", "test": "val2014"}

_BETWEEN = re.compile(r"[\s,]*")  # entries of a list
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
# The official pattern has a look-behind that is mistyped and never holds; and re.UNICODE is
# passed where the number of replacements belongs, so at most 32 periods go.
_PERIOD = re.compile(r"\.(?!\d)")
_MOST_PERIODS = int(re.UNICODE)


def read_okvqa(folder: Path, split: str = "test", *, gold: bool = True) -> list[Example]:
    """Return the questions of a split in the order of the file.

    `answers` are the ten annotators' stemmed answers, repeated ones and empty ones included: the
    score needs them all. `gold_passage_ids` are "GS_{kid}" of the Google-search corpus where
    RA-VQA's retriever_*.json lies in the folder.

    Args:
        folder: holds the files, compressed or not.
        split: "train", "val" or "test"; the last two are the same.
        gold: whether to look for gold passages.

    Raises:
        DatasetNotFound: a file is missing, or there is no such split.
        InvalidRecord: a question or annotation cannot be used.
    """
    if split not in SPLITS:
        raise DatasetNotFound(f"OK-VQA has no split {split!r}; it has {', '.join(SPLITS)}")
    name = SPLITS[split]
    asked = find_file(folder, f"OpenEnded_mscoco_{name}_questions.json", "okvqa")
    answered = find_file(folder, f"mscoco_{name}_annotations.json", "okvqa")
    answers = {}
    for number, row in _rows(answered, "annotations"):
        with _placed(answered, "annotations", number):
            id_ = id_field(answered, number, row, "question_id")
            answers[id_] = _answers(answered, number, row)
    passages = read_gold_passages(folder, split) if gold else {}
    examples: dict[str, Example] = {}
    for number, row in _rows(asked, "questions"):
        with _placed(asked, "questions", number):
            id_ = id_field(asked, number, row, "question_id")
            if id_ in examples:
                problem = f"{id_!r} was the id of an earlier question"
                raise InvalidRecord(asked, number, "question_id", problem)
            if id_ not in answers:
                problem = f"{id_!r} has no annotation in {answered}; are both files of one version?"
                raise InvalidRecord(asked, number, "question_id", problem)
            examples[id_] = Example(
                id=id_,
                image=_image(asked, number, name, id_field(asked, number, row, "image_id")),
                question=text_field(asked, number, row, "question"),
                answers=answers[id_],
                gold_passage_ids=passages.get(id_, ()),
            )
    return list(examples.values())


def read_gold_passages(folder: Path, split: str) -> dict[str, tuple[str, ...]]:
    """Return {question id: passage ids} of RA-VQA's annotations; {} where they are not there.

    Every passage of a question counts, as in RA-VQA; some questions have none.
    """
    names = {"train": ("retriever_train",), "val": ("retriever_testdev", "retriever_test")}
    wanted = names.get(split, ("retriever_test", "retriever_testdev"))
    paths = [path for name in wanted if (path := packed_file(folder, f"{name}.json"))]
    if not paths:
        return {}
    rows = _load(paths[0])
    gold = {}
    for number, row in enumerate(rows if isinstance(rows, list) else [], start=1):
        with _placed(paths[0], "", number):
            contexts = row.get("ctxs") if isinstance(row, dict) else None
            if not isinstance(contexts, list) or not all(isinstance(c, dict) for c in contexts):
                problem = "missing, or not a list of objects"
                raise InvalidRecord(paths[0], number, "ctxs", problem)
            ids = [id_field(paths[0], number, context, "id") for context in contexts]
            id_ = id_field(paths[0], number, row, "question_id")
        gold[id_] = tuple(f"GS_{kid.removeprefix('GS_')}" for kid in ids)
    return gold


def image_path(name: str, image_id: int) -> str:
    """Return where a COCO picture lies under the image directory.

    >>> image_path("val2014", 297147)
    'val2014/COCO_val2014_000000297147.jpg'
    """
    return f"{name}/COCO_{name}_{image_id:012d}.jpg"


def _image(path: Path, number: int, name: str, image_id: str) -> str:
    """Return the picture of an image_id: COCO's number, or its file name as others write it."""
    stem = image_id.rpartition("/")[2].rpartition(".")[0] or image_id
    digits = stem.rpartition("_")[2]
    if not (digits.isascii() and digits.isdecimal()):
        problem = f"{image_id!r} is neither COCO's number of a picture nor its file name"
        raise InvalidRecord(path, number, "image_id", problem)
    split = re.search(r"(train|val|test)\d{4}", stem)
    return image_path(split[0] if split else name, int(digits))


def gold_answer(answers: Sequence[str]) -> str:
    """Return the most frequent answer that is not empty, the first of several; "" for none."""
    counts = Counter(answer for answer in answers if answer.strip())
    return counts.most_common(1)[0][0] if counts else ""


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
        Unscorable: there are no answers.
        ValueError: there is no such variant.
    """
    if not answers:
        raise Unscorable("no answers: such a question cannot be scored")
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


def _rows(path: Path, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a file's list with their numbers from 1."""
    content = _load(path)
    rows = content.get(key) if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise CorpusError(f"{path} has no list {key!r}: its schema is not OK-VQA's")
    for number, row in enumerate(rows, start=1):
        with _placed(path, key, number):
            if not isinstance(row, dict):
                raise InvalidRecord(path, number, "", "must be an object")
        yield number, row


@contextmanager
def _placed(path: Path, key: str, number: int) -> Iterator[None]:
    """Have what is wrong with an entry of a file's list said with the line where it begins.

    Args:
        path: the file.
        key: the name of the list; "" where the file is one.
        number: of the entry, from 1.
    """
    try:
        yield
    except InvalidRecord as exc:
        kind = key.removesuffix("s") or "question"
        problem = str(exc).removeprefix(f"{path}, line {number:,}").partition(": ")[2]
        line = _line_of(path, key, number)
        unit = f"line {line:,}, {kind}" if line > 1 else kind  # mostly all is one line
        raise InvalidRecord(path, number, exc.field, problem, unit=unit) from exc


def _line_of(path: Path, key: str, number: int) -> int:
    """Return the line on which an entry of a list begins; 0 where that is not found."""
    text = Source(path).stream().read().decode("utf-8-sig")
    try:
        at = text.index("[", text.index(f'"{key}"') if key else 0) + 1
        for _ in range(number):
            begin = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
            _, at = json.JSONDecoder().raw_decode(text, begin)
    except ValueError:
        return 0
    return text.count("\n", 0, begin) + 1


def _load(path: Path) -> Any:
    try:
        return json.loads(Source(path).stream().read())
    except (UnicodeDecodeError, json.JSONDecodeError) as exc:
        raise CorpusError(f"{path} is not whole JSON ({exc}); fetch it again") from exc
    except DamagedFile as exc:
        raise CorpusError(str(exc)) from exc


def _answers(path: Path, number: int, row: Mapping[str, Any]) -> tuple[str, ...]:
    given = row.get("answers")
    if not isinstance(given, list) or not given:
        raise InvalidRecord(path, number, "answers", "missing or empty")
    texts = [answer.get("answer") if isinstance(answer, dict) else None for answer in given]
    if not all(isinstance(text, str | int) and not isinstance(text, bool) for text in texts):
        problem = "each must have an 'answer' that is a text"
        raise InvalidRecord(path, number, "answers", problem)
    return tuple(str(text) for text in texts)


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
