"""A corpus on disk into an index: reading, encoding and writing put together."""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from corpus.errors import CorpusError
from corpus.files.passages import passage_line
from corpus.files.text_set import TextSet
from corpus.passages.corpora import Corpus, open_corpus
from corpus.progress import Advance as Advance
from corpus.progress import Say as Say
from corpus.types import Passage, Query
from retriever.building.others import beside_others, no_longer, there_already
from retriever.building.processes import TorchProcesses, joined
from retriever.checkpoint.loading import Checkpoint
from retriever.encoding.encoder import Encoder
from retriever.engines.candidates import is_large
from retriever.engines.connection import DEFAULT_CONNECTION, QdrantConnection
from retriever.engines.pooling import Rows, pool_tokens
from retriever.errors import IndexUnavailable
from retriever.index.passage_index import Fingerprint, PassageIndex, Storage
from retriever.index.questions import enough, learning_for
from retriever.index.writing import (
    Encode,
    Report,
    dismiss,
    fingerprint,
    help_to_write,
    remove_missing,
    write_corpus,
    write_corpus_together,
)
from retriever.numbers import PassagePrecision

_TOLD_EVERY = 256

# Passages whose tokens are counted before encoding, and the share that may be too long.
_MEASURED, _CUT_SHARE = 512, 0.05

# How like its stored rows a passage's rows must be that are encoded again, on another device too.
_LIKENESS = {"float32": 0.99, "float16": 0.99, "turbo4": 0.95}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """An index that was built.

    Attributes:
        fingerprint: of the corpus that was indexed.
        report: what was done to make it so.
        count: how many passages it holds.
        left_out: what of the corpus was left out on purpose, how much and why, as lines.
        bad: records of the corpus that could not be read, as messages.
        cut: id and number of tokens of passages that are longer than the checkpoint reads.
        learned: whether it learned now how to choose candidates: a large index does.
        corpora: the names of all corpora that are in it.
    """

    fingerprint: Fingerprint
    report: Report
    count: int
    left_out: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    cut: tuple[tuple[str, int], ...] = ()
    learned: bool = False
    corpora: tuple[str, ...] = ()


def build_index(
    corpus: Path | Corpus,
    location: Path | str,
    checkpoint: Checkpoint,
    advance: Advance,
    *,
    say: Say = lambda what: None,
    storage: Storage | None = None,
    connection: QdrantConnection = DEFAULT_CONNECTION,
    swap: bool = False,
    prune: bool = False,
    add: bool = False,
    skip_bad: bool = False,
    pool_factor: int = 1,
    precision: PassagePrecision = "fastest",
    questions: Iterable[Query] = (),
    recall: float = 0.99,
) -> BuildSummary | None:
    """Index a corpus, going on where an earlier run stopped; only what is new is encoded.

    Args:
        corpus: whatever `corpus.passages.corpora.open_corpus` reads, or what it returned.
        location: a directory, or the URL of a collection.
        checkpoint: what embeds the passages.
        advance: told how much of what `say` was told is done, and of how much: bytes that are
            read, then passages.
        say: told what is being done.
        storage: how embeddings are kept; None for as they are, or float16.
        connection: for a server.
        swap: build anew beside the finished index, which it replaces at the end.
        prune: delete passages that the corpus has not; not in an index of several corpora.
        add: put the corpus beside those of other names that the index holds.
        skip_bad: go on behind records that cannot be read.
        pool_factor: merge similar tokens of a passage, so many to one.
        precision: in which passages are encoded on a CPU; "fastest" measures which.
        questions: such as will be asked, which a large index learns from; read where it does.
        recall: the share of the ten best that a search of a large index is to find.

    Returns:
        What was built; None in the processes of `accelerate launch` that only help.

    Raises:
        CorpusError: no passage of the corpus is left.
        InvalidTrainingData: the index is large, and the questions are too few to learn from.
        IndexNotReady: the index is of another checkpoint, storage or corpus; or passages that are
            added have the ids of others that are there; or several corpora are to be pruned.
            Nothing has been written then.
    """
    cut: list[tuple[str, int]] = []
    with joined() as processes:
        encoder = _encoder(checkpoint, precision, processes)
        encode = _encoding(encoder, pool_factor, cut)
        if processes is not None and processes.number:
            help_to_write(
                encode,
                processes,
                lambda invitation: PassageIndex.join(location, invitation, connection),
            )
            processes.collect(cut)
            return None
        source = corpus if isinstance(corpus, Corpus) else open_corpus(corpus)
        say(f"Bytes read of {source.name}")
        made_from, left_out, bad = _fingerprint(
            source, checkpoint, pool_factor, advance, skip_bad=skip_bad
        )
        if is_large(made_from.passages):
            questions = enough(questions)  # before everything is encoded
        say(f"Indexing {source.name}")
        there = None
        if not swap:
            there = there_already(
                source, made_from, location, storage, connection, prune=prune, skip_bad=skip_bad
            )
        if there is None and not swap and not prune:
            there = beside_others(
                source, made_from, location, storage, connection, add=add, skip_bad=skip_bad
            )
        if there is not None:
            build, report = there
            if processes is not None:
                dismiss(processes)
                processes.collect(cut)
            advance(made_from.passages, made_from.passages)
            count = build.passages
            return BuildSummary(made_from, report, count, left_out, bad, corpora=build.corpora)
        precisions = (encoder.passage_precision,)
        with PassageIndex.update(
            location,
            made_from,
            storage,
            connection,
            fresh=swap,
            others="prune" if prune else "keep" if add else "refuse",
            precisions=precisions,
        ) as index:
            total = made_from.passages
            report = _write(
                index, source, encode, total, advance, processes, prune=prune, skip_bad=skip_bad
            )
            if report.skipped and not report.written + report.unchanged:
                id, reason = report.skipped[0]
                raise IndexUnavailable(
                    f"none of the {len(report.skipped):,} passages of {source.name} can be "
                    f"indexed; the first, {id!r}: {reason}"
                )
            cut = processes.collect(cut) if processes is not None else cut
            learning = learning_for(index, encoder, questions, recall)
            say("Optimising")
            index.finish(skipped=len(report.skipped), kept=report.kept, learning=learning, say=say)
            learned = learning is not None
            return BuildSummary(
                *(made_from, report, index.count, left_out, bad, tuple(cut)),
                learned=learned,
                corpora=index.built.corpora,
            )


def _encoder(
    checkpoint: Checkpoint, precision: PassagePrecision, processes: TorchProcesses | None
) -> Encoder:
    """Return the encoder of this process: where "fastest" is measured, the first one decides.

    On a busy machine each would measure something else, and an index would hold both.
    """
    if processes is None:
        return Encoder(checkpoint, passage_precision=precision)
    if processes.number == 0 and precision == "fastest":
        measured = Encoder(checkpoint, passage_precision=precision).passage_precision
        if measured != "float16":  # that is of a GPU, where the precision is the model's anyway
            precision = measured
    return Encoder(checkpoint, passage_precision=processes.told(precision))


def verify_encoding(index: PassageIndex, checkpoint: Checkpoint, sample: int) -> list[str]:
    """Return which of some passages of an index the checkpoint embeds otherwise, as messages.

    The first ones are taken: their order is that of a hash, so that they are a fair sample.

    Args:
        index: open for searching.
        checkpoint: what its passages should be embedded with.
        sample: how many are encoded again.
    """
    made_from = index.fingerprint
    if made_from.checkpoint_sha256 != checkpoint.revision:
        made_with = f"{made_from.checkpoint}@{made_from.checkpoint_sha256}"
        return [f"it was made with the checkpoint {made_with}, not {checkpoint.id}"]
    stored = dict(islice(index.scroll(), sample))
    encode = _encoding(Encoder(checkpoint), made_from.pool_factor, [])
    problems = []
    for batch, embeddings in encode(stored):
        for passage, embedding in zip(batch, embeddings, strict=True):
            ours, theirs = np.asarray(embedding, dtype=np.float32), stored[passage]
            # Each row beside the one most like it: pooled rows may come in another order.
            cosines = ours @ (theirs / np.linalg.norm(theirs, axis=1, keepdims=True)).T
            likeness = float(cosines.max(axis=1).mean()) if len(ours) else 0.0
            if len(ours) != len(theirs) or likeness < _LIKENESS[index.storage.tokens]:
                problems.append(
                    f"passage {passage.id!r} has {len(theirs)} rows, its checkpoint makes "
                    f"{len(ours)} of it, with a cosine of {likeness:.3f} to them"
                )
    return problems


def _write(
    index: PassageIndex,
    source: Corpus,
    encode: Encode,
    total: int,
    advance: Advance,
    processes: TorchProcesses | None,
    *,
    prune: bool,
    skip_bad: bool,
) -> Report:
    ids = TextSet()

    def progress(read: int) -> None:
        advance(read, total)

    with source.read(skip_bad=skip_bad) as stream:
        passages = _remembered(ids, stream)
        if processes is None:
            report = write_corpus(index, passages, encode, progress)
        else:
            report = write_corpus_together(index, passages, encode, processes, progress)
    if index.count != report.written + report.unchanged:
        remove_missing(index, ids, report, delete=prune)
    if report.kept and len(index.built.corpora) > 1:
        report.gone = no_longer(index, source.name, ids)
    return report


def _remembered(ids: TextSet, passages: Iterable[Passage]) -> Iterator[Passage]:
    for passage in passages:
        ids.add(passage.id)
        yield passage


def _encoding(encoder: Encoder, pool_factor: int, cut: list[tuple[str, int]]) -> Encode:
    """Return what encodes and pools, and notes the passages that are cut."""

    def note(passage: Passage, tokens: int) -> None:
        cut.append((passage.id, tokens))

    def encode(passages: Iterable[Passage]) -> Iterator[tuple[list[Passage], list[Rows]]]:
        for batch, embeddings in encoder.encode_corpus(passages, note):
            yield batch, [pool_tokens(rows, pool_factor) for rows in embeddings]

    return encode


def _fingerprint(
    source: Corpus, checkpoint: Checkpoint, pool_factor: int, advance: Advance, *, skip_bad: bool
) -> tuple[Fingerprint, tuple[str, ...], tuple[str, ...]]:
    """Return what an index of a corpus is made from, what is left out, and what cannot be read.

    Reads the whole corpus once, so a broken record is found before anything is encoded.

    Raises:
        CorpusError: nothing is left.
    """
    digest, count = hashlib.sha256(), 0
    first: list[str] = []
    with source.read(skip_bad=skip_bad) as stream:
        for passage in stream:
            digest.update(passage_line(passage))
            count += 1
            if count <= _MEASURED:
                first.append(passage.text)
            if count % _TOLD_EVERY == 0:
                advance(stream.bytes_done, stream.bytes_total)
        left_out, bad = tuple(stream.left_out), tuple(str(error) for error in stream.bad)
    if not count:
        why = "; ".join((*left_out, *bad[:1])) or f"no record is in {source.path}"
        raise CorpusError(
            f"no passage of {source.name} is left to index: {why}. Change what leaves them out, or "
            "check the path"
        )
    _warn_of_cuts(first, checkpoint)
    made_from = fingerprint(checkpoint, source.name, digest.hexdigest(), count, pool_factor)
    return made_from, left_out, bad


def _warn_of_cuts(texts: Sequence[str], checkpoint: Checkpoint) -> None:
    """Say, before hours are spent on encoding, that a checkpoint reads passages in part only."""
    tokenizer = checkpoint.passage_tokenizer
    cut = sum(len(row) > tokenizer.max_length for row in tokenizer.tokenize(texts)) if texts else 0
    if cut > _CUT_SHARE * len(texts):
        logger.warning(
            "%d of the first %d passages are longer than the %d tokens that this checkpoint reads, "
            "and are cut there: make shorter ones with --by tokens and a smaller --size, or count "
            "as it does with --tokenizer",
            *(cut, len(texts), tokenizer.max_length),
        )
