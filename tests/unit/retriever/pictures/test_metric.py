"""How pictures are compared: by what tells entities apart, where enough have several."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retriever.pictures import metric as metric_module
from retriever.pictures.collection import PictureCollection
from retriever.pictures.fusing import Fusion
from retriever.pictures.metric import LEAST, Metric
from retriever.pictures.parts import compact

WIDTH, TELLING, EACH = 48, 12, 3


def drawn(entities: int, seed: int) -> NDArray[np.float32]:
    """Return EACH pictures of entities, which differ in few numbers; in the others, each does."""
    what = np.random.default_rng(7).normal(size=(entities, 1, WIDTH)) * (np.arange(WIDTH) < TELLING)
    style = np.random.default_rng(seed).normal(size=(entities, EACH, WIDTH))
    noise = np.where(np.arange(WIDTH) < TELLING, 0.2, 0.7)
    rows: NDArray[np.float32] = (0.5 + what + style * noise).reshape(-1, WIDTH).astype(np.float32)
    return rows


def names_of(entities: int) -> list[tuple[str, str]]:
    return [(f"{e}-{n}.png", f"e{e}") for e in range(entities) for n in range(EACH)]


def found(collection: PictureCollection, queries: NDArray[np.float32]) -> float:
    """Return the share of queries whose most similar picture is of the same entity."""
    best = collection.search(queries, 1)
    names = collection.names
    return float(np.mean([one.entity == e for [one], (_, e) in zip(best, names, strict=True)]))


def test_what_differs_within_an_entity_counts_less(tmp_path: Path) -> None:
    entities = LEAST // EACH + 1
    names = names_of(entities)
    rows, queries = compact(drawn(entities, seed=1)), drawn(entities, seed=2)
    metric = Metric.fitted(rows, [entity for _, entity in names])
    assert metric is not None
    plain = PictureCollection("r", names, rows, Fusion())
    fitted = PictureCollection("r", names, compact(metric(rows)), Fusion(), metric=metric)
    assert found(fitted, queries) > 0.8 > 0.6 > found(plain, queries)
    assert fitted.sha256 != PictureCollection("r", names, fitted.vectors_IV, Fusion()).sha256
    fitted.save(tmp_path / "pictures.safetensors")
    opened = PictureCollection.open(tmp_path / "pictures.safetensors")
    assert opened.sha256 == fitted.sha256
    assert opened.search(queries[:5], 3) == fitted.search(queries[:5], 3)
    assert opened.width == WIDTH


def test_fewer_directions_than_numbers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that tell the entities apart: nothing is lost with the others."""
    monkeypatch.setattr(metric_module, "DIRECTIONS", TELLING)
    entities = LEAST // EACH + 1
    names, rows = names_of(entities), compact(drawn(entities, seed=1))
    metric = Metric.fitted(rows, [entity for _, entity in names])
    assert metric is not None and metric.directions_VK.shape == (WIDTH, TELLING)
    telling = np.abs(metric.directions_VK[:TELLING]).mean()
    assert telling > 10 * np.abs(metric.directions_VK[TELLING:]).mean()
    fitted = PictureCollection("r", names, compact(metric(rows)), Fusion(), metric=metric)
    assert fitted.width == WIDTH and found(fitted, drawn(entities, seed=2)) > 0.9


def test_pictures_may_be_fewer_than_the_numbers_of_a_vector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metric_module, "DIRECTIONS", TELLING)
    entities = LEAST // EACH + 1
    names, wide = names_of(entities), [(0, 0), (0, 2 * LEAST)]
    rows = compact(np.pad(drawn(entities, seed=1), wide))
    metric = Metric.fitted(rows, [entity for _, entity in names])
    assert metric is not None and len(metric.directions_VK) > len(rows)
    assert np.abs(metric.directions_VK[WIDTH:]).max() < 1e-3, "nothing differs there"
    fitted = PictureCollection("r", names, compact(metric(rows)), Fusion(), metric=metric)
    assert found(fitted, np.pad(drawn(entities, seed=2), wide)) > 0.9


def test_there_is_none_where_few_entities_have_several_pictures() -> None:
    rows = compact(drawn(LEAST, seed=1))
    alone = [f"e{n}" for n in range(len(rows))]
    assert Metric.fitted(rows, alone) is None
    enough = [f"e{n // 2}" for n in range(LEAST)] + alone[LEAST:]
    assert Metric.fitted(rows, enough) is not None
    assert Metric.fitted(rows, [*enough[: LEAST - 2], *alone[LEAST - 2 :]]) is None


def test_there_is_none_where_the_pictures_of_an_entity_are_all_alike(tmp_path: Path) -> None:
    """As where a table lists each twice: what differs within one is rounding at most."""
    rows = np.repeat(compact(drawn(LEAST, seed=1))[:LEAST], 3, axis=0)
    names = [(f"{n}.png", f"e{n // 3}") for n in range(len(rows))]
    alike = PictureCollection.of("r", names, rows)
    assert alike.metric is None
    alike.save(tmp_path / "pictures.safetensors")
    [[best]] = PictureCollection.open(tmp_path / "pictures.safetensors").search(rows[3:4], 1)
    assert best.entity == "e1"
