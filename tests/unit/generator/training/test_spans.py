"""Training the extractive reader: it learns, resumes as if undisturbed, refuses other data."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from corpus.reading import KINDS, ReadingExample
from generator.errors import GeneratorUnavailable, TrainingMismatch, TrainingStopped
from generator.extractive.model import (
    WEIGHTS_NAME,
    base_model,
    base_tokenizer,
    load_trained,
    save_trained,
)
from generator.extractive.reader import ExtractiveReader
from generator.training import spans
from generator.training.spans import SpanRecipe, label, train_spans

TEXTS = {
    "Nairobi": "Kenya - Names. Capital: Nairobi. Coastline: 536 km.",
    "Tokyo": "Japan - Names. Capital: Tokyo. Coastline: 29,751 km.",
    "Lima": "Peru - Names. Capital: Lima. Coastline: 2,414 km.",
    "Oslo": "Norway - Names. Capital: Oslo. Coastline: 25,148 km.",
}
EXAMPLES = [
    ReadingExample("capital?", text, text.find(city), text.find(city) + len(city), "span")
    for city, text in TEXTS.items()
] + [ReadingExample("what does it eat?", text) for text in TEXTS.values()]
RECIPE = SpanRecipe(epochs=3, batch=4, learning_rate=3e-4, warmup=1)
DATA = {"set": "capitals"}


@pytest.fixture
def often_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "CHECKPOINT_S", 0.0)


def train(out: Path, recipe: SpanRecipe = RECIPE, **kwargs: Any) -> list[dict[str, float]]:
    return train_spans(lambda epoch: EXAMPLES, recipe, out, data=DATA, **kwargs)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_trained(out / WEIGHTS_NAME)[0].state_dict()


@pytest.mark.slow
def test_it_learns_to_point_and_to_say_that_there_is_nothing(tmp_path: Path) -> None:
    often = EXAMPLES * 5  # few epochs: at the end of each all is written
    recipe = replace(RECIPE, epochs=5)
    history = train_spans(lambda epoch: often, recipe, tmp_path, data=DATA, validation=EXAMPLES)
    assert history[-1]["validation"] < 0.5 * history[0]["validation"]
    reader = ExtractiveReader.from_pretrained(tmp_path / WEIGHTS_NAME)
    readings = reader.read("capital?", list(TEXTS.values()))
    assert [reading.text for reading in readings] == list(TEXTS)
    assert all(r.logprob > r.none_logprob for r in readings)
    nothing = reader.read("what does it eat?", list(TEXTS.values()))
    assert all(r.none_logprob > r.logprob for r in nothing)


@pytest.mark.slow
@pytest.mark.usefixtures("often_saved")
def test_an_interrupted_training_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=2)
    whole = train(tmp_path / "whole", recipe)

    def interrupt(done: int, total: int) -> None:
        if done in (1, 3):
            raise KeyboardInterrupt

    parts = tmp_path / "parts"
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(parts, recipe, advance=interrupt)
    assert train(parts, recipe) == whole
    first, second = weights(tmp_path / "whole"), weights(parts)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.usefixtures("often_saved")
def test_one_that_is_interrupted_while_it_validates_has_every_epoch_and_its_reader(
    tmp_path: Path,
) -> None:
    class Interrupts(list[ReadingExample]):
        def __iter__(self) -> Iterator[ReadingExample]:
            raise KeyboardInterrupt

    recipe = replace(RECIPE, epochs=2, batch=8)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, recipe, validation=Interrupts(EXAMPLES[:1]))
    history = train(tmp_path, recipe, validation=EXAMPLES[:1])
    assert [row["epoch"] for row in history] == [1.0, 2.0]
    assert all("validation" in row for row in history)
    assert (tmp_path / WEIGHTS_NAME).exists()


def test_a_finished_reader_that_was_removed_is_written_again(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=1, batch=8)
    history, file = train(tmp_path, recipe), tmp_path / WEIGHTS_NAME
    before = file.read_bytes()
    file.unlink()
    assert train(tmp_path, recipe) == history
    assert file.read_bytes() == before


def test_a_reader_that_the_training_did_not_write_is_left_alone_and_named(tmp_path: Path) -> None:
    recipe, other = replace(RECIPE, epochs=1, batch=8), tmp_path / "other"
    train(tmp_path / "own", recipe)
    other.mkdir()
    save_trained(base_model(), other / WEIGHTS_NAME, {"mean_of": "2"})
    mean = (other / WEIGHTS_NAME).read_bytes()
    (tmp_path / "own" / WEIGHTS_NAME).write_bytes(mean)
    for out in (other, tmp_path / "own"):
        with pytest.raises(TrainingMismatch, match=r"reader\.safetensors was not .*another --out"):
            train(out, recipe)
        assert (out / WEIGHTS_NAME).read_bytes() == mean


@pytest.mark.slow
def test_another_training_in_the_directory_is_refused(tmp_path: Path) -> None:
    train(tmp_path, replace(RECIPE, epochs=1))
    with pytest.raises(TrainingMismatch, match="other settings or data"):
        train(tmp_path, replace(RECIPE, epochs=1, seed=1))


def test_it_goes_on_from_a_reader_that_was_trained_before(tmp_path: Path) -> None:
    started = replace(RECIPE, epochs=1)
    train(tmp_path / "first", started)
    first = tmp_path / "first" / WEIGHTS_NAME
    still = replace(started, learning_rate=0.0, weight_decay=0.0)
    train(tmp_path / "second", still, start=first)
    before, after = weights(tmp_path / "first"), weights(tmp_path / "second")
    untrained = base_model(RECIPE.seed).state_dict()
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, atol=1e-4, rtol=0.0)
    assert (before["span_linear.weight"] - untrained["span_linear.weight"]).abs().max() > 1e-4
    with pytest.raises(TrainingMismatch):
        train(tmp_path / "second", still)


@pytest.mark.parametrize(
    ("batch", "said"),
    [(4, "step 2: the loss is nan.*smaller learning rate"), (8, "step 1: there are weights")],
)
def test_weights_that_are_no_numbers_are_never_written(
    batch: int, said: str, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, epochs=1, batch=batch, learning_rate=1e30)
    with pytest.raises(TrainingStopped, match=said):
        train(tmp_path, recipe)
    assert not (tmp_path / WEIGHTS_NAME).exists()


def test_a_reader_whose_weights_are_no_numbers_is_not_gone_on_from(tmp_path: Path) -> None:
    model = base_model()
    torch.nn.init.constant_(model.span_linear.weight, torch.nan)
    save_trained(model, tmp_path / WEIGHTS_NAME, {})
    with pytest.raises(GeneratorUnavailable, match=r"reader\.safetensors.*no numbers"):
        train(tmp_path / "out", start=tmp_path / WEIGHTS_NAME)


@pytest.mark.parametrize("content", [b"PK\x03\x04" + bytes(996), b"", b"text"])
def test_a_damaged_checkpoint_is_named_with_what_to_do(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(TrainingStopped, match=r"checkpoint\.pt is damaged .*another --out"):
        train(tmp_path)


def test_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no examples"):
        train_spans(lambda epoch: [], replace(RECIPE, epochs=1), tmp_path, data={})


def test_the_labels_are_the_tokens_of_the_answer() -> None:
    tokenizer = base_tokenizer()
    row = label(tokenizer, EXAMPLES[0])
    assert row is not None
    first, last = row.start - row.window.first, row.end - row.window.first
    start, end = row.window.offsets[first][0], row.window.offsets[last][1]
    assert EXAMPLES[0].passage[start:end] == "Nairobi"
    assert row.kind == KINDS.index("span")
    none = label(tokenizer, EXAMPLES[-1])
    assert none is not None and (none.start, none.end, none.kind) == (0, 0, 0)
    assert label(tokenizer, ReadingExample("?", "")) is None


def test_a_long_passage_is_learnt_in_the_window_that_has_the_answer() -> None:
    filler = "The roads were quiet on that day. " * 80
    text = f"{filler}Capital: Nairobi. {filler}"
    at = text.find("Nairobi")
    row = label(base_tokenizer(), ReadingExample("capital?", text, at, at + 7, "span"))
    assert row is not None and row.start > 0
    start = row.window.offsets[row.start - row.window.first][0]
    assert text[start : start + 7] == "Nairobi"


def test_a_yes_without_a_marked_reason_trains_the_kind_alone() -> None:
    row = label(base_tokenizer(), ReadingExample("is it big?", "It is big.", kind="yes"))
    assert row is not None
    assert (row.start, row.end, row.kind) == (spans.UNKNOWN, spans.UNKNOWN, KINDS.index("yes"))
