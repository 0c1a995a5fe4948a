"""Readers beside each other: the right passage is given, alone or with two wrong ones.

python -m benchmarks.reading --out runs/reading                      the extractive reader, minutes
python -m benchmarks.reading --out runs/readers --beside --cases 60  others beside it, half an hour

    similarity          MiniLM as published: the "label: value" or sentence most like the question
    MODEL               what KBVQA_GENERATOR_URL, or a KBVQA_READER that writes, makes of each
                        passage; only where one is set
    ... on sentences    the same, given only the sentences that the extractive reader points at
    ... spans marked    the same, given passages in which the reader's spans are marked

    flags    fields of the Factbook of countries that never trained, in wordings that never did
    things   questions written by hand to leads of Wikipedia that never trained
    spoken   questions in everyday words to countries that never trained
    leads    questions in everyday words to leads of Wikipedia that never trained
    dump     questions written by hand to another corpus, the Wikipedia dump of the tests

Percent with standard errors, by set and type, into reading.json and reading.md. `exact` is the
expected answer's words and no others; `contains` is either in the other. An unanswerable
question is right when the reader's best guess is under even odds, which means nothing for a model
that writes and for similarity: their log-probabilities are of another kind.
"""

import json
import random
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from app.components import open_generator
from app.evaluation.benchmarks.benchmark import contains_match, exact_match
from app.evaluation.benchmarks.catalog import spread
from app.settings import load_settings
from benchmarks.page import processor
from benchmarks.readers import (
    Answerer,
    extractive,
    marked,
    pointed,
    sentences,
    similarity,
    writing,
)
from corpus.benchmarks.demo import acceptable_answers
from corpus.demo.data import demo_passages_path
from corpus.demo.epochs import COUNTRY
from corpus.demo.reading import (
    factbook_facts,
    handwritten,
    split_of,
    spoken_questions,
    wordings,
)
from corpus.files.jsonl import read_records
from corpus.files.passages import read_passages
from corpus.passages.corpora import open_corpus
from generator.extractive.model import SHIPPED
from generator.extractive.reader import ExtractiveReader

DUMP = Path(
    "tests/data/wikipedia/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
)
QUESTIONS = Path("tests/data/wikipedia/questions.jsonl")


@dataclass(frozen=True)
class Case:
    """A question with the passage that answers it and two that do not.

    Attributes:
        set: flags, things, spoken, leads or dump.
        type: number, name, list, ...; "unanswerable".
        question: the question.
        passage: the right one's text.
        answers: acceptable; none where it is unanswerable.
        others: two passages about the same thing, or of the same corpus.
    """

    set: str
    type: str
    question: str
    passage: str
    answers: tuple[str, ...]
    others: tuple[str, ...] = field(default=())


def cases(split: str, flags: int) -> list[Case]:
    """Return the questions of all sets: the same for the same split ("tune" or "test")."""
    draw = random.Random(f"reading/{split}")
    passages = {p.id: p for p in read_passages(demo_passages_path())}
    found: list[Case] = []
    asked = wordings("val")
    sections = defaultdict(list)
    for passage in passages.values():
        if passage.entity.startswith("flag:") and split_of(passage.entity) == split:
            sections[passage.entity].append(passage)
    facts = [
        fact
        for own in sections.values()
        for p in own
        for fact in factbook_facts(p)
        if fact.field in asked
    ]
    for fact in draw.sample(facts, min(flags, len(facts))):
        question = draw.choice(asked[fact.field]).replace("{it}", draw.choice(COUNTRY))
        wrong = [p.text for p in sections[fact.passage.entity] if p.section != fact.passage.section]
        others = tuple(draw.sample(wrong, min(2, len(wrong))))
        found.append(
            Case("flags", _type(fact.value), question, fact.passage.text,
                 acceptable_answers(fact.value), others)
        )  # fmt: skip
    leads = [p.text for p in passages.values() if p.entity.startswith("wiki:")]
    written = {"things": handwritten("val", passages), "spoken": spoken_questions("val", passages)}
    for name, rows in written.items():
        for passage, example, type_ in rows:
            if split_of(passage.entity) != split:
                continue
            answers: tuple[str, ...] = (
                (example.kind,) if example.kind in ("yes", "no") else (example.answer,)
            )
            answers = () if example.kind == "none" else answers
            beside = [p.text for p in sections.get(passage.entity, ())] or leads
            wrong = [text for text in beside if text != passage.text]
            others = tuple(draw.sample(wrong, 2))
            of_lead = name == "spoken" and passage.entity not in sections
            found.append(
                Case(
                    "leads" if of_lead else name,
                    type_,
                    example.question,
                    passage.text,
                    answers,
                    others,
                )
            )
    if split == "test":
        found += _dump_cases(draw)
    return found


def _dump_cases(draw: random.Random) -> Iterator[Case]:
    with open_corpus(DUMP).read() as stream:
        texts = {passage.id: passage.text for passage in stream}
    every = list(texts.values())
    for _, row in read_records(QUESTIONS):
        others = tuple(draw.sample(every, 2))
        yield Case(
            "dump",
            row["type"],
            row["question"],
            texts[row["passage"]],
            tuple(row["answers"]),
            others,
        )


def _type(value: str) -> str:
    """Return what sort of answer a field's value is, by its form."""
    if re.search(r"\b(1[5-9]|20)\d\d\b", value) and not re.search(r"est\.|\d,\d{3}|%", value):
        return "date"
    if re.match(r"(about |-)?[\d.,]+", value):
        return "number"
    if value.count(",") + value.count(";") >= 2:
        return "list"
    return "name" if len(value) < 40 else "phrase"


def measure(answer: Answerer, chosen: Sequence[Case], *, wrong: bool) -> dict[str, Any]:
    """Return figures by set and type, and CPU seconds a question."""
    scores: dict[str, list[dict[str, float]]] = defaultdict(list)
    seconds = []
    for case in chosen:
        passages = [case.passage, *(case.others if wrong else ())]
        started = time.process_time()
        text, logprob = answer(case.question, passages)
        seconds.append(time.process_time() - started)
        if not case.answers:
            scores[f"{case.set}/unanswerable"].append({"declined": float(logprob < -0.6931)})
            continue
        row = {
            "exact": exact_match(text, case.answers),
            "contains": contains_match(text, case.answers) if text else 0.0,
            "declined": float(logprob < -0.6931),
        }
        for name in (f"{case.set}/all", f"{case.set}/{case.type}"):
            scores[name].append(row)
    return {
        "seconds": statistics.median(seconds),
        **{name: _summary(rows) for name, rows in sorted(scores.items())},
    }


def _summary(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    figures: dict[str, float] = {"n": len(rows)}
    for name in rows[0]:
        values = [row[name] for row in rows]
        mean = sum(values) / len(values)
        figures[name] = mean
        figures[f"{name}_stderr"] = (mean * (1 - mean) / max(len(values) - 1, 1)) ** 0.5
    return figures


def table(results: dict[str, dict[str, Any]]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| reader | set | exact | contains | declined | n |", "|---|---|---|---|---|---|"]
    for reader, figures in results.items():
        for name, row in figures.items():
            if not isinstance(row, dict):
                continue
            cells = [
                f"{100 * row[m]:.1f} ± {100 * row[f'{m}_stderr']:.1f}" if m in row else "-"
                for m in ("exact", "contains", "declined")
            ]
            lines.append(f"| {reader} | {name} | {' | '.join(cells)} | {row['n']} |")
    return "\n".join(lines) + "\n"


def main(
    out: Annotated[Path, typer.Option(help="Directory of the results.")],
    reader: Annotated[Path, typer.Option(help="What `kbvqa train reader` wrote.")] = SHIPPED,
    split: Annotated[str, typer.Option(help="test, or tune for choices.")] = "test",
    flags: Annotated[int, typer.Option(help="Questions about flags.")] = 400,
    beside: Annotated[
        bool,
        typer.Option(help="Others too: similarity, and the model that is set, if it writes."),
    ] = False,
    cases_each: Annotated[
        int, typer.Option("--cases", help="Of each set at most, evenly spread; 0 for all.")
    ] = 0,
) -> None:
    """Measure and write the table."""
    torch.set_num_threads(1)
    chosen = some(cases(split, flags), cases_each)
    loaded = ExtractiveReader.from_pretrained(reader)
    answerers = {"extractive": extractive(loaded)}
    if beside:
        answerers |= others(loaded)
    results = {}
    for name, answerer in answerers.items():
        for title, wrong in (("right passage", False), ("with two wrong ones", True)):
            results[f"{name}, {title}"] = measure(answerer, chosen, wrong=wrong)
            print(table({f"{name}, {title}": results[f"{name}, {title}"]}), flush=True)
    out.mkdir(parents=True, exist_ok=True)
    record = {"processor": processor(), "reader": loaded.name, "split": split, **results}
    (out / "reading.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (out / "reading.md").write_text(table(results), encoding="utf-8")
    print({name: figures["seconds"] for name, figures in results.items()})


def some(all_cases: Sequence[Case], each: int) -> list[Case]:
    """Return at most so many cases of each set, evenly spread; all for 0."""
    sets: dict[str, list[Case]] = defaultdict(list)
    for case in all_cases:
        sets[case.set].append(case)
    return [case for own in sets.values() for case in spread(own, each or len(own))]


def others(pointer: ExtractiveReader) -> dict[str, Answerer]:
    """Return what stands beside the extractive reader."""
    settings = load_settings()
    beside = {"similarity": similarity()}
    generator = open_generator(settings)
    if isinstance(generator, ExtractiveReader):
        return beside
    name, style = generator.name, settings.prompt_style or generator.style
    writer = writing(generator, style)
    return beside | {
        name: writer,
        f"{name} on sentences": pointed(pointer, writer, sentences),
        f"{name}, spans marked": pointed(pointer, writer, marked),
    }


if __name__ == "__main__":
    typer.run(main)
