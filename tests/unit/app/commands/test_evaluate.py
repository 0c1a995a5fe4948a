"""What `kbvqa evaluate` opens before it measures."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli import app
from generator.errors import GeneratorUnavailable
from retriever.checkpoint.loading import Checkpoint
from retriever.pictures.collection import PictureCollection
from retriever.pictures.fusing import Fusion
from retriever.pictures.parts import compact
from tests.command_line import CHECKPOINT


def test_pictures_of_what_no_passage_is_about_are_said_before_strategies_are_compared(
    checkpoint: Checkpoint,
    index_location: Path,
    tmp_path: Path,
    free_tcp_port: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, vectors = tmp_path / "mine.safetensors", compact(np.eye(1, checkpoint.picture_width))
    PictureCollection(checkpoint.revision, [("a.png", "a stranger")], vectors, Fusion()).save(path)
    for name, value in (
        *(("HOME", tmp_path / "home"), ("CHECKPOINT", CHECKPOINT), ("INDEX", index_location)),
        ("PICTURES", path),
        # Nobody is there to answer: it ends before the first question.
        *(("GENERATOR_URL", f"http://127.0.0.1:{free_tcp_port}/v1"), ("GENERATOR_MODEL", "m")),
        ("GENERATOR_RETRIES", 0),
    ):
        monkeypatch.setenv(f"KBVQA_{name}", str(value))
    asked = CliRunner().invoke(app, ["evaluate", "answers", "--out", str(tmp_path / "out")])
    assert isinstance(asked.exception, GeneratorUnavailable), asked.output
    assert "no passage is about an entity of the collection" in caplog.text
    assert "'a stranger'" in caplog.text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "run", "demo", "--stage", "score"], "holds nothing that was answered"),
        (["evaluate", "run", "demo", "--stage", "answer"], "holds nothing that was retrieved"),
        (["evaluate", "run", "demo", "--exact", "--candidates", "3"], "is of no use to --exact"),
        (["train", "reader", "--words", "20"], "--words is for --squad or --benchmark"),
        (["train", "reader", "--unanswered", "0.2"], "--unanswered is for --squad or --benchmark"),
        (["train", "reader", "--passages", "x.jsonl"], "--passages is the corpus of --benchmark"),
        (
            ["train", "reader", "--no-demo", "--squad", "x", "--facts", "20"],
            "--facts is of the demo",
        ),
        (
            ["train", "reader", "--no-demo", "--squad", "x", "--leads", "0"],
            "--leads is of the demo",
        ),
    ],
)
def test_what_would_do_nothing_is_refused(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "out").mkdir()
    for name in ("retrieval.jsonl", "answers.jsonl"):  # as a run without pictures leaves them
        (tmp_path / "out" / name).touch()
    asked = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")])
    assert asked.exit_code == 2
    assert said in " ".join(asked.output.replace("│", " ").split())
    assert not (tmp_path / "out" / "results.json").exists()
