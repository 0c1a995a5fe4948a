"""Pictures to pixel tensors, as the vision towers were trained to see them.

Pillow and numpy only: the same numbers as transformers' CLIPImageProcessor
(bicubic resize of the shortest edge, centre crop, scale, normalise), without
torchvision. A processor is described by the preprocessor_config.json that
Hugging Face repositories carry.
"""

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from corpus.pictures.images import as_rgb
from corpus.types import Box
from retriever.errors import InvalidCheckpoint, InvalidQuery

CONFIG_NAME = "preprocessor_config.json"
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

_MIDDLE = 7 / 8  # of the shorter side

# Left, upper, right, lower on a picture: between its pixels, and maybe outside of it.
Area = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ImageProcessor:
    """What happens to a picture before the vision tower.

    Attributes:
        shortest_edge: the shorter side after resizing, aspect kept; None to stretch
            the picture to `size` whatever its aspect (nothing is cut off).
        size: height and width of the result, in pixels.
        mean: per channel, on the 0..1 scale.
        std: per channel, on the 0..1 scale.
        resample: Pillow's resampling filter.
    """

    size: tuple[int, int] = (224, 224)
    shortest_edge: int | None = 224
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    resample: int = Image.Resampling.BICUBIC

    @classmethod
    def from_pretrained(cls, directory: Path | str) -> "ImageProcessor":
        """Return the processor that a checkpoint's preprocessor_config.json describes."""
        path = Path(directory) / CONFIG_NAME
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            size = config["size"]
            if isinstance(size, int):  # as older repositories write it
                size = {"shortest_edge": size}
            crop = config.get("crop_size", size)
            if isinstance(crop, int):
                crop = {"height": crop, "width": crop}
            stretch = "shortest_edge" not in size
            return cls(
                size=_height_width(size if stretch else crop),
                shortest_edge=None if stretch else int(size["shortest_edge"]),
                mean=tuple(config["image_mean"]),
                std=tuple(config["image_std"]),
                resample=int(config.get("resample", Image.Resampling.BICUBIC)),
            )
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise InvalidCheckpoint(
                f"{path}: cannot read the image processor's settings ({exc!r}). "
                "Copy the file from the repository of the checkpoint's vision model."
            ) from exc

    def save_pretrained(self, directory: Path) -> None:
        """Write preprocessor_config.json so that `from_pretrained` gives this processor back."""
        height, width = self.size
        size = {"height": height, "width": width}
        config = {
            "image_processor_type": "CLIPImageProcessor",
            "do_convert_rgb": True,
            "do_resize": True,
            "do_center_crop": self.shortest_edge is not None,
            "do_rescale": True,
            "do_normalize": True,
            "size": size if self.shortest_edge is None else {"shortest_edge": self.shortest_edge},
            "crop_size": size,
            "resample": int(self.resample),
            "rescale_factor": 1 / 255,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }
        path = directory / CONFIG_NAME
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    def __call__(self, images: Sequence[Image.Image], threads: Executor | None = None) -> Tensor:
        """Return pixel values [B, 3, H, W] in float32 for B pictures.

        Args:
            images: the pictures, in any mode; what is not decoded yet is decoded here.
            threads: decode and resize pictures in parallel (Pillow releases the interpreter).
        """
        if not images:
            raise ValueError("no pictures were given")
        each = threads.map if threads is not None and len(images) > 1 else map
        return torch.from_numpy(np.stack(list(each(self._normalised, images))))

    def prepare(self, image: Image.Image) -> Image.Image:
        """Return the picture resized and cropped. Doing it again changes nothing."""
        return Image.fromarray(self._crop(image.convert("RGB")))

    def frame(self, size: tuple[int, int]) -> Area:
        """Return what the tower is shown of a picture of this width and height.

        In pixels of the picture. It reaches outside where the tower is shown black instead.
        """
        resized, cut = self._places(size)
        scale_x, scale_y = size[0] / resized[0], size[1] / resized[1]
        left, upper, right, lower = cut
        return left * scale_x, upper * scale_y, right * scale_x, lower * scale_y

    def _normalised(self, image: Image.Image) -> np.ndarray:
        """Return a picture's pixel values [3, H, W]."""
        pixels = self._crop(image.convert("RGB")).transpose(2, 0, 1).astype(np.float32)
        mean, std = (np.asarray(x, dtype=np.float32)[:, None, None] for x in (self.mean, self.std))
        return (pixels / 255 - mean) / std

    def _crop(self, image: Image.Image) -> np.ndarray:
        resized, cut = self._places(image.size)
        # Pillow pads with black where the crop reaches outside the picture.
        return np.asarray(image.resize(resized, Image.Resampling(self.resample)).crop(cut))

    def _places(self, size: tuple[int, int]) -> tuple[tuple[int, int], Box]:
        """Return the width and height that a picture is resized to, and what is cut out then."""
        height, width = self.size
        if self.shortest_edge is None:
            return (width, height), (0, 0, width, height)
        # The longer side is cut to whole pixels, as transformers does: multiply, then divide.
        new_width, new_height = (int(self.shortest_edge * side / min(size)) for side in size)
        top, left = (new_height - height) // 2, (new_width - width) // 2
        return (new_width, new_height), (left, top, left + width, top + height)


def middle(picture: Image.Image) -> Image.Image:
    """Return the square in the middle of a picture, seven eighths of its shorter side.

    As ImageNet's classifiers are measured; cut before it is resized, as a picture may be very long.
    """
    side = max(1, round(_MIDDLE * min(picture.size)))
    left, upper = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, upper, left + side, upper + side))


def crop_regions(image: Image.Image, boxes: Sequence[Box]) -> list[Image.Image]:
    """Return what the boxes (left, upper, right, lower), in pixels, cut out of a picture.

    They are of the upright picture.

    Raises:
        InvalidQuery: a box is empty or reaches outside the picture.
    """
    if not boxes:
        return []
    image = as_rgb(image)
    for left, upper, right, lower in boxes:
        if not (0 <= left < right <= image.width and 0 <= upper < lower <= image.height):
            raise InvalidQuery(
                f"box {(left, upper, right, lower)} is empty or not inside the picture of "
                f"{image.width} x {image.height} pixels: give left, upper, right, lower"
            )
    return [image.crop(box) for box in boxes]


def _height_width(size: dict[str, int]) -> tuple[int, int]:
    return int(size["height"]), int(size["width"])
