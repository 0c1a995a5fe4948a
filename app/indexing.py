"""A corpus on disk into an index: reading, encoding and writing put together."""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from corpus.corpora import Corpus, open_corpus
from corpus.passages import passage_line
from corpus.progress import Advance as Advance
from corpus.progress import Say as Say
from corpus.seen import Seen
from corpus.types import Passage
from retriever.checkpoint import Checkpoint
from retriever.clusters import Rows, pool_tokens
from retriever.encoder import Encoder, PassagePrecision
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.index import Fingerprint, PassageIndex, Storage
from retriever.index_record import Build
from retriever.index_settings import DEFAULT_CONNECTION, Connection
from retriever.indexing import (
    Encode,
    Report,
    fingerprint,
    remove_missing,
    write_corpus,
    write_corpus_together,
)
from retriever.ranks import DistributedRanks, joined

_TOLD_EVERY = 256

# Passages whose tokens are counted before encoding, and the share that may be too long.
_MEASURED, _CUT_SHARE = 512, 0.05

# How like its stored rows a passage's rows must be that are encoded again, on another device too.
_LIKENESS = {"float32": 0.99, "float16": 0.99, "turbo4": 0.95}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Built:
    """An index that was built.

    Attributes:
        fingerprint: what it is made from.
        report: what was done to make it so.
        count: how many passages it holds.
        bad: records of the corpus that could not be read, as messages.
        cut: id and number of tokens of passages that are longer than the checkpoint reads.
    """

    fingerprint: Fingerprint
    report: Report
    count: int
    bad: tuple[str, ...] = ()
    cut: tuple[tuple[str, int], ...] = ()


def build_index(
    corpus: Path | Corpus,
    location: Path | str,
    checkpoint: Checkpoint,
    advance: Advance,
    *,
    say: Say = lambda what: None,
    storage: Storage | None = None,
    connection: Connection = DEFAULT_CONNECTION,
    swap: bool = False,
    prune: bool = False,
    skip_bad: bool = False,
    pool_factor: int = 1,
    precision: PassagePrecision = "fastest",
) -> Built | None:
    """Index a corpus, going on where an earlier run stopped; only what is new is encoded.

    Args:
        corpus: whatever `corpus.corpora.open_corpus` reads, or what it returned.
        location: a directory, or the URL of a collection.
        checkpoint: what embeds the passages.
        advance: told how much of what `say` was told is done, and of how much: bytes that are
            read, then passages.
        say: told what is being done.
        storage: how embeddings are kept; None for as they are, or float16.
        connection: for a server.
        swap: build anew beside the finished index, which it replaces at the end.
        prune: delete passages that the corpus has no longer.
        skip_bad: go on behind records that cannot be read.
        pool_factor: merge similar tokens of a passage, so many to one.
        precision: in which passages are encoded on a CPU; "fastest" measures which.

    Returns:
        What was built; None in the processes of `accelerate launch` that only help.
    """
    cut: list[tuple[str, int]] = []
    encoder = Encoder(checkpoint, passage_precision=precision)
    encode = _encoding(encoder, pool_factor, cut)
    with joined() as ranks:
        if ranks is not None and ranks.rank:
            write_corpus_together(None, (), encode, ranks)
            ranks.collect(cut)
            return None
        source = corpus if isinstance(corpus, Corpus) else open_corpus(corpus)
        say(f"Reading {source.name}")
        made_from, bad = _fingerprint(source, checkpoint, pool_factor, advance, skip_bad=skip_bad)
        say(f"Indexing {source.name}")
        build = None if swap else _finished(location, made_from, connection)
        kept_as_asked = build is not None and storage in (None, build.storage)
        if build is not None and kept_as_asked and not (prune and build.kept):
            if ranks is not None:
                ranks.scatter([None] * ranks.size)
                ranks.collect(cut)
            advance(made_from.passages, made_from.passages)
            unchanged = made_from.passages - build.skipped
            report = Report(unchanged=unchanged, kept=build.kept)
            return Built(made_from, report, build.passages, bad)
        precisions = (encoder.passage_precision,)
        with PassageIndex.update(
            location, made_from, storage, connection, fresh=swap, precisions=precisions
        ) as index:
            report = _write(index, source, encode, advance, ranks, prune=prune, skip_bad=skip_bad)
            if report.skipped and not report.written + report.unchanged:
                id, reason = report.skipped[0]
                raise IndexUnavailable(
                    f"none of the {len(report.skipped):,} passages of {source.name} can be "
                    f"indexed; the first, {id!r}: {reason}"
                )
            cut = ranks.collect(cut) if ranks is not None else cut
            say("Optimising")
            index.finish(skipped=len(report.skipped), kept=report.kept, say=say)
            return Built(made_from, report, index.count, bad, tuple(cut))


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
    advance: Advance,
    ranks: DistributedRanks | None,
    *,
    prune: bool,
    skip_bad: bool,
) -> Report:
    ids, total = Seen(), index.fingerprint.passages

    def progress(read: int) -> None:
        advance(read, total)

    with source.read(skip_bad=skip_bad) as stream:
        passages = _remembered(ids, stream)
        if ranks is None:
            report = write_corpus(index, passages, encode, progress)
        else:
            report = write_corpus_together(index, passages, encode, ranks, progress)
    if index.count != report.written + report.unchanged:
        remove_missing(index, ids, report, delete=prune)
    return report


def _remembered(ids: Seen, passages: Iterable[Passage]) -> Iterator[Passage]:
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
) -> tuple[Fingerprint, tuple[str, ...]]:
    """Return what an index of a corpus is made from, and the records that cannot be read.

    Reads the whole corpus once, so a broken record is found before anything is encoded.
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
        bad = tuple(str(error) for error in stream.bad)
    _warn_of_cuts(first, checkpoint)
    return fingerprint(checkpoint, source.name, digest.hexdigest(), count, pool_factor), bad


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


def _finished(location: Path | str, wanted: Fingerprint, connection: Connection) -> Build | None:
    """Return the finished build at a location, if it is made from what is wanted."""
    try:
        with PassageIndex.open(location, wanted, connection) as index:
            return index.built
    except IndexNotReady:
        return None
