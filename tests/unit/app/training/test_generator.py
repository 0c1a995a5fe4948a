"""`kbvqa train generator` from the run of an evaluation to a reader that answers otherwise."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM
from typer.testing import CliRunner, Result

from app.cli import app, main
from corpus.types import Query
from generator.embedded import EmbeddedReader
from generator.errors import TrainingMismatch
from generator.interface import wait
from generator.prompts import single
from tests.command_line import CHECKPOINT, kbvqa
from tests.golden_cases import GOLDEN
from tests.tiny_causal import byte_tokenizer, saying_model, tiny_model
from tests.unit.app.conftest import PASSAGES

FIT = [
    *("--set", "epochs=25", "--set", "accumulate=3", "--set", "learning_rate=1e-2"),
    *("--set", "passages=2", "--set", "drawn=2", "--set", "dropout=0"),
]
ASKED = (
    ("What is the capital of France?", "Paris"),
    ("Where was the tower built?", "Paris"),
    ("Where is the capital?", "Paris"),
)


def opinionated() -> LlamaForCausalLM:
    """Return the tiny model with a head that can be sure of something."""
    model = tiny_model()
    model.lm_head.weight.data *= 20
    return model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    opinionated().save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, index_location: Path) -> Path:
    """What `kbvqa evaluate run` writes, one row of which cannot be trained on."""
    folder = tmp_path_factory.mktemp("run")
    rows = [
        {"id": str(i), "image": "img0.png", "question": question, "answers": answers}
        for i, (question, *answers) in enumerate([*ASKED, ("Why?",)])
    ]
    questions = folder / "questions.jsonl"
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = kbvqa(
        "evaluate", "run", str(questions), "--images", str(GOLDEN / "images"), "--no-answer",
        "--out", str(folder / "out"), "--index", str(index_location), "--checkpoint", CHECKPOINT,
        home=folder,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return folder / "out"


@pytest.mark.slow
def test_the_loss_falls_and_the_reader_answers_otherwise(
    run: Path, model: Path, index_location: Path, tmp_path: Path
) -> None:
    def trained(out: str, *more: str) -> subprocess.CompletedProcess[str]:
        return kbvqa(
            "train", "generator", str(run), "--validation", str(run), "--model", str(model),
            "--index", str(index_location), "--out", str(tmp_path / out), *FIT, *more,
            home=tmp_path,
        )  # fmt: skip

    made = trained("out", "--merge")
    assert made.returncode == 0, made.stderr
    assert f"1 questions of {run} left out: no answer" in made.stderr
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    losses = [row["validation"] for row in record["history"]]
    assert losses[-1] < losses[0] / 2
    assert record["finished"]
    assert (tmp_path / "out" / "adapter_config.json").is_file()

    prompt = single(Query(ASKED[0][0]), PASSAGES[0], "instruct")
    before = wait(EmbeddedReader(opinionated(), byte_tokenizer(), "tiny").complete([prompt]))[0]
    reader = EmbeddedReader.load(tmp_path / "out" / "merged")
    after = wait(reader.complete([prompt]))[0]
    assert after.text.strip() == "Paris" != before.text.strip()
    assert after.logprob > before.logprob

    # The adapters by themselves, over the model: what vLLM's --enable-lora does.
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(model)
    adapted = PeftModel.from_pretrained(base, tmp_path / "out").eval()
    again = wait(EmbeddedReader(adapted, byte_tokenizer(), "adapted").complete([prompt]))[0]
    assert again.text == after.text
    assert again.logprob == pytest.approx(after.logprob, abs=1e-3)

    # Again, it is finished; another recipe in its place is refused.
    assert trained("out").stdout == made.stdout.rpartition("Merged")[0]
    other = trained("out", "--set", "rank=2")
    assert other.returncode == 1
    assert "holds another training" in other.stderr


def test_it_answers_a_question_through_the_application(
    index_location: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    saying_model("Paris").save_pretrained(model)
    byte_tokenizer().save_pretrained(model)
    asked = kbvqa(
        "ask", str(GOLDEN / "images" / "img0.png"), ASKED[0][0], "--json", "--index",
        str(index_location), "--checkpoint", CHECKPOINT, home=tmp_path, KBVQA_READER=str(model),
        KBVQA_PROMPT_STYLE="instruct",
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    said = json.loads(asked.stdout)
    assert (said["generator"], said["answer"]) == (str(model), "Paris")


def test_what_does_not_fit_together_is_said(
    run: Path, model: Path, index_location: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("KBVQA_HOME", str(tmp_path))

    def refused(questions: Path, *more: str) -> str:
        arguments = [
            "train", "generator", str(questions), "--out", str(tmp_path / "out"),
            *("--index", str(index_location), "--model", str(model), *more),
        ]  # fmt: skip
        monkeypatch.setattr(sys, "argv", ["kbvqa", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code in (1, 2)
        return " ".join(capsys.readouterr().err.replace("│", " ").split())

    def assert_clear(said: str, *words: str) -> None:
        assert "Unexpected" not in said
        assert all(word in said for word in words), said

    assert_clear(refused(tmp_path / "none"), "does not exist", "kbvqa evaluate run")
    assert_clear(refused(run, "--set", "rnak=4"), "rnak=4", "names are")
    assert_clear(refused(run, "--recipe", "best"), "okvqa-preflmr")
    assert_clear(refused(run, "--model", str(tmp_path)), "cannot be loaded for training")
    assert_clear(refused(run, "--set", "targets=nonsense"), "targets=nonsense")
    assert_clear(refused(run, "--images", str(GOLDEN / "images")), "sees no pictures")
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("retrieval.jsonl", "examples.jsonl"):
        (broken / name).write_text((run / name).read_text())
    (broken / "examples.jsonl").write_text('{"id": "1", "image": "", "question": 3}\n')
    assert_clear(refused(broken), "examples.jsonl", "line 1", "question")
    (broken / "examples.jsonl").write_text((run / "examples.jsonl").read_text())
    searched = {"corpus": {"name": "other"}, "corpus_sha256": "0123456789abcdef"}
    (broken / "run.json").write_text(json.dumps({"retrieval": searched}))
    assert_clear(refused(broken), "searched the corpus other", "--index")


def one_step(run: Path, model: Path, index: Path, out: Path) -> Result:
    words = ["train", "generator", str(run), "--out", str(out)]
    words += ["--index", str(index), "--model", str(model)]
    words += ["--set", "steps=1", "--set", "passages=1", "--set", "drawn=1"]
    return CliRunner().invoke(app, words)


def test_other_answers_in_the_same_run_are_another_training(
    run: Path, model: Path, index_location: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "run"
    shutil.copytree(run, changed)
    trained = partial(one_step, changed, model, index_location, tmp_path / "out")

    first = trained()
    assert first.exit_code == 0, first.output
    assert trained().stdout == first.stdout
    questions = changed / "examples.jsonl"
    questions.write_text(questions.read_text().replace("Paris", "Rouen"))
    other = trained()
    assert isinstance(other.exception, TrainingMismatch)
    assert "its runs differs" in str(other.exception)


def test_another_model_of_the_same_name_is_another_training(
    run: Path, index_location: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    byte_tokenizer().save_pretrained(model)
    trained = partial(one_step, run, model, index_location, tmp_path / "out")

    tiny_model().save_pretrained(model)
    first = trained()
    assert first.exit_code == 0, first.output
    (model / "model.safetensors").unlink()
    tiny_model().save_pretrained(model, max_shard_size="10KB")  # the same, stored otherwise
    assert len(list(model.glob("*.safetensors"))) > 1
    assert trained().stdout == first.stdout
    shutil.rmtree(model)
    byte_tokenizer().save_pretrained(model)
    opinionated().save_pretrained(model)
    other = trained()
    assert isinstance(other.exception, TrainingMismatch)
    assert "its weights_sha256 differs" in str(other.exception)


@pytest.mark.slow
def test_two_processes_train_what_one_trains(
    run: Path, model: Path, index_location: Path, tmp_path: Path
) -> None:
    arguments = [
        "train", "generator", str(run), "--model", str(model), "--validation", str(run),
        "--index", str(index_location), *FIT, "--set", "dropout=0.1", "--set", "epochs=2",
    ]  # fmt: skip
    assert kbvqa(*arguments, "--out", str(tmp_path / "one"), home=tmp_path).returncode == 0
    # `accelerate launch --cpu --num_processes 2` starts one process.
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    launch += ["--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0"]
    made = subprocess.run(
        [*launch, "-m", "kbvqa", *arguments, "--out", str(tmp_path / "two")],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "KBVQA_HOME": str(tmp_path),
            "OMP_NUM_THREADS": "1",
            "ACCELERATE_USE_CPU": "true",
        },
        timeout=300,
    )
    assert made.returncode == 0, made.stderr
    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(abs(one[name] - two[name]).max() < 1e-4 for name in one)
