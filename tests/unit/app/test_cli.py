"""The command line as a user runs it: exit codes, messages, JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from corpus.types import Passage
from tests.golden_cases import GOLDEN

CHECKPOINT = str(GOLDEN / "B_preflmr")
PICTURE = str(GOLDEN / "images" / "img0.png")


def kbvqa(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("KBVQA_")}
    return subprocess.run(
        [sys.executable, "-m", "kbvqa", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**clean, "KBVQA_HOME": str(home), "HF_HUB_OFFLINE": "1", **environment},
        timeout=300,
    )


def assert_clear(run: subprocess.CompletedProcess[str], *words: str) -> None:
    assert run.returncode != 0
    assert "Traceback" not in run.stderr + run.stdout
    for word in words:
        assert word in run.stderr.replace("\n", " "), run.stderr


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_ask_prints_one_json_object(home: Path, index_location: Path) -> None:
    run = kbvqa(
        "ask", PICTURE, "What is this bird?", "--json", "--no-answer", "--top-k", "2",
        "--index", str(index_location), "--checkpoint", CHECKPOINT, home=home,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert result["answer"] is None
    assert len(result["hits"]) == 2
    assert set(result["hits"][0]) == {"passage_id", "title", "text", "score"}
    assert set(result["timings_ms"]) == {"encode", "search", "total"}
    assert result["checkpoint"].startswith("B_preflmr@")


def test_boxes_are_for_checkpoints_that_take_them(home: Path, index_location: Path) -> None:
    arguments = (
        "ask", PICTURE, "What is this bird?", "--no-answer", "--index", str(index_location),
        "--checkpoint", CHECKPOINT,
    )  # fmt: skip
    run = kbvqa(*arguments, "--box", "0,0,8,8", home=home)
    assert_clear(run, "takes one picture a query")
    assert_clear(kbvqa(*arguments, "--box", "0,0", home=home), "left,upper,right,lower")


def test_index_build_then_ask(home: Path, passages_path: Path, tmp_path: Path) -> None:
    location = str(tmp_path / "my-index")
    options = ("--index", location, "--checkpoint", CHECKPOINT)
    built = kbvqa("index", "build", str(passages_path), *options, home=home)
    assert built.returncode == 0, built.stderr
    assert "4 passages" in built.stdout
    again = kbvqa("index", "build", str(passages_path), *options, home=home)
    assert again.returncode == 0, again.stderr
    asked = kbvqa("ask", PICTURE, "Where is the church?", "--no-answer", *options, home=home)
    assert asked.returncode == 0, asked.stderr
    assert "[1] " in asked.stdout


def test_a_broken_passages_file_names_file_line_and_field(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "passages.jsonl"
    path.write_text('{"id": "a", "title": "A", "text": "a"}\n{"id": "b", "title": "B"}\n')
    run = kbvqa(
        "index", "build", str(path), "--index", str(tmp_path / "i"), "--checkpoint", CHECKPOINT,
        home=home,
    )  # fmt: skip
    assert_clear(run, "passages.jsonl", "line 2", "'text'")


def test_bad_pictures_and_questions(home: Path, index_location: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff not a picture")
    options = ("--index", str(index_location), "--checkpoint", CHECKPOINT, "--no-answer")
    assert_clear(kbvqa("ask", "missing.png", "What?", *options, home=home), "missing.png")
    assert_clear(kbvqa("ask", str(broken), "What?", *options, home=home), "broken.jpg")
    assert_clear(kbvqa("ask", PICTURE, " ", *options, home=home), "question is empty")
    assert_clear(kbvqa("ask", PICTURE, "x" * 10_000, *options, home=home), "10,000 characters")


@pytest.mark.slow
def test_an_flmr_looks_at_boxes_too(home: Path, passages_path: Path, tmp_path: Path) -> None:
    options = ("--index", str(tmp_path / "index"), "--checkpoint", str(GOLDEN / "A_flmr"))
    assert kbvqa("index", "build", str(passages_path), *options, home=home).returncode == 0
    scores = []
    for boxes in ((), ("--box", "0,0,8,8", "--box", "2,2,12,12")):
        run = kbvqa(
            "ask", PICTURE, "What bird?", "--no-answer", "--json", *boxes, *options, home=home
        )
        assert run.returncode == 0, run.stderr
        scores.append(json.loads(run.stdout)["hits"][0]["score"])
    assert scores[0] != scores[1]
    outside = kbvqa(
        "ask", PICTURE, "What?", "--no-answer", "--box", "0,0,9,999", *options, home=home
    )
    assert_clear(outside, "not inside the picture")


def test_a_missing_index_says_how_to_make_one(home: Path) -> None:
    run = kbvqa("ask", PICTURE, "What?", "--no-answer", "--checkpoint", CHECKPOINT, home=home)
    assert_clear(run, "kbvqa setup", "--index", "KBVQA_INDEX", "kbvqa index build")


def test_a_build_without_a_place_leaves_the_demo_alone(home: Path, passages_path: Path) -> None:
    build = ("index", "build", str(passages_path), "--checkpoint", CHECKPOINT)
    run = kbvqa(*build, home=home, COLUMNS="400")
    assert_clear(run, "--index", "KBVQA_INDEX", str(home / "index" / "demo"), "kbvqa setup")
    assert run.returncode == 2 and not (home / "index").exists()
    run = kbvqa(*build, home=home, KBVQA_INDEX=str(home / "mine"))
    assert run.returncode == 0 and (home / "mine").is_dir(), run.stderr


def test_an_index_of_another_checkpoint_is_refused(
    home: Path, index_location: Path, tmp_path: Path, checkpoint
) -> None:
    from dataclasses import replace

    from retriever.checkpoint import save_checkpoint
    from retriever.text_vision import TextVision

    other = tmp_path / "other"
    save_checkpoint(replace(checkpoint, text_vision=TextVision(0.5, 0.9)), other)
    run = kbvqa(
        "ask", PICTURE, "What?", "--no-answer", "--index", str(index_location),
        "--checkpoint", str(other), home=home,
    )  # fmt: skip
    assert_clear(run, "made with the checkpoint B_preflmr@", "not other@")


def test_an_unknown_setting_is_refused(home: Path) -> None:
    assert_clear(kbvqa("doctor", home=home, KBVQA_PROT="1"))
    run = kbvqa("ask", PICTURE, "What?", home=home, KBVQA_PROT="1")
    assert_clear(run, "KBVQA_PROT")


def test_evaluate_run_writes_results(home: Path, index_location: Path, tmp_path: Path) -> None:
    row = {
        "id": "1",
        "image": "img0.png",
        "question": "What is the capital of France?",
        "answers": ["Paris"],
        "gold_passage_ids": [Passage("p:paris", "", "").id],
    }
    (tmp_path / "examples.jsonl").write_text(json.dumps(row) + "\n")
    run = kbvqa(
        "evaluate", "run", str(tmp_path / "examples.jsonl"), "--images", str(GOLDEN / "images"),
        "--out", str(tmp_path / "out"), "--no-answer", "--index", str(index_location),
        "--checkpoint", CHECKPOINT, home=home,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["recall@10"] == 1.0
    assert {"recall@1", "recall@5", "pseudo_recall@5", "n", "unscored"} <= set(results)


def test_help_teaches_by_example(home: Path) -> None:
    run = kbvqa("--help", home=home)
    assert run.returncode == 0
    assert 'kbvqa ask flag.png "What is the capital of this country?"' in run.stdout


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, not a directory")
    run = kbvqa("setup", home=tmp_path / "home")
    assert run.returncode == 1
    assert_clear(run, "home", "KBVQA_HOME")
