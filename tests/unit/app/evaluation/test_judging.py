"""Answers that are unsure or withheld are counted, and scored both ways."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.pipeline import Pipeline
from generator.answers.confidence import Calibration, Fit
from tests.evaluating import asked, example, run, said


def withholding(pipeline: Pipeline) -> None:
    """Let nothing be said that is less likely than -1."""
    feature = {"answer_logprob": 1.0}
    fit = Fit(0.0, {"answer_logprob": 4.0}, {"answer_logprob": -1.0}, feature, None, 50)
    calibration = Calibration("c", 1.0, {}, {"scripted/few-shot/concat": fit})
    pipeline.answering = replace(pipeline.answering, calibration=calibration)


def test_abstentions_are_counted_and_scored_both_ways(
    pipeline, generator, images, tmp_path: Path
) -> None:
    withholding(pipeline)
    replies = iter([("Paris [1]", -0.1), ("Paris [1]", -5.0), ("Rome [1]", -0.1)])
    generator.write = lambda prompt: next(replies)
    out = tmp_path / "out"
    results = run(pipeline, asked(*map(example, "123")), images, out)
    assert (said(out)["2"].text, said(out)["2"].status) == ("Paris", "withheld")
    assert results.figure("exact_match").value == pytest.approx(2 / 3, abs=1e-4)
    assert results.figure("exact_match_shown").value == pytest.approx(1 / 3, abs=1e-4)
    assert results.figure("exact_match_shown").n == 3
    outcome = results.outcomes["retrieved"]
    assert outcome.statuses == {"given": 2, "withheld": 1}
    assert outcome.right_of == {"given": 0.5, "withheld": 1.0}
    table = (out / "table.md").read_text()
    assert "| as retrieved | withheld | 1 (33.3 %) | 100.0 |" in table


def test_another_threshold_judges_again_and_asks_nobody(pipeline, images, tmp_path: Path) -> None:
    withholding(pipeline)
    pipeline.generator.write = lambda prompt: ("Paris [1]", -1.2)  # a probability of 0.31
    out = tmp_path / "out"
    first = run(pipeline, asked(example("1")), images, out)
    assert first.outcomes["retrieved"].statuses == {"unsure": 1}
    assert 0.3 < said(out)["1"].confidence < 0.32
    for changes, status in (
        ({"withhold_below": 0.4}, "withheld"),
        ({"withhold_below": 0.2, "unsure_below": 0.3}, "given"),
        ({"calibration": Calibration()}, "given"),
    ):
        pipeline.answering = replace(pipeline.answering, **changes)
        results = run(pipeline, asked(example("1")), images, out)
        assert results.outcomes["retrieved"].statuses == {status: 1}
        assert results.provenance.judging["withhold_below"] == pipeline.answering.withhold_below
    assert said(out)["1"].confidence is None
    assert len(pipeline.generator.asked) == 1


def test_where_nothing_is_withheld_there_is_one_score(pipeline, images, tmp_path: Path) -> None:
    results = run(pipeline, asked(example("1")), images, tmp_path / "out")
    assert not [f.metric for f in results.figures if "_shown" in f.metric]
