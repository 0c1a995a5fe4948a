"""Example files: questions, mostly about pictures, with what counts as right, a JSON object a line.

    {"id": "...", "image": "...", "question": "...",
     "answers": ["..."], "gold_passage_ids": ["..."]}

An id and a question are required. An id may be an integer; it is read as a string. No image, ""
or null is a question without a picture. Other keys are left alone, but for one that reads like
"image", "answers" or "gold_passage_ids" where that is missing.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from corpus.errors import InvalidRecord
from corpus.files.jsonl import Record, UniqueIds, id_field, list_field, record_lines, text_field
from corpus.types import Example

# Names that others have for the picture's file.
_LIKE_IMAGE = re.compile(
    r"(image|img|picture|pic|photo)s?([_-]?(file|path|name|file_?name|url|id))?|file_?name",
    re.IGNORECASE,
)


def read_examples(path: Path) -> list[Example]:
    """Return the examples of a .jsonl or .jsonl.gz file in order.

    Raises:
        DatasetNotFound: there is no such file.
        InvalidRecord: the first line that cannot be used, and why.
    """
    examples = []
    for _, found in example_lines(path):
        if isinstance(found, InvalidRecord):
            raise found
        examples.append(found)
    return examples


def example_lines(path: Path) -> Iterator[tuple[int, Example | InvalidRecord]]:
    """Yield the lines of such a file by their numbers; one that cannot be used as its error.

    Raises:
        DatasetNotFound: there is no such file.
    """
    ids = UniqueIds(path)
    for line, record in record_lines(path):
        if isinstance(record, InvalidRecord):
            yield line, record
            continue
        try:
            example = _example(path, line, record)
            ids.add(line, example.id)
        except InvalidRecord as exc:
            yield line, exc
        else:
            yield line, example


def _example(path: Path, line: int, record: Record) -> Example:
    _refuse_slips(path, line, record)
    return Example(
        id=id_field(path, line, record, "id"),
        image=text_field(path, line, record, "image", required=False),
        question=text_field(path, line, record, "question"),
        answers=list_field(path, line, record, "answers"),
        gold_passage_ids=list_field(path, line, record, "gold_passage_ids"),
    )


def _refuse_slips(path: Path, line: int, record: Record) -> None:
    """Raise InvalidRecord where a field stands under a name like the one expected.

    A run would end without a score, or be asked without its pictures, and not say why.
    """
    if "image" not in record and (key := next(filter(_LIKE_IMAGE.fullmatch, record), None)):
        raise InvalidRecord(path, line, key, "is no field: call it 'image', the picture's file")
    for wanted in ("answers", "gold_passage_ids"):
        if wanted in record:
            continue
        others = {key.casefold(): key for key in record}
        if close := get_close_matches(wanted, others, n=1, cutoff=0.75):
            key = others[close[0]]
            value = record[key] if isinstance(record[key], list) else [record[key]]
            problem = f"is no field: call it {wanted!r}, a list such as {value!r}"
            raise InvalidRecord(path, line, key, problem)
