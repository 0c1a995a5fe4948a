"""M2KR through a real (tiny) retriever: its tasks, their instructions, and their answers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.evaluation.benchmarks.catalog import open_benchmark
from app.pipeline import Pipeline
from corpus.pictures.store import ImageCache
from tests import benchmark_files as make
from tests import corpus_files
from tests.evaluating import failures, found, pipeline_over, run
from tests.golden_cases import golden_image

ROOT = Path(__file__).parents[5]


@pytest.fixture
def m2kr_pipeline(tmp_path, checkpoint, generator) -> Iterator[Pipeline]:
    corpus_files.m2kr_passages(tmp_path / "m2kr" / "EVQA_passages")
    folder = tmp_path / "m2kr" / "EVQA_passages"
    yield from pipeline_over(folder, tmp_path, checkpoint, generator)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    golden_image("img0").save(folder / "a.png")
    return folder


def test_m2kr_by_name(m2kr_pipeline, pictures, tmp_path: Path) -> None:
    make.m2kr(tmp_path / "m2kr")
    benchmark, images = open_benchmark("m2kr-evqa", "", tmp_path, images=pictures)
    results = run(m2kr_pipeline, benchmark, images, tmp_path / "out", depth=50)

    assert results.benchmark == "m2kr-evqa/test"
    assert results.provenance.corpus["name"] == "EVQA_passages-test"
    assert results.headline == "pseudo_recall@5"
    # All eight passages are within the first ten.
    assert (
        results.figure("recall@10").value
        == results.figure("pseudo_recall@10").value
        == results.figure("recall@50").value
        == 1.0
    )
    assert results.figure("recall@1").n == 2
    assert results.find("recall@100") is None
    notes = " ".join(results.notes)
    assert "1 questions had the instruction in them" in notes
    assert "1 questions have empty answers" in notes


def test_gold_passages_that_the_corpus_lacks_are_counted(
    m2kr_pipeline, pictures, tmp_path: Path
) -> None:
    first, second = make.M2KR_ROWS
    make.m2kr(tmp_path / "m2kr", rows=[first | {"pos_item_ids": ["gone"]}, second])
    benchmark, images = open_benchmark("m2kr-evqa", "test", tmp_path, images=pictures)
    results = run(m2kr_pipeline, benchmark, images, tmp_path / "out")

    assert results.gold_not_in_corpus == 1
    assert results.figure("recall@10").value == 0.5


def test_instructions_reach_the_encoder(m2kr_pipeline, pictures, tmp_path: Path) -> None:
    rows = [
        make.M2KR_ROWS[0] | {"question_id": str(n), "instruction": instruction}
        for n, instruction in enumerate(["Retrieve the document:", "the capital of the city"])
    ]
    make.m2kr(tmp_path / "m2kr", rows=rows)
    benchmark, images = open_benchmark("m2kr-evqa", "", tmp_path, images=pictures)
    run(m2kr_pipeline, benchmark, images, tmp_path / "out")
    one, other = (row.hits for row in found(tmp_path / "out").values())

    # The instruction's own tokens are masked, but the encoder reads them.
    assert one != other


def test_the_image_cache_changes_no_score(m2kr_pipeline, pictures, tmp_path: Path) -> None:
    make.m2kr(tmp_path / "m2kr")
    benchmark, images = open_benchmark("m2kr-evqa", "", tmp_path, images=pictures)
    processor = m2kr_pipeline.encoder.checkpoint.image_processor
    cache = ImageCache(tmp_path / "cache", repr(processor), processor.prepare)
    rows = []
    for name, kept in (("plain", None), ("first", cache), ("second", cache)):
        run(m2kr_pipeline, benchmark, images, tmp_path / name, cache=kept)
        rows.append([row.hits for row in found(tmp_path / name).values()])

    assert rows[0] == rows[1] == rows[2]
    assert len(list((tmp_path / "cache").glob("*.png"))) == 1


@pytest.mark.parametrize(
    ("name", "answers", "said", "scores"),
    [
        ("okvqa", ["race"] * 6 + ["ride"] * 2 + ["", ""], "race", {"vqa_accuracy": 1.0}),
        ("okvqa", ["race"] * 2 + [""] * 8, "race", {"vqa_accuracy": 0.6}),
        ("evqa", ["cat&&dog", "bird"], "a bird.", {"evqa_exact_match": 1.0}),
        ("infoseek", ["Paris", "330"], "about 330", {"infoseek_exact_match": 0.0}),
        ("infoseek", ["Paris", "330"], "The Paris", {"infoseek_exact_match": 1.0}),
    ],
)
def test_answers_to_m2kr_are_scored_officially(
    tmp_path: Path, name: str, answers: list[str], said: str, scores: dict[str, float]
) -> None:
    config = {"okvqa": "OKVQA", "evqa": "EVQA", "infoseek": "Infoseek"}[name]
    make.m2kr(tmp_path / "m2kr", config, rows=[make.M2KR_ROWS[0] | {"answers": answers}])
    benchmark, _ = open_benchmark(f"m2kr-{name}", "", tmp_path)
    assert benchmark.answer_scores is not None
    given = benchmark.answer_scores(benchmark.examples[0], said)
    assert {metric: given[metric] for metric in scores} == pytest.approx(scores)
    assert benchmark.judged_by in given
    assert benchmark.headline == "pseudo_recall@5"
    if name == "infoseek":
        assert any("lower bound of InfoSeek" in note for note in benchmark.notes)


def test_infoseek_of_m2kr_is_scored_by_infoseeks_own_files_where_they_are(tmp_path: Path) -> None:
    make.infoseek(tmp_path / "infoseek")
    rows = [
        make.M2KR_ROWS[0] | {"question_id": f"INFOSEEK_{id_}", "answers": ["?"]}
        for id_, *_ in make.INFOSEEK
    ]
    make.m2kr(tmp_path / "m2kr", "Infoseek", rows=rows)
    benchmark, _ = open_benchmark("m2kr-infoseek", "", tmp_path)
    assert benchmark.judged_by == "infoseek_accuracy"
    said = ("city of light", "in 1888?", "about 320 m")
    given = [
        benchmark.answer_scores(example, text)["infoseek_accuracy"]
        for example, text in zip(benchmark.examples, said, strict=True)
    ]
    assert given == [1.0, 0.0, 1.0]  # a year with words is wrong, a number in its range is right


def test_tasks_without_a_question_are_measured(m2kr_pipeline, pictures, tmp_path: Path) -> None:
    rows = [
        make.M2KR_ROWS[0] | {"question_id": str(n), "question": question, "answers": None}
        for n, question in enumerate([None, "", "What is this? " * 100])
    ]
    make.m2kr(tmp_path / "m2kr", "WIT", rows=rows)
    benchmark, images = open_benchmark("m2kr-wit", "", tmp_path, images=pictures)
    results = run(m2kr_pipeline, benchmark, images, tmp_path / "out")
    assert (
        results.figure("recall@10").value,
        results.figure("recall@10").n,
        failures(results),
    ) == (1.0, 3, 0)
