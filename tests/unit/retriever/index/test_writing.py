"""Writing a corpus into an index: only what is new, in a thread, with an account of it."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from corpus.files.text_set import TextSet
from corpus.types import Passage
from retriever.engines.interface import Invitation
from retriever.errors import IndexUnavailable
from retriever.index import writing as indexing
from retriever.index.passage_index import PassageIndex, Storage
from retriever.index.writing import (
    Batch,
    Report,
    help_to_write,
    remove_missing,
    write_corpus,
    write_corpus_together,
)
from tests.index_cases import (
    DIM,
    Rows,
    ThreadProcesses,
    make_fingerprint,
    make_passages,
    unit,
)

COUNT = 50
PASSAGES = make_passages(COUNT)


class Encoder:
    """Gives every passage rows that depend on its text, and remembers whom it was asked for."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def __call__(self, passages: Iterable[Passage]) -> Iterator[Batch]:
        for passage in passages:
            self.encoded.append(passage.id)
            yield [passage], [rows_of(passage)]


def rows_of(passage: Passage) -> Rows:
    if passage.text == "...":
        return np.zeros((0, DIM), np.float32)
    seed = sum(map(ord, passage.text + passage.id))
    return unit(np.random.default_rng(seed).normal(size=(3, DIM)))


def run(
    location: Path, passages: list[Passage], *, prune: bool = False
) -> tuple[Report, list[str]]:
    """Bring the index up to the passages, as `kbvqa index build` does."""
    encoder, ids = Encoder(), TextSet()
    for passage in passages:
        ids.add(passage.id)
    made_from = replace(make_fingerprint(len(passages)), corpus_sha256=str(hash(tuple(passages))))
    with PassageIndex.update(location, made_from) as index:
        report = write_corpus(index, passages, encoder)
        remove_missing(index, ids, report, delete=prune)
        index.finish(skipped=len(report.skipped), kept=report.kept)
    return report, encoder.encoded


def test_a_new_index_is_not_asked_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    hashes = PassageIndex.content_hashes

    def counted(index: PassageIndex, ids: Sequence[str] | None = None) -> dict[str, str]:
        asked.append(len(ids or ()))
        return hashes(index, ids)

    monkeypatch.setattr(PassageIndex, "content_hashes", counted)
    assert run(tmp_path, PASSAGES)[0].written == COUNT and not asked
    assert run(tmp_path, PASSAGES)[0].unchanged == COUNT and asked == [COUNT]


def test_only_what_is_new_or_changed_is_encoded(tmp_path: Path) -> None:
    report, encoded = run(tmp_path, PASSAGES)
    assert report == Report(written=COUNT) and len(encoded) == COUNT

    report, encoded = run(tmp_path, PASSAGES)
    assert report == Report(unchanged=COUNT) and encoded == []

    new = [replace(PASSAGES[0], text="other"), replace(PASSAGES[1], url="x"), *PASSAGES[2:40]]
    report, encoded = run(tmp_path, new)
    assert report == Report(written=2, unchanged=38, kept=10) and encoded == ["p000", "p001"]
    with PassageIndex.open(tmp_path) as index:
        assert index.count == COUNT and index.get(["p000", "p001", "p049"]) == [
            *new[:2],
            PASSAGES[49],
        ]

    report, encoded = run(tmp_path, new, prune=True)
    assert report == Report(unchanged=40, deleted=10) and encoded == []
    with PassageIndex.open(tmp_path) as index:
        assert index.passage_ids() == {p.id for p in new}
        assert index.search(rows_of(new[0]), 1, mode="exact")[0].passage == new[0]


def test_what_cannot_be_indexed_is_reported_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "MAX_ELEMENTS", 4 * DIM)
    dots = Passage("dots", "Dots", "...")

    def encode(passages: Iterable[Passage]) -> Iterator[Batch]:
        for passages_, rows in Encoder()(passages):
            yield passages_, [unit([[1]] * 4)] if passages_[0].id == "p007" else rows

    with PassageIndex.create(tmp_path, make_fingerprint(COUNT + 1)) as index:
        report = write_corpus(index, [*PASSAGES, dots], encode)
        assert report.written == COUNT - 1
        assert [id for id, _ in report.skipped] == ["p007", "dots"]
        assert "4 tokens are more than" in report.skipped[0][1]
        assert "no token" in report.skipped[1][1]
        index.finish(skipped=2)


def test_a_row_that_is_no_number_leaves_its_passage_out(tmp_path: Path) -> None:
    def encode(passages: Iterable[Passage]) -> Iterator[Batch]:
        for (passage,), (rows,) in Encoder()(passages):
            made = rows.copy()
            if passage.id == "p007":
                made[1, 3] = np.nan
            elif passage.id == "p009":
                made[:2] = np.inf
            yield [passage], [made]

    with PassageIndex.create(tmp_path, make_fingerprint(COUNT)) as index:
        report = write_corpus(index, PASSAGES, encode)
        assert report.written == COUNT - 2
        assert dict(report.skipped) == {
            "p007": "the embeddings of 1 of its 3 tokens are not finite",
            "p009": "the embeddings of 2 of its 3 tokens are not finite",
        }
        index.finish(skipped=2)


def test_a_passage_that_cannot_be_indexed_any_more_goes(tmp_path: Path) -> None:
    run(tmp_path, PASSAGES)
    changed = [replace(PASSAGES[0], text="..."), *PASSAGES[1:]]
    report, _ = run(tmp_path, changed)
    assert [id for id, _ in report.skipped] == ["p000"] and report.unchanged == COUNT - 1
    with PassageIndex.open(tmp_path) as index:
        assert "p000" not in index.passage_ids() and index.count == COUNT - 1


def test_an_interrupted_encoding_keeps_what_it_gave(tmp_path: Path) -> None:
    def encode(passages: Iterable[Passage]) -> Iterator[Batch]:
        yield from list(Encoder()(passages))[:20]
        raise KeyboardInterrupt

    with PassageIndex.create(tmp_path, make_fingerprint(COUNT)) as index:
        with pytest.raises(KeyboardInterrupt):
            write_corpus(index, PASSAGES, encode)
        assert index.count == 20
    report, encoded = run(tmp_path, PASSAGES)
    assert report == Report(written=30, unchanged=20) and len(encoded) == 30


def test_a_writer_that_fails_stops_the_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder()
    with PassageIndex.create(tmp_path, make_fingerprint(COUNT)) as index:

        def upsert(*args: object) -> None:
            raise IndexUnavailable("the disk is full")

        monkeypatch.setattr(index, "upsert", upsert)
        with pytest.raises(IndexUnavailable, match="disk is full"):
            write_corpus(index, PASSAGES, encoder)
    assert len(encoder.encoded) < 20


def test_encoding_goes_on_while_a_batch_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_is_encoded = threading.Event()

    def encode(passages: Iterable[Passage]) -> Iterator[Batch]:
        for number, batch in enumerate(Encoder()(passages)):
            if number == 1:
                second_is_encoded.set()
            yield batch

    with PassageIndex.create(tmp_path, make_fingerprint(COUNT)) as index:
        upsert = index.upsert

        def slow(*args: list[Passage]) -> None:
            assert second_is_encoded.wait(10), "the first write ends after the second encoding"
            upsert(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(index, "upsert", slow)
        seen: list[int] = []
        assert write_corpus(index, PASSAGES, encode, seen.append).written == COUNT
    assert seen[-1] == COUNT and seen == sorted(seen)


def test_encoding_does_not_stop_between_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "WINDOW", 8)
    run(tmp_path, PASSAGES)
    changed = [replace(p, text="other") if i % 5 == 0 else p for i, p in enumerate(PASSAGES)]
    calls: list[list[Passage]] = []

    def encode(passages: Iterable[Passage]) -> Iterator[Batch]:
        calls.append(list(passages))
        yield calls[-1], [rows_of(passage) for passage in calls[-1]]

    with PassageIndex.update(tmp_path, make_fingerprint(COUNT)) as index:
        report = write_corpus(index, changed, encode)
    assert report == Report(written=10, unchanged=40) and calls == [changed[::5]]


def test_processes_share_the_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads stand for two processes; test_indexing_processes runs real ones."""
    monkeypatch.setattr(indexing, "WINDOW", 8)
    processes = ThreadProcesses.make(2)
    encoders = [Encoder(), Encoder()]
    helper = threading.Thread(
        target=help_to_write, args=(encoders[1], processes[1], not_to_be_joined), daemon=True
    )
    helper.start()
    with PassageIndex.create(tmp_path, make_fingerprint(COUNT), Storage("float32")) as index:
        index.upsert(PASSAGES[:10], [rows_of(p) for p in PASSAGES[:10]])
        report = write_corpus_together(index, PASSAGES, encoders[0], processes[0])
        helper.join(10)
        assert not helper.is_alive()
        assert report == Report(written=40, unchanged=10)
        index.finish()
        stored = {passage.id: rows for passage, rows in index.scroll()}
    for passage in PASSAGES:  # float32 stays float32 on the way between processes
        np.testing.assert_allclose(stored[passage.id], rows_of(passage), rtol=1e-6, atol=1e-7)
    assert sorted(encoders[0].encoded + encoders[1].encoded) == [p.id for p in PASSAGES[10:]]
    assert abs(len(encoders[0].encoded) - len(encoders[1].encoded)) <= 8


def not_to_be_joined(invitation: Invitation) -> PassageIndex:
    raise AssertionError("one process writes a directory")
