import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generator.answers.answer import NOT_ABOUT, SEEN_ALONE, UNDECIDED, Evidence
from generator.answers.answering import vouched
from generator.answers.confidence import (
    PACKAGED,
    Calibration,
    Fit,
    calibration_json,
    centred,
    fit_confidence,
    fit_name,
    fit_temperature,
    judge,
    needed_lead,
    read_calibration,
)
from generator.errors import InvalidCalibration

FIT = Fit(
    bias=0.5,
    weights={"answer_logprob": 1.0, "agreement": 0.5},
    means={"answer_logprob": -1.0, "agreement": 0.8},
    deviations={"answer_logprob": 1.0, "agreement": 0.2},
    enough=None,
    n=40,
)


def confidence(logprob: float, agreement: float = 0.8, **options):
    evidence = Evidence(answer_logprob=logprob, agreement=agreement)
    return judge(evidence, FIT, **{"unsure_below": 0.5, "withhold_below": 0.2, **options})


def test_the_confidence_is_the_logistic_of_the_weighted_evidence() -> None:
    assert confidence(-1.0).value == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert confidence(-1.0, 1.0).value == pytest.approx(1 / (1 + math.exp(-1.0)))


def test_the_verdict_follows_the_thresholds_and_names_the_weightiest_reason() -> None:
    assert confidence(-1.0).verdict == "given"
    assert confidence(-1.0).reasons == ()
    unsure = confidence(-2.0)
    assert unsure.verdict == "unsure"
    assert unsure.reasons == ("the words were read with little certainty",)
    withheld = confidence(-4.0, 0.4)
    assert withheld.verdict == "withheld"
    assert withheld.reasons[0] == "the words were read with little certainty"
    assert withheld.reasons[1] == "the passages do not agree on it"


def test_no_answer_is_surer_than_what_the_picture_shows() -> None:
    sure = Evidence(answer_logprob=3.0, agreement=1.0)
    limits = {"unsure_below": 0.5, "withhold_below": 0.2}
    for shown, verdict in ((0.1, "withheld"), (0.4, "unsure"), (0.9, "given")):
        judged = judge(replace(sure, shown=shown), FIT, **limits)
        assert (judged.value, judged.verdict) == (shown, verdict)
        assert ("something else" in " ".join(judged.reasons)) is (verdict != "given")
    assert judge(replace(sure, shown=1.0), FIT, **limits) == judge(sure, FIT, **limits)
    lead = replace(FIT, weights={"lead": 1.0}, means={"lead": 0.0}, deviations={"lead": 1.0})
    assert needed_lead(Evidence(lead=0.0, shown=0.4), lead, 0.5) is None
    assert needed_lead(Evidence(lead=0.0, shown=0.6), lead, 0.5) is not None


def test_a_doubt_of_the_retriever_makes_any_answer_unsure() -> None:
    assert confidence(3.0, doubts=("the best passage scores 3",)).verdict == "unsure"
    judged = judge(Evidence(), None, unsure_below=0.5, withhold_below=0.2, doubts=("low",))
    assert (judged.value, judged.verdict, judged.reasons) == (None, "unsure", ("low",))


def test_beside_a_high_confidence_only_the_doubt_is_the_reason_and_it_is_no_part_of_it() -> None:
    doubt = "it is said of 2010, not of 2002"
    high = confidence(3.0, 0.6, doubts=(doubt,))  # that passages agree little was allowed for
    assert (high.verdict, high.reasons, high.doubted) == ("unsure", (doubt,), True)
    assert str(high) == "confidence 98 % but for that doubt"
    low = confidence(-2.0, doubts=(doubt,))
    assert low.reasons == (doubt, "the words were read with little certainty")
    assert low.doubted and not confidence(-2.0).doubted and not confidence(3.0).doubted


def test_without_a_fit_or_its_features_there_is_no_confidence() -> None:
    judged = judge(Evidence(agreement=1.0), FIT, unsure_below=0.5, withhold_below=0.2)
    assert (judged.value, judged.verdict) == (None, "given")


def test_the_fit_recovers_what_made_the_answers_right() -> None:
    draw = np.random.default_rng(0)
    logprobs = draw.normal(-1, 1, 4000)
    right = draw.random(4000) < 1 / (1 + np.exp(-(0.7 + 2.0 * (logprobs + 1))))
    evidence = [Evidence(answer_logprob=float(v), agreement=1.0) for v in logprobs]
    fit = fit_confidence(evidence, right.tolist(), ridge=1e-3)
    assert list(fit.weights) == ["answer_logprob"]  # agreement never changes: it says nothing
    assert fit.weights["answer_logprob"] / fit.deviations["answer_logprob"] == pytest.approx(
        2.0, abs=0.2
    )
    said = [judge(e, fit, unsure_below=0, withhold_below=0).value for e in evidence]
    assert np.mean(said) == pytest.approx(np.mean(right), abs=1e-3)
    assert fit.n == 4000


def test_a_fit_is_centred_on_how_much_is_right_of_what_is_asked() -> None:
    evidence = [Evidence(answer_logprob=v, agreement=0.8) for v in (-3.0, -1.0, 0.0, 1.0)]
    right, counts = [False, True, True, False], [0.25, 1.0, 1.0, 0.0]
    fit = centred(FIT, evidence, right, counts)
    assert replace(fit, bias=FIT.bias) == FIT
    said = [judge(e, fit, unsure_below=0, withhold_below=0).value for e in evidence]
    assert np.dot(said, counts) == pytest.approx(np.dot(right, counts))
    with pytest.raises(ValueError, match=r"^0 of 0\.25 answers are right: no bias is possible"):
        centred(FIT, evidence[:1], right[:1], counts[:1])


def test_a_lead_that_is_great_enough_says_no_more() -> None:
    draw = np.random.default_rng(3)
    leads = draw.uniform(0, 10, 4000)
    right = draw.random(4000) < 1 / (1 + np.exp(-2 * (leads.clip(max=4) - 2)))
    fit = fit_confidence([Evidence(lead=float(v)) for v in leads], right.tolist())
    assert fit.enough == pytest.approx(4, abs=0.3)
    at = {
        v: judge(Evidence(lead=v), fit, unsure_below=0.5, withhold_below=0.2).value
        for v in (1.0, 3.0, 5.0, 9.0)
    }
    assert at[1.0] == pytest.approx(0.12, abs=0.05)
    assert at[3.0] == pytest.approx(0.88, abs=0.05)
    assert at[9.0] == at[5.0] > at[3.0]


def test_answers_count_as_often_as_is_said() -> None:
    draw = np.random.default_rng(2)
    evidence = [Evidence(answer_logprob=float(v)) for v in draw.normal(-1, 1, 60)]
    right = [e.answer_logprob + draw.normal() > -1 for e in evidence]
    twice = fit_confidence([*evidence, *evidence[:30]], [*right, *right[:30]])
    counted = fit_confidence(evidence, right, [2.0] * 30 + [1.0] * 30)
    assert counted.bias == pytest.approx(twice.bias)
    assert counted.weights == pytest.approx(twice.weights)
    assert counted.means == pytest.approx(twice.means)
    assert counted.deviations == pytest.approx(twice.deviations)


def test_evidence_that_seems_to_speak_against_an_answer_has_no_say() -> None:
    draw = np.random.default_rng(1)
    logprobs, noise = draw.normal(-1, 1, (2, 500))
    right = draw.random(500) < 1 / (1 + np.exp(-2 * (logprobs + 1) + 0.5 * noise))
    evidence = [
        Evidence(answer_logprob=float(a), agreement=float(b))
        for a, b in zip(logprobs, noise, strict=True)
    ]
    assert list(fit_confidence(evidence, right.tolist()).weights) == ["answer_logprob"]


@pytest.mark.parametrize("right", [[], [True, True], [False, False]])
def test_nothing_is_learnt_from_answers_that_are_all_alike(right: list[bool]) -> None:
    with pytest.raises(ValueError, match="no fit is possible"):
        fit_confidence([Evidence(agreement=0.5)] * len(right), right)


def test_the_temperature_is_the_one_that_made_the_gold() -> None:
    draw = np.random.default_rng(0)
    scores = draw.normal(0, 5, (3000, 3))
    p = np.exp(scores / 2.5)
    p /= p.sum(1, keepdims=True)
    gold = [int(draw.choice(3, p=row)) for row in p]
    assert fit_temperature(scores.tolist(), gold) == pytest.approx(2.5, rel=0.1)


def test_a_calibration_is_written_and_read_for_its_checkpoint(tmp_path: Path) -> None:
    made = Calibration("mini@1", 0.7, {"m/few-shot": 0.4}, {"m/few-shot/ra-vqa": FIT})
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps([calibration_json(made)]))
    assert read_calibration(path, "1") == made, "whatever the checkpoint's folder is called"
    assert made.fit("m", "few-shot", "ra-vqa") is FIT
    assert made.fit("m", "few-shot", "concat") is None
    assert (made.critic("m", "few-shot"), made.critic("m", "instruct")) == (0.4, 0.5)
    assert read_calibration(path, "2") == Calibration()


def test_beside_pictures_the_fit_beside_them_counts_and_else_the_one_alone() -> None:
    beside = replace(FIT, bias=1.5)
    fits = {fit_name("m", "few-shot", "ra-vqa"): FIT}
    fits[fit_name("m", "few-shot", "ra-vqa", "ab" * 32)] = beside
    made = Calibration("mini@1", 1.0, {}, fits)
    assert made.fit("m", "few-shot", "ra-vqa", "ab" * 32) is beside
    assert made.fit("m", "few-shot", "ra-vqa", "cd" * 32) is FIT
    assert made.fit("m", "few-shot", "ra-vqa") is FIT


def test_a_fit_of_an_earlier_version_is_named(tmp_path: Path) -> None:
    old = Fit(0.0, {"top_score": 1.0}, {"top_score": 20.0}, {"top_score": 2.0}, None, 50)
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps([calibration_json(Calibration("c", 1.0, {}, {"m": old}))]))
    with pytest.raises(InvalidCalibration, match="fitted on top_score by another version"):
        read_calibration(path, "c")


@pytest.mark.parametrize("text", ["", "[1]", '[{"checkpoint": "c"}]'])
def test_a_file_that_is_no_calibration_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(InvalidCalibration, match="is not a calibration"):
        read_calibration(path, "c")


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0},
        {"temperature": "2"},
        {"temperature": math.nan},
        {"deviations": {"lead": 0.0}},
        {"means": {}},
        {"bias": "a"},
        {"bias": math.inf},
    ],
)
def test_a_fit_that_nothing_can_be_judged_by_is_named(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "calibration.json"
    sane = Fit(0.0, {"lead": 1.0}, {"lead": 2.0}, {"lead": 2.0}, None, 50, 0.5)
    entry = calibration_json(Calibration("c", 1.0, {}, {"m": sane}))
    path.write_text(json.dumps([entry]))
    assert read_calibration(path, "c").fits == {"m": sane}
    entry["fits"]["m"] |= change
    path.write_text(json.dumps([entry]))
    with pytest.raises(InvalidCalibration, match="is not a calibration"):
        read_calibration(path, "c")
    path.write_text(json.dumps([{**entry, "fits": {}, "temperature": -1}]))
    with pytest.raises(InvalidCalibration, match="temperature is -1"):
        read_calibration(path, "c")


def test_the_calibration_that_comes_along_can_be_read() -> None:
    assert read_calibration(PACKAGED, "no such checkpoint") == Calibration()


def test_a_low_score_of_the_retriever_counts_where_nothing_was_fitted() -> None:
    low = ("the best passage scores 19.2",)
    assert confidence(-1.0, low=low) == confidence(-1.0), "the fit decides"
    assert confidence(-1.0, low=low).verdict == "given"
    judged = judge(Evidence(), None, unsure_below=0.5, withhold_below=0.2, low=low)
    assert (judged.verdict, judged.reasons) == ("unsure", low)


def test_a_confidence_fitted_on_another_corpus_says_so_and_a_low_score_counts_again() -> None:
    low = ("the best passage scores 19.2",)
    here, there = confidence(-0.1, low=low), confidence(-0.1, low=low, foreign=True)
    assert (here.verdict, there.verdict) == ("given", "unsure")
    assert here.value == there.value is not None and there.reasons == low
    assert str(there) == f"{here} but for that doubt, fitted on another corpus"
    assert confidence(-0.1, foreign=True).verdict == "given"


def test_what_is_vouched_for_needs_no_high_score_where_it_is_likely_enough() -> None:
    low = ("the best passage scores 12.2",)

    def elsewhere(
        agreement: float, *, known: bool, near: float | None = None
    ) -> tuple[float | None, str]:
        found = Evidence(answer_logprob=-0.1, agreement=agreement, near=near)
        limits = {"unsure_below": 0.5, "withhold_below": 0.2}
        judged = judge(found, FIT, low=low, foreign=True, vouched=known, **limits)
        return judged.value, judged.verdict

    value, verdict = elsewhere(0.9, known=True)
    assert value is not None and 0.8 <= value < 0.85 and verdict == "given"
    assert elsewhere(0.9, known=False) == (value, "unsure")
    # Where nothing vouches for it, more is wanted, and a score that is not far from enough.
    more, surely = elsewhere(1.0, known=False)
    assert more is not None and more >= 0.85 and surely == "unsure"
    assert elsewhere(1.0, known=False, near=1.0) == (more, "given")
    assert elsewhere(0.9, known=False, near=1.0) == (value, "unsure")
    less, doubted = elsewhere(0.7, known=True)
    assert less is not None and less < 0.8 and doubted == "unsure"
    assert vouched(Evidence(), pictured=False) and vouched(Evidence(alike=0.7), pictured=True)
    assert not vouched(Evidence(alike=0.3), pictured=True)
    assert not vouched(Evidence(), pictured=True)


def test_what_is_not_decided_has_no_confidence() -> None:
    undecided = confidence(-0.1, doubts=(UNDECIDED,))
    assert (undecided.value, undecided.verdict, str(undecided)) == (None, "unsure", "")
    beside = confidence(-0.1, doubts=(NOT_ABOUT,))
    assert (beside.value, beside.verdict, beside.reasons) == (None, "withheld", (NOT_ABOUT,))


def test_the_needed_lead_is_where_the_confidence_is_just_enough() -> None:
    fit = replace(
        FIT,
        weights={"lead": 2.0, "agreement": 0.5},
        means={"lead": 3.0, "agreement": 0.8},
        deviations={"lead": 1.5, "agreement": 0.2},
        enough=6.0,
    )
    evidence = Evidence(lead=1.0, agreement=0.4)
    needed = needed_lead(evidence, fit, 0.7)
    assert needed is not None
    at_it = judge(replace(evidence, lead=needed), fit, unsure_below=0.7, withhold_below=0.2)
    assert at_it.value == pytest.approx(0.7)
    # Where the most that a lead can say is too little, none is enough.
    assert needed_lead(replace(evidence, agreement=-9.0), fit, 0.7) is None
    assert needed_lead(Evidence(lead=1.0), fit, 0.7) is None
    assert needed_lead(evidence, FIT, 0.7) is None


def test_a_name_that_was_read_nowhere_has_no_probability_and_is_unsure() -> None:
    seen = confidence(-0.1, doubts=(SEEN_ALONE,))
    assert (seen.value, seen.verdict, str(seen)) == (None, "unsure", "")
    assert seen.seen_alone and not confidence(-0.1).seen_alone
