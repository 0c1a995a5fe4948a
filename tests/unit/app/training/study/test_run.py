"""`kbvqa study` as it is typed: what it leaves, what it goes on from, what it refuses."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from transformers import CLIPVisionConfig, CLIPVisionModel
from typer.testing import CliRunner, Result

from app.cli import app
from corpus.errors import KbvqaError
from retriever.checkpoint.loading import load_checkpoint
from retriever.errors import InvalidCheckpoint, TrainingMismatch, TrainingStopped
from retriever.training.train import alone
from tests.tiny_flmr import write_ten

TINY = ("--vision", "random:16x1", "--text", "random:16x1", "--prefix", "2")
FAST = ("--set", "steps=2", "--set", "batch=5", "--set", "chunk=0")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    write_ten(folder)
    return folder


def arguments(data: Path, out: Path, *options: str) -> list[str]:
    examples, passages = str(data / "examples.jsonl"), str(data / "passages.jsonl")
    return [
        *("study", "--out", str(out), "--examples", examples, "--passages", passages),
        *("--validation", examples, *options),
    ]


def run(data: Path, out: Path, *options: str) -> Result:
    result = CliRunner().invoke(app, arguments(data, out, *options))
    if isinstance(result.exception, KbvqaError):
        raise result.exception
    return result


def runs(out: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in out.glob("runs/*/outcome.json")}


def test_a_grid_is_run_measured_and_tabulated_and_grows(data: Path, tmp_path: Path) -> None:
    between = ("--intermediate", str(data / "examples.jsonl"))
    made = run(data, tmp_path, *TINY, *FAST, *between)
    assert made.exit_code == 0, made.output
    assert "full: examples, 10 questions, 10 passages" in made.output
    assert "Run 2 of 2, random:16x1, random:16x1, 1 mapping layer, with" in made.output
    results = json.loads((tmp_path / "results.json").read_text())
    for one in results["runs"]:
        assert [share["k"] for share in one["recall"]] == [1, 5, 10]
        assert one["recall"][2]["value"] == 1.0  # of ten passages
        assert one["pseudo_recall"] == []  # no question has an answer
        assert one["loss"]["n"] == 10 == len(one["losses"])
        assert 0 < one["trained"] < one["parameters"]
    # Both began with the same weights, and only one saw the intermediate questions.
    folders = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.glob("*/*/*/training.json"))
    stem = "random-16x1+random-16x1+1"
    assert folders == [
        f"runs/{stem}-direct/full/training.json",
        f"runs/{stem}-intermediate/full/training.json",
        f"runs/{stem}-intermediate/intermediate/training.json",
        f"starts/{stem}/mapping/training.json",
    ]
    [gained] = results["gains"]
    losses = [one["loss"]["nats"] for one in results["runs"]]
    assert gained["gain"]["nats"] == pytest.approx(losses[0] - losses[1])
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")
    # What is finished is not run again; further cells come into the same table.
    before = runs(tmp_path)
    more = run(data, tmp_path, *TINY, *FAST, *between, "--mapping", "0")
    assert more.exit_code == 0, more.output
    after = runs(tmp_path)
    assert len(after) == 4 and before.items() <= after.items()
    assert (tmp_path / "table.md").read_text().count("| random:16x1 | random:16x1 | 0 | with") == 2
    parameters = [one["parameters"] for one in json.loads(
        (tmp_path / "results.json").read_text())["runs"]]  # fmt: skip
    assert parameters == sorted(parameters)


def test_the_parameters_are_those_of_the_checkpoint(data: Path, tmp_path: Path) -> None:
    assert run(data, tmp_path, *TINY, *FAST).exit_code == 0
    [one] = json.loads((tmp_path / "results.json").read_text())["runs"]
    model = load_checkpoint(tmp_path / "runs" / "random-16x1+random-16x1+1-direct/full/model").model
    parts = {name: sum(p.numel() for p in m.parameters()) for name, m in model.named_children()}
    assert one["parameters"] == sum(parts.values())
    poolers = sum(p.numel() for n, p in model.named_parameters() if "pooler." in n)
    assert one["trained"] == sum(parts.values()) - parts["query_vision_encoder"] - poolers


def test_a_run_that_fails_stands_in_the_table_and_is_tried_again(
    data: Path, tmp_path: Path
) -> None:
    clip, out = tmp_path / "clip", tmp_path / "out"
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPVisionConfig(intermediate_size=32, image_size=16, patch_size=8, **sizes)
    CLIPVisionModel(config).save_pretrained(clip)
    weights = (clip / "model.safetensors").rename(tmp_path / "aside")
    options = (*TINY, *FAST, "--vision", str(clip))
    made = run(data, out, *options)
    assert made.exit_code == 1
    assert "1 of 2 runs failed; the same command tries them again" in made.output
    table = (out / "table.md").read_text()
    assert "failed: " in table and "its weights cannot be read" in table
    assert "| random:16x1 | random:16x1 | 1 | without | 1," in table
    before = runs(out)
    weights.rename(clip / "model.safetensors")
    again = run(data, out, *options)
    assert again.exit_code == 0, again.output
    assert "failed" not in (out / "table.md").read_text()
    after = runs(out)
    assert [name for name in after if after[name] != before[name]] == ["clip+random-16x1+1-direct"]


def test_other_data_or_stages_in_the_directory_are_refused(data: Path, tmp_path: Path) -> None:
    assert run(data, tmp_path, *TINY, *FAST).exit_code == 0
    with pytest.raises(TrainingMismatch, match="holds another study: its stages differs"):
        run(data, tmp_path, *TINY, *FAST, "--set", "full.steps=3")
    between = ("--intermediate", str(data / "examples.jsonl"))
    with pytest.raises(TrainingMismatch, match="its intermediate_data differs"):
        run(data, tmp_path, *TINY, *FAST, *between)


def test_another_tower_of_the_same_last_name_does_not_get_the_figures_of_the_first(
    data: Path, tmp_path: Path
) -> None:
    towers, out = [tmp_path / name / "clip" for name in ("a", "b")], tmp_path / "out"
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPVisionConfig(intermediate_size=32, image_size=16, patch_size=8, **sizes)
    for tower in towers:
        CLIPVisionModel(config).save_pretrained(tower)
    of_one = [("--vision", str(t), "--text", "random:16x1", "--prefix", "2") for t in towers]
    assert run(data, out, *of_one[0], *FAST).exit_code == 0
    before = runs(out)
    with pytest.raises(TrainingMismatch, match=r"a.clip and random:16x1 in the folder clip"):
        run(data, out, *of_one[1], *FAST)
    # Nor its weights, where its run was interrupted before it had figures.
    for path in out.glob("runs/*/outcome.json"):
        path.unlink()
    with pytest.raises(TrainingMismatch, match="rename the directory of one"):
        run(data, out, *of_one[1], *FAST)
    again = run(data, out, *of_one[0], *FAST)
    assert again.exit_code == 0 and runs(out).keys() == before.keys()


def test_one_process_at_a_time_works_in_a_directory(data: Path, tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(TrainingStopped, match="another process"):
        run(data, tmp_path, *TINY, *FAST)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give --planted, or --examples"),
        (("--planted", "--images", "pictures"), "or give --planted and none of them"),
        (("--examples", "a.jsonl", "--passages", "p.jsonl"), "needs --examples and --passages"),
        (("--planted", "--set", "last.steps=1"), "stages are mapping, intermediate, full"),
        (("--planted", "--set", "steps=none"), "invalid literal"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    made = CliRunner().invoke(app, ["study", "--out", str(tmp_path), *options])
    assert made.exit_code == 2
    assert said in " ".join(made.output.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


def test_an_unknown_tower_is_refused_before_anything_runs(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidCheckpoint, match="no-such-tower: not a checkpoint directory"):
        run(data, tmp_path / "out", *TINY, *FAST, "--vision", "no-such-tower")
    with pytest.raises(KbvqaError, match="lost"):
        run(data, tmp_path / "out", *TINY, *FAST, "--intermediate", "lost.jsonl")
    assert not (tmp_path / "out").exists()


EVERY_STEP = """
import sys
from retriever.training.loop import loop
loop.CHECKPOINT_S = 0.0
from app.cli import main
sys.argv = ["kbvqa", *sys.argv[1:]]
main()
"""


def figures(out: Path) -> list[dict[str, object]]:
    results = json.loads((out / "results.json").read_text())["runs"]
    return [{n: v for n, v in one.items() if n != "provenance"} for one in results]


@pytest.mark.slow
def test_a_study_that_is_killed_in_two_runs_ends_as_an_undisturbed_one(
    data: Path, tmp_path: Path
) -> None:
    options = (*TINY, *FAST, "--set", "full.steps=30", "--intermediate")
    options += (str(data / "examples.jsonl"),)
    assert run(data, tmp_path / "whole", *options).exit_code == 0
    out = tmp_path / "killed"
    command = [sys.executable, "-c", EVERY_STEP, *arguments(data, out, *options)]
    for folder, least in (("direct", 7), ("intermediate", 13)):
        record = out / f"runs/random-16x1+random-16x1+1-{folder}/full/training.json"
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 400
        while process.poll() is None and time.monotonic() < until:
            if record.exists() and json.loads(record.read_text())["steps"] >= least:
                process.kill()
            time.sleep(0.01)
        assert process.wait() == -9, "it was not killed in the middle"
    finished = runs(out)
    assert list(finished) == ["random-16x1+random-16x1+1-direct"]
    assert run(data, out, *options).exit_code == 0
    assert finished.items() <= runs(out).items()
    assert figures(out) == figures(tmp_path / "whole")


@pytest.mark.slow
def test_the_planted_signal_is_found_and_the_intermediate_stage_gains(tmp_path: Path) -> None:
    """Of 180 passages five hold the right one by chance in 3 of 100 questions.

    Elsewhere numbers round otherwise and a training goes another way; the margins are wide.
    """
    typed = ["study", "--planted", "--vision", "random:32x2", "--out", str(tmp_path)]
    made = CliRunner().invoke(app, typed)
    assert made.exit_code == 0, made.output
    results = json.loads((tmp_path / "results.json").read_text())
    direct, between = (one["recall"][1]["value"] for one in results["runs"])
    assert between > direct and between > 0.25
    [gained] = results["gains"]
    assert gained["gain"]["nats"] > 0.2
    assert all(one["pseudo_recall"][1]["value"] >= one["recall"][1]["value"] for one in
               results["runs"])  # fmt: skip
