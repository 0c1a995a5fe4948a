"""Whether a follow-up finds its passage: as it is asked, by the rule, and as written by hand.

    python -m benchmarks.talk --out docs/measured/talk.md

Asks the second questions of the demo's dialogues (`follow-ups.jsonl`), each with its picture and
without, of the index that the settings name, in this process. Needs `kbvqa setup`.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.components import open_pipeline
from app.flow.naming import within_a_sentence
from app.flow.talk import by_rule
from app.pipeline import Pipeline
from app.settings import Settings
from benchmarks.page import page
from corpus.demo.data import demo_dir, demo_file
from corpus.files.jsonl import list_field, read_records, text_field
from corpus.pictures.images import load_image
from corpus.types import Passage, Query
from retriever.metrics import mean_and_stderr, recall_at_k

DEPTH = 5
AS_ASKED = "as it is asked"
BY_HAND = "written by hand to stand alone"


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Two questions about a picture, one after the other.

    Attributes:
        image: its name in the demo.
        kind: "flag" or "thing".
        question: the first.
        gold: id of the passage that answers it, which says what is talked about.
        follow_up: the second, as somebody would type it.
        alone: the second, written by hand such that it stands alone.
        follow_up_gold: ids of the passages that answer it; any of them counts.
    """

    image: str
    kind: str
    question: str
    gold: str
    follow_up: str
    alone: str
    follow_up_gold: tuple[str, ...]


def dialogues() -> list[Dialogue]:
    """Return the demo's dialogues, in the order of their file."""
    path = demo_file("follow-ups.jsonl")
    found = []
    for line, record in read_records(path):
        names = ("image", "kind", "question", "gold_passage_id", "follow_up", "alone")
        texts = [text_field(path, line, record, name) for name in names]
        gold = list_field(path, line, record, "follow_up_gold_passage_ids")
        found.append(Dialogue(*texts, gold))
    return found


Wordings = Mapping[str, Callable[[Dialogue], str]]


def wordings(pipeline: Pipeline) -> Wordings:
    """Return by name the ways in which the second question of a dialogue is asked."""
    assert pipeline.index is not None
    index = pipeline.index

    def talked_of(dialogue: Dialogue) -> Passage:
        [passage] = index.get([dialogue.gold])
        return passage

    def by_title(dialogue: Dialogue) -> str:
        return by_rule(dialogue.follow_up, talked_of(dialogue).title)

    def by_name(dialogue: Dialogue) -> str:
        passage = talked_of(dialogue)
        return by_rule(dialogue.follow_up, within_a_sentence(passage.title, passage.text))

    def by_answer(dialogue: Dialogue) -> str:
        query = Query(dialogue.question, load_image(demo_dir() / dialogue.image))
        return by_rule(dialogue.follow_up, pipeline.ask(query).about)

    return {
        AS_ASKED: lambda dialogue: dialogue.follow_up,
        "by the rule, without a name": lambda dialogue: by_rule(dialogue.follow_up, ""),
        "by the rule, with the title": by_title,
        "by the rule, with the name": by_name,
        "by the rule, with what the first answer was about": by_answer,
        BY_HAND: lambda dialogue: dialogue.alone,
    }


@dataclass(frozen=True, slots=True)
class Asked:
    """A second question that was asked: in which words, and what was found.

    Attributes:
        dialogue: whose it is.
        how: the wording's name.
        question: as it was asked.
        pictured: ids of the passages found with the picture, best first.
        bare: and without it.
    """

    dialogue: Dialogue
    how: str
    question: str
    pictured: tuple[str, ...]
    bare: tuple[str, ...]


def ask(pipeline: Pipeline, some: Sequence[Dialogue]) -> Iterator[Asked]:
    """Yield every dialogue's second question in every wording, with what it finds."""

    def found(query: Query) -> tuple[str, ...]:
        return tuple(hit.passage.id for hit in pipeline.retrieve(query, DEPTH).hits)

    ways = wordings(pipeline)
    for dialogue in some:
        picture = load_image(demo_dir() / dialogue.image)
        known: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        for how, wording in ways.items():
            question = wording(dialogue)
            if question not in known:
                query = Query(question, picture)
                known[question] = found(query), found(replace(query, image=None))
            yield Asked(dialogue, how, question, *known[question])


def table(asked: Sequence[Asked]) -> str:
    """Return recall in percent with standard errors, by kind and wording, as Markdown."""
    lines = [
        "| second question | n | recall@1 | recall@5 | @1, against as it is asked "
        "| recall@1 without the picture | recall@5 without it |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in ("flag", "thing", "all"):
        those = [one for one in asked if kind in ("all", one.dialogue.kind)]
        plain = [one for one in those if one.how == AS_ASKED]
        for how in dict.fromkeys(one.how for one in those):
            rows = [one for one in those if one.how == how]
            first = _recalls(rows, 1)
            gained = [a - b for a, b in zip(first, _recalls(plain, 1), strict=True)]
            cells = [
                _percent(first),
                _percent(_recalls(rows, DEPTH)),
                "" if how == AS_ASKED else _percent(gained, sign="+"),
                _percent(_recalls(rows, 1, bare=True)),
                _percent(_recalls(rows, DEPTH, bare=True)),
            ]
            name = {"all": "all", "flag": "flags", "thing": "things"}[kind]
            lines.append(f"| {name}: {how} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _recalls(rows: Sequence[Asked], k: int, *, bare: bool = False) -> list[float]:
    return [
        recall_at_k(row.bare if bare else row.pictured, row.dialogue.follow_up_gold, k)
        for row in rows
    ]


def _percent(values: Sequence[float], sign: str = "") -> str:
    mean, error = mean_and_stderr(values)
    return f"{100 * mean:{sign}.1f} ± {100 * error:.1f}"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.talk", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="where the page goes")
    out = parser.parse_args().out
    asked = []
    pipeline = open_pipeline(Settings(), print)
    for one in ask(pipeline, dialogues()):
        asked.append(one)
        print(f"{one.how}: {one.question}")
    note = (
        f"{pipeline.encoder.checkpoint.id}, the demo's index. Development: whether a name has "
        "its article was chosen by it. Percent, with standard errors; of differences, of pairs."
    )
    command = f"python -m benchmarks.talk --out {out}"
    out.write_text(page("Follow-up questions", command, table(asked), note), encoding="utf-8")


if __name__ == "__main__":
    main()
