"""Generators, servers and pictures that fail: what was found still counts, and a run ends."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import TooManyFailures
from app.evaluation.benchmarks.benchmark import Benchmark
from corpus.benchmarks import evqa
from corpus.types import Example
from generator.errors import GeneratorUnavailable
from tests.evaluating import asked, example, failing_on, found, run, said, scored


def test_a_generator_that_fails_costs_no_hits_and_lowers_the_score(
    pipeline, generator, images, tmp_path: Path
) -> None:
    generator.write = failing_on("Italy")
    rows = [example("1"), replace(example("2"), question="What is the capital of Italy?")]
    out = tmp_path / "out"
    results = run(pipeline, asked(*rows), images, out)
    assert results.figure("recall@10").answered_n == 2
    figure = results.figure("exact_match")
    assert (figure.value, figure.n, figure.answered, figure.answered_n) == (0.5, 2, 1.0, 1)
    assert results.outcomes["retrieved"].failures == {"GeneratorTimeout": 1}
    assert scored(out)["2"].searched and scored(out)["2"].status == "failed"
    generator.write = failing_on("nothing that is asked")
    left = run(pipeline, asked(*rows), images, out, only_missing=True)
    assert left.figure("exact_match").value == 0.5
    assert len(generator.asked) == 2
    results = run(pipeline, asked(*rows), images, out)
    assert results.figure("exact_match").value == 1.0
    assert results.outcomes["retrieved"].failures == {}


@pytest.mark.parametrize("strategy", ["concat", "ra-vqa", "critic", "no-retrieval"])
def test_a_generator_that_writes_nothing_is_wrong_not_unscored(
    pipeline, generator, images, tmp_path: Path, strategy: str
) -> None:
    plan = replace(pipeline.answering.plan, strategy=strategy)
    pipeline.answering = replace(pipeline.answering, plan=plan)
    generator.write = lambda prompt: (" [1]", -0.1)
    results = run(pipeline, asked(example("1")), images, tmp_path / "out")
    figure = results.figure("exact_match")
    assert (figure.value, figure.n, figure.answered_n) == (0.0, 1, 1)
    assert results.outcomes["retrieved"].empty == 1


def test_a_generator_that_never_writes_a_word_ends_the_run(
    pipeline, generator, images, tmp_path: Path
) -> None:
    generator.write = lambda prompt: ("", None)
    many = asked(*(example(str(n)) for n in range(30)))
    with pytest.raises(TooManyFailures, match=r"first 10 answers have no word"):
        run(pipeline, many, images, tmp_path / "out")
    assert 10 <= len(said(tmp_path / "out")) < 30
    generator.write = lambda prompt: ("Paris", -0.1)
    results = run(pipeline, many, images, tmp_path / "out")
    assert (results.figure("exact_match").value, results.figure("exact_match").n) == (1.0, 30)


def test_one_question_that_cannot_be_scored_costs_no_other(
    pipeline, images, tmp_path: Path
) -> None:
    def scores(example: Example, answer: str) -> dict[str, float]:
        return {"evqa": evqa.score(example.question, example.answers, answer, "automatic")}

    rows = [example("1"), replace(example("2"), answers=("A",)), example("3")]
    benchmark = Benchmark("mine", rows, scores, judged_by="evqa")
    for _ in range(2):  # and so in every run after it
        results = run(pipeline, benchmark, images, tmp_path / "out")
        assert (results.figure("evqa").value, results.figure("evqa").n) == (1.0, 2)
        assert results.figure("recall@10").n == 3
        assert results.outcomes["retrieved"].failures == {"Unscorable": 1}
    assert len(pipeline.generator.asked) == 3
    assert "'A'" in scored(tmp_path / "out")["2"].reason


def test_a_server_that_is_gone_ends_the_run(pipeline, generator, images, tmp_path: Path) -> None:
    generator.write = failing_on("capital")
    many = asked(*(example(str(n)) for n in range(30)))
    with pytest.raises(TooManyFailures, match=r"10 questions failed .*too slow"):
        run(pipeline, many, images, tmp_path / "out")
    assert len(found(tmp_path / "out")) == 30
    generator.write = failing_on("nothing that is asked")
    assert run(pipeline, many, images, tmp_path / "out").figure("exact_match").answered_n == 30


def test_a_generator_that_would_not_answer_is_not_asked(
    pipeline, generator, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> str:
        raise GeneratorUnavailable("wrong key")

    monkeypatch.setattr(generator, "health", refuse)
    with pytest.raises(GeneratorUnavailable, match="wrong key"):
        run(pipeline, asked(example("1")), images, tmp_path / "out")
    assert generator.asked == []
    assert not (tmp_path / "out").exists(), "before all the retrieval, not behind it"


def test_pictures_that_are_broken_end_no_run(pipeline, images, tmp_path: Path) -> None:
    (images / "broken.png").write_bytes(b"not a picture")
    rows = [example(str(n), "broken.png") for n in range(12)] + [example("last")]
    results = run(pipeline, asked(*rows), images, tmp_path / "out")
    assert results.figure("exact_match").answered_n == 1
    assert results.outcomes["retrieved"].failures == {"InvalidImage": 12}
