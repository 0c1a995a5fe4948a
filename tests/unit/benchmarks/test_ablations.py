"""What is left out is left out, and nothing else; what is kept of the towers is what they say."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.ablations import FULL, TRAINED, KeptEncoder, at_random, drawings, report
from corpus.demo.data import demo_images
from corpus.types import Passage
from retriever.checkpoint.loading import Checkpoint, load_checkpoint
from retriever.checkpoint.mini import mini_config
from retriever.encoding.encoder import Encoder
from retriever.training.demo.cache import Views, encode_passages

PASSAGES = [
    Passage(id="a", title="Kenya", text="Kenya: the flag has a shield, and two spears."),
    Passage(id="b", title="Bee", text="A bee."),
]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint("kbvqa-mini")


def test_a_recipe_lacks_what_its_name_says_and_nothing_else() -> None:
    full = asdict(FULL)
    changed = {
        left_out: {name for name, value in asdict(recipe).items() if value != full[name]}
        for left_out, recipe in TRAINED.items()
    }
    assert changed == {
        "nothing": set(),
        "the mapping transformer": {"network"},
        "hard negatives": {"batch", "things_batch"},
        "stage 1": {"entity_steps"},
        "7 x 7 patches for 4 x 4": {"network"},
        "16 prefix rows for 8": {"network"},
    }
    assert FULL.network.config() == mini_config()


def test_random_batches_are_as_large() -> None:
    for shape in (FULL.batch, FULL.things_batch):
        random = at_random(shape)
        assert random.flags * random.sections == shape.flags * shape.sections
        assert random.sections == 1 and not random.other_sections
        others = [s.flags * s.other_sections + s.other_passages for s in (shape, random)]
        assert others[0] == others[1]


def test_passages_that_were_kept_are_those_that_the_tower_reads(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    states = encode_passages(PASSAGES, tmp_path / "passages.pt", lambda done, total: None)
    kept = KeptEncoder(checkpoint, states, PASSAGES)
    found = {passage.id: rows for [passage], [rows] in kept.encode_corpus(PASSAGES)}
    for passage, own in zip(PASSAGES, Encoder(checkpoint).encode_passages(PASSAGES), strict=True):
        # Hidden states are kept in float16, of three digits.
        np.testing.assert_allclose(found[passage.id], own, atol=2e-3)


def test_drawings_are_compared_by_the_trained_neck(checkpoint: Checkpoint) -> None:
    images = demo_images()
    tower = checkpoint.model.query_vision_encoder
    rng = np.random.default_rng(0)
    grids = rng.normal(size=(1, len(images), tower.grid**2, tower.patch_size)).astype(np.float16)
    collection = drawings(checkpoint, Views(grids, np.zeros(0), np.zeros(0)))
    place = next(i for i, image in enumerate(images) if image.split == "train")
    with torch.inference_mode():
        features = tower.neck(torch.from_numpy(grids[0, place : place + 1]).float())
        [[best]] = collection.search(tower.likeness(features).numpy(), 1)
    assert (best.image, best.entity) == (images[place].image, images[place].entity)
    assert best.similarity == pytest.approx(1, abs=0.01)  # of one byte a number


def test_a_report_has_the_difference_of_the_same_questions() -> None:
    found = {
        "nothing": {"flags": [1, 1, 2, 0], "flags, beside drawings": [1, 1, 1, 1]},
        "stage 1": {"flags": [1, 0, 2, 0], "flags, beside drawings": [1, 1, 1, 5]},
        "the picture": {"flags": [0, 0, 0, 0]},
    }
    lines = report(found).splitlines()
    assert lines[2] == "| nothing | 50.0 / 75.0 ± 28.9 | 100.0 / 100.0 ± 0.0 |"
    assert lines[3] == (
        "| stage 1 | 25.0 / 50.0 ± 25.0 (-25.0 ± 25.0) | 75.0 / 100.0 ± 25.0 (-25.0 ± 25.0) |"
    )
    assert lines[4] == "| the picture | 0.0 / 0.0 ± 0.0 (-50.0 ± 28.9) | - |"
    assert lines[-1] == "n: 4 flags."
