import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from corpus.demo.data import demo_dir, demo_images, example_gallery, example_image_path
from corpus.errors import InvalidImage
from corpus.pictures import images
from corpus.pictures.images import as_rgb, featureless, load_image

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def encode(image: Image.Image, format_: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *, depth: int = 8, kind: int = 0, pixels: bytes = b"") -> bytes:
    """A PNG made by hand: any header, whether or not the pixels fit it."""

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def two_pixels(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (2, 1), RED)
    image.putpixel((1, 0), BLUE)
    return image.convert(mode)


def gradient() -> Image.Image:
    ramp = np.linspace(0, 255, 256, dtype=np.uint8)
    return Image.fromarray(np.repeat(np.tile(ramp, (256, 1))[:, :, None], 3, axis=2))


def noise() -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    return Image.fromarray(levels)


@pytest.mark.parametrize(
    "picture",
    [Image.new("RGB", (64, 48), colour) for colour in ("white", "black", "#1440c8", "#14a03c")]
    + [gradient(), noise(), Image.new("RGB", (1, 1))],
)
def test_what_shows_nothing_is_noticed(picture: Image.Image) -> None:
    assert featureless(picture)


def test_every_picture_of_the_demo_shows_something() -> None:
    paths = [demo_dir() / image.image for image in demo_images()]
    paths += [example_image_path(example) for example in example_gallery()]
    assert [path for path in paths if featureless(load_image(path))] == []


def test_path_bytes_and_file_give_the_same_picture(tmp_path: Path) -> None:
    data = encode(two_pixels())
    path = tmp_path / "two.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        loaded = [
            load_image(path),
            load_image(data),
            load_image(io.BytesIO(data)),
            load_image(file),
        ]
    for image in loaded:
        assert (image.mode, image.size) == ("RGB", (2, 1))
        assert (image.getpixel((0, 0)), image.getpixel((1, 0))) == (RED, BLUE)


@pytest.mark.parametrize("format_", ["PNG", "BMP", "GIF", "TIFF", "PPM", "ICO", "WEBP"])
def test_lossless_formats_keep_the_colours(format_: str) -> None:
    options = {"lossless": True} if format_ == "WEBP" else {}
    if format_ == "ICO":
        image = two_pixels().resize((32, 32), Image.Resampling.NEAREST)
        loaded = load_image(encode(image, format_, sizes=[(32, 32)]))
        assert (loaded.getpixel((0, 0)), loaded.getpixel((31, 0))) == (RED, BLUE)
        return
    loaded = load_image(encode(two_pixels(), format_, **options))
    assert (loaded.getpixel((0, 0)), loaded.getpixel((1, 0))) == (RED, BLUE)


def test_jpeg_in_cmyk_and_grey() -> None:
    red = Image.new("RGB", (16, 16), RED)
    loaded = load_image(encode(red.convert("CMYK"), "JPEG", quality=95))
    assert loaded.mode == "RGB"
    r, g, b = loaded.getpixel((8, 8))
    assert r > 240 and g < 15 and b < 15
    grey = load_image(encode(Image.new("L", (16, 16), 100), "JPEG", quality=95))
    assert all(abs(value - 100) <= 1 for value in grey.getpixel((8, 8)))


def test_one_pixel_and_one_bit() -> None:
    assert load_image(encode(Image.new("RGB", (1, 1), BLUE))).getpixel((0, 0)) == BLUE
    one_bit = Image.new("1", (2, 1), 0)
    one_bit.putpixel((1, 0), 1)
    loaded = load_image(encode(one_bit))
    assert (loaded.getpixel((0, 0)), loaded.getpixel((1, 0))) == ((0, 0, 0), WHITE)


def test_transparency_is_laid_over_white() -> None:
    assert load_image(encode(Image.new("RGBA", (1, 1), (255, 0, 0, 0)))).getpixel((0, 0)) == WHITE
    r, g, b = load_image(encode(Image.new("RGBA", (1, 1), (0, 0, 0, 128)))).getpixel((0, 0))
    assert r == g == b and abs(r - 127) <= 1
    assert load_image(encode(Image.new("LA", (1, 1), (0, 0)))).getpixel((0, 0)) == WHITE


def test_transparent_palette_and_colour_key() -> None:
    palette = two_pixels("P")
    clear = palette.getpixel((0, 0))
    for format_ in ("PNG", "GIF"):
        loaded = load_image(encode(palette, format_, transparency=clear))
        assert (loaded.getpixel((0, 0)), loaded.getpixel((1, 0))) == (WHITE, BLUE)
    keyed = load_image(encode(two_pixels(), transparency=RED))
    assert (keyed.getpixel((0, 0)), keyed.getpixel((1, 0))) == (WHITE, BLUE)


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    pixels = b"\0" + struct.pack(">HHH", 0, 0x8000, 0xFFFF)
    loaded = load_image(png(3, 1, depth=16, kind=0, pixels=pixels))
    assert [loaded.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


def test_16_bit_colour_is_scaled() -> None:
    pixels = b"\0" + struct.pack(">HHH", 0xFFFF, 0x8000, 0)
    assert load_image(png(1, 1, depth=16, kind=2, pixels=pixels)).getpixel((0, 0)) == (255, 128, 0)


@pytest.mark.parametrize(
    ("mode", "values"), [("I", (0, 32768, 65535)), ("I", (-1000, 0, 1000)), ("F", (0.0, 0.5, 1.0))]
)
def test_32_bit_tiff_is_scaled(mode: str, values: tuple[float, float, float]) -> None:
    image = Image.new(mode, (3, 1))
    for x, value in enumerate(values):
        image.putpixel((x, 0), value)
    loaded = load_image(encode(image, "TIFF"))
    assert [loaded.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


@pytest.mark.parametrize(
    ("odd", "level"), [(float("nan"), 0), (float("inf"), 255), (float("-inf"), 0)]
)
def test_a_float_pixel_that_is_no_number_leaves_the_others(odd: float, level: int) -> None:
    image = Image.new("F", (4, 1))
    for x, value in enumerate((2.0, 3.0, 4.0, odd)):
        image.putpixel((x, 0), value)
    loaded = load_image(encode(image, "TIFF"))
    assert [loaded.getpixel((x, 0))[0] for x in range(4)] == [0, 128, 255, level]
    assert load_image(encode(Image.new("F", (2, 2), odd), "TIFF")).size == (2, 2)


def test_a_flat_float_picture_is_no_division_by_zero() -> None:
    assert load_image(encode(Image.new("F", (2, 2), 3.5), "TIFF")).size == (2, 2)


# What a camera that was held so stores, as (size, red corner): upright, red is at the top left.
CORNERS = {
    1: (0, 0), 2: (2, 0), 3: (2, 1), 4: (0, 1),
    5: (0, 0), 6: (0, 2), 7: (1, 2), 8: (1, 0),
}  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"save_all": True, "append_images": [Image.new("RGB", (3, 2))]}),
    ],
)
def test_exif_orientation_is_applied_once(
    orientation: int, format_: str, options: dict[str, Any]
) -> None:
    stored = Image.new("RGB", (2, 3) if orientation > 4 else (3, 2), BLUE)
    stored.putpixel(CORNERS[orientation], RED)
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load_image(encode(stored, format_, exif=exif, **options))
    opened = as_rgb(Image.open(io.BytesIO(encode(stored, format_, exif=exif, **options))))
    assert opened.tobytes() == loaded.tobytes() == as_rgb(opened).tobytes()
    assert opened.size == loaded.size == (3, 2)
    assert [
        xy for xy in ((x, y) for x in range(3) for y in range(2)) if loaded.getpixel(xy) == RED
    ] == [(0, 0)]
    assert not loaded.info and not loaded.getexif()


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\xff\xff", b"Exif\0\0II*\0\x08"]
)
def test_broken_exif_does_not_spoil_a_good_picture(exif: bytes) -> None:
    data = encode(Image.new("RGB", (3, 2), RED), "JPEG", exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert load_image(data).size == (3, 2)


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation(format_: str) -> None:
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    options = {"lossless": True} if format_ == "WEBP" else {}
    data = encode(first, format_, save_all=True, append_images=[second], **options)
    assert load_image(data).getpixel((4, 4)) == RED


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty (0 bytes); save or download it again"),
        (b"no picture", "is not a picture in a known format; use JPEG, PNG"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page, not the picture on it"),
        (
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99),
            "is HEIC, as iPhones take photographs: export it as JPEG",
        ),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(99), "is a film"),
        (b"%PDF-1.7\n", "is a PDF"),
        (
            b"<?xml version='1.0'?>\n<!-- a -->\n<svg xmlns='x'/>",
            "is SVG, which is drawn by a browser: save it as PNG",
        ),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "is not a picture in a known format",
        ),
        (b"\x89PNG\r\n\x1a\n", "use JPEG, PNG|damaged or incomplete"),
        (encode(Image.effect_noise((64, 64), 50))[:-900], "damaged or incomplete picture"),
        (encode(Image.effect_noise((64, 64), 50), "JPEG")[:-900], "damaged or incomplete picture"),
        (encode(Image.effect_noise((64, 64), 50), "WEBP")[:-900], "damaged or incomplete picture"),
        (png(5, 5, pixels=b""), "damaged or incomplete picture"),
        (png(8001, 8000), "has more than 64 megapixels (8001 x 8000); scale it down"),
        (png(12000, 12000), "has more than 64 megapixels (12000 x 12000)"),
        (png(60000, 60000), "has more than 64 megapixels"),
        (b"P6 0 7 255\n", "has no pixels|damaged or incomplete|not a picture"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bad_picture_is_one_clear_message(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    with pytest.raises(InvalidImage) as caught:
        load_image(path)
    message = str(caught.value)
    assert message.startswith(f"{path} ")
    assert any(part in message for part in problem.split("|"))
    assert "\n" not in message
    with pytest.raises(InvalidImage, match=r"^the picture "):
        load_image(content)


def test_a_damaged_avif_is_a_message_too() -> None:
    if "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    data = encode(two_pixels().resize((64, 64)), "AVIF")
    start = data.index(b"mdat") + 4
    broken = data[:start] + bytes(len(data) - start)
    with pytest.raises(InvalidImage, match="damaged or incomplete picture"):
        load_image(broken)


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_when_warnings_are_errors() -> None:
    with pytest.raises(InvalidImage, match="more than 64 megapixels"):
        load_image(png(12000, 12000))


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match=r"none\.png does not exist; check the path"):
        load_image(tmp_path / "none.png")
    with pytest.raises(InvalidImage, match="is a directory; name one picture in it"):
        load_image(tmp_path)
    with pytest.raises(InvalidImage, match="not a possible path"):
        load_image(Path("a\0b.png"))


def test_too_many_bytes_are_refused_without_reading_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MAX_IMAGE_BYTES", 2**20)
    path = tmp_path / "big.png"
    path.write_bytes(encode(two_pixels()) + bytes(2**20))
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        with pytest.raises(InvalidImage, match="is larger than 1 MB; save it smaller"):
            load_image(source)


def test_pillow_settings_are_left_alone() -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    load_image(encode(two_pixels()))
    with pytest.raises(InvalidImage):
        load_image(png(60000, 60000))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
