"""What is said of a corpus before it is encoded."""

import logging
from pathlib import Path
from typing import Any

import pytest

from corpus.errors import CorpusError
from corpus.files.passages import write_passages
from corpus.types import Passage
from retriever.building import build
from retriever.building.build import build_index
from retriever.building.processes import TorchProcesses
from retriever.checkpoint.loading import load_checkpoint
from retriever.encoding import encoder
from tests.golden_cases import GOLDEN


def test_passages_that_a_checkpoint_reads_in_part_are_said_before_they_are_encoded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = load_checkpoint(GOLDEN / "B_preflmr")
    limit = checkpoint.passage_tokenizer.max_length
    long = Passage("long", "", "tower " * (limit + 1))
    for name, count, said in (("many", 4, True), ("few", 40, False)):
        passages = [long, *(Passage(str(n), "", f"tower {n}") for n in range(count))]
        write_passages(tmp_path / f"{name}.jsonl", passages)
        caplog.clear()
        told: list[tuple[int, int]] = []
        with caplog.at_level(logging.WARNING, "retriever.building.build"):
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


def test_an_index_of_nothing_is_refused_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(GOLDEN / "B_preflmr")
    said: list[str] = []
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "kenya.md").write_text("# Kenya\n\nThe capital is Nairobi.")
    with pytest.raises(CorpusError, match=r"no passage of notes .* 1 passage left out: short .*40"):
        build_index(notes, tmp_path / "index", checkpoint, lambda done, total: None)
    assert not (tmp_path / "index").exists()
    (notes / "peru.md").write_text("# Peru\n\nThe capital of Peru is Lima, which lies by the sea.")
    built = build_index(
        notes, tmp_path / "index", checkpoint, lambda done, total: None, say=said.append
    )
    assert built is not None and built.count == 1
    assert len(built.left_out) == 1 and built.left_out[0].startswith("1 passage left out: short")
    assert said[0] == "Bytes read of notes"


def test_one_process_decides_for_all_in_which_numbers_passages_are_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each would measure something else on a busy machine, and one index would hold both."""
    checkpoint = load_checkpoint(GOLDEN / "B_preflmr")
    measured = iter(["bfloat16", "float32"])
    monkeypatch.setattr(encoder, "fastest_on_cpu", lambda width, wider: next(measured))
    told: list[str] = []

    class Processes(TorchProcesses):
        def __init__(self, number: int) -> None:
            self.number, self.size = number, 2

        def told(self, value: Any) -> Any:
            told.append(value)
            return told[0]

    made = [build._encoder(checkpoint, "fastest", Processes(number)) for number in (0, 1)]
    assert [one.passage_precision for one in made] == ["bfloat16", "bfloat16"]
    assert told == ["bfloat16", "fastest"]
