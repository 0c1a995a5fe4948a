"""Benchmarks by name through a real (tiny) retriever: scores, names, notes and what is unscored."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from app.answering import Answering
from app.benchmarks import KNOWN, open_benchmark, read_evqa
from app.cli import app as cli
from app.commands.evaluate import app as evaluate_app
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
from tests.unit.app.test_cli import assert_clear, kbvqa

ROOT = Path(__file__).parents[3]


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
    rows = tmp_path / "mine.jsonl"
    rows.write_text('{"id": "1", "image": "a.png", "question": "What?", "answers": ["a"]}\n')
    assert open_benchmark(str(rows), "", tmp_path)[0].name == "mine"
    with pytest.raises(UnknownBenchmark, match=r"--split foo is for benchmarks: the file .*mine"):
        open_benchmark(str(rows), "foo", tmp_path)
    with pytest.raises(UnknownBenchmark, match=r"--data .* is for benchmarks: the file"):
        open_benchmark(str(rows), "", tmp_path, data=tmp_path)
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


def test_bem_added_to_a_finished_run_is_asked(pipeline, evqa_data: Path, tmp_path: Path) -> None:
    pipeline.generator.write = lambda prompt: ("four, or cat [1]", -0.1)
    benchmark, images = open_benchmark("evqa", "", evqa_data)
    results = evaluate(pipeline, benchmark, images, tmp_path / "out")
    assert results[results["headline"]] == results["evqa_exact_match"] == 0.0
    judged: list[tuple[str, str, str]] = []

    def bem(question: str, reference: str, candidate: str) -> float:
        judged.append((question, reference, candidate))
        return 0.6

    with_bem = read_evqa(evqa_data / "evqa", "test", bem=bem)
    results = evaluate(pipeline, with_bem, images, tmp_path / "out")
    assert results[results["headline"]] == results["evqa_accuracy"] == 1.0
    assert (results["evqa_accuracy_n"], results["evqa_accuracy[multi_answer]_n"]) == (2, 1)
    assert ("Which animals live here?", "cat,dog", "four, or cat") in judged
    assert len(pipeline.generator.asked) == 2, "nothing is asked again"


def test_evqa_about_each_picture_of_a_question(pipeline, evqa_data: Path, tmp_path: Path) -> None:
    pipeline.generator.write = lambda prompt: ("3 [1]", -0.1)
    first, images = open_benchmark("evqa", "", evqa_data)
    assert any("1 of 2 questions have several pictures" in note for note in first.notes)
    every, _ = open_benchmark("evqa", "", evqa_data, all_pictures=True)
    assert not any("several pictures" in note for note in every.notes)
    assert [evaluate(pipeline, b, images, tmp_path / b.name)["evqa_exact_match"] for b in
            (first, every)] == [0.5, pytest.approx(2 / 3, abs=1e-4)]  # fmt: skip
    for options in ({"all_pictures": True}, {"bem": tmp_path}):
        with pytest.raises(UnknownBenchmark, match="for evqa, not for okvqa"):
            open_benchmark("okvqa", "", tmp_path, **options)


def test_tasks_without_a_question_are_measured(m2kr_pipeline, pictures, tmp_path: Path) -> None:
    rows = [
        make.M2KR_ROWS[0] | {"question_id": str(n), "question": question, "answers": None}
        for n, question in enumerate([None, "", "What is this? " * 100])
    ]
    make.m2kr(tmp_path / "m2kr", "WIT", rows=rows)
    benchmark, images = open_benchmark("m2kr-wit", "", tmp_path, images=pictures)
    results = evaluate(m2kr_pipeline, benchmark, images, tmp_path / "out")
    assert (results["recall@10"], results["recall@10_n"], results["unscored"]) == (1.0, 3, 0)


def test_an_evqa_answer_that_cannot_be_scored_costs_its_question_alone(
    pipeline, evqa_data: Path, tmp_path: Path
) -> None:
    rows = [make.EVQA_ROWS[0], make.EVQA_ROWS[1] | {"answer": "A", "question_type": "automatic"}]
    make.evqa(evqa_data / "evqa" / "test.csv", rows)
    pipeline.generator.write = lambda prompt: ("3 [1]", -0.1)
    benchmark, images = open_benchmark("evqa", "", evqa_data)
    for _ in range(2):
        results = evaluate(pipeline, benchmark, images, tmp_path / "out")
        assert (results["evqa_exact_match"], results["evqa_exact_match_n"]) == (1.0, 1)
        assert results["unscored_reasons"] == {"Unscorable": 1}


def test_infoseeks_training_questions_are_measured(pipeline, tmp_path: Path) -> None:
    folder = make.infoseek(tmp_path / "infoseek")
    (folder / "infoseek_val.jsonl").rename(folder / "infoseek_train.jsonl")
    pictures = tmp_path / "oven"
    pictures.mkdir()
    for name in ("04925844", "00000002", "00000003"):
        golden_image("img0").save(pictures / f"oven_{name}.JPEG", "JPEG")
    pipeline.generator.write = lambda prompt: ("330 m", -0.1)
    benchmark, images = open_benchmark("infoseek", "train", tmp_path)
    results = evaluate(pipeline, benchmark, images, tmp_path / "out")
    assert (results["infoseek_accuracy"], results["infoseek_accuracy_n"]) == (
        pytest.approx(1 / 3, abs=1e-4),
        3,
    )
    assert "question types are published for val alone" in results["notes"][0]


@pytest.mark.parametrize("key", ["dead", "wrong"])
def test_a_server_that_does_not_answer_ends_the_command_at_once(
    index_location, tmp_path: Path, key: str
) -> None:
    questions = tmp_path / "questions.jsonl"
    rows = [{"id": n, "image": "img0.png", "question": "Who?", "answers": ["x"]} for n in range(9)]
    corpus_files.jsonl(questions, rows)
    answers = refusing() if key == "wrong" else nullcontext(9)
    with answers as port:
        run = kbvqa(
            "evaluate", "run", str(questions), "--images", str(GOLDEN / "images"),
            "--out", str(tmp_path / "out"), "--index", str(index_location),
            "--checkpoint", str(GOLDEN / "B_preflmr"), home=tmp_path,
            KBVQA_GENERATOR_URL=f"http://127.0.0.1:{port}/v1", KBVQA_GENERATOR_MODEL="m",
            KBVQA_GENERATOR_API_KEY="secret", KBVQA_GENERATOR_RETRIES="0",
        )  # fmt: skip
    assert_clear(run, "refused the API key" if key == "wrong" else "is not reached")
    assert run.returncode == 1
    assert not (tmp_path / "out" / "results.json").exists()


@contextmanager
def refusing() -> Iterator[int]:
    """Yield the port of a server that takes no key."""

    class Refuse(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = b'{"error": {"message": "Incorrect API key provided"}}'
            self.send_response(401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_the_guide_names_options_and_scores_that_there_are() -> None:
    guide = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    known = {option for p in get_command(evaluate_app).commands["run"].params for option in p.opts}
    commands = [line for line in guide.splitlines() if line.startswith("    kbvqa evaluate run")]
    assert len(commands) > 3
    for command in commands:
        assert set(re.findall(r"--[a-z-]+", command)) <= known
        name = command.split()[3]
        assert name in KNOWN or name.endswith(".jsonl")
    elsewhere = {"--by", "--gs112k"}
    assert set(re.findall(r"`(--[a-z0-9-]+)", guide)) <= known | elsewhere
    for name in ("missing-images.txt", "results.json", "_shown", "_failures_wrong"):
        assert name in guide
