"""How often an answer that is given as sure is wrong, where passages may not have one.

    python -m benchmarks.everyday --out docs/measured/everyday.md
    python -m benchmarks.everyday --set free --out docs/measured/free.md
    python -m benchmarks.everyday --set strangers --out docs/measured/strangers.md

Asks questions as people type them, some of which no passage about their picture answers, of the
index that the settings name, in this process: the demo's everyday questions, or one of two sets by
people who had seen the passages alone. Needs `kbvqa setup`.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.components import open_pipeline
from app.evaluation.benchmarks.benchmark import contains_match, exact_match
from app.evaluation.tables import table
from app.pipeline import Pipeline
from app.settings import load_settings
from benchmarks.page import page
from corpus.demo.data import demo_dir, demo_file
from corpus.files.jsonl import list_field, read_records, text_field
from corpus.pictures.images import load_image
from corpus.types import Query
from generator.answers.answer import Trust
from generator.answers.reliability import expected_calibration_error, ranked_right
from retriever.metrics import mean_and_stderr

# Of each set the title of its page, and how it may be read.
SETS = {
    "everyday": (
        "Everyday questions",
        "Development: what the confidence is fitted on was chosen by it.",
    ),
    "free": (
        "Questions in free wordings",
        "Development: which words can be meant was looked at on it.",
    ),
    "strangers": (
        "Questions of a stranger",
        "Nothing was chosen by these questions; reader and retriever know most of what they are "
        "about from training.",
    ),
}


@dataclass(frozen=True, slots=True)
class Everyday:
    """A question as somebody types it who does not know what the passages say.

    Attributes:
        image: its name in the demo.
        kind: "flag" or "thing".
        question: the question.
        answers: acceptable ones; () where no passage about the picture has one.
        gold: ids of the passages that have it.
    """

    image: str
    kind: str
    question: str
    answers: tuple[str, ...]
    gold: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was said to a question.

    Attributes:
        to: the question.
        text: the words that were read, shown or not.
        verdict: how far they are trusted.
        confidence: the probability that they are right; 0 where nothing was decided.
    """

    to: Everyday
    text: str
    verdict: Trust
    confidence: float

    @property
    def right(self) -> bool:
        """Return whether the words contain an acceptable answer, or are contained in one."""
        return contains_match(self.text, self.to.answers) == 1

    @property
    def exact(self) -> bool:
        """Return whether the words are an acceptable answer."""
        return exact_match(self.text, self.to.answers) == 1


def questions(name: str) -> list[Everyday]:
    """Return the questions of a set, in the order of their file."""
    path = demo_file(f"{name}.jsonl")
    found = []
    for line, record in read_records(path):
        texts = [text_field(path, line, record, name) for name in ("image", "kind", "question")]
        lists = [list_field(path, line, record, name) for name in ("answers", "gold_passage_ids")]
        found.append(Everyday(*texts, *lists))
    return found


def ask(pipeline: Pipeline, some: Sequence[Everyday]) -> Iterator[Asked]:
    """Yield what is said to each question.

    Raises:
        GeneratorError: the reader fails.
    """
    for one in some:
        result = pipeline.ask(Query(one.question, load_image(demo_dir() / one.image)))
        if result.answer is None:
            assert result.failure is not None
            raise result.failure
        confidence = result.answer.confidence
        text = result.answer.original.text
        yield Asked(one, text, confidence.verdict, confidence.value or 0.0)


def tables(asked: Sequence[Asked]) -> str:
    """Return the shares in percent with standard errors, by kind, as Markdown."""
    rows = []
    for name, kinds in (("flags", "flag"), ("things", "thing"), ("all", "flag thing")):
        mine = [one for one in asked if one.to.kind in kinds.split()]
        right = [one.right for one in mine]
        values = [one.confidence for one in mine]
        rows.append(
            (
                name,
                _percent([not one.right for one in mine if one.verdict == "given"]),
                _percent([one.verdict == "given" for one in mine if one.right]),
                _percent([one.verdict == "withheld" for one in mine if one.right]),
                _percent([one.verdict == "given" for one in mine if not one.to.answers]),
                _percent([one.verdict == "withheld" for one in mine if not one.to.answers]),
                _percent([one.right for one in mine if one.to.answers]),
                _percent([one.exact for one in mine if one.to.answers]),
                f"{ranked_right(values, right):.3f}",
                f"{expected_calibration_error(values, right):.3f}",
            )
        )
    columns = (
        *("pictures", "wrong, of sure", "sure, of right", "withheld, of right"),
        *("sure, of unanswerable", "withheld, of unanswerable", "right, of answerable"),
        "exact, of answerable",
        *("AUROC", "ECE"),
    )
    return "\n".join(table(columns, rows))


def _percent(values: Sequence[bool]) -> str:
    if not values:
        return "-"
    mean, error = mean_and_stderr([float(value) for value in values])
    return f"{100 * mean:.1f} ± {100 * error:.1f} ({len(values)})"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.everyday", description=__doc__)
    parser.add_argument("--set", choices=SETS, default="everyday", help="which questions")
    parser.add_argument("--out", type=Path, required=True, help="where the page goes")
    arguments = parser.parse_args()
    pipeline = open_pipeline(load_settings(), print)
    assert pipeline.answering is not None
    title, reading = SETS[arguments.set]
    asked = []
    for one in ask(pipeline, questions(arguments.set)):
        asked.append(one)
        print(f"{one.verdict:8s} {one.confidence:.2f} {one.to.question}: {one.text}")
    note = (
        f"{pipeline.encoder.checkpoint.id}, {pipeline.answering.generator.name}. "
        f"{reading} Percent with standard errors, and of how many; sure are answers "
        "that are given without a warning."
    )
    chosen = "" if arguments.set == "everyday" else f" --set {arguments.set}"
    command = f"python -m benchmarks.everyday{chosen} --out {arguments.out}"
    arguments.out.write_text(page(title, command, tables(asked), note), encoding="utf-8")


if __name__ == "__main__":
    main()
