"""Pictures: whatever a user has at hand becomes an upright, opaque RGB image."""

import hashlib
import re
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from PIL import Image, UnidentifiedImageError

from corpus.errors import ImageTooLarge, InvalidImage
from corpus.pictures.side_data import pixels_alone

MAX_IMAGE_BYTES = 50 * 1024 * 1024
MAX_IMAGE_PIXELS = 64_000_000

# Formats whose decoders are pure data decoders. Left out on purpose: EPS and PDF (they start
# other programs) and rare formats that nobody photographs or downloads.
_FORMATS = (
    "JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "ICO", "AVIF", "JPEG2000",
)  # fmt: skip
_LEAST_STEP = 16.0  # of 255 levels: less between all neighbouring cells is no edge
_READABLE = "JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF"

# What Pillow's decoders raise on broken data.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)

_ORIENTATION_TAG = 0x0112
_FIRST_ON_ITS_SIDE = 5  # of the orientations: from here on width and height change places
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


_HEAD = 1_000
# By how they begin, in small letters.
_OTHER_KINDS = {
    rb"....ftyp(hei|hev|mif1|msf1)": "HEIC, as iPhones take photographs: export it as JPEG",
    rb"....ftyp(?!avi[fs])|\x1ae\xdf\xa3": "a film, not a picture: save one frame of it",
    rb"%pdf": "a PDF, not a picture: save the page as one",
    rb"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*|<!doctype svg[^>]*>\s*)*<svg\b": (
        "SVG, which is drawn by a browser: save it as PNG"
    ),
    rb"(<!doctype html|<html)": "a web page, not the picture on it: download that",
}


def load_image(source: Path | bytes | BinaryIO) -> Image.Image:
    """Return the picture as RGB, upright, without metadata.

    Transparency is laid over white, 16-bit channels are scaled to 8, the EXIF orientation is
    applied and the first frame of an animation is taken. What stands beside the pixels does not
    decide about them: where a decoder trips over it, the picture is read without.

    Args:
        source: a file's path, its bytes, or a file opened for reading bytes.

    Raises:
        InvalidImage: it is missing, too large, or not a whole picture in a known format.
    """
    data, name = bytes_of(source)
    try:
        try:
            return _decoded(data, name)
        except (UnidentifiedImageError, *_DECODE_ERRORS):
            bare = pixels_alone(data)
            if bare is None or bare == data:
                raise
            return _decoded(bare, name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise InvalidImage(_too_many_pixels(name)) from exc
    except UnidentifiedImageError as exc:
        raise InvalidImage(f"{name} is {_kind_of(data)}; use {_READABLE}") from exc
    except _DECODE_ERRORS as exc:
        raise InvalidImage(_damaged(name, exc)) from exc


def _decoded(data: bytes, name: str) -> Image.Image:
    """Return the picture in the bytes. Raises what Pillow does, or InvalidImage for its size."""
    Image.init()
    formats = [format_ for format_ in _FORMATS if format_ in Image.OPEN]
    with Image.open(BytesIO(data), formats=formats) as image:
        _check_size(image.size, name)
        # Loading turns a TIFF upright and takes an icon's true size: what is asked of a picture
        # is asked behind it.
        image.load()
        _check_size(image.size, name)
        return as_rgb(image)


def as_rgb(image: Image.Image) -> Image.Image:
    """Return a picture of Pillow's as `load_image` does: RGB, upright, without metadata.

    Whoever opens a file with Pillow gets what the command line gets. Again it changes nothing.

    Raises:
        InvalidImage: it cannot be decoded, or has no pixels.
    """
    _load(image)
    orientation = _orientation(image)
    rgb = _to_rgb(image)
    if orientation in _UPRIGHT:
        rgb = rgb.transpose(_UPRIGHT[orientation])
    # A later reader must not apply the orientation a second time.
    rgb.info = {}
    return rgb


def pixels_sha256(image: Image.Image) -> str:
    """Return a hash of what a picture shows: its size and pixels as `as_rgb` has them, no more.

    The same pixels in another lossless file have the same hash.
    """
    rgb = as_rgb(image)
    digest = hashlib.sha256(f"{rgb.width}x{rgb.height}:".encode())
    digest.update(rgb.tobytes())
    return digest.hexdigest()


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return the width and height that a picture of Pillow's has as `as_rgb` turns it.

    Raises:
        InvalidImage: as for `as_rgb`.
    """
    _load(image)
    width, height = image.size
    return (height, width) if _orientation(image) >= _FIRST_ON_ITS_SIDE else (width, height)


def bytes_of(source: Path | bytes | BinaryIO) -> tuple[bytes, str]:
    """Return the picture's bytes, not decoded, and what to call it in a message.

    Raises:
        InvalidImage: it is missing or empty.
        ImageTooLarge: it has too many bytes.
    """
    if isinstance(source, bytes):
        data, name = source, "the picture"
    elif isinstance(source, Path):
        data, name = _read_file(source), str(source)
    else:
        data, name = source.read(MAX_IMAGE_BYTES + 1), str(getattr(source, "name", "the picture"))
    if not data:
        raise InvalidImage(f"{name} is empty (0 bytes); save or download it again")
    if len(data) > MAX_IMAGE_BYTES:
        limit = MAX_IMAGE_BYTES // 2**20
        raise ImageTooLarge(
            f"{name} is larger than {limit} MB; save it smaller, for example as JPEG"
        )
    return data, name


def _kind_of(data: bytes) -> str:
    """Return what bytes are that are no picture which is read here."""
    head = data[:_HEAD].lstrip().lower()
    return next(
        (said for pattern, said in _OTHER_KINDS.items() if re.match(pattern, head, re.DOTALL)),
        "not a picture in a known format",
    )


def featureless(image: Image.Image) -> bool:
    """Return whether a picture shows nothing: one colour, a smooth gradient, or mere noise.

    Neither of neighbouring cells of a fine grid nor of those of a coarse one do any two differ:
    noise evens out in large cells, a gradient is small from one small cell to the next.
    """
    return any(_largest_step(image, cells) < _LEAST_STEP for cells in (32, 8))


def _largest_step(image: Image.Image, cells: int) -> float:
    """Return the largest difference, of 255 levels, between neighbours in a grid of cells."""
    grid = np.asarray(as_rgb(image).resize((cells, cells), Image.Resampling.BOX), dtype=np.float32)
    return float(max(np.abs(np.diff(grid, axis=axis)).max() for axis in (0, 1)))


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_IMAGE_BYTES + 1)
    except FileNotFoundError as exc:
        raise InvalidImage(f"{path} does not exist; check the path of the picture") from exc
    except IsADirectoryError as exc:
        raise InvalidImage(f"{path} is a directory; name one picture in it") from exc
    except OSError as exc:
        raise InvalidImage(f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:  # a zero byte in the path
        raise InvalidImage(f"{str(path)!r} is not a possible path: {exc}") from exc


def _load(image: Image.Image) -> None:
    """Have a picture of Pillow's decoded; a TIFF is turned upright by it."""
    name = str(getattr(image, "filename", "")) or "the picture"
    try:
        image.load()
    except (AssertionError, AttributeError) as exc:  # Pillow's own; older ones' the latter
        raise InvalidImage(
            f"{name} was closed before it was decoded: ask while it is open, or call its load()"
        ) from exc
    except _DECODE_ERRORS as exc:
        raise InvalidImage(_damaged(name, exc)) from exc
    _require_pixels(image.size, name)


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_IMAGE_PIXELS:
        raise InvalidImage(_too_many_pixels(name, f" ({width} x {height})"))
    _require_pixels(size, name)


def _require_pixels(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height == 0:
        raise InvalidImage(f"{name} has no pixels ({width} x {height}); use another picture")


def _damaged(name: str, exc: Exception) -> str:
    return f"{name} is a damaged or incomplete picture ({exc}); save or download it again"


def _too_many_pixels(name: str, size: str = "") -> str:
    limit = MAX_IMAGE_PIXELS // 1_000_000
    return f"{name} has more than {limit} megapixels{size}; scale it down"


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except _DECODE_ERRORS:
        return 1  # broken metadata is no reason to refuse a good picture


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _to_8_bit(image).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Return a grey picture of 16-bit, 32-bit or float values as 8-bit, scaled, not clipped.

    Values within 16 bits keep their absolute brightness; of others the range is stretched, that of
    the finite ones: infinite ones become its ends, what is no number its lower end.
    """
    wide = _finite(image) if image.mode == "F" else image.convert("I")
    low, high = cast(tuple[float, float], wide.getextrema())
    if wide.mode == "I" and low >= 0 and high <= 65535:
        low, high = 0, 65535
    scale = 255 / (high - low) if high > low else 0.0
    return wide.point(lambda value: value * scale + (0.5 - low * scale)).convert("L")


def _finite(image: Image.Image) -> Image.Image:
    """Return a float picture without infinite values and such as are no numbers."""
    values = np.asarray(image)
    finite = values[np.isfinite(values)]
    if finite.size == values.size:
        return image
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return Image.fromarray(np.nan_to_num(values, nan=low, posinf=high, neginf=low))
