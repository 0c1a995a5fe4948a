"""What the running recall check sees is kept, and told by those who ask for it later."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from app.asking.recall import WatchedPipeline, last_seen, recall_watch
from app.cli import app as cli
from app.commands import doctor
from app.pipeline import Pipeline
from app.settings import Settings
from corpus.types import Query
from retriever.checkpoint.loading import Checkpoint
from retriever.encoding.encoder import Encoder
from retriever.engines import candidates
from retriever.index.passage_index import Learning, PassageIndex
from retriever.index.watching import FEWEST
from tests.golden_cases import GOLDEN
from tests.index_cases import make_fingerprint, make_passages

COUNT = 4_000


@pytest.fixture
def location(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Where an index is that has learned its candidates, of a checkpoint that can ask it."""
    monkeypatch.setattr(candidates, "LEARNED_FROM", COUNT)
    rng, dim = np.random.default_rng(0), Encoder(checkpoint).dim

    def random_rows(count: int) -> list[np.ndarray]:
        rows = [rng.normal(size=(6, dim)).astype(np.float32) for _ in range(count)]
        return [row / np.linalg.norm(row, axis=1, keepdims=True) for row in rows]

    made = replace(make_fingerprint(COUNT), checkpoint_sha256=checkpoint.revision, dim=dim)
    with PassageIndex.create(tmp_path / "index", made) as index:
        index.upsert(make_passages(COUNT), random_rows(COUNT))
        index.finish(learning=Learning(random_rows(30)))
        assert index.built.learned is not None
    yield tmp_path / "index"


def test_what_was_seen_is_told_by_doctor_and_info(
    location: Path, checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "HOME": str(tmp_path / "home"),
        "CHECKPOINT": str(GOLDEN / "B_preflmr"),
        "INDEX": str(location),
        "RECALL_CHECKS": "1",
    }.items():
        monkeypatch.setenv(f"KBVQA_{name}", value)
    monkeypatch.setattr(doctor, "NEEDED_BYTES", 2**20)
    settings = Settings()
    with PassageIndex.open(location) as index:
        assert last_seen(index, settings) is None
        pipeline = Pipeline(Encoder(checkpoint), index, candidates=10)
        watch = recall_watch(pipeline, settings)
        assert watch is not None
        watched = WatchedPipeline(pipeline, watch)
        try:
            end = time.monotonic() + 120
            while watch.seen.queries < FEWEST:
                watched.retrieve(Query(f"What is {watch.seen.queries}?"))
                assert time.monotonic() < end
            while (seen := last_seen(index, settings)) is None or seen.queries < FEWEST:
                assert time.monotonic() < end
                time.sleep(0.05)  # the process that writes it has a core then
        finally:
            watch.close()
        assert seen.found == watch.seen.recall and seen.promised == watch.promised
        assert seen.low, "ten candidates of 4,000 find little"
    [finding] = [f for f in doctor.examine() if f.what == "recall"]
    assert not finding.ok and not finding.grave and "KBVQA_CANDIDATES" in finding.advice
    assert f"{seen.found:.3f} ± " in finding.state and "by 10 candidates" in finding.state
    told = CliRunner().invoke(cli, ["index", "info", "--json"])
    assert json.loads(told.stdout)["seen"]["queries"] == seen.queries
    [file] = (tmp_path / "home" / "recall").iterdir()
    file.write_text('{"queries": 3}')  # of a version that is not this one
    with PassageIndex.open(location) as index:
        assert last_seen(index, settings) is None


def test_a_file_that_cannot_be_written_stops_no_watch(
    location: Path, checkpoint: Checkpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "home").write_text("a file, where the folder should be")
    settings = Settings(home=tmp_path / "home", recall_checks=1)
    with PassageIndex.open(location) as index:
        pipeline = Pipeline(Encoder(checkpoint), index, candidates=10)
        watch = recall_watch(pipeline, settings)
        assert watch is not None
        try:
            end = time.monotonic() + 120
            while watch.seen.queries < 2:
                WatchedPipeline(pipeline, watch).retrieve(Query("What is it?"))
                assert time.monotonic() < end
        finally:
            watch.close()
    assert "what the recall check saw cannot be kept" in caplog.text
