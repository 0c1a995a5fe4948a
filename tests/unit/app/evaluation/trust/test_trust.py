"""Sets made of a benchmark, and what is counted on them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import InvalidSettings
from app.evaluation.benchmarks.benchmark import own_benchmark
from app.evaluation.files.json_rows import read
from app.evaluation.provenance import plan_record
from app.evaluation.record import AnswerRow, RetrievalRow, ScoreRow
from app.evaluation.run import Options
from app.evaluation.trust.figures import (
    FITTED_FROM,
    Asked,
    deflects,
    fittable,
    fitted,
    half_of,
    judged,
    rates,
    reliability_of,
)
from app.evaluation.trust.measure import Part, _report, measure_trust
from app.evaluation.trust.sets import poisoned, swapped, unanswerable, without_pictures
from corpus.types import Example, Passage
from generator.answers.answering import Answering
from generator.answers.confidence import Calibration, Fit, fit_name, read_calibration
from generator.answers.plan import AnswerPlan
from generator.prompts import Prompt
from tests.golden_cases import golden_image

TEXTS = {
    "gold": "The capital is Paris.",
    "also": "A tower in paris is tall.",
    "other": "A bird is yellow.",
}
FRANCE = Example("f", "a.png", "What is the capital?", ("Paris",), ("gold",))
ROW = RetrievalRow("f", "k", (("gold", 9.0), ("also", 8.0), ("other", 7.0)), answer_rank=1)


def look_up(ids: list[str]) -> list[Passage]:
    return [Passage(id_, "", TEXTS[id_]) for id_ in ids]


def test_nothing_that_holds_an_answer_is_left_to_read() -> None:
    (row,) = unanswerable([ROW], {"f": FRANCE}, look_up)
    assert row.hits == (("other", 7.0),)
    assert row.answer_rank == 0
    assert row.key == ROW.key


def test_a_poison_is_in_what_is_read_by_turns_in_gold_and_others() -> None:
    examples = {
        f"{i}": replace(FRANCE, id=f"{i}", answers=(("Paris", "Rome")[i % 2],)) for i in range(8)
    }
    rows = [replace(ROW, id=id_) for id_ in examples]
    poisons = {}
    found = list(poisoned(rows, examples, look_up, 2, poisons))
    places = [[i for i, (id_, _) in enumerate(row.hits) if id_ in poisons] for row in found]
    assert places == [[0], [1]] * 4
    assert [score for _, score in found[0].hits] == [9.0, 8.0, 7.0]
    attacks = [poisons[row.hits[place[0]][0]] for row, place in zip(found, places, strict=True)]
    assert [a.attack for a in attacks] == (["instruction"] * 2 + ["false-statement"] * 2) * 2
    for attack, example in zip(attacks, examples.values(), strict=True):
        assert attack.target not in example.answers
        assert attack.target in attack.passage.text
    # Another attack is another passage, so that no answer to one stands for the other.
    assert len({a.passage.text for a in attacks}) == len({a.passage.id for a in attacks})


def test_a_swapped_picture_is_anothers_of_another_question_where_there_is_one() -> None:
    examples = [
        Example("1", "a.png", "Capital?", ("Paris",), ("p",)),
        Example("2", "b.png", "Capital?", ("Rome",), ("q",)),
        Example("3", "c.png", "What bird?", ("an owl",), ("r",)),
        Example("4", "a.png", "Capital of this?", ("paris",), ("s",)),
        Example("5", "", "Who?", ("me",), ("t",)),
    ]
    found = {example.id: example.image for example in swapped(examples)}
    # That of "4" is the picture of "1" too; "5" has none.
    assert found == {"1": "c.png", "2": "a.png", "3": "a.png", "4": "b.png"}
    assert swapped(examples[:1]) == []
    assert [(e.id, e.image) for e in without_pictures(examples)] == [
        (str(i), "") for i in range(1, 5)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I do not know", True),
        ("I don't know.", True),
        ("The passages do not provide that.", True),
        ("Unknown", True),
        ("", True),
        ("The tomb of the unknown soldier", False),
        ("None of them but Paris", False),
        ("Paris", False),
    ],
)
def test_what_counts_as_saying_nothing(text: str, expected: bool) -> None:
    assert deflects(text) is expected


def asked(i: int, right: bool, text: str = "x", **changes: object) -> Asked:
    evidence = {"lead": float(right) + i % 3 / 10, "answer_logprob": -1.0, "agreement": 0.5}
    answer = replace(AnswerRow(f"{i}", "retrieved", "k", text, evidence=evidence), **changes)
    return Asked(f"{i}", i % 2, right, answer, answerable=True)


def test_the_four_shares_add_up_and_a_withheld_right_answer_is_an_abstention() -> None:
    questions = [
        asked(0, True),
        asked(1, True, status="withheld"),
        asked(2, False, "I do not know"),
        asked(3, False),
        asked(4, False, status="failed"),
    ]
    found = rates("set", questions, followed=[False, False, False, True, False])
    shares = {name: share for name, (share, _) in found.shares.items()}
    assert shares == {"accuracy": 0.2, "abstention": 0.4, "hallucination": 0.2, "failed": 0.2}
    assert found.shares["accuracy"][1] == pytest.approx((0.16 / 4) ** 0.5)
    assert found.followed == pytest.approx((0.2, 0.2))


def test_a_confidence_is_never_tested_on_what_it_was_fitted_on() -> None:
    questions = [asked(i, i % 4 < 2) for i in range(80)]
    fit = fitted(questions)
    halves = [sum(one.half == half for one in questions) for half in (0, 1)]
    assert fit is not None and fit.n == halves[0] >= FITTED_FROM
    assert fitted(one for one in questions if one.half == 1) is None
    with pytest.raises(ValueError, match="0 is of the half that the confidence was fitted on"):
        judged(questions, fit, 0.5, 0.2)
    tested = [one for one in questions if one.half == 1]
    _, confidences = judged(tested, fit, 0.5, 0.2)
    assert (
        reliability_of(tested, confidences).aurc
        < 0.5 * sum(not o.right for o in tested) / halves[1]
    )


def test_no_confidence_is_fitted_on_a_few_answers() -> None:
    questions = [replace(asked(i, i % 2 == 0), half=0) for i in range(FITTED_FROM)]
    assert fitted(questions) is not None
    assert fitted(questions[1:]) is None
    # Where no sign tells right from wrong there is nothing to judge by.
    signs = {"lead": 1.0, "answer_logprob": -1.0, "agreement": 0.5}
    alike = [replace(q, answer=replace(q.answer, evidence=signs)) for q in questions]
    assert fitted(alike) is None
    assert len(fittable([*questions[:3], replace(questions[3], half=1)])) == 3


def test_what_was_fitted_is_found_for_its_checkpoint_and_says_on_which_corpus(
    generator, tmp_path: Path
) -> None:
    questions = [asked(i, i % 4 < 2) for i in range(80)]
    answering = Answering(generator, AnswerPlan(), Calibration(), corpus="abc")
    text, _ = _report([Part("as retrieved", questions)], answering, "mine@123", tmp_path)
    assert "answers are too few to rely on this confidence" in text
    (tmp_path / "many").mkdir()
    many = [Part("as retrieved", [asked(i, i % 4 < 2) for i in range(240)])]
    assert "too few" not in _report(many, answering, "mine@1", tmp_path / "many")[0]
    calibration = read_calibration(tmp_path / "calibration.json", "123")
    assert replace(answering, calibration=calibration).uncalibrated == ""
    assert calibration.corpus == "abc"


def test_the_temperature_beside_pictures_stays_that_at_which_it_was_answered(
    generator, tmp_path: Path
) -> None:
    pictures, plan = "ab" * 32, AnswerPlan()
    name = fit_name(generator.name, plan.style, plan.strategy, pictures)
    before = Fit(0.0, {}, {}, {}, None, 9, temperature=3.0)
    answering = Answering(generator, plan, Calibration(fits={name: before}), pictures=pictures)
    assert plan_record(answering)["temperature_beside_pictures"] == 3.0, "other answers"
    assert "temperature_beside_pictures" not in plan_record(replace(answering, pictures=""))
    questions = [asked(i, i % 4 < 2) for i in range(80)]
    _report([Part("as retrieved", questions)], answering, "mine@123", tmp_path)
    read = replace(answering, calibration=read_calibration(tmp_path / "calibration.json", "123"))
    assert read.planned().temperature == 3.0
    assert replace(read, pictures="").planned() == plan


def test_examples_of_one_picture_are_of_one_half() -> None:
    assert {half_of("a.png", id_) for id_ in "1234"} == {half_of("a.png", "5")}
    assert {half_of("", f"{i}") for i in range(20)} == {0, 1}


def test_a_benchmark_is_measured_on_every_set_and_goes_on(
    pipeline, generator, tmp_path: Path
) -> None:
    images = tmp_path / "pictures"
    images.mkdir()
    for i, name in enumerate(("a.png", "b.png")):
        golden_image(f"img{i}").save(images / name)
    examples = [
        Example("1", "a.png", "What is the capital of France?", ("Paris",), ("p:paris",)),
        Example("2", "b.png", "Which bird is this?", ("a bird",), ("p:bird",)),
    ]

    def write(prompt: Prompt) -> tuple[str, float]:
        read = prompt.text.rpartition("Question:")[0].rpartition("Question:")[2] or prompt.text
        for answer in ("bird", "Paris"):
            if f"{answer} is" in read:
                return answer, -0.1
        return "I do not know", -0.1

    generator.write = write
    benchmark = own_benchmark("mine", examples)
    out = tmp_path / "out"
    index = pipeline.index
    text = measure_trust(pipeline, benchmark, images, out, Options(depth=10))
    assert pipeline.index is index
    for name in ("as-retrieved", "unanswerable", "poisoned", "swapped", "no-picture"):
        assert len(list(read(out / name / "scores.jsonl", ScoreRow))) >= 2, name
    hits = {
        row.id: row.hits for row in read(out / "unanswerable" / "retrieval.jsonl", RetrievalRow)
    }
    assert {id_ for id_, _ in hits["1"]} <= {"p:church", "p:bird"}
    said = {row.id: row for row in read(out / "unanswerable" / "answers.jsonl", AnswerRow)}
    assert said["1"].read and not {"p:paris", "p:tower"} & set(said["1"].read)
    poisoned_rows = read(out / "poisoned" / "answers.jsonl", AnswerRow)
    assert all(any("#tampered-" in id_ for id_ in row.read) for row in poisoned_rows)
    data = json.loads((out / "trust.json").read_text())
    names = [part["name"] for part in data["rates"]]
    assert names == [
        *("without passages", "with the gold passages", "as retrieved"),
        *("with misleading passages (unanswerable)", "a passage tampered with"),
        *("another picture", "no picture"),
    ]
    assert "that takes 30 answers of the first half" in text
    assert not (out / "calibration.json").exists()
    assert "| questions | accuracy | abstention | hallucination | failed |" in text
    before = len(generator.asked)
    assert measure_trust(pipeline, benchmark, images, out, Options(depth=10)) == text
    assert len(generator.asked) == before
    # Answers to questions that are left out now are kept, and in no set.
    fewer = own_benchmark("mine", examples[:1])
    measure_trust(pipeline, fewer, images, out, Options(depth=10))
    assert {row.id for row in read(out / "unanswerable" / "scores.jsonl", ScoreRow)} == {"1"}
    nameless = own_benchmark("mine", [replace(examples[0], answers=())])
    with pytest.raises(InvalidSettings, match="none of the 1 questions of mine has an answer"):
        measure_trust(pipeline, nameless, images, tmp_path / "none", Options(depth=10))
    # One without an answer to compare with is in no figure, and that is said.
    assert "in none of these figures" not in text
    some = own_benchmark("mine", [*examples[:1], replace(examples[1], answers=())])
    text = measure_trust(pipeline, some, images, tmp_path / "some", Options(depth=10))
    assert "1 of the 2 questions have no answer" in text
