"""What is said of a corpus before it is encoded."""

import logging
from pathlib import Path

import pytest

from app.indexing import build_index
from corpus.passages import write_passages
from corpus.types import Passage
from retriever.checkpoint import Checkpoint


def test_passages_that_a_checkpoint_reads_in_part_are_said_before_they_are_encoded(
    checkpoint: Checkpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limit = checkpoint.passage_tokenizer.max_length
    long = Passage("long", "", "tower " * (limit + 1))
    for name, count, said in (("many", 4, True), ("few", 40, False)):
        passages = [long, *(Passage(str(n), "", f"tower {n}") for n in range(count))]
        write_passages(tmp_path / f"{name}.jsonl", passages)
        caplog.clear()
        told: list[tuple[int, int]] = []
        with caplog.at_level(logging.WARNING, "app.indexing"):
            built = build_index(
                tmp_path / f"{name}.jsonl",
                tmp_path / name,
                checkpoint,
                lambda done, total, told=told: told.append((done, total)),  # type: ignore[misc]
            )
        assert built is not None
        assert [id_ for id_, _ in built.cut] == ["long"]
        expected = f"1 of the first {count + 1} passages are longer than the {limit} tokens"
        assert (expected in caplog.text) is said
        assert ("--size" in caplog.text) is said
