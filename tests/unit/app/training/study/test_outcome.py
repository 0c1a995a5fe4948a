"""Tables, gains and the picture of runs whose figures are given."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.training.study.grid import Cell
from app.training.study.outcome import Outcome, Share, gains, tables, write_results
from app.training.study.plot import draw_study

BLUE, BROWN = (11, 98, 164), (179, 84, 30)


def outcome(stage: bool, recall: float, losses: dict[str, float], vision: str = "v") -> Outcome:
    return Outcome(
        Cell(vision, "t", 1, stage),
        parameters=1000,
        trained=100,
        recall=(Share(5, recall, 0.1, 2),),
        losses=losses,
    )


WITHOUT = outcome(False, 0.25, {"a": math.log(4), "b": math.log(2)})
WITH = outcome(True, 0.75, {"b": 0.0, "a": math.log(2)})
FAILED = Outcome(Cell("other", "t", 1, True), failed="a picture\nis | broken")


def test_gains_are_paired_by_question() -> None:
    [one] = gains([WITH, WITHOUT, FAILED])
    assert one.gain.bits == pytest.approx(1.0) and one.gain.stderr == pytest.approx(0.0)
    # Without a partner there is none.
    assert gains([WITHOUT]) == gains([WITH]) == []
    assert gains([outcome(False, 0.5, {"a": 1.0}, "other"), FAILED]) == []


def test_the_table_has_a_row_for_each_run_and_the_reason_of_one_that_failed() -> None:
    lines = tables([WITHOUT, WITH, FAILED]).splitlines()
    assert "| v | t | 1 | without | 1,000 | 100 | 25.0 ± 10.0 | 1.040 ± 0.347 |" in lines
    assert "| v | t | 1 | with | 1,000 | 100 | 75.0 ± 10.0 | 0.347 ± 0.347 |" in lines
    assert "| other | t | 1 | with | - | - | - | failed: a picture is / broken |" in lines
    assert "| v | t | 1 | +0.693 ± 0.000 | +1.000 | 2 |" in lines
    assert all(line.count("|") in (0, 9, 7) for line in lines)


def test_results_are_all_that_the_table_is_made_of(tmp_path: Path) -> None:
    write_results(tmp_path, [WITHOUT, WITH, FAILED], {"seed": 0})
    results = json.loads((tmp_path / "results.json").read_text())
    assert [run["cell"]["intermediate"] for run in results["runs"]] == [False, True, True]
    assert results["runs"][0]["loss"]["nats"] == pytest.approx(1.5 * math.log(2))
    assert results["gains"][0]["gain"]["bits"] == pytest.approx(1.0)
    assert results["study"] == {"seed": 0}
    assert (tmp_path / "table.md").read_text() == tables([WITHOUT, WITH, FAILED])


def rows_of(picture: Image.Image, colour: tuple[int, int, int], top: int) -> list[int]:
    """Return the rows below the legend of a panel that have a colour."""
    panel = np.asarray(picture)[top + 34 : top + 280, 100:]
    return np.flatnonzero((panel == colour).all(-1).any(-1)).tolist()


def test_who_finds_more_is_drawn_higher_and_who_loses_more_too(tmp_path: Path) -> None:
    draw_study([WITHOUT, WITH, FAILED], tmp_path / "study.png")
    picture = Image.open(tmp_path / "study.png")
    for top, higher, lower in ((0, BLUE, BROWN), (300, BROWN, BLUE)):
        above, below = rows_of(picture, higher, top), rows_of(picture, lower, top)
        assert above and below
        assert sum(above) / len(above) < sum(below) / len(below)


def test_where_every_run_failed_there_is_no_picture(tmp_path: Path) -> None:
    draw_study([FAILED], tmp_path / "study.png")
    assert not list(tmp_path.iterdir())
    assert "failed: a picture" in tables([FAILED])
