"""`kbvqa train retriever` as it is typed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app.cli import app
from app.errors import InvalidTrainingData
from app.training.retriever import Source, licences, read_set, read_validation
from corpus.errors import KbvqaError
from retriever.errors import InvalidTrainingData as UnusableSet
from retriever.errors import TrainingMismatch
from retriever.training.contrastive.draw import Draws, competition
from retriever.training.recipes import RetrieverRecipe
from tests.benchmark_files import M2KR_ROWS, m2kr, parquet
from tests.tiny_flmr import tiny_checkpoint, write_ten

FAST = ("--set", "steps=4", "--set", "evaluate_every=2", "--set", "batch=5")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    tiny_checkpoint(folder / "checkpoint")
    write_ten(folder)
    return folder


def arguments(data: Path, out: Path, *options: str) -> list[str]:
    return [
        *("train", "retriever", "--checkpoint", str(data / "checkpoint"), "--out", str(out)),
        *("--examples", str(data / "examples.jsonl")),
        *("--passages", str(data / "passages.jsonl"), *options),
    ]


def run(data: Path, out: Path, *options: str) -> Result:
    result = CliRunner().invoke(app, arguments(data, out, *options))
    if isinstance(result.exception, KbvqaError):
        raise result.exception
    return result


def test_it_says_what_it_trains_and_writes_a_checkpoint_with_its_card(
    data: Path, tmp_path: Path
) -> None:
    validation = ("--validation", str(data / "examples.jsonl"))
    made = run(data, tmp_path, *FAST, *validation)
    assert made.exit_code == 0, made.output
    for said in (
        "Recipe own",
        "mapping          18,608 parameters, trained",
        "vision           60,240 parameters, frozen",
        "learning_rate 2e-05  (our choice)",
        "steps 4\n",
        "examples: 10 questions, 10 passages",
        "step 0: recall@1",
        "step 4: loss",
    ):
        assert said in made.output, made.output
    assert "# A retriever trained from checkpoint@" in (tmp_path / "model/README.md").read_text()
    assert (tmp_path / "model/model.safetensors").is_file()
    record = json.loads((tmp_path / "training.json").read_text())
    assert record["recipe"]["steps"] == 4 and record["finished"]
    # Again it is as it was; otherwise it is refused.
    assert run(data, tmp_path, *FAST, *validation).stdout == made.stdout
    with pytest.raises(TrainingMismatch, match="its recipe differs"):
        run(data, tmp_path, *FAST, *validation, "--set", "seed=1")


def test_a_mixture_repeats_its_sets_by_name(data: Path, tmp_path: Path) -> None:
    other = data / "other.jsonl"
    other.write_text((data / "examples.jsonl").read_text())
    made = run(
        data, tmp_path, *FAST, "--set", "repeats=other:0.5", "--recipe", "mapping",
        "--examples", str(other), "--passages", str(data / "passages.jsonl"),
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    record = json.loads((tmp_path / "training.json").read_text())
    assert set(record["data"]) == {"examples", "other"}
    assert "None: the last step's weights were kept" in (tmp_path / "model/README.md").read_text()


def test_msmarco_triples_train_the_text_towers(data: Path, tmp_path: Path) -> None:
    triples = tmp_path / "triples.tsv"
    triples.write_text("what is tall\tThe tower.\tThe river.\nwhat flows\tThe river.\tA cat.\n")
    typed = [
        *("train", "retriever", "--recipe", "text-encoder", "--out", str(tmp_path / "out")),
        *("--checkpoint", str(data / "checkpoint")),
        *("--examples", str(triples), "--passages", str(triples), *FAST, "--set", "chunk=2"),
    ]
    made = CliRunner().invoke(app, typed)
    assert made.exit_code == 0, made.output
    assert "triples: 2 questions, 3 passages" in made.output
    assert "mapping          18,608 parameters, frozen" in made.output


def test_what_is_right_in_another_line_of_a_question_does_not_compete(tmp_path: Path) -> None:
    triples = tmp_path / "triples.tsv"
    triples.write_text(
        "who wrote hamlet\tShakespeare did.\tA river.\n"
        "who wrote hamlet\tIt is by Shakespeare.\tShakespeare did.\n"
        "what flows\tA river.\tA stone.\n"
    )
    given = read_set(Source(str(triples), triples), tmp_path)
    recipe = RetrieverRecipe("test", trains=("questions",), batch=3, negatives=1)
    batch = Draws([given], recipe).batch(0)
    gold, competes = competition(batch)
    texts = [passage.text for drawn in batch for passage in drawn.passages]
    right = {"Shakespeare did.", "It is by Shakespeare."}
    for row, drawn in enumerate(batch):
        if drawn.example.question == "who wrote hamlet":
            others = competes[row].clone()
            others[gold[row]] = False
            assert texts[gold[row]] in right
            assert {texts[i] for i in others.nonzero()} <= {"A river.", "A stone."}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--recipe", "none"), "is no recipe"),
        (("--set", "steps=0"), "steps must be more than 0"),
        (("--set", "step=1"), "names are trains"),
        (("--examples", "more.jsonl"), "2 --examples and 1 --passages"),
        (("--mine",), "--mine needs --validation"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(
    data: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    made = run(data, tmp_path, *options)
    assert made.exit_code == 2
    assert said in " ".join(made.output.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


def test_a_gold_passage_that_is_not_there_is_named(data: Path, tmp_path: Path) -> None:
    lines = (data / "passages.jsonl").read_text().splitlines()[1:]
    (tmp_path / "fewer.jsonl").write_text("\n".join(lines) + "\n")
    other = data / "again.jsonl"
    other.write_text((data / "examples.jsonl").read_text())
    again = ("--passages", str(tmp_path / "fewer.jsonl"), "--examples", str(other), *FAST)
    with pytest.raises(UnusableSet, match="names passage 'p0', which is not there"):
        run(data, tmp_path / "out", *again)


@pytest.mark.parametrize("ids", [(), ("zzz", "q10")])
def test_negatives_of_other_questions_are_refused(
    data: Path, tmp_path: Path, ids: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidTrainingData, match=r"'q0'.*kbvqa train negatives"):
        given = Source(str(data / "examples.jsonl"), data / "passages.jsonl")
        read_set(given, tmp_path, negatives(tmp_path, *ids))


def test_triples_take_no_negatives(tmp_path: Path) -> None:
    triples = tmp_path / "t.tsv"
    triples.write_text("what flows\tA river.\tA stone.\n")
    with pytest.raises(InvalidTrainingData, match="leave --negatives out"):
        read_set(Source(str(triples), triples), tmp_path, negatives(tmp_path, "1"))


def test_it_says_how_many_negatives_are_of_other_questions(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = Source(str(data / "examples.jsonl"), data / "passages.jsonl")
    found = read_set(given, tmp_path, negatives(tmp_path, "q0", "q10", "zzz"))
    assert found.examples[0].negatives == ("p1",)
    assert "2 of 3 questions of" in caplog.text and "such as 'q10'" in caplog.text


def negatives(folder: Path, *ids: str) -> Path:
    """Write negatives of questions; return where."""
    path = folder / "negatives.jsonl"
    path.write_text("".join(json.dumps({"id": i, "negatives": ["p1"]}) + "\n" for i in ids))
    return path


EVERY_STEP = """
import sys
from retriever.training.loop import loop
loop.CHECKPOINT_S = 0.0
from app.cli import main
sys.argv = ["kbvqa", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
def test_a_training_that_is_killed_twice_ends_as_an_undisturbed_one(
    data: Path, tmp_path: Path
) -> None:
    options = ("--set", "steps=60", "--set", "evaluate_every=20", "--set", "chunk=4")
    options += ("--validation", str(data / "examples.jsonl"))
    assert run(data, tmp_path / "whole", *options).exit_code == 0
    out = tmp_path / "killed"
    command = [sys.executable, "-c", EVERY_STEP, *arguments(data, out, *options)]
    for least in (7, 33):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < until:
            record = out / "training.json"
            if record.exists() and json.loads(record.read_text())["steps"] >= least:
                process.kill()
            time.sleep(0.01)
        assert process.wait() == -9, "it was not killed in the middle"
    assert run(data, out, *options).exit_code == 0
    for name in ("model/model.safetensors", "log.csv"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_two_processes_train_what_one_trains(data: Path, tmp_path: Path) -> None:
    """Of dropout too, as a chunk is drawn by its place in the batch."""
    options = ("--set", "steps=4", "--set", "batch=8", "--set", "chunk=2")
    assert run(data, tmp_path / "one", *options).exit_code == 0
    launch = ("-m", "torch.distributed.run", "--nproc_per_node", "2")
    launch += ("--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0", "-m", "kbvqa")
    made = subprocess.run(
        [sys.executable, *launch, *arguments(data, tmp_path / "two", *options)],
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr
    one, two = (json.loads((tmp_path / n / "training.json").read_text()) for n in ("one", "two"))
    assert [row["loss"] for row in two["log"]] == pytest.approx(
        [row["loss"] for row in one["log"]], rel=1e-4
    )
    # A batch that cannot be shared is refused, in every process.
    odd = subprocess.run(
        [sys.executable, *launch, *arguments(data, tmp_path / "odd", "--set", "batch=5")],
        env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert odd.returncode
    assert "a batch of 5 cannot be shared among 2 processes" in " ".join(odd.stderr.split())


def test_mined_negatives_are_renewed_at_each_look(data: Path, tmp_path: Path) -> None:
    validation = ("--validation", str(data / "examples.jsonl"))
    made = run(data, tmp_path, *FAST, *validation, "--mine")
    assert made.exit_code == 0, made.output
    found = sorted(path.parent for path in (tmp_path / "negatives").rglob("negatives.jsonl"))
    steps = [tmp_path / "negatives" / f"step-{step:06}" / "examples" for step in (0, 2)]
    assert found == steps
    with pytest.raises(TrainingMismatch, match="negatives"):
        run(data, tmp_path, *FAST, *validation)


def test_other_questions_under_the_same_name_are_another_training(
    data: Path, tmp_path: Path
) -> None:
    own = tmp_path / "examples.jsonl"
    pictures = ("--images", str(data))
    written = (data / "examples.jsonl").read_text()
    own.write_text(written)
    command = ["train", "retriever", "--checkpoint", str(data / "checkpoint"), *FAST, *pictures]
    command += ["--examples", str(own), "--passages", str(data / "passages.jsonl")]
    command += ["--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, command).exit_code == 0
    own.write_text(written.replace("What is this?", "Which is it?", 1))
    other = CliRunner().invoke(app, command)
    assert isinstance(other.exception, TrainingMismatch)


def test_a_benchmark_s_questions_without_gold_passages_in_the_corpus_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "m2kr"
    for split in ("train", "valid"):
        rows = [
            {**M2KR_ROWS[0], "question_id": "1", "img_path": None, "pos_item_ids": ["p1", "gone"]},
            {**M2KR_ROWS[0], "question_id": "2", "img_path": None, "pos_item_ids": ["gone"]},
        ]
        m2kr(root, splits=(split,), rows=rows)
        passages = [
            {"language": "en", "passage_id": f"p{i}", "passage_content": f"Thing {i}."}
            for i in range(3)
        ]
        name = f"{split}_passages-00000-of-00001.parquet"
        parquet(root / "EVQA_passages" / name, passages)
    source = Source("m2kr-evqa", root / "EVQA_passages", tmp_path)
    for given in (read_set(source, tmp_path), read_validation(source, tmp_path)):
        [example] = given.examples
        assert (example.id, example.positives, example.black_image) == ("1", ("p1",), True)
        assert set(given.passages) == {"p0", "p1", "p2"}
    assert "1 of 2 questions of m2kr-evqa are left out: their gold passages" in caplog.text
    assert licences([read_set(source, tmp_path)]) == {"m2kr-evqa": "MIT"}


FULL = """
import resource, signal, sys
from app.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
sys.argv = ["kbvqa", *sys.argv[1:]]
main()
"""


@pytest.mark.slow
def test_a_disk_that_is_full_at_the_checkpoint_is_named_and_nothing_is_lost(
    data: Path, tmp_path: Path
) -> None:
    """The loop's checkpoint of 300 kB has room, the model's file of 560 kB has none."""
    options = (*FAST, "--set", "trains=mapping")
    command = [sys.executable, "-c", FULL, *arguments(data, tmp_path, *options)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert made.returncode == 1, made.stderr
    assert "model cannot be written" in made.stderr and "make room" in made.stderr
    assert "Traceback" not in made.stderr
    assert json.loads((tmp_path / "training.json").read_text())["steps"] == 4
    assert run(data, tmp_path, *options).exit_code == 0
    assert (tmp_path / "model/model.safetensors").is_file()
