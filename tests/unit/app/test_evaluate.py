import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.benchmarks import Benchmark, contains_match, exact_match, own_scores
from app.errors import InvalidSettings
from app.evaluate import evaluate
from app.evaluate_demo import calibrate, report
from corpus.types import Example
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
