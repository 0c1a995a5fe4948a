"""What is trained on: for a retriever questions with gold passages, for a generator a run of
`kbvqa evaluate run` with the texts of its hits.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import InvalidSettings, InvalidTrainingData
from app.evaluation.benchmarks.catalog import KNOWN, open_benchmark
from app.evaluation.files.json_rows import read
from app.evaluation.files.resumable import read_record
from app.evaluation.record import EXAMPLES_NAME, RETRIEVAL_NAME, ExampleRow, RetrievalRow
from corpus.errors import DatasetNotFound
from corpus.pictures.store import ImageFolder
from generator.quoting import passage_text
from generator.training.recipe import ReadExample
from retriever.index.passage_index import PassageIndex
from retriever.training.examples import TrainingExample, training_examples

log = logging.getLogger(__name__)

AT_ONCE = 1000  # passages that the index is asked for

Asked = tuple[ExampleRow, RetrievalRow]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """Questions with what was retrieved for them.

    Attributes:
        examples: those that can be trained on.
        left_out: how many cannot, by reason.
    """

    examples: tuple[ReadExample, ...]
    left_out: dict[str, int]


def retriever_examples(
    name: str,
    root: Path,
    *,
    split: str = "",
    data: Path | None = None,
    images: Path | None = None,
) -> list[TrainingExample]:
    """Return the questions with gold passages of an example file or a benchmark.

    Those whose picture is missing are left out with a warning: of the large benchmarks some always
    are.

    Args:
        name: of a benchmark (`kbvqa data status` lists them), or the path of an example file.
        root: the data directory.
        split: "" for a benchmark's "train".
        data: the folder of its files, if not the one under `root`.
        images: the folder of its pictures, if not the one under `root`, or that of the file.

    Raises:
        UnknownBenchmark: there is none of that name or split.
        DatasetNotFound, CorpusError: files or all pictures are missing, or cannot be used.
        InvalidTrainingData: no question has a gold passage.
    """
    if name in KNOWN:
        split = split or "train"
    benchmark, pictures = open_benchmark(name, split, root, data=data, images=images)
    folder = ImageFolder(pictures)
    with_gold = [example for example in benchmark.examples if example.gold_passage_ids]
    missing = set(folder.missing(with_gold))
    there = [example for example in with_gold if example.image not in missing]
    if missing and there:
        first = folder.place(min(missing))
        log.warning(
            "%d of %d questions of %s are left out: their pictures are not under %s, such as %s",
            *(len(with_gold) - len(there), len(with_gold), benchmark.name, pictures, first),
        )
    # Of those that are all missing it says so.
    examples = training_examples(there or with_gold, folder, benchmark.name)
    if not examples:
        raise InvalidTrainingData(
            f"none of the {len(benchmark.examples):,} questions of {benchmark.name} has a gold "
            "passage: give them as gold_passage_ids, the ids that `kbvqa corpus show` prints"
        )
    return examples


def read_run(
    run: Path, index: PassageIndex, passages: int, images: Path | None = None
) -> TrainingRun:
    """Return the questions of a run with their best passages.

    Args:
        run: a directory that `kbvqa evaluate run` wrote.
        index: the one that the run searched; it has the texts.
        passages: that are read of each question's hits.
        images: the directory of the pictures, for a model that sees.

    Raises:
        DatasetNotFound: no run, or pictures are missing.
        InvalidRecord: a line that cannot be used.
        InvalidSettings: the run searched another corpus, or found no passages.
    """
    rows = _rows(run)
    _check_corpus(run, index)
    kept, left_out = [], {"it failed": 0, "no answer": 0}
    for example, found in rows:
        if found.failure:
            left_out["it failed"] += 1
        elif not any(answer.strip() for answer in example.answers):
            left_out["no answer"] += 1
        else:
            kept.append((example, found))
    asked = [row for row in kept if row[1].hits]
    if not asked:
        raise InvalidSettings(
            f"{run} has no question with an answer and passages: {len(rows):,} rows, of which "
            f"{len(kept):,} have an answer"
        )
    left_out["no passages"] = len(kept) - len(asked)
    texts = _texts(index, asked, passages)
    named = (example.image for example, _ in asked if example.image)
    pictures = ImageFolder(images).require_all(named) if images is not None else {}
    examples = tuple(_example(row, texts, passages, pictures) for row in asked)
    return TrainingRun(examples, {reason: n for reason, n in left_out.items() if n})


def _rows(run: Path) -> list[Asked]:
    path = run / RETRIEVAL_NAME
    if not path.is_file() or not (run / EXAMPLES_NAME).is_file():
        raise DatasetNotFound(
            f"{path} does not exist: make it with `kbvqa evaluate run BENCHMARK --split train "
            f"--no-answer --out {run}`"
        )
    # What was tried again stands further down.
    found = {row.id: row for row in read(path, RetrievalRow, strict=True)}
    examples = read(run / EXAMPLES_NAME, ExampleRow, strict=True)
    return [(example, found[example.id]) for example in examples if example.id in found]


def _check_corpus(run: Path, index: PassageIndex) -> None:
    record = read_record(run / RETRIEVAL_NAME)
    searched, there = record.get("corpus_sha256"), index.fingerprint.corpus_sha256
    if searched and searched != there:
        name = record.get("corpus", {}).get("name")
        raise InvalidSettings(
            f"{run} searched the corpus {name} ({searched[:12]}), and the index at "
            f"{index.location} has {index.fingerprint.corpus} ({there[:12]}): give that run's "
            "index with --index"
        )


def _texts(index: PassageIndex, rows: Sequence[Asked], passages: int) -> dict[str, str]:
    """Return the texts of the passages that are read, by id; the index is asked in batches."""
    wanted = sorted({id_ for _, found in rows for id_, _ in found.hits[:passages]})
    texts: dict[str, str] = {}
    missing: list[str] = []
    for start in range(0, len(wanted), AT_ONCE):
        batch = wanted[start : start + AT_ONCE]
        there = index.content_hashes(batch)
        missing += [id_ for id_ in batch if id_ not in there]
        found = index.get([id_ for id_ in batch if id_ in there])
        texts |= {passage.id: passage_text(passage) for passage in found}
    if missing:
        raise InvalidSettings(
            f"the index at {index.location} lacks {len(missing):,} of {len(wanted):,} passages, "
            f"such as {missing[0]}: give the index that the run searched with --index"
        )
    return texts


def _example(
    row: Asked, texts: dict[str, str], passages: int, pictures: dict[str, Path]
) -> ReadExample:
    example, found = row
    hits = found.hits[:passages]
    return ReadExample(
        question=example.question,
        answers=example.answers,
        passages=tuple(texts[id_] for id_, _ in hits),
        scores=tuple(score for _, score in hits),
        caption=found.seen,
        image=pictures.get(example.image),
        searched=example.searched or example.answers,
    )
