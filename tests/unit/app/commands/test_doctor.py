"""What `kbvqa doctor` finds, on a tiny real checkpoint, index and the reader that comes along."""

import json
import os
import shutil
import socket
from collections import namedtuple
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli import app as cli
from app.commands import doctor
from app.commands.doctor import Finding, examine
from app.components import open_index, open_pipeline
from app.reader import Reader
from app.settings import load_settings
from corpus.files.passages import write_passages
from corpus.types import Passage
from generator.answers.confidence import Calibration, Fit, calibration_json
from generator.extractive.reader import ExtractiveReader
from retriever.building.build import build_index
from retriever.checkpoint.loading import load_checkpoint
from retriever.engines.directory import lock_for_building
from retriever.pictures.collection import PictureCollection
from retriever.pictures.fusing import Fusion
from retriever.pictures.parts import compact
from tests.golden_cases import GOLDEN

KINDS = [
    "packages", "extras", "settings", "disk", "device",
    "checkpoint", "index", "generator", "confidence",
]  # fmt: skip


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, index_location: Path) -> None:
    monkeypatch.setenv("KBVQA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KBVQA_CHECKPOINT", str(GOLDEN / "B_preflmr"))
    monkeypatch.setenv("KBVQA_INDEX", str(index_location))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(doctor, "NEEDED_BYTES", 2**20)


@pytest.fixture(autouse=True, scope="module")
def loaded_once() -> Iterator[None]:
    """The reader that comes along is a second to load, and the same in every test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reader, "from_pretrained", cache(Reader.from_pretrained))
        yield


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on which nobody listens, and on which nobody will while it is used."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def found() -> dict[str, Finding]:
    return {finding.what: finding for finding in examine()}


def test_pictures_that_the_checkpoint_cannot_compare_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every question would be refused, though this very checkpoint made them once."""
    path, revision = tmp_path / "mine.safetensors", load_checkpoint(GOLDEN / "B_preflmr").revision
    PictureCollection(revision, [("a.png", "a")], compact([[1.0, 0.0]]), Fusion()).save(path)
    monkeypatch.setenv("KBVQA_PICTURES", str(path))
    findings = found()
    assert findings["index"].ok and not findings["pictures"].ok
    assert "vectors of 2 numbers" in findings["pictures"].state
    assert "KBVQA_PICTURES=none" in findings["pictures"].advice


def test_pictures_of_what_no_passage_is_about_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As they find nothing, and the passages sought lose by them."""
    golden = load_checkpoint(GOLDEN / "B_preflmr")
    path, vectors = tmp_path / "mine.safetensors", compact(np.eye(1, golden.picture_width))
    write_passages(tmp_path / "p.jsonl", [Passage("p", "Paris", "The capital.", entity="Q90")])
    build_index(tmp_path / "p.jsonl", tmp_path / "q90", golden, lambda done, total: None)
    monkeypatch.setenv("KBVQA_INDEX", str(tmp_path / "q90"))
    monkeypatch.setenv("KBVQA_PICTURES", str(path))
    for entity in ("a stranger", "Q90"):
        PictureCollection(golden.revision, [("a.png", entity)], vectors, Fusion()).save(path)
        findings, strange = found(), entity == "a stranger"
        assert findings["index"].ok and ("pictures" in findings) == strange
        caplog.clear()
        pipeline = open_pipeline(load_settings(), print, answer=False)
        assert pipeline.index is not None
        pipeline.index.close()
        assert ("no passage is about an entity of the collection" in caplog.text) == strange
        if strange:
            assert "'a stranger'" in findings["pictures"].state
            assert not findings["pictures"].grave


def test_everything_is_there(index_location: Path) -> None:
    findings = found()
    kinds = [kind for kind in findings if kind in KINDS]
    assert kinds == KINDS
    bad = [what for what, finding in findings.items() if not finding.ok]
    # No confidence was fitted for this checkpoint, which fails nothing.
    assert bad == ["confidence"]
    assert not findings["confidence"].grave
    assert findings["index"].state.startswith(f"4 passages (corpus: passages) in {index_location}")
    assert findings["checkpoint"].state.startswith("B_preflmr@")
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 0
    assert "ok  checkpoint   B_preflmr@" in result.stdout
    assert "--  confidence" in result.stdout


def test_a_confidence_of_another_corpus_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = load_checkpoint(GOLDEN / "B_preflmr")
    name = f"{ExtractiveReader.from_pretrained().name}/few-shot/extract"
    made = Calibration(checkpoint.id, 1.0, {}, {name: Fit(0.0, {}, {}, {}, None, 9)}, "0" * 64)
    (tmp_path / "fit.json").write_text(json.dumps([calibration_json(made)]))
    monkeypatch.setenv("KBVQA_CALIBRATION", str(tmp_path / "fit.json"))
    finding = found()["confidence"]
    assert not finding.ok and not finding.grave
    assert "fitted on another corpus" in finding.state and "evaluate trust" in finding.state


@pytest.mark.parametrize(("n", "enough"), [(46, False), (100, True)])
def test_a_confidence_of_few_answers_is_said_to_be_one(
    n: int, enough: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index_location: Path
) -> None:
    checkpoint = load_checkpoint(GOLDEN / "B_preflmr")
    with open_index(index_location, checkpoint) as index:
        corpus = index.fingerprint.corpus_sha256
    name = f"{ExtractiveReader.from_pretrained().name}/few-shot/extract"
    made = Calibration(checkpoint.id, 1.0, {}, {name: Fit(0.0, {}, {}, {}, None, n)}, corpus)
    (tmp_path / "fit.json").write_text(json.dumps([calibration_json(made)]))
    monkeypatch.setenv("KBVQA_CALIBRATION", str(tmp_path / "fit.json"))
    finding = found()["confidence"]
    assert finding.ok == enough and not finding.grave
    assert (finding.state == "calibrated") == enough and ("n = 46" in finding.state) != enough


def test_settings_are_shown_and_secrets_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KBVQA_QDRANT_API_KEY", "s3cret")
    monkeypatch.setenv("KBVQA_TOP_K", "7")
    result = CliRunner().invoke(cli, ["doctor"])
    assert "The page and the API: KBVQA_TOP_K=7\n" in result.stdout
    assert result.stdout.startswith("ok  packages     kbvqa ")
    assert "KBVQA_QDRANT_API_KEY=**" in result.stdout
    assert "s3cret" not in result.output


def test_a_setting_that_cannot_be_used_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KBVQA_TOP_K", "none")
    findings = found()
    assert list(findings) == ["packages", "extras", "settings"]
    assert "KBVQA_TOP_K" in findings["settings"].state
    assert CliRunner().invoke(cli, ["doctor"]).exit_code == 1


def test_a_checkpoint_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KBVQA_CHECKPOINT", str(tmp_path / "none"))
    findings = found()
    assert not findings["checkpoint"].ok and findings["checkpoint"].grave
    assert "KBVQA_CHECKPOINT" in findings["checkpoint"].advice
    assert "index" not in findings and "confidence" not in findings
    assert findings["generator"].ok  # looked at all the same
    result = CliRunner().invoke(cli, ["doctor"])
    assert result.exit_code == 1
    assert "no  checkpoint" in result.stdout
    assert "-> Set KBVQA_CHECKPOINT." in result.stdout


def test_an_index_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KBVQA_INDEX", str(tmp_path / "none"))
    finding = found()["index"]
    assert not finding.ok and finding.grave
    assert "kbvqa index build" in finding.advice and "kbvqa setup" not in finding.advice
    assert CliRunner().invoke(cli, ["doctor"]).exit_code == 1


def test_the_demo_s_index_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KBVQA_INDEX", raising=False)
    monkeypatch.setenv("KBVQA_HOME", str(tmp_path))
    assert "kbvqa setup" in found()["index"].advice


def test_a_generator_that_is_away(monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    monkeypatch.setenv("KBVQA_GENERATOR_URL", f"http://127.0.0.1:{closed_port}/v1")
    monkeypatch.setenv("KBVQA_GENERATOR_MODEL", "some-model")
    monkeypatch.setenv("KBVQA_GENERATOR_RETRIES", "0")
    findings = found()
    assert not findings["generator"].ok and findings["generator"].grave
    assert str(closed_port) in findings["generator"].state
    assert "KBVQA_GENERATOR_URL" in findings["generator"].advice
    assert findings["index"].ok


def test_a_disk_without_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "total used free")
    looked_at = []

    def full(folder: Path) -> usage:
        looked_at.append(folder)
        return usage(2**40, 2**40, 2**19)

    monkeypatch.setattr(shutil, "disk_usage", full)
    finding = found()["disk"]
    assert not finding.ok and finding.grave
    assert "KBVQA_HOME" in finding.state and str(tmp_path) in finding.state
    assert looked_at[0] == tmp_path  # home is not there yet: the disk that it will be on


def test_a_directory_that_may_not_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    finding = found()["disk"]
    assert not finding.ok and finding.grave
    assert f"nothing can be written to {tmp_path}" in finding.state
    assert "KBVQA_HOME" in finding.state and "free" not in finding.state


@pytest.mark.parametrize("below", ["", "a"])
def test_a_file_where_kbvqa_should_keep_things(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, below: str
) -> None:
    (tmp_path / "there").write_text("mine")
    monkeypatch.setenv("KBVQA_HOME", str(tmp_path / "there" / below))
    monkeypatch.delenv("KBVQA_CHECKPOINT")
    findings = found()
    assert f"{tmp_path / 'there'} is a file: set KBVQA_HOME" in findings["disk"].state
    assert not findings["checkpoint"].ok and findings["generator"].ok
    assert CliRunner().invoke(cli, ["doctor"]).exit_code == 1


def test_an_index_that_is_being_built_is_not_to_be_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = tmp_path / "new"
    location.mkdir()
    monkeypatch.setenv("KBVQA_INDEX", str(location))
    assert "being built" not in found()["index"].state
    with lock_for_building(location):
        finding = found()["index"]
    assert not finding.ok and "is being built by another process" in finding.state
    assert finding.advice == "Wait until that is done."
