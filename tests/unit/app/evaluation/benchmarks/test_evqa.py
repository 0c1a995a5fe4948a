"""Encyclopedic-VQA through a real (tiny) retriever: BEM, types of questions, pictures."""

import json
from pathlib import Path

import pytest

from app.errors import UnknownBenchmark
from app.evaluation.benchmarks.catalog import open_benchmark, read_evqa
from tests import benchmark_files as make
from tests import corpus_files
from tests.evaluating import answered, failures, pipeline_over, run
from tests.golden_cases import golden_image

ROOT = Path(__file__).parents[5]


@pytest.fixture
def evqa_data(tmp_path: Path) -> Path:
    """Two questions whose pictures are there, one of them with two."""
    make.evqa(tmp_path / "evqa" / "test.csv", make.EVQA_ROWS[:2])
    for name in ("2412", "99"):
        path = tmp_path / "evqa-images" / "inat" / "val" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        golden_image("img0").save(path)
    images = [{"id": int(n), "file_name": f"val/{n}.png"} for n in ("2412", "99")]
    (tmp_path / "evqa-images" / "inat" / "val.json").write_text(json.dumps({"images": images}))
    landmark = tmp_path / "evqa-images" / "google-landmark" / "train" / "0" / "a" / "b"
    landmark.mkdir(parents=True)
    golden_image("img1").save(landmark / "0abc12.jpg")
    return tmp_path


def test_evqa_names_its_score_by_whether_bem_was_asked(tmp_path, checkpoint, generator) -> None:
    make.evqa(tmp_path / "evqa" / "test.csv")
    inat = tmp_path / "evqa-images" / "inat"
    inat.mkdir(parents=True)
    (inat / "val.json").write_text('{"images": [{"id": 2412, "file_name": "val/b/x.png"}]}')
    (inat / "val" / "b").mkdir(parents=True)
    golden_image("img0").save(inat / "val" / "b" / "x.png")
    kb = corpus_files.evqa_kb(tmp_path / "kb.json")
    benchmark, images = open_benchmark("evqa", "", tmp_path)
    generator.write = lambda prompt: ("three", -0.1)
    for pipeline in pipeline_over(kb, tmp_path, checkpoint, generator, by="section"):
        results = run(pipeline, benchmark, images, tmp_path / "out")

    assert results.headline == "evqa_exact_match"
    assert answered(results, "evqa_exact_match") == (1.0, 1)
    assert results.figure("evqa_exact_match", group="question_type=templated").value == 1.0
    assert results.figure("evqa_exact_match").value == pytest.approx(1 / 3, abs=1e-4)
    assert answered(results, "recall@10") == (1.0, 1)
    assert (failures(results), results.gold_not_in_corpus) == (2, 0)
    assert any("without BEM: a lower bound" in note for note in results.notes)
    with_bem = read_evqa(tmp_path / "evqa", "test", bem=lambda *_: 0.7)
    assert with_bem.headline == "evqa_accuracy"
    assert with_bem.answer_scores is not None
    assert with_bem.answer_scores(with_bem.examples[0], "four")["evqa_accuracy"] == 1.0


def test_questions_of_some_types_alone(evqa_data: Path) -> None:
    benchmark, _ = open_benchmark("evqa", "", evqa_data, question_types=["multi_answer"])
    assert benchmark.name == "evqa/test:multi_answer"
    assert [example.id for example in benchmark.examples] == ["2"]
    with pytest.raises(UnknownBenchmark, match=r"no questions of the type 'hard'; .*templated"):
        open_benchmark("evqa", "", evqa_data, question_types=["hard"])


def test_bem_added_to_a_finished_run_is_asked(pipeline, evqa_data: Path, tmp_path: Path) -> None:
    pipeline.generator.write = lambda prompt: ("four, or cat [1]", -0.1)
    benchmark, images = open_benchmark("evqa", "", evqa_data)
    results = run(pipeline, benchmark, images, tmp_path / "out")
    assert results.figure(results.headline).value == results.figure("evqa_exact_match").value == 0.0
    judged: list[tuple[str, str, str]] = []

    def bem(question: str, reference: str, candidate: str) -> float:
        judged.append((question, reference, candidate))
        return 0.6

    with_bem = read_evqa(evqa_data / "evqa", "test", bem=bem)
    results = run(pipeline, with_bem, images, tmp_path / "out")
    assert results.figure(results.headline).value == results.figure("evqa_accuracy").value == 1.0
    assert (
        results.figure("evqa_accuracy").n,
        results.figure("evqa_accuracy", group="question_type=multi_answer").n,
    ) == (2, 1)
    assert ("Which animals live here?", "cat,dog", "four, or cat") in judged
    assert len(pipeline.generator.asked) == 2, "nothing is asked again"


def test_evqa_about_each_picture_of_a_question(pipeline, evqa_data: Path, tmp_path: Path) -> None:
    pipeline.generator.write = lambda prompt: ("3 [1]", -0.1)
    first, images = open_benchmark("evqa", "", evqa_data)
    assert any("1 of 2 questions have several pictures" in note for note in first.notes)
    every, _ = open_benchmark("evqa", "", evqa_data, all_pictures=True)
    assert not any("several pictures" in note for note in every.notes)
    shares = [
        run(pipeline, benchmark, images, tmp_path / benchmark.name).figure("evqa_exact_match").value
        for benchmark in (first, every)
    ]
    assert shares == [0.5, pytest.approx(2 / 3, abs=1e-4)]
    for options in ({"all_pictures": True}, {"bem": tmp_path}):
        with pytest.raises(UnknownBenchmark, match="for evqa, not for okvqa"):
            open_benchmark("okvqa", "", tmp_path, **options)


def test_an_evqa_answer_that_cannot_be_scored_costs_its_question_alone(
    pipeline, evqa_data: Path, tmp_path: Path
) -> None:
    rows = [make.EVQA_ROWS[0], make.EVQA_ROWS[1] | {"answer": "A", "question_type": "automatic"}]
    make.evqa(evqa_data / "evqa" / "test.csv", rows)
    pipeline.generator.write = lambda prompt: ("3 [1]", -0.1)
    benchmark, images = open_benchmark("evqa", "", evqa_data)
    for _ in range(2):
        results = run(pipeline, benchmark, images, tmp_path / "out")
        assert answered(results, "evqa_exact_match") == (1.0, 1)
        assert results.outcomes["retrieved"].failures == {"Unscorable": 1}
