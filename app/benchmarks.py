"""The benchmarks by name: how each is read, and how answers to it are scored.

A `Benchmark` is what `app.evaluate` measures. Its `answer_scores` gives official scores for one
answer; `summary` gives what is official only over the whole benchmark.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from app.bem import load_bem
from app.errors import UnknownBenchmark
from app.resumable import folder_sha256
from corpus.benchmarks import evqa, infoseek, m2kr, okvqa
from corpus.benchmarks.demo import demo_examples
from corpus.demo import DEMO_DIR
from corpus.examples import read_examples
from corpus.packed import find_file
from corpus.types import Example
from generator.answers import contains, same_answer

T = TypeVar("T")
Scores = dict[str, float]
AnswerScores = Callable[[Any, str], Scores]
Summary = Callable[[Mapping[str, str], Sequence[Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is asked, and what counts as right.

    Attributes:
        name: with the split, for example "m2kr-okvqa/test".
        examples: in order.
        answer_scores: of an example and an answer; None where only retrieval is measured.
        summary: of {id: answer} and the examples; None where means of scores are all there is.
        notes: what a reader of the figures must know of this data.
        headline: the score that papers report.
        scoring: what else `answer_scores` depends on, such as the weights of BEM: answers that
            were scored with another are scored again.
    """

    name: str
    examples: Sequence[Example]
    answer_scores: AnswerScores | None = None
    summary: Summary | None = None
    notes: tuple[str, ...] = ()
    headline: str = ""
    scoring: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """A benchmark that can be named.

    Attributes:
        folder: its dataset's, under the data directory unless it is absolute.
        images: the folder of its pictures, likewise.
        splits: the first is the default.
        read: makes the benchmark of its folder and a split.
    """

    folder: str
    images: str
    splits: tuple[str, ...]
    read: Callable[[Path, str], Benchmark]


def own_scores(example: Example, answer: str) -> Scores:
    """Return exact_match and contains, the scores of example files and the demo; {} for an
    example without answers.
    """
    if not example.answers:
        return {}
    return {
        "exact_match": exact_match(answer, example.answers),
        "contains": contains_match(answer, example.answers),
    }


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """Return 1.0 when the prediction has the words of an acceptable answer and no others.

    Case, accents and punctuation do not matter, nor articles unless there is nothing else.
    Signs and decimals of numbers do; marks between groups of digits do not.
    """
    return float(any(same_answer(prediction, answer) for answer in answers))


def contains_match(prediction: str, answers: Sequence[str]) -> float:
    """Return 1.0 when an answer's words stand in the prediction, or the other way round."""
    return float(any(contains(prediction, a) or contains(a, prediction) for a in answers))


def read_demo(_: Path, split: str) -> Benchmark:
    """Return short questions about the demo's flags, one a picture."""
    examples = demo_examples("flag", per_picture=1, seed=1, short=True, split=split)
    notes = ["kbvqa-mini was trained on these pictures"] if split == "train" else []
    return Benchmark(f"demo/{split}", examples, own_scores, notes=tuple(notes))


def read_okvqa(folder: Path, split: str) -> Benchmark:
    """Return OK-VQA, with VQA accuracy in both variants."""
    examples = okvqa.read_okvqa(folder, split)
    notes = ["val and test of OK-VQA are the same 5,046 questions"] if split != "train" else []
    gold = sum(bool(example.gold_passage_ids) for example in examples)
    notes.append(f"{gold:,} of {len(examples):,} questions have gold passages (retriever_*.json)")
    return Benchmark(
        f"okvqa/{split}",
        examples,
        lambda example, answer: {
            "vqa_accuracy": okvqa.vqa_accuracy(answer, example.answers),
            "vqa_accuracy_lavis": okvqa.vqa_accuracy(answer, example.answers, "lavis"),
        },
        notes=tuple(notes),
        headline="vqa_accuracy",
    )


def read_infoseek(folder: Path, split: str) -> Benchmark:
    """Return InfoSeek; of val with the official summary over its two splits."""
    official = split == "val"
    note = "question types are published for val alone; times count as strings here"
    return Benchmark(
        f"infoseek/{split}",
        infoseek.read_infoseek(folder, split),
        lambda example, answer: {
            "infoseek_accuracy": infoseek.score(answer, example.answer_eval, example.question_type)
        },
        infoseek.summary if official else None,
        notes=() if official else (note,),
        headline="final_score" if official else "infoseek_accuracy",
    )


def read_evqa(
    folder: Path,
    split: str,
    *,
    question_types: Sequence[str] = evqa.QUESTION_TYPES,
    all_pictures: bool = False,
    bem: evqa.Bem | None = None,
    weights: str = "",
) -> Benchmark:
    """Return Encyclopedic-VQA; without BEM its score is the exact match alone, and named so.

    Args:
        folder: holds {split}.csv, compressed or not.
        split: train, val or test.
        question_types: those that are asked.
        all_pictures: ask a question about each of its pictures, as the official accuracy does,
            not about the first alone.
        bem: judges what does not match exactly; see app.bem.
        weights: what BEM was loaded from, as a hash.

    Raises:
        DatasetNotFound, CorpusError: the file is missing or cannot be used.
    """
    name = "evqa_exact_match" if bem is None else "evqa_accuracy"

    def scores(example: evqa.EvqaExample, answer: str) -> Scores:
        value = evqa.score(example.question, example.answers, answer, example.question_type, bem)
        return {name: value, f"{name}[{example.question_type}]": value}

    path = find_file(folder, f"{split}.csv", "evqa")
    examples = evqa.read_evqa(path, question_types, all_images=all_pictures)
    return Benchmark(
        f"evqa/{split}" + ("+all-pictures" if all_pictures else ""),
        examples,
        scores,
        notes=tuple(_evqa_notes(examples, all_pictures, bem is not None)),
        headline=name,
        scoring=f"{name} {weights}".strip(),
    )


def _evqa_notes(
    examples: Sequence[evqa.EvqaExample], all_pictures: bool, bem: bool
) -> Iterator[str]:
    gold = sum(bool(example.gold_passage_ids) for example in examples)
    yield (
        f"{gold:,} of {len(examples):,} questions have gold passages: sections of the knowledge "
        "base, indexed with --by section"
    )
    several = sum(example.pictures > 1 for example in examples)
    if several and not all_pictures:
        yield (
            f"{several:,} of {len(examples):,} questions have several pictures, of which the first "
            "is measured; the official accuracy is over all of them: --all-pictures"
        )
    if not bem:
        yield "without BEM: a lower bound of the official score"


def read_m2kr(name: str, folder: Path, split: str) -> Benchmark:
    """Return one of M2KR's datasets, which measure retrieval."""
    dataset = m2kr.DATASETS[name]
    examples = list(m2kr.read_m2kr(folder, name, split))
    notes = []
    if same := m2kr.same_questions_as(folder, name, split):
        notes.append(f"its {same} split has the same questions")
    if doubled := sum(example.doubled_instruction for example in examples):
        notes.append(
            f"{doubled:,} questions had the instruction in them, as in files from before June "
            "2024; it was taken off"
        )
    if empty := sum(bool(example.empty_answers) for example in examples):
        notes.append(
            f"{empty:,} questions have empty answers, which every passage contains; they are left "
            "out of pseudo_recall"
        )
    if lists := sum(example.targets != example.answers for example in examples):
        notes.append(
            f"{lists:,} questions have lists for answers, which pseudo_recall looks for with the "
            '"&&" in them, as the released evaluator does'
        )
    headline = f"{dataset.metric}@{dataset.k}"
    return Benchmark(f"m2kr-{name}/{split}", examples, notes=tuple(notes), headline=headline)


_M2KR_IMAGES = {
    "okvqa": "coco",
    "llava": "coco",
    "infoseek": "oven",
    "oven": "oven",
    "evqa": "evqa-images",
    "cc": "m2kr-images/CC3M",
}

KNOWN = {
    "demo": Known(str(DEMO_DIR), str(DEMO_DIR), ("val", "train"), read_demo),
    "okvqa": Known("okvqa", "coco", ("test", "val", "train"), read_okvqa),
    "infoseek": Known("infoseek", "oven", ("val", "train"), read_infoseek),
    "evqa": Known("evqa", "evqa-images", ("test", "val", "train"), read_evqa),
    **{
        f"m2kr-{name}": Known(
            "m2kr",
            _M2KR_IMAGES.get(name, f"m2kr-images/{dataset.config}"),
            tuple(sorted(dataset.splits)),
            partial(read_m2kr, name),
        )
        for name, dataset in m2kr.DATASETS.items()
    },
}


def open_benchmark(
    name: str,
    split: str,
    root: Path,
    *,
    data: Path | None = None,
    images: Path | None = None,
    limit: int | None = None,
    all_pictures: bool = False,
    bem: Path | None = None,
) -> tuple[Benchmark, Path]:
    """Return a benchmark and the directory of its pictures.

    Args:
        name: one of KNOWN, or the path of an example file.
        split: "" for the one that papers report; a file has none.
        root: the data directory.
        data: the folder of its files, if not the one under `root`.
        images: the directory of its pictures, if not the one under `root`; for an example file
            that of the file.
        limit: only so many examples, evenly spread.
        all_pictures: for "evqa", ask a question about each of its pictures.
        bem: for "evqa", the directory of BEM; see app.bem.

    Raises:
        UnknownBenchmark: there is none of that name, or it has no such split or option.
        BemUnavailable: BEM cannot be loaded.
        DatasetNotFound, CorpusError: its files are missing or cannot be used.
    """
    path = Path(name)
    if name != "evqa" and (all_pictures or bem is not None):
        raise UnknownBenchmark(f"--all-pictures and --bem are for evqa, not for {name}")
    if name not in KNOWN and path.is_file():
        if split or data is not None:
            given = f"--split {split}" if split else f"--data {data}"
            raise UnknownBenchmark(f"{given} is for benchmarks: the file {name} is taken whole")
        title = path.name.removesuffix(".gz").removesuffix(".jsonl")
        benchmark = Benchmark(title, read_examples(path), own_scores)
        pictures = images or path.parent
    elif name not in KNOWN:
        raise UnknownBenchmark(
            f"{name} is neither a file nor a benchmark; benchmarks are {', '.join(KNOWN)}"
        )
    else:
        found = KNOWN[name]
        split = split or found.splits[0]
        if split not in found.splits:
            known = ", ".join(found.splits)
            raise UnknownBenchmark(f"{name} has no split {split!r}; it has {known}")
        folder = data or root / found.folder
        if name == "evqa":
            judge, weights = (load_bem(bem), folder_sha256(bem)) if bem is not None else (None, "")
            benchmark = read_evqa(
                folder, split, all_pictures=all_pictures, bem=judge, weights=weights
            )
        else:
            benchmark = found.read(folder, split)
        pictures = images or root / found.images
    if limit is not None and limit < len(benchmark.examples):
        chosen = spread(benchmark.examples, limit)
        benchmark = replace(benchmark, name=f"{benchmark.name}[{limit}]", examples=chosen)
    return benchmark, pictures


def spread(items: Sequence[T], n: int) -> list[T]:
    """Return n of the items, or all where there are fewer, evenly spread."""
    return [items[i * len(items) // n] for i in range(n)] if n < len(items) else list(items)
