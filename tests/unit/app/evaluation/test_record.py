"""Rows and results of an evaluation, to JSON and back."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from app.evaluation.files.json_rows import as_json, from_json, json_text, read, read_results
from app.evaluation.record import (
    AnswerRow,
    Cost,
    Figure,
    Outcomes,
    Provenance,
    Results,
    RetrievalRow,
    Spread,
    StageRecord,
)
from corpus.errors import DatasetNotFound

FOUND = RetrievalRow("1", "k", (("p:é", 30.25), ("q", 7.0)), "exact", 2, 1, "j", " a flag", 3)
SAID = AnswerRow(
    "1", "retrieved", "k", "Paris", "unsure", "few agree", 0.25, citations=("p:é",),
    evidence={"lead": 1.5, "relevance": None},
)  # fmt: skip
RESULTS = Results(
    benchmark="mine",
    headline="exact_match",
    judged_by="exact_match",
    n=2,
    figures=(Figure("exact_match", "retrieved", "", 0.5, 2, 0.5, 0.0, 1.0, 1.0, 1),),
    outcomes={"retrieved": Outcomes(2, {"given": 1}, 0, {"X": 1}, {"right": 1}, {"given": 1.0})},
    cost={"retrieved": Cost(1, 2, {"answer": Spread(1, 1.0, 1.0, 1.0, 1.0)})},
    search={"exact": 2},
    gold_not_in_corpus=0,
    missing_images=0,
    summary={},
    notes=("one",),
    provenance=Provenance(
        {"checkpoint": "c"}, None, {"name": "passages"}, {"generator": {"name": "g"}},
        {"ra-vqa-v1": "ab"}, "0.11", None, "exact_match", {"concurrency": 64}, {"bootstrap": 0},
        {"answer": StageRecord("2026-01-01T00:00:00", 1.0, 2, 2.0, "kbvqa", "abc",
                               {"torch": "2"}, "CPU", ())},
    ),
)  # fmt: skip


@pytest.mark.parametrize("row", [FOUND, SAID, RESULTS])
def test_what_is_written_is_read(row: object) -> None:
    assert from_json(type(row), json_text(as_json(row))) == row


@pytest.mark.parametrize(
    "damage",
    [{"id": 7}, {"hits": [["p"]]}, {"hits": [["p", "7"]]}, {"failure": None}, {"cut": 1.5}],
)
def test_what_has_another_type_is_no_row(damage: dict) -> None:
    assert from_json(RetrievalRow, json.dumps(as_json(FOUND) | {"of_a_later_version": 1})) == FOUND
    with pytest.raises(ValueError):
        from_json(RetrievalRow, json.dumps(as_json(FOUND) | damage))


def test_a_file_of_rows_is_read_up_to_its_last_whole_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "rows.jsonl"
    odd = replace(FOUND, id="2", seen="one\u2028two\x85three\x0c")
    lines = [json_text(as_json(row)) for row in (FOUND, odd)]
    path.write_text("\n".join([lines[0], "{}", lines[1], lines[0][:30]]), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert list(read(path, RetrievalRow)) == [FOUND, odd]
    assert "line 2 is no RetrievalRow" in caplog.text


def test_half_a_character_is_replaced_and_the_rest_is_kept() -> None:
    row = replace(SAID, text="half \ud83d, whole \U0001f600")
    assert from_json(AnswerRow, json_text(as_json(row))).text == "half �, whole \U0001f600"


def test_a_figure_is_found_by_metric_condition_and_group() -> None:
    assert RESULTS.figure("exact_match").value == 0.5
    assert RESULTS.find("exact_match", "gold") is None
    with pytest.raises(KeyError, match="exact_match of 'none' question_type=x"):
        RESULTS.figure("exact_match", "none", "question_type=x")


def test_results_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match=r"results\.json holds no results .*--out"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"n": 3}')
    with pytest.raises(DatasetNotFound, match="of this version"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text(json_text(as_json(RESULTS)))
    assert read_results(tmp_path) == RESULTS
