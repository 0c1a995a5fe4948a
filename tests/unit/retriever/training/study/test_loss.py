"""The loss on validation questions is the one that is trained, question by question."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from retriever.checkpoint.loading import load_checkpoint
from retriever.training.contrastive.draw import Draws, TrainingSet, competition
from retriever.training.contrastive.losses import contrastive_loss
from retriever.training.contrastive.towers import Towers
from retriever.training.recipes import RetrieverRecipe
from retriever.training.study.loss import validation_losses
from retriever.training.validation import Validation
from tests.tiny_flmr import ten, tiny_checkpoint

RECIPE = RetrieverRecipe("test", trains=("questions", "mapping"), batch=5, negatives=2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    return ten(tmp_path_factory.mktemp("pictures"))


def test_its_mean_is_the_contrastive_loss_of_the_same_batches(
    checkpoint: Path, given: TrainingSet
) -> None:
    found = validation_losses(
        load_checkpoint(checkpoint), Validation(given.examples, given.passages), RECIPE
    )
    assert list(found) and set(found) == {example.id for example in given.examples}
    loaded = load_checkpoint(checkpoint)
    loaded.model.eval()
    towers = Towers(loaded, RECIPE, torch.device("cpu"), None)
    means = []
    for number in range(2):
        batch = Draws([replace(given, name="validation")], RECIPE).batch(number)
        with torch.no_grad():
            queries = towers.queries([drawn.example for drawn in batch])
            passages = towers.passages([p for drawn in batch for p in drawn.passages])
        means.append(float(contrastive_loss(queries, *passages, *competition(batch))))
        own = [found[drawn.example.id] for drawn in batch]
        assert sum(own) / len(own) == pytest.approx(means[-1], rel=1e-5)
    assert sum(found.values()) / 10 == pytest.approx(sum(means) / 2, rel=1e-5)


@pytest.mark.parametrize("batch", [3, 16])
def test_every_question_counts_once_however_many_fill_a_batch(
    checkpoint: Path, given: TrainingSet, batch: int
) -> None:
    validation = Validation(given.examples, given.passages)
    told: list[tuple[int, int]] = []
    recipe = replace(RECIPE, batch=batch)
    found = validation_losses(
        load_checkpoint(checkpoint), validation, recipe, lambda *far: told.append(far)
    )
    assert set(found) == {example.id for example in given.examples}
    assert told[-1] == (10, 10)


def test_parts_of_a_batch_give_the_losses_of_the_whole(
    checkpoint: Path, given: TrainingSet
) -> None:
    validation = Validation(given.examples, given.passages)
    whole, parts = (
        validation_losses(load_checkpoint(checkpoint), validation, replace(RECIPE, chunk=chunk))
        for chunk in (0, 2)
    )
    assert parts == pytest.approx(whole, rel=1e-5)
