"""A checkpoint's id: one value everywhere, and another one for every other content."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from corpus.demo.data import demo_dir, demo_entity_pictures
from corpus.files.passages import passages_sha256
from corpus.pictures.images import load_image
from generator.answers.confidence import PACKAGED, read_calibration
from generator.extractive.reader import ExtractiveReader
from retriever.checkpoint import mini
from retriever.checkpoint.identity import checkpoint_revision
from retriever.checkpoint.loading import load_checkpoint, save_checkpoint
from retriever.checkpoint.weights import save_weights
from retriever.inputs.text_vision import TextVision
from retriever.pictures.collection import PictureCollection
from retriever.pictures.layout import layouts
from tests.golden_cases import GOLDEN

MINI_REVISION = "48176b5330b3"
B_PREFLMR_REVISION = "49c6cb28baa8"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "B_preflmr", tmp_path / "B_preflmr"))


def revision(directory: Path) -> str:
    return load_checkpoint(directory).revision


def test_the_fixture_has_one_id_everywhere(directory: Path) -> None:
    assert revision(directory) == B_PREFLMR_REVISION


@pytest.mark.parametrize(
    "processor",
    [
        {"MKL_CBWR": "COMPATIBLE"},
        {"MKL_CBWR": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"},
        {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    ],
    ids=lambda settings: "+".join(settings.values()),
)
def test_kbvqa_mini_has_one_id_whatever_the_processor_can(
    processor: dict[str, str], tmp_path: Path
) -> None:
    """Assembled anew each time, in a process of its own: that is where the id once changed."""
    script = (
        "import sys; from pathlib import Path\n"
        "from retriever.checkpoint.loading import load_checkpoint\n"
        "from retriever.checkpoint.mini import assemble\n"
        "print(load_checkpoint(assemble(Path(sys.argv[1]))).id)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, **processor},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert found.stdout.strip() == f"kbvqa-mini@{MINI_REVISION}"


def test_the_shipped_calibration_belongs_to_the_shipped_checkpoint() -> None:
    calibration = read_calibration(PACKAGED, MINI_REVISION)
    assert calibration.checkpoint == f"{mini.NAME}@{MINI_REVISION}"
    assert calibration.corpus == passages_sha256(demo_dir() / "passages.jsonl.gz")
    assert (
        calibration.fit(ExtractiveReader.from_pretrained().name, "few-shot", "extract") is not None
    )


def test_the_shipped_drawings_belong_to_the_shipped_checkpoint_passages_and_confidence() -> None:
    drawings = PictureCollection.open(mini.PICTURES)
    assert drawings.checkpoint == MINI_REVISION
    assert drawings.corpus == passages_sha256(demo_dir() / "passages.jsonl.gz")
    assert drawings.names == tuple((p.image, p.entity) for p in demo_entity_pictures())
    assert mini.PICTURES.stat().st_size < 5e6
    # Where colours lie is of these pictures, to the last unit that processors may differ in.
    assert drawings.layouts_ILHWC is not None
    for number in (0, len(drawings.names) // 2, len(drawings.names) - 1):
        shown = layouts(load_image(demo_entity_pictures()[number].path)).astype(int)
        assert np.abs(shown - drawings.layouts_ILHWC[number]).max() <= 1
    name = ExtractiveReader.from_pretrained().name
    calibration = read_calibration(PACKAGED, MINI_REVISION)
    beside = calibration.fit(name, "few-shot", "extract", drawings.sha256)
    assert beside is not calibration.fit(name, "few-shot", "extract"), "one of its own"


def test_how_files_are_laid_out_is_no_part_of_it(directory: Path, tmp_path: Path) -> None:
    before = load_checkpoint(directory)
    save_checkpoint(before, tmp_path / "again")
    assert revision(tmp_path / "again") == before.revision

    save_weights(before.model, tmp_path / "again", shard_bytes=20_000)
    (tmp_path / "again" / "model.safetensors").unlink()
    assert len(list((tmp_path / "again").glob("model-*.safetensors"))) > 1
    assert revision(tmp_path / "again") == before.revision

    config = json.loads((directory / "config.json").read_text())
    config["text_config"] |= {"transformers_version": "9.9", "_name_or_path": "elsewhere"}
    (directory / "config.json").write_text(json.dumps({**config, "torch_dtype": "float16"}))
    assert revision(directory) == before.revision


def test_half_precision_files_have_the_id_of_the_numbers_in_them(directory: Path) -> None:
    path = directory / "model.safetensors"
    halves = {name: tensor.half() for name, tensor in load_file(path).items()}
    save_file(halves, path)
    half = revision(directory)
    save_file({name: tensor.float() for name, tensor in halves.items()}, path)
    assert revision(directory) == half


def json_file(name: str, change: dict[str, object]) -> Callable[[Path], None]:
    def rewrite(directory: Path) -> None:
        path = directory / name
        path.write_text(json.dumps(json.loads(path.read_text()) | change))

    return rewrite


def move_a_weight(directory: Path) -> None:
    tensors = load_file(directory / "model.safetensors")
    name = "transformer_mapping_output_linear.bias"
    tensors[name] = torch.nextafter(tensors[name], torch.ones_like(tensors[name]))
    save_file(tensors, directory / "model.safetensors")


def change_the_vocabulary(directory: Path) -> None:
    path = directory / "context_tokenizer" / "vocab.txt"
    path.write_text(path.read_text() + "wordthatwasadded\n")


@pytest.mark.parametrize(
    "change",
    [
        move_a_weight,
        change_the_vocabulary,
        json_file("config.json", {"mask_punctuation": False}),
        json_file("query_tokenizer/tokenizer_config.json", {"query_maxlen": 16}),
        json_file("query_tokenizer/tokenizer_config.json", {"attend_to_mask_tokens": True}),
        json_file("context_tokenizer/tokenizer_config.json", {"do_lower_case": False}),
    ],
)
def test_whatever_decides_an_embedding_changes_it(
    directory: Path, change: Callable[[Path], None]
) -> None:
    before = revision(directory)
    change(directory)
    assert revision(directory) != before


def test_pictures_and_text_vision_are_part_of_it(directory: Path) -> None:
    checkpoint = load_checkpoint(directory)
    model, processor = checkpoint.model, checkpoint.image_processor
    ids = {
        checkpoint.revision,
        checkpoint_revision(model, replace(processor, resample=2), None),
        checkpoint_revision(model, processor, TextVision(0.3, 0.6)),
        checkpoint_revision(model, processor, TextVision(0.3, 0.7)),
    }
    assert len(ids) == 4
