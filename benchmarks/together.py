"""What questions cost that are asked at the same moment: each by itself, or in a batch they share.

    python -m benchmarks.together --out docs/measured/together.md

CPU time of the process, threads of all kinds included, for questions of the gallery: a question
with its picture is encoded twice at once, as kbvqa-mini wants it, beside the picture alone. What
reads is measured too, though readings share no batch: it says what they would gain.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from statistics import median
from threading import Barrier

import torch
from PIL import Image

from app.reader import Reader
from benchmarks.page import page
from corpus.demo.data import demo_passages_path, example_gallery, example_image_path
from corpus.files.passages import read_passages
from corpus.types import WHAT_IS_THIS, Query
from retriever.encoding.encoder import Encoder

READ = 5  # passages of a question


def cpu_ms(work: Callable[[], object], rounds: int) -> float:
    """Return the milliseconds of CPU time that work takes: the median of some rounds."""
    taken = []
    for _ in range(rounds + 1):  # the first is slower
        began = time.process_time()
        work()
        taken.append(1000 * (time.process_time() - began))
    return median(taken[1:])


def asked(count: int) -> list[list[Query]]:
    """Return questions of the gallery, each with its picture asked what it is."""
    found = []
    for example in example_gallery()[:count]:
        image = Image.open(example_image_path(example)).convert("RGB")
        found.append([Query(example.question, image), Query(WHAT_IS_THIS, image)])
    return found


def encoding(encoder: Encoder, questions: list[list[Query]], rounds: int) -> tuple[float, float]:
    """Return what encoding costs one after the other, and by as many threads at once."""
    meet = Barrier(len(questions))

    def at_once(queries: list[Query]) -> None:
        meet.wait()
        encoder.encode_together(queries)

    with ThreadPoolExecutor(len(questions)) as pool:
        together = cpu_ms(lambda: list(pool.map(at_once, questions)), rounds)
    return cpu_ms(lambda: [encoder.encode_together(q) for q in questions], rounds), together


def reading(reader: Reader, count: int, rounds: int) -> tuple[float, float]:
    """Return what reading passages costs for one question after the other, and in one batch."""
    texts = [passage.text for passage in islice(read_passages(demo_passages_path()), count * READ)]
    parts = [texts[start : start + READ] for start in range(0, len(texts), READ)]
    question = example_gallery()[0].question
    apart = cpu_ms(lambda: [reader.read(question, part) for part in parts], rounds)
    return apart, cpu_ms(lambda: reader.read(question, texts), rounds)


def rows(most: int, rounds: int) -> Iterator[str]:
    """Yield a row of the table for each step and number of questions."""
    encoder, reader = Encoder.from_pretrained("kbvqa-mini"), Reader.from_pretrained()
    for count in range(2, most + 1):
        steps = {
            "encode": encoding(encoder, asked(count), rounds),
            "read": reading(reader, count, rounds),
        }
        for step, (apart, together) in steps.items():
            yield f"| {step} | {count} | {apart:.0f} | {together:.0f} | {together / apart:.2f} |"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=4, help="at once, at most")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--out", type=Path, required=True, help="a page of docs/measured")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    head = "| step | questions | one by one, ms | together, ms | share |\n|---|---|---|---|---|\n"
    text = head + "\n".join(rows(arguments.questions, arguments.rounds))
    note = "CPU time of one thread. What is encoded shares batches in the server; readings do not."
    command = "python -m benchmarks.together --out docs/measured/together.md"
    arguments.out.write_text(page("Questions at once", command, text, note), encoding="utf-8")


if __name__ == "__main__":
    main()
