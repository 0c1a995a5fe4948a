"""Fine-tuning on one's own data through the command line: checks, a training, a table."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from retriever.errors import TrainingStopped
from tests.tiny_flmr import tiny_checkpoint, write_ten

FEW = ("--set", "steps=2", "--set", "batch=4", "--set", "negatives=1")
WELL = ("--set", "steps=100", "--set", "batch=10", "--set", "mapping_learning_rate=3e-3")


@dataclass
class Run:
    code: int
    out: str
    err: str


Command = Callable[..., Run]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_checkpoint(tmp_path / "tiny")
    write_ten(tmp_path)
    return tmp_path


@pytest.fixture
def kbvqa(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.setenv("KBVQA_HOME", str(folder))

    def run(*arguments: str) -> Run:
        monkeypatch.setattr(sys, "argv", ["kbvqa", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Run(int(ended.value.code or 0), captured.out, " ".join(captured.err.split()))

    return run


@pytest.fixture
def finetune(folder: Path, kbvqa: Command) -> Command:
    def run(*more: str) -> Run:
        return kbvqa(
            "train", "finetune", "--examples", str(folder / "examples.jsonl"),
            "--passages", str(folder / "passages.jsonl"), "--checkpoint", str(folder / "tiny"),
            "--out", str(folder / "out"), *more,
        )  # fmt: skip

    return run


def assert_clear(run: Run, *words: str) -> None:
    assert run.code == 1 and "Unexpected" not in run.err
    assert all(word in run.err for word in words), run.err


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
def test_what_can_be_learnt_is_found_better_and_used_as_the_command_says(
    folder: Path, finetune: Command, kbvqa: Command
) -> None:
    # The same pictures under other words: only what is learnt of them finds their passages.
    asked = [{**row, "id": f"v{row['id']}", "question": "Which is it?"} for row in rows(folder)]
    validation = write(folder / "validation.jsonl", asked)
    made = finetune("--validation", str(validation), *WELL)
    assert made.code == 0, made.err
    found = (folder / "out" / "checks.jsonl").read_text()
    assert found.count("its picture is trained on") == 10
    record = json.loads((folder / "out" / "finetune.json").read_text())
    best = record["figures"][0]
    assert (best["metric"], best["n"]) == ("recall@1", 10)
    assert best["difference"] > 0.4  # by chance it finds one in ten
    assert "too few" not in made.out
    line = f"| recall@1 | {100 * best['first']:.1f} ± "
    assert line in made.out and f"| {100 * best['difference']:+.1f} ± " in made.out

    [use] = [line for line in made.out.splitlines() if line.startswith("To use it: kbvqa ")]
    options = use.split()[-4:]
    answer = kbvqa(
        *("ask", str(folder / "pictures" / "3.png"), "Which is it?", "--no-answer", "--json"),
        *options,
    )
    after = (folder / "out" / "after" / "retrieval.jsonl").read_text().splitlines()
    assert json.loads(after[3])["id"] == "vq3"
    assert json.loads(answer.out)["hits"][0]["passage_id"] == json.loads(after[3])["hits"][0][0]


def test_a_fifth_about_other_things_is_measured_and_a_second_call_goes_on(
    folder: Path, finetune: Command
) -> None:
    made = finetune(*FEW)
    assert made.code == 0, made.err
    assert "8 questions to train on, 0 to choose a checkpoint by, 2 to measure on" in made.out
    record = json.loads((folder / "out" / "finetune.json").read_text())
    assert record["questions"] == {"training": 8, "choosing": 0, "measured": 2}
    assert record["negatives"]["questions"] == 8
    assert record["recipe"]["steps"] == record["steps"] == 2
    assert not {"name", "ours"} & set(record["recipe"]["ours"])
    assert "n = 2 is too few to say anything" in made.out
    card = (folder / "out" / "model" / "README.md").read_text()
    shown = [line for line in made.out.splitlines() if line.startswith(("|", "n = 2"))]
    assert "\n## Measured\n" in card and all(line in card for line in shown)
    assert "not known" not in card
    trained = (folder / "out" / "training.json").read_text()
    ids = {
        name: {json.loads(line)["id"] for line in (folder / "out" / name).read_text().splitlines()}
        for name in ("negatives/negatives.jsonl", "before/examples.jsonl", "after/examples.jsonl")
    }
    learnt, before, after = ids.values()
    assert before == after and not learnt & before and len(learnt | before) == 10

    again = finetune(*FEW)
    assert again.out == made.out
    assert (folder / "out" / "training.json").read_text() == trained


def test_what_was_measured_and_mined_before_it_stopped_is_not_done_again(
    folder: Path, finetune: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise TrainingStopped("no room")

    with monkeypatch.context() as patched:
        patched.setattr("app.training.finetune.train", full)
        assert_clear(finetune(*FEW), "no room")
    names = [folder / "out" / name / "retrieval.jsonl" for name in ("before", "negatives")]
    searched = [path.read_text() for path in names]  # with the time that each search took
    assert finetune(*FEW).code == 0
    assert [path.read_text() for path in names] == searched


def test_another_recipe_or_checkpoint_is_refused_before_the_work(
    folder: Path, finetune: Command
) -> None:
    out = folder / "out"
    assert finetune(*FEW).code == 0
    (out / "checks.jsonl").unlink()
    shutil.rmtree(out / "before")
    assert_clear(finetune(*FEW, "--set", "seed=1"), "another training", "recipe differs", "--out")
    assert_clear(finetune(*FEW, "--depth", "32"), "another training", "negatives differs")
    assert not (out / "checks.jsonl").exists()
    assert_clear(finetune(*FEW, "--checkpoint", str(out / "model")), "checkpoint differs")
    assert not (out / "before").exists()


@pytest.mark.parametrize("choosing", [40, 1])
def test_other_data_are_refused_before_anything_is_written(
    folder: Path, finetune: Command, monkeypatch: pytest.MonkeyPatch, choosing: int
) -> None:
    monkeypatch.setattr("app.training.finetune._ENOUGH_TO_CHOOSE", choosing)
    assert finetune(*FEW).code == 0
    left = {path: path.read_bytes() for path in (folder / "out").rglob("*") if path.is_file()}
    asked = [{**row, "question": "Which one is it?", "answers": ["gone"]} for row in rows(folder)]
    write(folder / "examples.jsonl", asked)
    assert_clear(finetune(*FEW), "another training", "data differs", "--out")
    assert left == {path: path.read_bytes() for path in left}


def test_data_that_would_break_it_stops_it_and_is_named(folder: Path, finetune: Command) -> None:
    wrong = rows(folder)
    wrong[1]["image"] = "pictures/gone.png"
    wrong[2]["gold_passage_ids"] = ["P2"]
    wrong[3]["question"] = "Which church is this?"
    write(folder / "examples.jsonl", wrong)
    stopped = finetune("--check")
    assert_clear(stopped, "examples.jsonl:2", "is it p2?", "2 findings about the data stop")
    found = (folder / "out" / "checks.jsonl").read_text().splitlines()
    assert [json.loads(line)["where"] for line in found] == [
        "examples.jsonl:2", "examples.jsonl:3",
    ]  # fmt: skip
    assert not (folder / "out" / "before").exists()


def test_a_line_that_is_no_json_stands_in_the_table_and_in_the_file(
    folder: Path, finetune: Command
) -> None:
    wrong = rows(folder)
    wrong[4]["image"] = "pictures/gone.png"
    path = write(folder / "examples.jsonl", wrong)
    path.write_text(path.read_text() + "{not json\n")
    assert_clear(finetune("--check"), "examples.jsonl:5", "examples.jsonl:11", "2 findings")
    found = (folder / "out" / "checks.jsonl").read_text().splitlines()
    assert [json.loads(line)["kind"] for line in found] == ["no picture", "bad line"]


def test_findings_of_another_call_are_not_left_where_nothing_could_be_checked(
    folder: Path, finetune: Command
) -> None:
    assert finetune("--check").code == 0
    (folder / "examples.jsonl").unlink()
    assert_clear(finetune("--check"), "examples.jsonl does not exist")
    assert not (folder / "out" / "checks.jsonl").exists()


def test_check_trains_nothing(folder: Path, finetune: Command) -> None:
    checked = finetune("--check")
    assert checked.code == 0, checked.err
    assert "Nothing is wrong with the data" in checked.err
    assert [path.name for path in (folder / "out").iterdir()] == ["checks.jsonl"]


def test_one_question_is_not_said_to_be_right_and_too_few_at_once(
    folder: Path, finetune: Command
) -> None:
    write(folder / "examples.jsonl", rows(folder)[:1])
    checked = finetune("--check")
    assert_clear(checked, "1 questions with a gold passage are not enough")
    assert "Nothing is wrong" not in checked.err


def test_where_all_is_about_one_thing_it_asks_for_a_validation_file(
    folder: Path, finetune: Command
) -> None:
    same = [{**row, "gold_passage_ids": ["p1"]} for row in rows(folder)]
    write(folder / "examples.jsonl", same)
    assert_clear(finetune(), "10 questions", "--validation")


def test_validation_that_cannot_be_measured_on_is_said(folder: Path, finetune: Command) -> None:
    asked = [{**row, "question": "Which is it?", "gold_passage_ids": []} for row in rows(folder)]
    validation = write(folder / "validation.jsonl", asked)
    assert_clear(finetune("--validation", str(validation)), "none of the 10", "gold_passage_ids")


def test_it_is_one_process_and_says_what_several_may_do(
    finetune: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert_clear(finetune(), "is one process", "kbvqa train retriever")


def test_of_many_questions_some_choose_the_checkpoint_and_negatives_are_mined_at_each_look(
    folder: Path, finetune: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.training.finetune._ENOUGH_TO_CHOOSE", 1)
    made = finetune(*FEW, "--set", "evaluate_every=1", "--set", "recall_at=1")
    assert made.code == 0, made.err
    assert "6 questions to train on, 2 to choose a checkpoint by, 2 to measure on" in made.out
    steps = sorted(path.name for path in (folder / "out" / "negatives").iterdir())
    assert steps == ["step-000000", "step-000001"]
    mined = (folder / "out/negatives/step-000001/own/negatives.jsonl").read_text()
    assert mined.count("\n") == 6
    log = json.loads((folder / "out" / "training.json").read_text())["log"]
    assert [row["step"] for row in log if "recall@1" in row] == [0, 1, 2]
