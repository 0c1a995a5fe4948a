"""A PreFLMR of a few thousand random weights, and ten questions that it can learn by heart."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from corpus.types import Passage
from retriever.checkpoint.loading import load_checkpoint, save_checkpoint
from retriever.checkpoint.pretrained import FLMRModel
from retriever.training.contrastive.draw import TrainingSet
from retriever.training.examples import TrainingExample
from tests.golden_cases import GOLDEN

WORDS = ("tower", "river", "church", "flower", "bird", "tree", "dog", "cat", "mountain", "bridge")


def tiny_checkpoint(directory: Path, name: str = "B_preflmr") -> Path:
    """Write a checkpoint of the golden one's shape, initialised as a new one is; return where."""
    golden = load_checkpoint(GOLDEN / name)
    torch.manual_seed(0)
    model = FLMRModel(golden.model.config, golden.query_tokenizer, golden.passage_tokenizer)
    save_checkpoint(replace(golden, model=model), directory)
    return directory


def pictures(folder: Path, n: int = 10) -> list[Path]:
    """Write n pictures that differ, where they are not there yet; return where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = []
    for i in range(n):
        noise = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        path = folder / f"{i}.png"
        if not path.exists():
            Image.fromarray(noise).resize((32, 32), Image.Resampling.NEAREST).save(path)
        paths.append(path)
    return paths


def ten(folder: Path) -> TrainingSet:
    """Return ten pictures, asked the same question of, and a passage about each."""
    passages = {
        f"p{i}": Passage(f"p{i}", word, f"The {word} is number {i}.")
        for i, word in enumerate(WORDS)
    }
    examples = [
        TrainingExample(f"q{i}", "What is this?", "Describe", path, (f"p{i}",))
        for i, path in enumerate(pictures(folder))
    ]
    return TrainingSet("ten", examples, passages)


def write_ten(folder: Path) -> tuple[Path, Path]:
    """Write the same ten as files; return those of the examples and of the passages."""
    given = ten(folder / "pictures")
    rows = [
        {
            "id": example.id,
            "image": f"pictures/{i}.png",
            "question": example.question,
            "gold_passage_ids": list(example.positives),
        }
        for i, example in enumerate(given.examples)
    ]
    passages = [{"id": p.id, "title": p.title, "text": p.text} for p in given.passages.values()]
    for name, lines in (("examples", rows), ("passages", passages)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder / "examples.jsonl", folder / "passages.jsonl"
