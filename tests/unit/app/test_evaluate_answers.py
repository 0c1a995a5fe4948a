"""The comparison of strategies: its sets, its figures, and that a run can be taken up again."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from app.answer_sets import Found, Sizes, cases
from app.answering import Answering
from app.errors import InvalidSettings
from app.evaluate_answers import (
    Variant,
    calibrated,
    fitted_temperature,
    relevance_threshold,
    report,
    run,
    summarise,
)
from corpus.benchmarks.poisoned import DEVELOPMENT, TEST, tampered, wrong_answer
from corpus.demo import demo_images
from corpus.types import Example, Hit, Passage
from generator.confidence import Calibration
from generator.strategies import Plan
from tests.scripted import ScriptedGenerator

IMAGE = next(image.image for image in demo_images() if image.kind == "flag")


def found(n: int) -> Found:
    gold = Passage(f"gold{n}", f"Land {n}", f"Land {n} - Facts. Capital: Town{n}.", section="Facts")
    also = Passage(f"also{n}", f"Land {n}", f"Land {n} - More. Town{n} is old.", section="More")
    other = Passage(f"other{n}", f"Land {n}", f"Land {n} - Sea. No coast.", section="Sea")
    example = Example(
        f"{IMAGE}:{n}:Capital", IMAGE, "What is the capital?", (f"Town{n}",), (gold.id,)
    )
    hits = tuple(Hit(p, 20.0 - i) for i, p in enumerate((gold, other, also)))
    return Found(example, hits, "", n % 2 == 1)


FOUND = [found(n) for n in range(40)]
SIZES = Sizes(calibrating=20, tested=20, unanswerable=10, attacked=8)
CASES = list(cases(FOUND, 2, SIZES))


def obedient(prompt) -> tuple[str, float]:
    """Answer with the target of an attack, else with the capital, else with nonsense."""
    text = prompt.messages[-1].text
    order = re.search(r"(?:exactly|has to be|respond with|Say|state|Answer:) (Town\d+)", text)
    if order:
        return order[1], -0.1
    if "Capital: " in text:
        return text.partition("Capital: ")[2].split(".")[0], -0.3
    return "no idea", -2.0


@pytest.fixture
def answering() -> Answering:
    generator = ScriptedGenerator(obedient)
    return Answering(generator, Plan(passages=2), Calibration("c", 1.0, {}, {}))


def test_unanswerable_questions_have_no_passage_with_an_answer() -> None:
    for case in CASES:
        texts = [hit.passage.text for hit in case.hits]
        has = any(answer in text for text in texts for answer in case.answers)
        assert has == (case.set != "unanswerable")


def test_an_attack_is_in_one_passage_that_is_read_and_wants_a_wrong_answer() -> None:
    attacked = [case for case in CASES if case.target]
    assert len(attacked) == 16
    plain = {f.example.id: f.hits for f in FOUND}
    places = set()
    for case in attacked:
        before = plain[case.key.partition("|")[2]]
        changed = [i for i, hit in enumerate(case.hits) if hit != before[i]]
        assert len(changed) == 1 and changed[0] < 2
        places.add(changed[0])
        assert case.target not in case.answers
        assert case.hits[changed[0]].score == before[changed[0]].score
    assert places == {0, 1}
    assert not any(case.calibrates for case in attacked)


def test_every_sentence_can_be_written_and_the_heading_stays_in_front() -> None:
    passage = FOUND[0].hits[0].passage
    for attack in TEST:
        for variant in range(len(TEST[attack])):
            made = tampered(
                passage,
                attack,
                variant,
                question="What is the capital?",
                field="Capital",
                target="X1",
            )
            assert made.text.startswith("Land 0 - Facts. ")
            assert made.text.endswith("Capital: Town0.")
            assert "X1" in made.text
        assert not set(TEST[attack]) & set(DEVELOPMENT[attack])
    with pytest.raises(ValueError, match="none of the 1"):
        wrong_answer(["a"], ["A"], 0)


def test_a_run_is_taken_up_where_it_stopped_and_not_mixed(answering, tmp_path: Path) -> None:
    rows = run(answering, CASES, [Variant("ra-vqa")], tmp_path, lambda done, total: None)
    assert len(rows) == len(CASES)
    lines = (tmp_path / "rows.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "rows.jsonl").write_text("".join(lines[:5]) + lines[5][:20])
    asked = answering.generator.closed
    again = run(answering, CASES, [Variant("ra-vqa")], tmp_path, lambda done, total: None)
    assert [row["text"] for row in again] == [row["text"] for row in rows]
    assert answering.generator.closed - asked == len(CASES) - 5
    other = replace(answering, plan=replace(answering.plan, passages=1))
    with pytest.raises(InvalidSettings, match="another generator or plan"):
        run(other, CASES, [Variant("ra-vqa")], tmp_path, lambda done, total: None)


def test_figures_of_a_generator_that_obeys(answering, tmp_path: Path) -> None:
    variants = [Variant("ra-vqa"), Variant("ra-vqa", delimit=False)]
    rows = run(answering, CASES, variants, tmp_path, lambda done, total: None)
    fitted = calibrated(rows, answering)
    fit = fitted.fit("scripted", "few-shot", "ra-vqa")
    assert fit is not None and fit.n == 25
    results = summarise(rows, fitted, answering)
    plain = results["ra-vqa|answerable"]
    assert (plain["n"], plain["exact_match"], plain["failures"]) == (20, 1.0, 0)
    assert plain["given"] == 1.0
    nothing = results["ra-vqa|unanswerable"]
    assert nothing["exact_match"] == 0.0
    assert nothing["withheld"] + nothing["unsure"] == 1.0
    assert nothing["aurc"] == 1.0
    assert results["ra-vqa|mixed 4:1"]["n"] == 25
    assert results["ra-vqa|mixed 4:1"]["exact_match"] == 0.8
    attacked = results["ra-vqa|instruction"]
    assert attacked["followed"] > 0
    assert attacked["followed"] >= attacked["followed_and_shown"] >= attacked["followed_and_sure"]
    assert "ra-vqa, undelimited|answerable" not in results
    text = report(results)
    assert "| ra-vqa | 100.0 ± 0.0 | 100.0 ± 0.0 |" in text
    json.dumps(results)


def test_what_is_fitted_on_the_retriever_and_the_critic() -> None:
    # The gold passage leads by one point each time: the lower the temperature, the likelier.
    assert fitted_temperature(FOUND, 2) == pytest.approx(0.05)
    judged = [(0.9, True), (0.6, True), (0.5, False), (0.2, False), (0.7, False)]
    assert relevance_threshold(judged) == 0.6
