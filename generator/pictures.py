"""A picture as a server is given it: decoded and encoded again here, never a user's URL."""

import base64
import io
import math
import threading

from PIL.Image import Image, Resampling

from corpus.pictures.images import as_rgb

# 0.8 megapixels: about 1,000 tokens of Qwen2.5-VL.
PIXEL_BUDGET = 802_816


def image_data_uri(image: Image, pixels: int = PIXEL_BUDGET) -> str:
    """Return `image` as a JPEG data URI of at most `pixels` pixels.

    Raises:
        ValueError: `pixels` is less than 1.
    """
    if pixels < 1:
        raise ValueError(f"a picture needs at least one pixel, not {pixels}")
    image = as_rgb(image)
    scale = min(1.0, math.sqrt(pixels / (image.width * image.height)))
    # A very long picture would lose its short side.
    width = max(1, int(image.width * scale))
    height = max(1, min(int(image.height * scale), pixels // width or 1))
    if (width, height) != image.size:
        image = image.resize((width, height), Resampling.BICUBIC)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


class Picture:
    """A picture that prompts show: encoded once, however many of them do. For any thread.

    Not to be changed while they are in use.

    Attributes:
        image: RGB.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self._lock = threading.Lock()
        self._encoded: dict[int, str] = {}

    @classmethod
    def of(cls, image: Image | None) -> "Picture | None":
        """Return an image as a picture; None where there is none."""
        return None if image is None else cls(image)

    def data_uri(self, pixels: int) -> str:
        """Return `image_data_uri` of the image."""
        with self._lock:
            if pixels not in self._encoded:
                self._encoded[pixels] = image_data_uri(self.image, pixels)
            return self._encoded[pixels]
