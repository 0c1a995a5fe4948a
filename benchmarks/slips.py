"""Slips in questions: how many are mended, which words wrongly, and what the reader makes of it.

python -m benchmarks.slips --out runs/slips                      minutes

The questions of `benchmarks.reading` on its tuning half, and one slip put into a random word of
four or more small letters of each: a swapped pair, a letter left out, doubled, or wrong. The right
passage is given.
"""

import json
import random
import re
import statistics
import string
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from app.flow.spelling import mended
from benchmarks.page import processor
from benchmarks.readers import extractive
from benchmarks.reading import cases, measure
from generator.extractive.reader import ExtractiveReader

_WORD = re.compile(r"(?<![\w'’.-])[a-z]{4,}(?![\w’.-])")


def with_a_slip(question: str, draw: random.Random) -> str:
    """Return a question with one slip in one of its words; itself where no word is long enough."""
    words = list(_WORD.finditer(question))
    if not words:
        return question
    found = draw.choice(words)
    word = found[0]
    while (slipped := _slip(word, draw)) == word:
        pass
    return question[: found.start()] + slipped + question[found.end() :]


def _slip(word: str, draw: random.Random) -> str:
    at = draw.randrange(len(word) - 1)
    match draw.choice(("swapped", "left out", "doubled", "wrong")):
        case "swapped":
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case "left out":
            return word[:at] + word[at + 1 :]
        case "doubled":
            return word[: at + 1] + word[at:]
        case _:
            return word[:at] + draw.choice(string.ascii_lowercase) + word[at + 1 :]


def main(
    out: Annotated[Path, typer.Option(help="Directory of the results.")],
    split: Annotated[str, typer.Option(help="tune, or test.")] = "tune",
    flags: Annotated[int, typer.Option(help="Questions about flags.")] = 150,
) -> None:
    """Measure, print and write it."""
    torch.set_num_threads(1)
    draw = random.Random(f"slips/{split}")
    clean = [case for case in cases(split, flags) if case.set != "dump"]
    slipped = [replace(case, question=with_a_slip(case.question, draw)) for case in clean]
    changed = [(case.question, mended(case.question)) for case in clean]
    changed = [pair for pair in changed if pair[0] != pair[1]]
    times, counts = [], {"none put in": 0, "mended": 0, "wrongly": 0, "left": 0}
    put_right = []
    wrongly = []
    for case, with_slip in zip(clean, slipped, strict=True):
        started = time.perf_counter()
        read_as = mended(with_slip.question)
        times.append(1000 * (time.perf_counter() - started))
        put_right.append(replace(case, question=read_as))
        if with_slip.question == case.question:
            counts["none put in"] += 1
        elif read_as == mended(case.question):
            counts["mended"] += 1
        elif read_as == with_slip.question:
            counts["left"] += 1
        else:
            counts["wrongly"] += 1
            wrongly.append((case.question, with_slip.question, read_as))
    record: dict[str, Any] = {
        "processor": processor(),
        "split": split,
        "n": len(clean),
        "changed as they are": changed,
        "slips": counts,
        "wrongly": wrongly,
        "ms": {"median": statistics.median(times), "most": max(times)},
    }
    print(json.dumps(record, indent=1))
    answer = extractive(ExtractiveReader.from_pretrained())
    for name, asked in (("clean", clean), ("with a slip", slipped), ("mended", put_right)):
        figures = measure(answer, asked, wrong=False)
        record[name] = {k: v for k, v in figures.items() if k.endswith(("/all", "unanswerable"))}
        print(name, json.dumps(record[name]), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    (out / "slips.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
