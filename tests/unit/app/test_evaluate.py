import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.benchmarks import Benchmark, contains_match, exact_match, own_scores
from app.components import open_exact
from app.errors import InvalidSettings, TooManyFailures
from app.evaluate import evaluate
from app.evaluate_demo import calibrate, report
from app.pipeline import Pipeline
from app.resumable import read_rows
from corpus.benchmarks import evqa
from corpus.types import Example
from generator.confidence import Calibration, Fit
from generator.errors import GeneratorTimeout, GeneratorUnavailable
from generator.prompts import Prompt
from tests.golden_cases import golden_image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    golden_image("img0").save(folder / "a.png")
    return folder


def example(name: str, image: str = "a.png", gold: tuple[str, ...] = ("p:paris",)) -> Example:
    return Example(name, image, "What is the capital of France?", ("Paris",), gold)


def asked(*examples: Example) -> Benchmark:
    return Benchmark("mine", examples, own_scores)


def test_means_are_of_the_rows_they_apply_to(pipeline, images, tmp_path: Path) -> None:
    everything = ("p:paris", "p:tower", "p:church", "p:bird")
    rows = [example("1", gold=everything), example("2", gold=("none",)), example("3", gold=())]
    results = evaluate(pipeline, asked(*rows), images, tmp_path / "out")
    assert results["n"] == 3
    assert results["unscored"] == 0
    assert results["recall@1"] == results["recall@10"] == 0.5
    assert results["recall@1_stderr"] == pytest.approx(0.5)
    assert results["exact_match"] == 1.0
    assert results["pseudo_recall@5"] == 1.0
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == results


def test_a_picture_that_cannot_be_read_is_unscored_and_in_no_mean(
    pipeline, images, tmp_path: Path
) -> None:
    (images / "broken.png").write_bytes(b"not a picture")
    rows = [example("1"), example("2", image="broken.png")]
    results = evaluate(pipeline, asked(*rows), images, tmp_path / "out")
    assert (results["n"], results["unscored"]) == (2, 1)
    assert (results["exact_match"], results["exact_match_n"]) == (1.0, 1)
    assert results["unscored_reasons"] == {"InvalidImage": 1}
    lines = (tmp_path / "out" / "examples.jsonl").read_text().splitlines()
    assert "broken.png" in json.loads(lines[1])["failure"]


def test_an_interrupted_run_goes_on(pipeline, generator, images, tmp_path: Path) -> None:
    out = tmp_path / "out"
    evaluate(pipeline, asked(example("1")), images, out)
    with (out / "examples.jsonl").open("a") as file:
        file.write('{"id": "2", "half a li')
    results = evaluate(pipeline, asked(example("1"), example("2")), images, out)
    assert results["n"] == 2
    assert len(generator.asked) == 2
    assert len((out / "examples.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "damage",
    [
        {"id": ["2"]},
        {"scores": None},
        {"scores": {"exact_match": "1"}},
        {"failure": None},
        {"hits": [1]},
        {"prediction": None},
    ],
)
def test_a_damaged_row_is_made_again(pipeline, images, tmp_path: Path, damage: dict) -> None:
    rows = [example("1"), example("2")]
    whole = evaluate(pipeline, asked(*rows), images, tmp_path / "out")
    path = tmp_path / "out" / "examples.jsonl"
    first, second = path.read_text().splitlines()
    damaged = json.dumps(json.loads(second) | damage)
    path.write_text("".join(f"{line}\n" for line in (first, damaged, '{"id": "2"}')))
    again = evaluate(pipeline, asked(*rows), images, tmp_path / "out")
    assert len(pipeline.generator.asked) == 3
    assert again == whole


def test_another_run_is_not_mixed_in(pipeline, images, tmp_path: Path) -> None:
    evaluate(pipeline, asked(example("1")), images, tmp_path / "out")
    plan = replace(pipeline.answering.plan, passages=1)
    pipeline.answering = replace(pipeline.answering, plan=plan)
    with pytest.raises(InvalidSettings, match="holds another run"):
        evaluate(pipeline, asked(example("1")), images, tmp_path / "out")


def test_a_run_records_its_candidates_and_is_not_mixed_with_others(
    pipeline, images, tmp_path: Path
) -> None:
    results = evaluate(pipeline, asked(example("1")), images, tmp_path / "out")
    assert results["run"]["candidates"] == 400
    pipeline.candidates = 3000
    with pytest.raises(InvalidSettings, match="holds another run"):
        evaluate(pipeline, asked(example("1")), images, tmp_path / "out")


def test_retrieval_alone_has_no_answer_scores(pipeline, images, tmp_path: Path) -> None:
    results = evaluate(pipeline, asked(example("1")), images, tmp_path / "out", answer=False)
    assert "exact_match" not in results
    assert "recall@5" in results


def test_exact_match_ignores_case_accents_articles_and_punctuation() -> None:
    assert exact_match("the São Tomé.", ["Sao Tome"]) == 1.0
    assert exact_match("São Tomé and Príncipe", ["Sao Tome"]) == 0.0
    assert contains_match("It is Paris", ["Paris"]) == 1.0
    assert contains_match("euros", ["euros (EUR)"]) == 1.0
    assert contains_match("Parisian", ["Paris"]) == 0.0


def test_own_scores_keep_what_carries_meaning() -> None:
    for prediction, answer in (("It is a B", "A"), ("-5", "5"), ("the", "A"), ("3.5", "5")):
        given = own_scores(Example("1", "", "?", (answer,)), prediction)
        assert given == {"exact_match": 0.0, "contains": 0.0}
    assert exact_match("1500", ["1,500"]) == contains_match("1500 km", ["1,500"]) == 1.0
    assert exact_match("A", ["a"]) == 1.0
    assert own_scores(Example("1", "", "?"), "x") == {}
    assert exact_match("", ["..."]) == contains_match("", ["Paris"]) == 0.0


def test_calibration_separates_right_from_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "flags"
    folder.mkdir()
    scores = [(30.0, 1.0), (28.0, 1.0), (20.0, 0.0), (18.0, 0.0), (27.0, 1.0), (29.0, 0.0)]
    rows = [{"hits": [["p", score]], "scores": {"recall@1": good}} for score, good in scores]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "examples.jsonl").write_text(text)
    calibration = calibrate(tmp_path)
    assert calibration["unsure_below"] == 27.0
    assert calibration["right_kept"] == 1.0
    assert calibration["wrong_flagged"] == pytest.approx(2 / 3, abs=1e-3)


def test_the_report_is_a_table_with_standard_errors() -> None:
    run = {"checkpoint": "c@1", "passages": 8500, "corpus": "passages"}
    text = report({"Flags": {"recall@1": 0.5, "recall@1_stderr": 0.05, "n": 100, "run": run}})
    assert "| Flags | 50.0 ± 5.0 | - |" in text
    assert "c@1 over 8,500 passages" in text


def rows_of(out: Path) -> dict[str, dict]:
    return {row["id"]: row for _, row in read_rows(out / "examples.jsonl")}


def withholding(pipeline: Pipeline) -> None:
    """Let nothing be said that is less likely than -1."""
    feature = {"answer_logprob": 1.0}
    fit = Fit(0.0, {"answer_logprob": 4.0}, {"answer_logprob": -1.0}, feature, None, 50)
    calibration = Calibration("c", 1.0, {}, {"scripted/few-shot/concat": fit})
    pipeline.answering = replace(pipeline.answering, calibration=calibration)


def test_what_was_said_is_scored_and_what_was_shown_beside_it(
    pipeline, generator, images, tmp_path: Path
) -> None:
    withholding(pipeline)
    replies = iter([("Paris [1]", -0.1), ("Paris [1]", -5.0), ("Rome [1]", -0.1)])
    generator.write = lambda prompt: next(replies)
    out = tmp_path / "out"
    results = evaluate(pipeline, asked(*map(example, "123")), images, out)
    assert rows_of(out)["2"]["answer"] == "I do not know"
    assert rows_of(out)["2"]["prediction"] == "Paris"
    assert results["exact_match"] == pytest.approx(2 / 3, abs=1e-4)
    assert results["exact_match_shown"] == pytest.approx(1 / 3, abs=1e-4)
    assert results["exact_match_shown_n"] == 3


def test_without_a_calibration_there_is_one_score(pipeline, images, tmp_path: Path) -> None:
    results = evaluate(pipeline, asked(example("1")), images, tmp_path / "out")
    assert not [name for name in results if "_shown" in name]


def failing_on(word: str):
    def write(prompt: Prompt) -> tuple[str, float]:
        if word in prompt.text:
            raise GeneratorTimeout("too slow.")
        return "Paris [1]", -0.1

    return write


def test_a_generator_that_fails_costs_no_hits(pipeline, generator, images, tmp_path: Path) -> None:
    generator.write = failing_on("Italy")
    rows = [example("1"), replace(example("2"), question="What is the capital of Italy?")]
    out = tmp_path / "out"
    results = evaluate(pipeline, asked(*rows), images, out)
    assert (results["recall@10_n"], results["exact_match_n"]) == (2, 1)
    assert (results["exact_match"], results["exact_match_failures_wrong"]) == (1.0, 0.5)
    assert results["unscored_reasons"] == {"GeneratorTimeout": 1}
    assert rows_of(out)["2"]["hits"] and "prediction" not in rows_of(out)["2"]
    generator.write = failing_on("nothing that is asked")
    results = evaluate(pipeline, asked(*rows), images, out)
    assert (results["exact_match_n"], results["unscored"]) == (2, 0)
    assert "exact_match_failures_wrong" not in results


@pytest.mark.parametrize("strategy", ["concat", "ra-vqa", "critic", "no-retrieval"])
def test_a_generator_that_writes_nothing_is_wrong_not_unscored(
    pipeline, generator, images, tmp_path: Path, strategy: str
) -> None:
    plan = replace(pipeline.answering.plan, strategy=strategy)
    pipeline.answering = replace(pipeline.answering, plan=plan)
    generator.write = lambda prompt: (" [1]", -0.1)
    results = evaluate(pipeline, asked(example("1")), images, tmp_path / "out")
    assert (results["exact_match"], results["exact_match_n"]) == (0.0, 1)
    assert (results["unscored"], results["empty"]) == (0, 1)


def test_a_generator_that_never_writes_a_word_ends_the_run(
    pipeline, generator, images, tmp_path: Path
) -> None:
    generator.write = lambda prompt: ("", None)
    many = asked(*(example(str(n)) for n in range(30)))
    with pytest.raises(TooManyFailures, match=r"first 10 answers have no word"):
        evaluate(pipeline, many, images, tmp_path / "out")
    assert len(rows_of(tmp_path / "out")) == 10
    generator.write = lambda prompt: ("Paris", -0.1)
    results = evaluate(pipeline, many, images, tmp_path / "out")
    assert (results["exact_match"], results["exact_match_n"]) == (1.0, 30)


def test_one_question_that_cannot_be_scored_costs_no_other(
    pipeline, images, tmp_path: Path
) -> None:
    def scores(example: Example, answer: str) -> dict[str, float]:
        return {"evqa": evqa.score(example.question, example.answers, answer, "automatic")}

    rows = [example("1"), replace(example("2"), answers=("A",)), example("3")]
    benchmark = Benchmark("mine", rows, scores)
    for _ in range(2):  # and so in every run after it
        results = evaluate(pipeline, benchmark, images, tmp_path / "out")
        assert (results["evqa"], results["evqa_n"], results["recall@10_n"]) == (1.0, 2, 3)
        assert results["unscored_reasons"] == {"Unscorable": 1}
    assert len(pipeline.generator.asked) == 3
    assert "'A'" in rows_of(tmp_path / "out")["2"]["unscored"]


def test_a_server_that_is_gone_ends_the_run(pipeline, generator, images, tmp_path: Path) -> None:
    generator.write = failing_on("capital")
    many = asked(*(example(str(n)) for n in range(30)))
    with pytest.raises(TooManyFailures, match=r"10 questions failed .*too slow"):
        evaluate(pipeline, many, images, tmp_path / "out")
    assert len(rows_of(tmp_path / "out")) == 10
    generator.write = failing_on("nothing that is asked")
    assert evaluate(pipeline, many, images, tmp_path / "out")["exact_match_n"] == 30


def test_a_generator_that_would_not_answer_is_not_asked(
    pipeline, generator, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> str:
        raise GeneratorUnavailable("wrong key")

    monkeypatch.setattr(generator, "health", refuse)
    with pytest.raises(GeneratorUnavailable, match="wrong key"):
        evaluate(pipeline, asked(example("1")), images, tmp_path / "out")
    assert generator.asked == []


def test_pictures_that_are_broken_end_no_run(pipeline, images, tmp_path: Path) -> None:
    (images / "broken.png").write_bytes(b"not a picture")
    rows = [example(str(n), "broken.png") for n in range(12)] + [example("last")]
    results = evaluate(pipeline, asked(*rows), images, tmp_path / "out")
    assert (results["unscored"], results["exact_match_n"]) == (12, 1)


def changed_answering(pipeline: Pipeline, **changes: object) -> None:
    pipeline.answering = replace(pipeline.answering, **changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: setattr(p.generator, "images", True), "capabilities.images"),
        (lambda p: setattr(p.generator, "name", "other"), "generator.name"),
        (withholding, "answering.confidence"),
        (lambda p: changed_answering(p, withhold_below=0.3), "answering.withhold_below"),
        (lambda p: changed_answering(p, unsure_below=0.3), "answering.unsure_below"),
    ],
)
def test_answers_of_another_kind_are_not_mixed_in(
    pipeline, images, tmp_path: Path, change, said: str
) -> None:
    evaluate(pipeline, asked(example("1")), images, tmp_path / "out")
    change(pipeline)
    with pytest.raises(InvalidSettings, match=said):
        evaluate(pipeline, asked(example("1")), images, tmp_path / "out")


def test_a_generator_that_loses_a_capability_on_the_way_is_noticed(
    pipeline, generator, images, tmp_path: Path
) -> None:
    def write(prompt: Prompt) -> tuple[str, float]:
        generator.images = len(generator.asked) > 1
        return "Paris", -0.1

    generator.write = write
    results = evaluate(pipeline, asked(example("1"), example("2")), images, tmp_path / "out")
    assert (results["exact_match_n"], results["unscored"]) == (1, 1)
    assert "can do other things" in rows_of(tmp_path / "out")["2"]["failure"]


def test_how_the_corpus_is_searched_is_told_not_demanded(pipeline, images, tmp_path: Path) -> None:
    benchmark = asked(example("1"), example("2"))
    evaluate(pipeline, asked(example("1")), images, tmp_path / "out")
    exact = open_exact(pipeline.index, lambda text: None)
    in_memory = Pipeline(pipeline.encoder, pipeline.index, pipeline.answering, exact=exact)
    results = evaluate(in_memory, benchmark, images, tmp_path / "out")
    assert results["search"] == {"two-stage": 1, "exact": 1}


@pytest.mark.parametrize(
    "changed",
    [{"question": "Who?"}, {"answers": ("Rome",)}, {"gold_passage_ids": ()}, {"image": "b.png"}],
)
def test_an_example_that_has_changed_is_asked_again(
    pipeline, images, tmp_path: Path, changed: dict
) -> None:
    golden_image("img1").save(images / "b.png")
    rows = [example("1"), example("2")]
    evaluate(pipeline, asked(*rows), images, tmp_path / "out")
    rows[1] = replace(rows[1], **changed)
    evaluate(pipeline, asked(*rows), images, tmp_path / "out")
    assert len(pipeline.generator.asked) == 3
    row = rows_of(tmp_path / "out")["2"]
    assert (row["question"], row["answers"]) == (rows[1].question, list(rows[1].answers))


def test_another_picture_of_the_same_name_is_looked_at(pipeline, images, tmp_path: Path) -> None:
    golden_image("img0").save(images / "b.png")
    rows = [example("1"), example("2", "b.png")]
    evaluate(pipeline, asked(*rows), images, tmp_path / "out")
    there = (images / "b.png").read_bytes()
    (images / "b.png").write_bytes(there[:-1] + bytes([there[-1] ^ 1]))  # of the same size
    evaluate(pipeline, asked(*rows), images, tmp_path / "out")
    assert len(pipeline.generator.asked) == 3
    evaluate(pipeline, asked(*rows), images, tmp_path / "out")
    assert len(pipeline.generator.asked) == 3
    (images / "b.png").unlink()
    assert evaluate(pipeline, asked(*rows), images, tmp_path / "out")["exact_match_n"] == 2


def test_another_scoring_scores_again_and_asks_nobody(pipeline, images, tmp_path: Path) -> None:
    rows = [example("1"), example("2")]
    evaluate(pipeline, asked(*rows), images, tmp_path / "out")
    judged: list[str] = []

    def scores(example: Example, answer: str) -> dict[str, float]:
        judged.append(answer)
        return {"bem": 0.25}

    other = Benchmark("mine", rows, scores, scoring="BEM 1")
    results = evaluate(pipeline, other, images, tmp_path / "out")
    assert (results["bem"], results["bem_n"], results["recall@1_n"]) == (0.25, 2, 2)
    assert "exact_match" not in results
    assert len(pipeline.generator.asked) == 2
    assert judged == ["Paris", "Paris"]
    evaluate(pipeline, other, images, tmp_path / "out")
    assert judged == ["Paris", "Paris"], "what is scored is not scored again"


def test_a_list_is_found_by_its_parts(pipeline, images, tmp_path: Path) -> None:
    listed = evqa.EvqaExample(
        "1", "a.png", "What?", ("river&&mountain",), question_type="multi_answer"
    )
    results = evaluate(pipeline, asked(listed), images, tmp_path / "out", answer=False)
    assert results["pseudo_recall@10"] == 1.0
    row = rows_of(tmp_path / "out")["1"]
    assert (row["answers"], row["searched"]) == (["river, mountain"], ["river", "mountain"])
