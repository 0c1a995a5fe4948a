"""Hard negatives mined with our own index: a search for every training question, then the rules.

    examples.jsonl, retrieval.jsonl    the search, as `kbvqa evaluate run --no-answer` leaves it
    negatives.jsonl                    what of its hits `retriever.training.negatives` chose
    run.json                           the checkpoint, corpus and rules that made them

An interrupted search goes on where it stopped; another checkpoint or corpus is refused.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from app.components import open_exact
from app.evaluation.benchmarks.benchmark import Benchmark
from app.evaluation.files.json_rows import as_json, json_text, read
from app.evaluation.files.resumable import read_record, write_record, write_text
from app.evaluation.record import RETRIEVAL_NAME, RetrievalRow
from app.evaluation.run import Options, evaluate
from app.evaluation.stages.tell import Tell, silent
from app.pipeline import Pipeline
from corpus.errors import DatasetNotFound, InvalidRecord
from corpus.progress import Say
from corpus.types import Example
from retriever.checkpoint.loading import Checkpoint
from retriever.encoding.ahead import windows
from retriever.encoding.encoder import Encoder
from retriever.index.exact import ExactSearch
from retriever.index.passage_index import PassageIndex
from retriever.training.contrastive.draw import TrainingSet
from retriever.training.examples import TrainingExample
from retriever.training.negatives import MinedNegatives, NegativeRules, choose_negatives

NEGATIVES_NAME = "negatives.jsonl"
_AT_ONCE = 128  # questions whose passages' texts are in memory


def mine(
    examples: Sequence[TrainingExample],
    checkpoint: Checkpoint,
    index: PassageIndex,
    out: Path,
    rules: NegativeRules,
    *,
    say: Say = lambda what: None,
    tell: Tell = silent,
) -> list[MinedNegatives]:
    """Return the negatives of each example in order, which are then in negatives.jsonl in `out`.

    Args:
        examples: with unique ids.
        checkpoint: what searches; its model is moved to the best device.
        index: of the passages that are trained on, made with the checkpoint.
        out: a directory; made if missing.
        rules: how negatives are chosen.
        say: told what is being done.
        tell: told how many questions of how many are searched for, and how many failed.

    Raises:
        IndexNotReady: another checkpoint made the index.
        InvalidSettings: `out` holds the negatives of another checkpoint or corpus.
        DatasetNotFound: not one picture is there.
    """
    # A passage is hard by the score that is trained, in which the picture alone has no say.
    encoder = Encoder(replace(checkpoint, picture_weight=0.0))
    pipeline = Pipeline(encoder, index, exact=open_exact(index, out, say))
    asked = Benchmark("hard negatives", [_asked(example) for example in examples])
    options = Options(stages=("retrieve",), conditions=(), depth=rules.depth)
    evaluate(pipeline, asked, Path("/"), out, options, say=say, tell=tell)
    found = {row.id: row for row in read(out / RETRIEVAL_NAME, RetrievalRow)}
    say("Choosing negatives")
    mined = list(_chosen(examples, found, index, pipeline.exact, rules))
    path = out / NEGATIVES_NAME
    write_text(path, "".join(json_text(as_json(row)) + "\n" for row in mined))
    searched = read_record(out / RETRIEVAL_NAME)
    write_record(path, {**searched, "rules": asdict(rules)})
    return mined


def read_negatives(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the ids of the negatives in a file of `mine` by the ids of their questions.

    Raises:
        DatasetNotFound: there is no such file.
        InvalidRecord: a line that is none of its lines, or a second one of a question.
    """
    if not path.is_file():
        raise DatasetNotFound(
            f"{path} does not exist: make it with `kbvqa train negatives --out {path.parent}`"
        )
    negatives: dict[str, tuple[str, ...]] = {}
    for number, row in enumerate(read(path, MinedNegatives, strict=True), start=1):
        if row.id in negatives:
            raise InvalidRecord(path, number, "id", f"{row.id!r} stands there twice; remove one")
        negatives[row.id] = row.negatives
    return negatives


class Refresh:
    """Mines again while a retriever is trained: what was hard for it once is not for ever.

        refresh = Refresh(sets, out / "negatives", NegativeRules())

    Each step has a folder, and each set in it. After an interruption its search goes on, and what
    is finished is read.

    Args:
        sets: that are trained on, whose examples have different ids; each is searched for among
            its own passages.
        folder: made if missing.
        rules: how negatives are chosen.
        say: told what is being done.
        tell: told how far it is.
    """

    def __init__(
        self,
        sets: Sequence[TrainingSet],
        folder: Path,
        rules: NegativeRules,
        say: Say = lambda what: None,
        tell: Tell = silent,
    ) -> None:
        self._sets, self._folder, self._rules = sets, folder, rules
        self._say, self._tell = say, tell

    def __call__(self, step: int, checkpoint: Checkpoint) -> dict[str, tuple[str, ...]]:
        """Return the ids of the negatives by those of their questions.

        Args:
            step: of the training, which has a folder of its own.
            checkpoint: as it is at that step; its model is moved to the best device.
        """
        negatives: dict[str, tuple[str, ...]] = {}
        for given in self._sets:
            folder = self._folder / f"step-{step:06}" / given.name
            negatives |= self._mined(given, folder, checkpoint)
        return negatives

    def _mined(
        self, given: TrainingSet, folder: Path, checkpoint: Checkpoint
    ) -> dict[str, tuple[str, ...]]:
        path, location = folder / NEGATIVES_NAME, folder / "index"
        made_by = read_record(path).get("checkpoint_sha256") if path.is_file() else None
        if made_by != checkpoint.revision:
            self._say(f"Indexing {len(given.passages):,} passages of {given.name}")
            passages = given.passages.values()
            with PassageIndex.build(location, passages, Encoder(checkpoint)) as index:
                mine(
                    *(given.examples, checkpoint, index, folder, self._rules),
                    say=self._say,
                    tell=self._tell,
                )
            shutil.rmtree(location)
        return read_negatives(path)


def tally(mined: Iterable[MinedNegatives]) -> dict[str, int]:
    """Return what came of it, for people: negatives, what was passed over, what has none."""
    counted: Counter[str] = Counter()
    for row in mined:
        counted["questions"] += 1
        counted["negatives"] += len(row.negatives)
        counted["questions without one"] += not row.negatives
        counted["questions that failed"] += bool(row.failure)
        for reason, count in row.left_out.items():
            counted[f"passed over: {reason}"] += count
    return dict(counted)


def _asked(example: TrainingExample) -> Example:
    return Example(
        id=example.id,
        image=str(example.image.resolve()) if example.image is not None else "",
        question=example.question,
        answers=example.answers,
        gold_passage_ids=example.positives,
        instruction=example.instruction,
        black_image=example.black_image,
    )


def _chosen(
    examples: Sequence[TrainingExample],
    found: Mapping[str, RetrievalRow],
    index: PassageIndex,
    exact: ExactSearch | None,
    rules: NegativeRules,
) -> Iterator[MinedNegatives]:
    """Yield the negatives of each example, the texts of a window of them in memory."""
    in_memory = {p.id: p.text for p in exact.passages} if exact is not None else None
    for window in windows(examples, _AT_ONCE):
        texts = in_memory
        if texts is None:
            wanted = {id_ for e in window for id_, _ in found[e.id].hits}
            gold = sorted({id_ for e in window for id_ in e.positives} - wanted)
            wanted.update(index.content_hashes(gold))
            texts = {passage.id: passage.text for passage in index.get(sorted(wanted))}
        for example in window:
            row = found[example.id]
            if row.failure:
                yield MinedNegatives(example.id, failure=row.failure)
                continue
            hits = [(id_, texts[id_]) for id_, _ in row.hits[: rules.depth]]
            positives = [texts[id_] for id_ in example.positives if id_ in texts]
            yield choose_negatives(example, hits, positives, rules)
