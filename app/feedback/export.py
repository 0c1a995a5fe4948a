"""Opinions as evaluation examples: the format of one's own examples, which `evaluate run` reads."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from app.feedback.opinion import Opinion
from generator.answers.answer import UNKNOWN

NO_PICTURE = "the user did not allow the picture to be kept"
NO_ANSWER = "nobody said what the right answer is"


def examples(opinions: Sequence[Opinion]) -> tuple[list[Opinion], Counter[str]]:
    """Return the opinions that make an example, and why how many of the others do not.

    The right answer is what the user wrote as such; else, of an answer that is said to be right,
    that answer.
    """
    usable, left_out = [], Counter[str]()
    for opinion in opinions:
        if opinion.picture is None:
            left_out[NO_PICTURE] += 1
        elif not right_answer(opinion):
            left_out[NO_ANSWER] += 1
        else:
            usable.append(opinion)
    return usable, left_out


def right_answer(opinion: Opinion) -> str:
    """Return what would have been right; "" where that is not known."""
    if opinion.right_answer.strip():
        return opinion.right_answer.strip()
    known = opinion.verdict == "up" and opinion.answer != UNKNOWN
    return opinion.answer.strip() if known else ""


def write_examples(usable: Sequence[Opinion], path: Path, images: Path) -> None:
    """Write opinions as an example file, and their pictures into a directory.

    The passages that a right answer cites are gold passages.

    Args:
        usable: from `examples`.
        path: of the file, *.jsonl.
        images: of the directory; it is made where it is missing.
    """
    images.mkdir(parents=True, exist_ok=True)
    rows = []
    for opinion in usable:
        name = f"{opinion.id}.jpg"
        (images / name).write_bytes(opinion.picture or b"")
        row = {"id": opinion.id, "image": name, "question": opinion.question}
        gold = list(opinion.cited) if opinion.verdict == "up" else []
        rows.append(row | {"answers": [right_answer(opinion)], "gold_passage_ids": gold})
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
