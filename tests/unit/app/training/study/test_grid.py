"""What a study is made of, before anything is trained."""

from pathlib import Path

import pytest

from app.errors import InvalidSettings, UnknownBenchmark
from app.training.retriever import Source
from app.training.study.grid import (
    Cell,
    Sources,
    cells_of,
    planted,
    planted_sources,
    published,
    read_study,
)
from retriever.errors import InvalidCheckpoint, InvalidTrainingData
from tests.tiny_flmr import write_ten


def test_a_grid_has_every_combination_once() -> None:
    cells = cells_of(
        ["random:32x1", "random:64x1", "random:32x1"], ["random:32x1"], [1, 2], with_stage=True
    )
    assert len(cells) == len(set(cells)) == 8
    assert cells[:2] == (
        Cell("random:32x1", "random:32x1", 1, False),
        Cell("random:32x1", "random:32x1", 1, True),
    )
    assert cells[0].start == cells[1].start and cells[0].name != cells[1].name
    alone = cells_of(["random:32x1"], ["random:32x1"], [1], with_stage=False)
    assert [cell.intermediate for cell in alone] == [False]


def test_a_tower_that_there_is_not_is_named_before_anything_runs() -> None:
    with pytest.raises(InvalidCheckpoint, match="no-such-tower"):
        cells_of(["random:32x1"], ["random:32x1", "no-such-tower"], [1], with_stage=False)


def test_towers_that_would_share_a_folder_are_refused(tmp_path: Path) -> None:
    for name in ("a/bert", "b/bert"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text('{"model_type": "bert"}')
    towers = [str(tmp_path / name) for name in ("a/bert", "b/bert")]
    with pytest.raises(InvalidSettings, match="would share the folder"):
        cells_of(["random:32x1"], towers, [1], with_stage=False)


def test_settings_are_changed_of_all_stages_or_of_one() -> None:
    stages = published().changed(["steps=7", "full.steps=9", "mapping.repeats=a:2"])
    assert (stages.mapping.steps, stages.intermediate.steps, stages.full.steps) == (7, 7, 9)
    assert stages.mapping.repeats == {"a": 2.0} and "a" not in stages.full.repeats
    for wrong, said in (
        ("last.steps=1", "stages are mapping, intermediate, full"),
        ("full.step=1", "names are trains"),
        ("steps=0", "steps must be more than 0"),
    ):
        with pytest.raises(ValueError, match=said):
            published().changed([wrong])


def test_published_stages_are_the_paper_s() -> None:
    stages = published()
    assert stages.mapping.trains == ("mapping",) and stages.mapping.rows == "visual"
    assert "vision" not in stages.intermediate.trains and stages.full.name == "m2kr"


def test_what_cannot_be_trained_or_measured_is_refused_before_anything_runs(
    tmp_path: Path,
) -> None:
    cells = cells_of(["random:32x1"], ["random:32x1"], [1], with_stage=True)
    examples, passages = write_ten(tmp_path)
    good = Source(str(examples), passages)
    fewer = tmp_path / "fewer.jsonl"
    fewer.write_text("".join(passages.read_text().splitlines(keepends=True)[1:]))
    short = Source(str(examples), fewer)
    for sources in (
        Sources((short,), good, good),
        Sources((good,), short, good),
        Sources((good,), good, short),
    ):
        with pytest.raises(InvalidTrainingData, match="names passage 'p0', which is not there"):
            read_study(cells, planted(), sources, tmp_path, 4, 0)
    lost = Source(str(tmp_path / "lost.jsonl"), passages)
    with pytest.raises(UnknownBenchmark, match=r"lost\.jsonl"):
        read_study(cells, planted(), Sources((good,), None, lost), tmp_path, 4, 0)


def test_planted_data_are_drawn_once(tmp_path: Path) -> None:
    sources = planted_sources(tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert planted_sources(tmp_path) == sources
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
