"""kbvqa-mini's three stages by the project's loop, on features that are drawn, not seen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from corpus.demo.data import demo_images, demo_passages_path, demo_questions
from corpus.files.passages import read_passages
from retriever.checkpoint.mini import QUERY_TOKENS, TRAINED_DIRECTORY, TRAINED_NAME
from retriever.errors import TrainingMismatch
from retriever.inputs.text_vision import imagenet_names
from retriever.model.efficientnet import FEATURE_CHANNELS
from retriever.model.vision import VisionFeatures
from retriever.training.demo import mini
from retriever.training.demo.cache import PassageStates, Views, encode_views
from retriever.training.demo.mini import MiniRecipe, Trainer
from retriever.training.demo.photographs import alike_classes, mix_named
from retriever.training.demo.sampling import BatchShape, Sampler
from retriever.training.demo.weights import Network, keep_some, new_model
from retriever.training.loop import loop

SMALL = BatchShape(flags=2, sections=2, things=4, named=2, other_sections=1, other_passages=3)
RECIPE = MiniRecipe(
    entity_steps=2, steps=2, things_steps=2, entity_pictures=6, views=1, warmup_steps=1,
    batch=SMALL, things_batch=replace(SMALL, things=6),
)  # fmt: skip


class Stopped(Exception):
    pass


def drawn_features(pictures: int, passages: int) -> tuple[Views, PassageStates]:
    """Return what towers might say, drawn."""
    rng = np.random.default_rng(0)
    grids = rng.normal(size=(1, pictures, 16, FEATURE_CHANNELS)).astype(np.float16)
    best = np.tile(np.arange(5, dtype=np.int16), (1, pictures, 1))
    views = Views(grids, best, np.full(best.shape, 0.2, np.float32))
    length = 12
    hidden = torch.from_numpy(rng.normal(size=(length * passages, 384)).astype(np.float16))
    ids = torch.from_numpy(rng.integers(1000, 2000, len(hidden)))
    return views, PassageStates(ids, hidden, torch.arange(passages + 1) * length)


def trained(out: Path, stop_at: int = -1) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Return the log and the weights of a training; stopped at a step, counted over all stages."""
    passages, images = list(read_passages(demo_passages_path())), demo_images()
    views, states = drawn_features(len(images), len(passages))
    model = new_model(RECIPE.seed)
    sampler = Sampler(passages, images, demo_questions(), views, RECIPE.batch, RECIPE.seed)
    calls = 0

    def advance(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise Stopped

    log = Trainer(model, sampler, states, views, RECIPE).run(out, lambda what: None, advance)
    return log, {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}


def test_a_training_that_went_on_keeps_some_of_the_weights_before() -> None:
    before = load_file(TRAINED_DIRECTORY / TRAINED_NAME)
    model = new_model(0, TRAINED_DIRECTORY / TRAINED_NAME)
    with torch.no_grad():
        model.query_text_encoder_linear.weight += 1
    frozen = model.query_text_encoder.state_dict()
    kept = {name: tensor.clone() for name, tensor in frozen.items()}
    keep_some(model, before, share=0.7)
    after = model.state_dict()
    moved = after["query_text_encoder_linear.weight"] - before["query_text_encoder_linear.weight"]
    assert torch.allclose(moved, torch.full_like(moved, 0.7), atol=1e-3)
    same = "context_text_encoder_linear.weight"
    assert torch.allclose(after[same], before[same].float(), atol=1e-6)
    assert all(torch.equal(frozen[name], tensor) for name, tensor in kept.items())


def test_only_pictures_of_what_is_known_by_name_are_mixed() -> None:
    torch.manual_seed(0)
    grids_BGW = torch.arange(40.0).view(40, 1, 1).expand(40, 16, 2).contiguous()
    named_B = torch.arange(40) >= 20
    mixed = mix_named(grids_BGW, named_B)
    assert torch.equal(mixed[:20], grids_BGW[:20])
    different = (mixed != grids_BGW).flatten(1).any(1)
    assert 0 < int(different.sum()) < 20
    # Every cell is one of another picture of those, whole.
    assert torch.equal(mixed[..., 0], mixed[..., 1]) and int(mixed[20:].min()) >= 20
    assert torch.equal(mix_named(grids_BGW, named_B & False), grids_BGW)


def test_a_training_goes_on_from_weights() -> None:
    start = TRAINED_DIRECTORY / TRAINED_NAME
    went_on, new = new_model(0, start).state_dict(), new_model(0).state_dict()
    trained = load_file(start)
    assert all(torch.equal(went_on[name], tensor.float()) for name, tensor in trained.items())
    assert set(went_on) == set(new)
    same = [name for name in new if torch.equal(new[name], went_on[name])]
    assert any("bert_model" in name for name in same)  # the towers
    assert not any("text_encoder_linear" in name for name in same)


def test_a_training_from_other_weights_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    views, states = drawn_features(1, 1)
    monkeypatch.setattr(mini, "encode_views", lambda *given: views)
    monkeypatch.setattr(mini, "encode_passages", lambda *given: states)
    recipe = replace(RECIPE, entity_steps=0, steps=0, things_steps=0)
    said: list[str] = []
    shipped, other = TRAINED_DIRECTORY / TRAINED_NAME, tmp_path / "other.safetensors"
    save_file({name: t + 1 for name, t in load_file(shipped).items()}, other)

    def train(start: Path | None) -> None:
        mini.train(recipe, tmp_path / "out", said.append, lambda done, total: None, start)

    train(other)
    [plan] = [line for line in said if "frozen" in line]
    assert plan.startswith("Training 4,3") and "on 2,391 pictures and 8,500 passages" in plan
    for another in (shipped, None):
        with pytest.raises(TrainingMismatch, match="its start differs"):
            train(another)
    moved = other.rename(tmp_path / "moved.safetensors")
    train(moved)  # the same weights


@pytest.mark.parametrize(
    ("network", "seen_by"),
    [
        (Network(), 8 + 16),
        (Network(grid=7), 8 + 49),
        (Network(prefix_rows=16), 16 + 16),
        (Network(mapping_transformer=False), 8),
    ],
)
def test_a_picture_has_as_many_rows_as_the_network_has_it(network: Network, seen_by: int) -> None:
    model = new_model(0, network=network)
    vision = VisionFeatures(
        torch.ones(1, model.query_vision_encoder.pooled_size),
        torch.ones(1, network.grid**2, FEATURE_CHANNELS),
    )
    tokens = model.query_tokenizer(["What is this?"])
    text = model.query_text_encoder(*tokens.values())
    rows = model(tokens["input_ids"], text, vision)
    assert rows.shape == (1, QUERY_TOKENS + seen_by, 128)
    has_transformer = any("transformer_mapping" in name for name in model.state_dict())
    assert has_transformer == network.mapping_transformer


def test_views_of_each_grid_are_kept_apart(tmp_path: Path) -> None:
    def encode(grid: int) -> Views:
        return encode_views(demo_images()[:1], 1, 0, tmp_path, 1, lambda done, total: None, grid)

    coarse, fine = encode(2), encode(4)
    # A cell of one is the mean of four of the other; both are rounded to float16.
    cells = fine.grids.astype(np.float32).reshape(2, 2, 2, 2, FEATURE_CHANNELS)
    means = cells.mean((1, 3)).reshape(1, 1, 4, FEATURE_CHANNELS)
    first = slice(0, 40)  # a map of 28 x 28, which both divide evenly
    np.testing.assert_allclose(coarse.grids[..., first], means[..., first], atol=1e-3, rtol=1e-3)
    np.testing.assert_array_equal(encode(2).grids, coarse.grids)


def test_like_classes_are_others() -> None:
    alike = alike_classes(new_model(0).query_vision_encoder.vision_model.fc, nearest=3)
    assert len(alike) == 1000 and all(len(set(others)) == 3 for others in alike)
    assert all(number not in others for number, others in enumerate(alike))
    names = imagenet_names()
    assert {names[c] for c in alike[names.index("tiger")]} & {"tiger cat", "jaguar", "leopard"}


@pytest.mark.slow
def test_an_interrupted_training_ends_as_an_undisturbed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, weights = trained(tmp_path / "whole")
    assert [row["stage"] for row in log] == [1, 2, 3]
    assert {"loss", "entity"} <= set(log[0]) and {"passage", "section"} <= set(log[2])
    monkeypatch.setattr(loop, "CHECKPOINT_S", 0.0)
    for stop_at in (2, 4):
        with pytest.raises(Stopped):
            trained(tmp_path / "parts", stop_at)
    again, resumed = trained(tmp_path / "parts")
    assert again == log
    assert all(torch.equal(resumed[name], weight) for name, weight in weights.items())
