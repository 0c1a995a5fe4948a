"""Example files: questions about pictures with what counts as right, one JSON object a line.

    {"id": "...", "image": "...", "question": "...",
     "answers": ["..."], "gold_passage_ids": ["..."]}

The first three are required. An id may be an integer; it is read as a string.
"""

from pathlib import Path

from corpus.jsonl import UniqueIds, id_field, list_field, read_records, text_field
from corpus.types import Example


def read_examples(path: Path) -> list[Example]:
    """Return the examples of a .jsonl or .jsonl.gz file in order.

    Raises:
        DatasetNotFound: there is no such file.
        InvalidRecord: the first line that cannot be used, and why.
    """
    ids = UniqueIds(path)
    examples = []
    for line, record in read_records(path):
        example = Example(
            id=id_field(path, line, record, "id"),
            image=text_field(path, line, record, "image"),
            question=text_field(path, line, record, "question"),
            answers=list_field(path, line, record, "answers"),
            gold_passage_ids=list_field(path, line, record, "gold_passage_ids"),
        )
        ids.add(line, example.id)
        examples.append(example)
    return examples
