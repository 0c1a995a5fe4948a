"""Benchmarks by name through a real (tiny) retriever: scores, names, notes and what is unscored."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from app.cli import app as cli
from app.commands.evaluate import app as evaluate_app
from app.errors import UnknownBenchmark
from app.evaluation.benchmarks.catalog import KNOWN, open_benchmark
from app.evaluation.results import groups_of
from corpus.errors import CorpusError, DatasetNotFound
from tests import benchmark_files as make
from tests import corpus_files
from tests.command_line import assert_clear, kbvqa
from tests.evaluating import answered, failures, run
from tests.golden_cases import GOLDEN, golden_image

ROOT = Path(__file__).parents[5]


def test_the_demo_is_a_benchmark_with_a_training_split(tmp_path: Path) -> None:
    seen = {}
    for split in ("train", "val"):
        benchmark, images = open_benchmark("demo", split, tmp_path, limit=20)
        assert benchmark.name == f"demo/{split}[20]"
        assert all((images / example.image).is_file() for example in benchmark.examples)
        seen[split] = {example.image for example in benchmark.examples}
    assert not seen["train"] & seen["val"]


def test_questions_written_by_hand_are_reported_by_type_and_kind(tmp_path: Path) -> None:
    benchmark, images = open_benchmark("demo-hand", "", tmp_path, question_types=["yes-no"])
    assert benchmark.name == "demo-hand/test:yes-no"
    assert all((images / example.image).is_file() for example in benchmark.examples)
    assert groups_of(benchmark.examples[0]) == {"question_type": "yes-no", "kind": "flag"}

    whole, _ = open_benchmark("demo-hand", "", tmp_path)
    assert len(whole.examples) == 300 and whole.answer_scores is not None
    no = next(example for example in benchmark.examples if example.answers == ("no",))
    for answer, score in (("No, it is not.", 1.0), ("no", 1.0), ("Yes.", 0.0), ("none", 0.0)):
        assert whole.answer_scores(no, answer) == {"exact_match": score, "contains": score}
    area = whole.examples[0]
    assert whole.answer_scores(area, "91 sq km.") == {"exact_match": 1.0, "contains": 1.0}
    assert whole.answer_scores(area, "It has 91 sq km") == {"exact_match": 0.0, "contains": 1.0}


def test_okvqa_scores_in_both_variants(pipeline, tmp_path: Path) -> None:
    make.okvqa(tmp_path / "okvqa")
    folder = tmp_path / "coco" / "val2014"
    folder.mkdir(parents=True)
    golden_image("img0").save(folder / "COCO_val2014_000000297147.jpg")
    pipeline.generator.write = lambda prompt: ("race [1]", -0.1)
    benchmark, images = open_benchmark("okvqa", "", tmp_path)
    results = run(pipeline, benchmark, images, tmp_path / "out")

    assert answered(results, "vqa_accuracy") == (1.0, 1)
    assert answered(results, "vqa_accuracy_lavis") == (1.0, 1)
    # The picture of the second question is not there.
    assert results.figure("vqa_accuracy").value == 0.5
    assert (
        results.n,
        failures(results),
        results.missing_images,
    ) == (2, 1, 1)
    missing = (tmp_path / "out" / "missing-images.txt").read_text()
    assert missing == "val2014/COCO_val2014_000000000009.jpg\n"
    assert "the same 5,046 questions" in results.notes[0]
    assert results.gold_not_in_corpus == 1


def test_what_failed_is_tried_again(pipeline, tmp_path: Path) -> None:
    make.okvqa(tmp_path / "okvqa")
    folder = tmp_path / "coco" / "val2014"
    folder.mkdir(parents=True)
    golden_image("img0").save(folder / "COCO_val2014_000000297147.jpg")
    benchmark, images = open_benchmark("okvqa", "val", tmp_path)
    assert failures(run(pipeline, benchmark, images, tmp_path / "out")) == 1
    golden_image("img1").save(folder / "COCO_val2014_000000000009.jpg")
    results = run(pipeline, benchmark, images, tmp_path / "out")

    assert (
        results.n,
        failures(results),
        results.figure("vqa_accuracy").n,
    ) == (2, 0, 2)
    assert results.missing_images == 0
    assert len(pipeline.generator.asked) == 2


def test_infoseek_has_its_official_summary(pipeline, tmp_path: Path) -> None:
    make.infoseek(tmp_path / "infoseek")
    folder = tmp_path / "oven" / "00"
    folder.mkdir(parents=True)
    for name in ("00000002", "00000003"):
        golden_image("img0").save(folder / f"oven_{name}.jpg")
    pipeline.generator.write = lambda prompt: ("1889", -0.1)
    benchmark, images = open_benchmark("infoseek", "", tmp_path)
    results = run(pipeline, benchmark, images, tmp_path / "out")

    # The time is right, the number out of range; the unseen question's picture is missing.
    assert answered(results, "infoseek_accuracy") == (0.5, 2)
    assert results.summary["unseen_entity_score"]["score"] == 50.0
    assert results.summary["unanswered"] == 1
    assert failures(results) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--stage", "think"], "'think' is no stage; choose from retrieve, answer, score"),
        (["--stage", "answer"], "holds nothing that was retrieved: run --stage retrieve"),
        (["--also", "gold,silver"], "'silver' is nothing to answer with"),
        (["--also", "gold", "--no-retrieval"], "--also needs retrieval"),
        (["--also", "gold", "--no-answer"], "--also needs answers"),
        (["--no-answer", "--no-retrieval"], "leaves nothing to measure"),
        (["--prompts", "long"], "--prompts 'long' is none of few-shot, instruct"),
        (["--extra-body", "{"], "--extra-body is no JSON"),
        (["--extra-body", "[1]"], "must be a JSON object"),
        (["--extra-body", '{"model": "x"}'], "has 'model', which every question sets itself"),
        (["--tokens", "5"], "--tokens is of something that writes"),
        (["--prompts", "few-shot"], "--prompts is of something that writes"),
        (["--extra-body", "{}"], "--extra-body is of something that writes"),
        (["--strategy", "guess"], "'guess' is no strategy"),
        (["--question-types", "x"], "no questions of the type 'x'"),
    ],
)
def test_options_that_cannot_be_used_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    make.okvqa(tmp_path / "okvqa")
    monkeypatch.setenv("KBVQA_DATA", str(tmp_path))
    command = ["evaluate", "run", "okvqa", "--out", str(tmp_path / "out"), *options]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code != 0
    assert said in result.output + str(result.exception)


def test_a_directory_without_pictures_stops_the_run_at_once(pipeline, tmp_path: Path) -> None:
    make.okvqa(tmp_path / "okvqa")
    benchmark, images = open_benchmark("okvqa", "", tmp_path)
    with pytest.raises(DatasetNotFound, match="none of the 2 pictures"):
        run(pipeline, benchmark, images, tmp_path / "out")
    assert pipeline.generator.asked == []


def test_files_without_a_question_are_an_error(tmp_path: Path) -> None:
    make.okvqa(tmp_path / "okvqa")
    for file in (tmp_path / "okvqa").glob("OpenEnded_*_questions.json"):
        file.write_text('{"questions": []}')
    with pytest.raises(CorpusError, match=r"okvqa/test has no questions: its files in .*okvqa"):
        open_benchmark("okvqa", "", tmp_path)


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
    assert len(KNOWN) == 5 + 10


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
    assert "2 examples" in result.output and "1 × InvalidImage" in result.output
    assert "1 example has no gold passage in this corpus" in result.output


def test_infoseeks_training_questions_are_measured(pipeline, tmp_path: Path) -> None:
    folder = make.infoseek(tmp_path / "infoseek")
    (folder / "infoseek_val.jsonl").rename(folder / "infoseek_train.jsonl")
    pictures = tmp_path / "oven"
    pictures.mkdir()
    for name in ("04925844", "00000002", "00000003"):
        golden_image("img0").save(pictures / f"oven_{name}.JPEG", "JPEG")
    pipeline.generator.write = lambda prompt: ("330 m", -0.1)
    benchmark, images = open_benchmark("infoseek", "train", tmp_path)
    results = run(pipeline, benchmark, images, tmp_path / "out")
    assert answered(results, "infoseek_accuracy") == (
        pytest.approx(1 / 3, abs=1e-4),
        3,
    )
    assert "question types are published for val alone" in results.notes[0]


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
    guide = (ROOT / "docs" / "guide" / "evaluate.md").read_text(encoding="utf-8")
    parameters = get_command(evaluate_app).commands["run"].params
    known = {option for p in parameters for option in (*p.opts, *p.secondary_opts)}
    lines = (line.partition("#")[0] for line in guide.splitlines())
    commands = [line for line in lines if line.startswith("kbvqa evaluate run")]
    assert len(commands) > 3
    for command in commands:
        assert set(re.findall(r"--[a-z-]+", command)) <= known
        name = command.split()[3]
        assert name in KNOWN or name.endswith(".jsonl")
    elsewhere = {"--by", "--gs112k"}
    how = (ROOT / "docs" / "how" / "evaluation.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(--[a-z0-9-]+)", guide + how)) <= known | elsewhere
    for name in ("results.json", "_shown", "answers.jsonl", "retrieval.jsonl", "table.md"):
        assert name in guide + how
