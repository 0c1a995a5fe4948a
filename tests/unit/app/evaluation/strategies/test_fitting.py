"""What is fitted on the half that calibrates."""

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.evaluation.strategies.comparison import (
    run,
)
from app.evaluation.strategies.fitting import at_temperature, calibrated, shares_of
from app.evaluation.strategies.sets import (
    cases,
)
from generator.answers.confidence import calibration_json, judge, read_calibration
from tests.strategy_cases import CASES, FOUND, RA_VQA, SIZES, nothing


def test_of_five_questions_that_the_confidence_is_of_four_can_be_answered(
    answering, tmp_path: Path
) -> None:
    rows = run(answering, [(RA_VQA, case) for case in CASES], tmp_path, nothing)
    fitted = calibrated(rows, answering).fit("scripted", "few-shot", "ra-vqa")
    mine = [row for row in rows if row.calibrates]
    counts = np.array(shares_of(mine, {"answerable": 1.0, "unanswerable": 1 / 4}))
    by_set = defaultdict(float)
    for row, count in zip(mine, counts, strict=True):
        by_set[row.kind, row.set] += count
    assert by_set["flags", "answerable"] == 4 * by_set["flags", "unanswerable"] > 0
    assert by_set["flags", "unsaid"] == 0
    said = [judge(r.evidence, fitted, unsure_below=0, withhold_below=0).value for r in mine]
    assert counts @ said == pytest.approx(counts @ [row.right for row in mine])


def test_beside_pictures_a_confidence_is_added_to_the_one_without(
    answering, tmp_path: Path
) -> None:
    alike = [replace(f, alike=0.5 if f.example.id[-9] in "13" else None) for f in FOUND]
    todo = [(RA_VQA, case) for case in cases(alike, 2, SIZES)]
    assert 0 < sum(case.alike is not None for _, case in todo) < len(todo)
    rows = run(answering, todo, tmp_path, nothing)
    alone = calibrated(rows, answering)
    name, pictures = "scripted/few-shot/ra-vqa", "ab" * 32
    beside = calibrated(rows, replace(answering, calibration=alone, pictures=pictures))
    assert list(beside.fits) == [name, f"{name} beside {pictures[:12]}"]
    assert beside.fits[name] is alone.fits[name]
    added = beside.fit("scripted", "few-shot", "ra-vqa", pictures)
    # Of what pictures had a say in: nothing else is as it is beside them.
    seen = [row for row in rows if row.evidence.alike is not None and row.calibrates]
    assert added.n == len(seen) < alone.fits[name].n
    # Where there is none without them, all questions make one for both.
    both = calibrated(rows, replace(answering, pictures=pictures))
    assert both.fits[name] == both.fit("scripted", "few-shot", "ra-vqa", pictures)
    assert both.fits[name].n == alone.fits[name].n


def test_beside_pictures_scores_have_a_temperature_of_their_own(answering, tmp_path: Path) -> None:
    """Drawings move scores by tens: what is one-hot beside them tells nothing without them."""
    alike = [replace(f, alike=0.5) for f in FOUND]
    rows = run(answering, [(RA_VQA, case) for case in cases(alike, 2, SIZES)], tmp_path, nothing)
    alone = replace(answering, calibration=calibrated(rows, answering), pictures="ab" * 32)
    assert alone.planned() == alone.plan
    warm = at_temperature(alone, 3.0)
    assert warm.planned() == replace(warm.plan, temperature=3.0)
    assert replace(warm, pictures="").planned() == warm.plan, "what has no pictures keeps its own"
    fitted = replace(warm, calibration=calibrated(rows, warm))
    assert fitted.planned().temperature == 3.0
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps([calibration_json(replace(fitted.calibration, checkpoint="m@1"))]))
    read = replace(fitted, calibration=read_calibration(path, "1"))
    assert read.planned().temperature == 3.0 != read.plan.temperature


def test_each_question_is_asked_at_the_temperature_of_what_was_found(
    answering, tmp_path: Path
) -> None:
    found = [replace(f, alike=None if n % 2 else 0.5) for n, f in enumerate(FOUND)]
    todo = [(RA_VQA, case) for case in cases(found, 2, SIZES)]
    rows = run(answering, todo, tmp_path / "first", nothing)
    alone = replace(answering, calibration=calibrated(rows, answering), pictures="ab" * 32)
    warm = run(at_temperature(alone, 1e6), todo, tmp_path / "warm", nothing)
    changed = [
        a.evidence.alike for a, b in zip(rows, warm, strict=True) if a.evidence != b.evidence
    ]
    assert changed and None not in changed
