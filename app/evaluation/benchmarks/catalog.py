"""The benchmarks by name: where each lies, how it is read, and how answers to it are scored."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from app.errors import UnknownBenchmark
from app.evaluation.benchmarks.bem import load_bem
from app.evaluation.benchmarks.benchmark import (
    Benchmark,
    Scores,
    hand_scores,
    own_benchmark,
    vqa_scores,
)
from app.evaluation.benchmarks.m2kr import read_m2kr
from app.evaluation.provenance import folder_sha256
from corpus.benchmarks import evqa, infoseek, m2kr, okvqa
from corpus.benchmarks.demo import demo_examples
from corpus.benchmarks.demo_hand import hand_examples
from corpus.demo.data import DEMO_DIR
from corpus.errors import CorpusError
from corpus.examples import read_examples
from corpus.files.packed import find_file

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a benchmark that can be named lies, and how it is read.

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


def read_demo(_: Path, split: str) -> Benchmark:
    """Return short questions about the demo's flags, one a picture."""
    examples = demo_examples("flag", per_picture=1, seed=1, short=True, split=split)
    notes = ["kbvqa-mini was trained on these pictures"] if split == "train" else []
    return own_benchmark(f"demo/{split}", examples, notes)


def read_hand(_: Path, split: str) -> Benchmark:
    """Return the questions written by hand about the demo's flags and things."""
    return own_benchmark(f"demo-hand/{split}", hand_examples(), scores=hand_scores)


def read_okvqa(folder: Path, split: str) -> Benchmark:
    """Return OK-VQA, with VQA accuracy in both variants."""
    examples = okvqa.read_okvqa(folder, split)
    notes = ["val and test of OK-VQA are the same 5,046 questions"] if split != "train" else []
    gold = sum(bool(example.gold_passage_ids) for example in examples)
    notes.append(f"{gold:,} of {len(examples):,} questions have gold passages (retriever_*.json)")
    return Benchmark(
        f"okvqa/{split}",
        examples,
        lambda example, answer: vqa_scores(answer, example.answers),
        notes=tuple(notes),
        headline="vqa_accuracy",
        judged_by="vqa_accuracy",
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
        headline="final_score_unanswered_wrong" if official else "infoseek_accuracy",
        judged_by="infoseek_accuracy",
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
        bem: judges what does not match exactly; see app.evaluation.benchmarks.bem.
        weights: what BEM was loaded from, as a hash.

    Raises:
        DatasetNotFound, CorpusError: the file is missing or cannot be used.
    """
    name = "evqa_exact_match" if bem is None else "evqa_accuracy"

    def scores(example: evqa.EvqaExample, answer: str) -> Scores:
        value = evqa.score(example.question, example.answers, answer, example.question_type, bem)
        return {name: value}

    path = find_file(folder, f"{split}.csv", "evqa")
    examples = evqa.read_evqa(path, question_types, all_images=all_pictures)
    return Benchmark(
        f"evqa/{split}" + ("+all-pictures" if all_pictures else ""),
        examples,
        scores,
        notes=tuple(_evqa_notes(examples, all_pictures, bem is not None)),
        headline=name,
        scoring=f"{name} {weights}".strip(),
        judged_by=name,
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


_M2KR_IMAGES = {
    "okvqa": "coco",
    "llava": "coco",
    "infoseek": "oven",
    "oven": "oven",
    "evqa": "evqa-images",
    "cc": "m2kr-images/CC3M",
}

_BY_BEM = ("evqa", "m2kr-evqa")

KNOWN = {
    "demo": Entry(str(DEMO_DIR), str(DEMO_DIR), ("val", "train"), read_demo),
    "demo-hand": Entry(str(DEMO_DIR), str(DEMO_DIR), ("test",), read_hand),
    "okvqa": Entry("okvqa", "coco", ("test", "val", "train"), read_okvqa),
    "infoseek": Entry("infoseek", "oven", ("val", "train"), read_infoseek),
    "evqa": Entry("evqa", "evqa-images", ("test", "val", "train"), read_evqa),
    **{
        f"m2kr-{name}": Entry(
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
    question_types: Sequence[str] = (),
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
        bem: for "evqa" and "m2kr-evqa", the directory of BEM; see app.evaluation.benchmarks.bem.
        question_types: only examples of these; () for all.

    Raises:
        UnknownBenchmark: there is none of that name, or it has no such split or option.
        BemUnavailable: BEM cannot be loaded.
        DatasetNotFound, CorpusError: its files are missing or cannot be used.
    """
    path = Path(name)
    if (all_pictures and name != "evqa") or (bem is not None and name not in _BY_BEM):
        raise UnknownBenchmark(f"--all-pictures and --bem are for evqa, not for {name}")
    if name not in KNOWN and path.is_file():
        if split or data is not None:
            given = f"--split {split}" if split else f"--data {data}"
            raise UnknownBenchmark(f"{given} is for benchmarks: the file {name} is taken whole")
        title = path.name.removesuffix(".gz").removesuffix(".jsonl")
        benchmark = own_benchmark(title, read_examples(path))
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
        judge, weights = (load_bem(bem), folder_sha256(bem)) if bem is not None else (None, "")
        if name == "evqa":
            benchmark = read_evqa(
                folder, split, all_pictures=all_pictures, bem=judge, weights=weights
            )
        elif name in ("m2kr-evqa", "m2kr-infoseek"):
            own = root / KNOWN["infoseek"].folder
            benchmark = read_m2kr(
                name.removeprefix("m2kr-"),
                folder,
                split,
                bem=judge,
                weights=weights,
                infoseek_folder=own if own.is_dir() else None,
            )
        else:
            benchmark = found.read(folder, split)
        if not benchmark.examples:
            raise CorpusError(
                f"{benchmark.name} has no questions: its files in {folder} hold none. Fetch them "
                "again"
            )
        pictures = images or root / found.images
    if question_types:
        benchmark = _of_types(benchmark, question_types)
    if limit is not None and limit < len(benchmark.examples):
        chosen = spread(benchmark.examples, limit)
        benchmark = replace(benchmark, name=f"{benchmark.name}[{limit}]", examples=chosen)
    return benchmark, pictures


def _of_types(benchmark: Benchmark, wanted: Sequence[str]) -> Benchmark:
    """Return a benchmark with the questions of some types alone.

    Raises:
        UnknownBenchmark: it has no question of one of them.
    """
    there = dict.fromkeys(getattr(e, "question_type", "") for e in benchmark.examples)
    if unknown := [kind for kind in wanted if kind not in there]:
        known = ", ".join(kind for kind in there if kind) or "none"
        raise UnknownBenchmark(
            f"{benchmark.name} has no questions of the type {unknown[0]!r}; its types: {known}"
        )
    chosen = [e for e in benchmark.examples if getattr(e, "question_type", "") in wanted]
    return replace(benchmark, name=f"{benchmark.name}:{'+'.join(sorted(wanted))}", examples=chosen)


def spread(items: Sequence[T], n: int) -> list[T]:
    """Return n of the items, or all where there are fewer, evenly spread."""
    return [items[i * len(items) // n] for i in range(n)] if n < len(items) else list(items)
