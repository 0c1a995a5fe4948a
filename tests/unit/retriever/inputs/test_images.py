import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from retriever.errors import InvalidCheckpoint
from retriever.inputs.images import ImageProcessor, middle
from tests.golden_cases import GOLDEN, golden_image

PIXELS = load_file(GOLDEN / "image_processor_16.safetensors")


@pytest.mark.parametrize("name", [key.partition(".")[2] for key in PIXELS])
def test_pixels_are_clip_image_processors(name: str, tmp_path: Path) -> None:
    shutil.copy(GOLDEN / "preprocessor_config_16.json", tmp_path / "preprocessor_config.json")
    pixels = ImageProcessor.from_pretrained(tmp_path)([golden_image(name)])
    torch.testing.assert_close(pixels[0], PIXELS[f"pixel_values_16.{name}"], atol=1e-5, rtol=0)


def test_without_a_shortest_edge_nothing_is_cut_off() -> None:
    wide = Image.new("RGB", (40, 10), "white")
    wide.paste("black", (0, 0, 2, 10))
    stretched = ImageProcessor(size=(20, 20), shortest_edge=None, mean=(0,) * 3, std=(1,) * 3)
    cropped = ImageProcessor(size=(20, 20), shortest_edge=20, mean=(0,) * 3, std=(1,) * 3)
    assert stretched([wide]).min() < 0.1
    assert cropped([wide]).min() > 0.9


def test_the_middle_is_a_square_of_seven_eighths_of_the_shorter_side() -> None:
    wide = Image.new("RGB", (448, 224), "white")
    wide.paste("black", (126, 14, 322, 210))
    assert middle(wide).size == (196, 196)
    assert np.asarray(middle(wide)).max() == 0, "all of what is black and nothing else"
    assert middle(Image.new("RGB", (1024, 2048))).size == (896, 896)
    assert middle(Image.new("RGB", (1, 20_000))).size == (1, 1), "never larger than it was"


@pytest.mark.parametrize("shortest_edge", [224, None])
def test_a_saved_processor_loads_again(shortest_edge: int | None, tmp_path: Path) -> None:
    processor = ImageProcessor(size=(8, 12), shortest_edge=shortest_edge)
    processor.save_pretrained(tmp_path)
    assert ImageProcessor.from_pretrained(tmp_path) == processor


def test_a_one_pixel_picture_works() -> None:
    pixels = ImageProcessor(size=(4, 4), shortest_edge=4)([Image.new("RGB", (1, 1), "red")])
    assert pixels.shape == (1, 3, 4, 4)
    assert np.isfinite(pixels.numpy()).all()


def test_broken_settings_are_named(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 3}))
    with pytest.raises(InvalidCheckpoint, match=r"preprocessor_config\.json"):
        ImageProcessor.from_pretrained(tmp_path)
