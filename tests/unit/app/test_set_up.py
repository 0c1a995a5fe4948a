"""`kbvqa setup`: what it builds, brings up to date, makes again and leaves alone."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app import cli, components
from app.components import open_index, open_set_index, set_up
from app.settings import Settings
from corpus.files.passages import write_passages
from corpus.types import Passage
from retriever.building.build import BuildSummary, build_index
from retriever.checkpoint.loading import Checkpoint, load_checkpoint, save_checkpoint
from retriever.errors import IndexNotReady, RetrieverError
from retriever.index.passage_index import PassageIndex
from retriever.index.writing import Report, fingerprint
from retriever.inputs.text_vision import TextVision
from tests.golden_cases import GOLDEN

PASSAGES = [Passage(f"p{n}", f"Tower {n}", f"The tower {n} is tall.") for n in range(4)]


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Passage]], None]:
    """Let another corpus, with these passages, stand for the demo's."""
    path = tmp_path / "demo.jsonl"
    monkeypatch.setattr(components, "demo_passages_path", lambda: path)

    def written(passages: list[Passage]) -> None:
        write_passages(path, passages)

    written(PASSAGES)
    return written


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", checkpoint=str(GOLDEN / "B_preflmr"))


def ids(settings: Settings, checkpoint: Checkpoint) -> set[str]:
    with open_index(settings.index_location, checkpoint, settings.connection) as index:
        return {passage.id for passage, _ in index.row_counts()}


def told_by(settings: Settings) -> tuple[list[str], list[tuple[int, int]]]:
    said: list[str] = []
    done: list[tuple[int, int]] = []
    set_up(settings, said.append, lambda now, total: done.append((now, total)))
    return said, done


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    """What each build did."""
    kept: list[Report] = []

    def watched(*args: Any, **options: Any) -> BuildSummary | None:
        built = build_index(*args, **options)
        assert built is not None
        kept.append(built.report)
        return built

    monkeypatch.setattr(components, "build_index", watched)
    return kept


def test_it_builds_what_is_missing_and_nothing_twice(
    demo: Callable[[list[Passage]], None],
    settings: Settings,
    checkpoint: Checkpoint,
    reports: list[Report],
) -> None:
    said, done = told_by(settings)
    assert said[0] == "Checkpoint"
    assert done[-1] == (4, 4)
    told_by(settings)
    assert [(report.written, report.unchanged) for report in reports] == [(4, 0), (0, 4)]
    assert ids(settings, checkpoint) == {"p0", "p1", "p2", "p3"}


def test_a_newer_demo_brings_the_index_up_to_date(
    demo: Callable[[list[Passage]], None],
    settings: Settings,
    checkpoint: Checkpoint,
    reports: list[Report],
) -> None:
    told_by(settings)
    demo([*PASSAGES[1:], Passage("new", "New", "A new tower.")])
    told_by(settings)
    assert (reports[1].written, reports[1].unchanged, reports[1].deleted) == (1, 3, 1)
    assert ids(settings, checkpoint) == {"p1", "p2", "p3", "new"}


def test_an_index_of_another_checkpoint_is_made_again(
    demo: Callable[[list[Passage]], None],
    settings: Settings,
    checkpoint: Checkpoint,
    tmp_path: Path,
) -> None:
    told_by(settings)
    save_checkpoint(replace(checkpoint, text_vision=TextVision(0.5, 0.9)), tmp_path / "other")
    changed = settings.model_copy(update={"checkpoint": str(tmp_path / "other")})
    said, _ = told_by(changed)
    assert any("making it again" in line for line in said)
    other = load_checkpoint(tmp_path / "other")
    assert ids(changed, other) == {"p0", "p1", "p2", "p3"}
    with pytest.raises(RetrieverError):
        ids(settings, checkpoint)


def test_an_index_that_the_user_named_is_never_touched(
    demo: Callable[[list[Passage]], None],
    settings: Settings,
    checkpoint: Checkpoint,
    index_location: Path,
    tmp_path: Path,
) -> None:
    missing = settings.model_copy(update={"index": str(tmp_path / "mine")})
    with pytest.raises(IndexNotReady):
        told_by(missing)
    assert not (tmp_path / "mine").exists()
    named = settings.model_copy(update={"index": str(index_location)})
    before = ids(named, checkpoint)
    told_by(named)
    assert ids(named, checkpoint) == before == {"p:paris", "p:tower", "p:church", "p:bird"}
    assert not (settings.home / "index").exists()


def test_a_demo_that_is_built_in_part_sends_to_setup(settings: Settings) -> None:
    """Nobody has the demo's passages at hand for `kbvqa index build`."""
    checkpoint = load_checkpoint(settings.checkpoint)
    wanted = fingerprint(checkpoint, "passages", "0" * 64, 4)
    PassageIndex.create_or_resume(settings.index_location, wanted).close()
    with pytest.raises(IndexNotReady) as caught:
        open_set_index(settings, checkpoint)
    assert "run `kbvqa setup`" in str(caught.value)
    assert "index build" not in str(caught.value)
    named = settings.model_copy(update={"index": str(settings.index_location)})
    with pytest.raises(IndexNotReady, match="index build"):
        open_set_index(named, checkpoint)


@pytest.mark.parametrize(("options", "code"), [([], 78), (["--in-vain", "0"], 0)])
def test_the_page_says_what_to_run_and_that_a_restart_is_in_vain(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
    code: int,
) -> None:
    """An index of another checkpoint: a container that restarted would do so for ever."""
    corpus, location = tmp_path / "p.jsonl", tmp_path / "index"
    write_passages(corpus, PASSAGES)
    build_index(corpus, location, load_checkpoint(GOLDEN / "A_flmr"), lambda *_: None)
    monkeypatch.setattr(cli, "open_streams", lambda: None)
    monkeypatch.setenv("KBVQA_CHECKPOINT", str(GOLDEN / "B_preflmr"))
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = str(bound.getsockname()[1])
    arguments = ["web", "--build", "--index", str(location), "--port", port, *options]
    monkeypatch.setattr(sys, "argv", ["kbvqa", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == code
    command = f"index build CORPUS --checkpoint DIRECTORY/B_preflmr --index {location} --swap"
    assert command in capfd.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("KBVQA_CALIBRATION", "/nope", "/nope"),
        ("KBVQA_STRATEGY", "concat", "'concat'"),
        ("KBVQA_READER", "/nope", "no directory /nope"),
    ],
)
def test_settings_of_answers_that_no_restart_mends_are_in_vain_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    value: str,
    said: str,
) -> None:
    corpus, location = tmp_path / "p.jsonl", tmp_path / "index"
    write_passages(corpus, PASSAGES)
    build_index(corpus, location, load_checkpoint(GOLDEN / "B_preflmr"), lambda *_: None)
    monkeypatch.setattr(cli, "open_streams", lambda: None)
    monkeypatch.setenv("KBVQA_CHECKPOINT", str(GOLDEN / "B_preflmr"))
    monkeypatch.setenv(name, value)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = str(bound.getsockname()[1])
    monkeypatch.setattr(sys, "argv", ["kbvqa", "web", "--index", str(location), "--port", port])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == cli.CANNOT_START
    assert said in capfd.readouterr().err.replace("\n", " ")


def test_a_build_ends_with_the_page_that_asked_for_it(tmp_path: Path) -> None:
    """As a service is stopped during its first start: by SIGTERM to one process."""
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
    parent = (
        "import os, sys; from app.cli import _run_below\n"
        f"_run_below([sys.executable, '-c', {child + 'time.sleep(600)'!r}], dict(os.environ))"
    )
    with subprocess.Popen([sys.executable, "-c", parent]) as process:
        while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
