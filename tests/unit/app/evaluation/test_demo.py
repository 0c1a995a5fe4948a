"""The demo's threshold: chosen on one half of the pictures, measured on the other."""

import json
from pathlib import Path

import pytest

from app.errors import InvalidSettings
from app.evaluation.demo import calibrate
from app.evaluation.trust.figures import half_of


def test_a_threshold_is_chosen_on_one_half_of_the_pictures_and_measured_on_the_other(
    tmp_path: Path,
) -> None:
    def write(folder: str, scores: list[tuple[str, float, float]]) -> None:
        (tmp_path / folder).mkdir()
        hits = [{"id": id_, "key": "", "hits": [["p", score]]} for id_, score, _ in scores]
        right = [
            {"id": id_, "condition": "retrieved", "key": "", "scores": {"recall@1": good}}
            for id_, _, good in scores
        ]
        for name, rows in (("retrieval", hits), ("scores", right)):
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (tmp_path / folder / f"{name}.jsonl").write_text(text)

    pictures = [f"{n}.png" for n in range(40)]
    fitted = [p for p in pictures if half_of(p, "") == 0][:3]
    tested = [p for p in pictures if half_of(p, "") == 1][:4]
    write("flags", [(f"{p}:Capital", 27.0 + n, 1.0) for n, p in enumerate(fitted)])
    write("alone", [(f"{p}:Area", 20.0 - n, 0.0) for n, p in enumerate(fitted)])
    # The other half is harder: a threshold that was chosen on it would be another.
    worse = [(30.0, 1.0), (25.0, 1.0), (18.0, 0.0), (29.0, 0.0)]
    write("emoji", [(f"{p}:Name", *row) for p, row in zip(tested, worse, strict=True)])
    write("short-answers", [(f"{p}:Capital", 99.0, 0.0) for p in fitted])
    assert calibrate(tmp_path) == {
        "unsure_below": 27.0,
        "n_fitted": 6,
        "right_kept": 0.5,
        "wrong_flagged": 0.5,
        "n_right": 2,
        "n_wrong": 2,
    }


def test_too_few_examples_to_calibrate_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="too few examples to calibrate on"):
        calibrate(tmp_path)
