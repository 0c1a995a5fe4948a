"""The command line as a user runs it: exit codes, messages, JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from app.evaluation.files.json_rows import read_results
from corpus.files.passages import write_passages
from corpus.types import Passage
from tests.command_line import CHECKPOINT, PICTURE, assert_clear, kbvqa, kbvqa_apart
from tests.golden_cases import GOLDEN


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_ask_prints_one_json_object(home: Path, index_location: Path) -> None:
    run = kbvqa_apart(
        "ask", PICTURE, "What is this bird?", "--json", "--no-answer", "--top-k", "2",
        "--index", str(index_location), "--checkpoint", CHECKPOINT, home=home,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert "answer" not in result
    assert len(result["hits"]) == 2
    fields = {"passage_id", "title", "section", "url", "text", "score"}
    assert set(result["hits"][0]) == fields
    assert set(result["timings_ms"]) == {"encode", "search", "total"}
    assert result["checkpoint"].startswith("B_preflmr@")


def test_a_part_of_the_picture_is_looked_at(
    home: Path, index_location: Path, tmp_path: Path
) -> None:
    """By a checkpoint that takes one picture: as if the part had been cut out."""
    options = (
        "What is this bird?", "--no-answer", "--json", "--index", str(index_location),
        "--checkpoint", CHECKPOINT,
    )  # fmt: skip
    part = tmp_path / "part.png"
    with Image.open(PICTURE) as picture:
        picture.crop((2, 3, 12, 14)).save(part)
    boxed = json.loads(kbvqa("ask", PICTURE, *options, "--box", "2,3,12,14", home=home).stdout)
    alone = json.loads(kbvqa("ask", str(part), *options, home=home).stdout)
    assert boxed["hits"] == alone["hits"]
    assert boxed["boxes"] == [[2, 3, 12, 14]] and alone["boxes"] == []


def test_what_was_asked_is_saved(home: Path, index_location: Path, tmp_path: Path) -> None:
    asked = (
        "ask", PICTURE, "Which <city>?", "--index", str(index_location), "--checkpoint",
        CHECKPOINT, "--save",
    )  # fmt: skip
    run = kbvqa(*asked, str(tmp_path / "a.html"), home=home)
    assert run.returncode == 0, run.stderr
    page = (tmp_path / "a.html").read_text("utf-8")
    assert "<title>Which &lt;city&gt;?</title>" in page and "kb-card" in page
    run = kbvqa(*asked, str(tmp_path / "a.json"), "--no-answer", "--json", home=home)
    saved = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert saved.pop("question") == "Which <city>?" and saved.pop("id") and saved.pop("time")
    assert saved == json.loads(run.stdout)
    for wrong, said in (("a.txt", ".html nor .json"), ("no/a.json", "no place for a file")):
        refused = kbvqa(*asked, str(tmp_path / wrong), home=home)
        assert refused.returncode == 2 and said in " ".join(refused.stderr.split())
    refused = kbvqa(*asked, str(tmp_path / "b.html"), "--no-answer", home=home)
    assert refused.returncode == 2 and "name a .json" in " ".join(refused.stderr.split())


def test_ask_says_why_and_draws_where(home: Path, index_location: Path, tmp_path: Path) -> None:
    asked = (
        "ask", PICTURE, "which tower", "--no-answer", "--top-k", "2", "--index",
        str(index_location), "--checkpoint", CHECKPOINT,
    )  # fmt: skip
    run = kbvqa(*asked, "--why", str(tmp_path / "heat.png"), home=home)
    assert run.returncode == 0, run.stderr
    assert "Why passage 2" in run.stdout and "places in the picture" in run.stdout
    with Image.open(PICTURE) as picture, Image.open(tmp_path / "heat.png") as heat:
        assert heat.width == max(picture.width, 240) and heat.height > picture.height
    as_json = kbvqa(*asked, "--json", "--why", str(tmp_path / "again.png"), home=home)
    assert len(json.loads(as_json.stdout)["why"]["passages"]) == 2
    nowhere = kbvqa(*asked, "--why", str(tmp_path / "no" / "heat.png"), home=home)
    assert nowhere.returncode == 2 and "no place for a file" in nowhere.stderr
    other = kbvqa(*asked, "--why", str(tmp_path / "heat.jpg"), home=home)
    assert other.returncode == 2 and "does not end in .png" in " ".join(other.stderr.split())
    assert not (tmp_path / "heat.jpg").exists()


def test_a_box_that_cannot_be_used_says_why(home: Path, index_location: Path) -> None:
    arguments = (
        "ask", PICTURE, "What is this bird?", "--no-answer", "--index", str(index_location),
        "--checkpoint", CHECKPOINT,
    )  # fmt: skip
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
    run = kbvqa_apart(*build, home=home, COLUMNS="400")
    assert_clear(run, "--index", "KBVQA_INDEX", str(home / "index" / "demo"), "kbvqa setup")
    assert run.returncode == 2 and not (home / "index").exists()
    run = kbvqa(*build, home=home, KBVQA_INDEX=str(home / "mine"))
    assert run.returncode == 0 and (home / "mine").is_dir(), run.stderr


def test_an_index_of_another_checkpoint_is_refused(
    home: Path, index_location: Path, tmp_path: Path, checkpoint
) -> None:
    from dataclasses import replace

    from retriever.checkpoint.loading import save_checkpoint
    from retriever.inputs.text_vision import TextVision

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
    results = read_results(tmp_path / "out")
    assert results.n == 1
    assert results.figure("recall@10").value == 1.0
    assert all(results.find(name) for name in ("recall@1", "recall@5", "pseudo_recall@5"))
    assert "| recall@10 | 100.0 ± 0.0 |" in run.stdout


def test_help_teaches_by_example(home: Path) -> None:
    run = kbvqa_apart("--help", home=home)
    assert run.returncode == 0
    assert 'kbvqa ask flag.png "What is the capital of this country?"' in run.stdout


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, not a directory")
    run = kbvqa("setup", home=tmp_path / "home")
    assert run.returncode == 1
    assert_clear(run, "home", "KBVQA_HOME")


def test_the_version_is_said(home: Path) -> None:
    run = kbvqa_apart("--version", home=home)
    assert run.returncode == 0
    assert run.stdout.startswith("kbvqa ")


# What a question on the command line has no use for: each costs a part of a second to import.
UNUSED = (
    "transformers", "torch._dynamo", "torch.distributed.tensor", "sympy", "scipy", "accelerate",
    "gradio", "huggingface_hub", "datasketch", "sentencex", "qdrant_client", "tensorflow", "peft",
)  # fmt: skip


def test_a_question_imports_only_what_it_needs(home: Path, index_location: Path) -> None:
    """With an EfficientNet and the reader that comes along, as the demo has them."""
    script = (
        "import sys; from app.cli import main\n"
        "try: main()\n"
        "except SystemExit as exc: assert not exc.code, exc.code\n"
        f"print([m for m in {UNUSED!r} if m in sys.modules])"
    )
    location = home / "index"
    small = [Passage("p", "Peru", "Peru. Capital: Lima."), Passage("q", "Chile", "A country.")]
    write_passages(home.parent / "small.jsonl", small)
    kbvqa("index", "build", str(home.parent / "small.jsonl"), "--index", str(location), home=home)
    run = subprocess.run(
        [sys.executable, "-c", script, "ask", PICTURE, "What is the capital?", "--index",
         str(location)],
        capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
        env={**os.environ, "KBVQA_HOME": str(home)}, timeout=300,
    )  # fmt: skip
    assert run.stdout.splitlines()[-1] == "[]"
