"""Benchmarks by name through a real (tiny) retriever: scores, names, notes and what is unscored."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.answering import Answering
from app.benchmarks import KNOWN, open_benchmark, read_evqa
from app.cli import app as cli
from app.components import build_index, open_index
from app.errors import UnknownBenchmark
from app.evaluate import evaluate
from app.pipeline import Pipeline
from corpus.corpora import open_corpus
from corpus.errors import DatasetNotFound
from corpus.image_store import ImageCache
from corpus.passages import write_passages
from corpus.policy import PassagePolicy
from generator.confidence import Calibration
from generator.strategies import Plan
from retriever.checkpoint import Checkpoint
from retriever.encoder import Encoder
from tests import benchmark_files as make
from tests import corpus_files
from tests.golden_cases import GOLDEN, golden_image
from tests.scripted import ScriptedGenerator


def pipeline_over(
    corpus: Path, folder: Path, checkpoint: Checkpoint, generator: ScriptedGenerator, **policy: Any
) -> Iterator[Pipeline]:
    passages = folder / f"{open_corpus(corpus).name.replace('/', '-')}.jsonl"
    made = open_corpus(corpus, policy=PassagePolicy(**policy) if policy else None)
    write_passages(passages, made.read())
    build_index(passages, folder / "index", checkpoint, lambda done, total: None)
    with open_index(folder / "index", checkpoint) as index:
        answering = Answering(generator, Plan("concat", passages=2), Calibration())
        yield Pipeline(Encoder(checkpoint), index, answering)


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


def test_the_demo_is_a_benchmark_with_a_training_split(tmp_path: Path) -> None:
    seen = {}
    for split in ("train", "val"):
        benchmark, images = open_benchmark("demo", split, tmp_path, limit=20)
        assert benchmark.name == f"demo/{split}[20]"
        assert all((images / example.image).is_file() for example in benchmark.examples)
        seen[split] = {example.image for example in benchmark.examples}
    assert not seen["train"] & seen["val"]


def test_m2kr_by_name(m2kr_pipeline, pictures, tmp_path: Path) -> None:
    make.m2kr(tmp_path / "m2kr")
    benchmark, images = open_benchmark("m2kr-evqa", "", tmp_path, images=pictures)
    results = evaluate(m2kr_pipeline, benchmark, images, tmp_path / "out", depth=50)

    assert results["benchmark"] == "m2kr-evqa/test"
    assert results["corpus"] == "EVQA_passages-test"
    assert results["headline"] == "pseudo_recall@5"
    # All eight passages are within the first ten.
    assert results["recall@10"] == results["pseudo_recall@10"] == results["recall@50"] == 1.0
    assert results["recall@1_n"] == 2
    assert "recall@100" not in results
    assert "exact_match" not in results  # M2KR measures retrieval
    notes = " ".join(results["notes"])
    assert "1 questions had the instruction in them" in notes
    assert "1 questions have empty answers" in notes


def test_gold_passages_that_the_corpus_lacks_are_counted(
    m2kr_pipeline, pictures, tmp_path: Path
) -> None:
    first, second = make.M2KR_ROWS
    make.m2kr(tmp_path / "m2kr", rows=[first | {"pos_item_ids": ["gone"]}, second])
    benchmark, images = open_benchmark("m2kr-evqa", "test", tmp_path, images=pictures)
    results = evaluate(m2kr_pipeline, benchmark, images, tmp_path / "out")

    assert results["gold_not_in_corpus"] == 1
    assert results["recall@10"] == 0.5


def test_instructions_reach_the_encoder(m2kr_pipeline, pictures, tmp_path: Path) -> None:
    rows = [
        make.M2KR_ROWS[0] | {"question_id": str(n), "instruction": instruction}
        for n, instruction in enumerate(["Retrieve the document:", "the capital of the city"])
    ]
    make.m2kr(tmp_path / "m2kr", rows=rows)
    benchmark, images = open_benchmark("m2kr-evqa", "", tmp_path, images=pictures)
    evaluate(m2kr_pipeline, benchmark, images, tmp_path / "out")
    lines = (tmp_path / "out" / "examples.jsonl").read_text().splitlines()
    one, other = (json.loads(line)["hits"] for line in lines)

    # The instruction's own tokens are masked, but the encoder reads them.
    assert one != other


def test_the_image_cache_changes_no_score(m2kr_pipeline, pictures, tmp_path: Path) -> None:
    make.m2kr(tmp_path / "m2kr")
    benchmark, images = open_benchmark("m2kr-evqa", "", tmp_path, images=pictures)
    processor = m2kr_pipeline.encoder.checkpoint.image_processor
    cache = ImageCache(tmp_path / "cache", repr(processor), processor.prepare)
    rows = []
    for name, kept in (("plain", None), ("first", cache), ("second", cache)):
        evaluate(m2kr_pipeline, benchmark, images, tmp_path / name, cache=kept)
        text = (tmp_path / name / "examples.jsonl").read_text()
        rows.append([json.loads(line)["hits"] for line in text.splitlines()])

    assert rows[0] == rows[1] == rows[2]
    assert len(list((tmp_path / "cache").glob("*.png"))) == 1


def test_okvqa_scores_in_both_variants(pipeline, tmp_path: Path) -> None:
    make.okvqa(tmp_path / "okvqa")
    folder = tmp_path / "coco" / "val2014"
    folder.mkdir(parents=True)
    golden_image("img0").save(folder / "COCO_val2014_000000297147.jpg")
    pipeline.generator.write = lambda prompt: ("race [1]", -0.1)
    benchmark, images = open_benchmark("okvqa", "", tmp_path)
    results = evaluate(pipeline, benchmark, images, tmp_path / "out")

    assert (results["vqa_accuracy"], results["vqa_accuracy_n"]) == (1.0, 1)
    assert results["vqa_accuracy_lavis"] == 1.0
    # The picture of the second question is not there: it is unscored, not wrong.
    assert (results["n"], results["unscored"], results["missing_images"]) == (2, 1, 1)
    missing = (tmp_path / "out" / "missing-images.txt").read_text()
    assert missing == "val2014/COCO_val2014_000000000009.jpg\n"
    assert "the same 5,046 questions" in results["notes"][0]
    assert results["gold_not_in_corpus"] == 1


def test_what_failed_is_tried_again(pipeline, tmp_path: Path) -> None:
    make.okvqa(tmp_path / "okvqa")
    folder = tmp_path / "coco" / "val2014"
    folder.mkdir(parents=True)
    golden_image("img0").save(folder / "COCO_val2014_000000297147.jpg")
    benchmark, images = open_benchmark("okvqa", "val", tmp_path)
    assert evaluate(pipeline, benchmark, images, tmp_path / "out")["unscored"] == 1
    golden_image("img1").save(folder / "COCO_val2014_000000000009.jpg")
    results = evaluate(pipeline, benchmark, images, tmp_path / "out")

    assert (results["n"], results["unscored"], results["vqa_accuracy_n"]) == (2, 0, 2)
    assert "missing_images" not in results
    assert len(pipeline.generator.asked) == 2


def test_infoseek_has_its_official_summary(pipeline, tmp_path: Path) -> None:
    make.infoseek(tmp_path / "infoseek")
    folder = tmp_path / "oven" / "00"
    folder.mkdir(parents=True)
    for name in ("00000002", "00000003"):
        golden_image("img0").save(folder / f"oven_{name}.jpg")
    pipeline.generator.write = lambda prompt: ("1889", -0.1)
    benchmark, images = open_benchmark("infoseek", "", tmp_path)
    results = evaluate(pipeline, benchmark, images, tmp_path / "out")

    # The time is right, the number out of range; the unseen question's picture is missing.
    assert (results["infoseek_accuracy"], results["infoseek_accuracy_n"]) == (0.5, 2)
    assert results["summary"]["unseen_entity_score"]["score"] == 50.0
    assert results["summary"]["unanswered"] == 1
    assert results["unscored"] == 1


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
        results = evaluate(pipeline, benchmark, images, tmp_path / "out")

    assert results["headline"] == "evqa_exact_match"
    assert (results["evqa_exact_match"], results["evqa_exact_match_n"]) == (1.0, 1)
    assert results["evqa_exact_match[templated]"] == 1.0
    assert results["recall@10"] == 1.0
    assert (results["unscored"], results["gold_not_in_corpus"]) == (2, 0)
    assert any("without BEM: a lower bound" in note for note in results["notes"])
    with_bem = read_evqa(tmp_path / "evqa", "test", bem=lambda *_: 0.7)
    assert with_bem.headline == "evqa_accuracy"
    assert with_bem.answer_scores is not None
    assert with_bem.answer_scores(with_bem.examples[0], "four")["evqa_accuracy"] == 1.0


def test_a_directory_without_pictures_stops_the_run_at_once(pipeline, tmp_path: Path) -> None:
    make.okvqa(tmp_path / "okvqa")
    benchmark, images = open_benchmark("okvqa", "", tmp_path)
    with pytest.raises(DatasetNotFound, match="none of the 2 pictures"):
        evaluate(pipeline, benchmark, images, tmp_path / "out")
    assert pipeline.generator.asked == []


def test_names_and_splits_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UnknownBenchmark, match=r"vqav2 is neither.*okvqa, infoseek, evqa, m2kr-"):
        open_benchmark("vqav2", "", tmp_path)
    with pytest.raises(UnknownBenchmark, match="no split 'dev'; it has test, val, train"):
        open_benchmark("okvqa", "dev", tmp_path)
    with pytest.raises(DatasetNotFound, match="kbvqa data status"):
        open_benchmark("okvqa", "", tmp_path)
    with pytest.raises(DatasetNotFound, match="kbvqa data status evqa"):
        open_benchmark("evqa", "", tmp_path)
    assert len(KNOWN) == 4 + 10


def test_a_limit_spreads_evenly_and_is_in_the_name(tmp_path: Path) -> None:
    make.m2kr(
        tmp_path / "m2kr", rows=[make.M2KR_ROWS[0] | {"question_id": str(n)} for n in range(9)]
    )
    benchmark, _ = open_benchmark("m2kr-evqa", "", tmp_path, limit=3)
    assert benchmark.name == "m2kr-evqa/test[3]"
    assert [example.id for example in benchmark.examples] == ["0", "3", "6"]


def test_the_command_prints_corpus_and_figures(
    index_location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make.okvqa(tmp_path / "okvqa")
    folder = tmp_path / "coco" / "val2014"
    folder.mkdir(parents=True)
    golden_image("img0").save(folder / "COCO_val2014_000000297147.jpg")
    monkeypatch.setenv("KBVQA_DATA", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    command = ["evaluate", "run", "okvqa", "--no-answer", "--out", str(tmp_path / "out")]
    command += ["--index", str(index_location), "--checkpoint", str(GOLDEN / "B_preflmr")]
    result = CliRunner().invoke(cli, [*command, "--image-cache", str(tmp_path / "cache")])

    assert result.exit_code == 0, result.output
    assert "okvqa/test on the corpus passages" in result.output
    assert "pseudo_recall@5" in result.output
    assert "2 examples, 1 unscored" in result.output
    assert "1 examples have no gold passage in this corpus" in result.output
