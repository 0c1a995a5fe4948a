"""What stands beside a picture's pixels does not decide about them."""

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from corpus.errors import InvalidImage
from corpus.pictures.images import load_image
from corpus.pictures.side_data import pixels_alone

RED, BLUE = (255, 0, 0), (0, 0, 255)


def encode(format_: str, **options: Any) -> bytes:
    """A blue picture of 16 x 8, its left half red."""
    image = Image.new("RGB", (16, 8), BLUE)
    image.paste(RED, (0, 0, 8, 8))
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def assert_whole(data: bytes) -> None:
    image = load_image(data)
    assert image.size == (16, 8)
    for x, colour in ((2, RED), (13, BLUE)):
        pixel = image.getpixel((x, 4))
        assert isinstance(pixel, tuple)
        assert all(abs(a - b) < 8 for a, b in zip(pixel, colour, strict=True)), pixel


def chunk(name: bytes, data: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(name + data) if crc is None else crc
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


LONG = zlib.compress(b" " * (2**20 + 1))
PNG_NOTES = {
    "compressed text": chunk(b"zTXt", b"note\0\0" + LONG),
    "compressed Unicode": chunk(b"iTXt", b"note\0\1\0\0\0" + LONG),
    "large profile": chunk(b"iCCP", b"note\0\0" + LONG),
    "unknown compression": chunk(b"zTXt", b"note\0\1" + LONG),
    "profile without a body": chunk(b"iCCP", b"note"),
    "70 MB of texts": b"".join(chunk(b"zTXt", b"n%d\0\0" % n + LONG[:-9]) for n in range(70))
    + b"".join(chunk(b"zTXt", b"n\0\0" + zlib.compress(b" " * 2**20)) for _ in range(70)),
    "wrong checksum": chunk(b"tEXt", b"note\0text", crc=5),
    "short resolution": chunk(b"pHYs", b""),
    "short gamma": chunk(b"gAMA", b"\0"),
    "chromaticity": chunk(b"cHRM", b"abcde"),
    "text called interlace": chunk(b"tEXt", b"interlace\0yes"),
    "text called transparency": chunk(b"tEXt", b"transparency\0yes"),
    "short animation": chunk(b"acTL", b""),
}


@pytest.mark.parametrize("note", PNG_NOTES)
@pytest.mark.parametrize("where", ["before", "behind"])
def test_png(note: str, where: str) -> None:
    data = encode("PNG")
    at = 33 if where == "before" else len(data) - 12
    assert_whole(data[:at] + PNG_NOTES[note] + data[at:])


def test_a_png_keeps_transparency_and_orientation() -> None:
    stored = Image.new("RGBA", (8, 16), (*BLUE, 255))
    stored.paste((*RED, 255), (0, 8, 8, 16))
    stored.putpixel((0, 0), (0, 0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter to the right: what is below comes to the left
    buffer = io.BytesIO()
    stored.save(buffer, "PNG", exif=exif)
    data = buffer.getvalue()
    broken = data[:33] + PNG_NOTES["compressed text"] + data[33:]
    assert_whole(broken)
    assert load_image(broken).getpixel((15, 0)) == (255, 255, 255)
    assert load_image(broken).tobytes() == load_image(data).tobytes()


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_orientation_survives_what_stands_beside_it(format_: str) -> None:
    stored = Image.new("RGB", (8, 16), BLUE)
    stored.paste(RED, (0, 8, 8, 16))
    buffer = io.BytesIO()
    if format_ == "WEBP":
        exif = Image.Exif()
        exif[0x0112] = 6
        stored.save(buffer, format_, lossless=True, exif=exif, xmp=b"long " * 20)
        assert_whole(buffer.getvalue())
        assert_whole(buffer.getvalue()[:-40])
        return
    stored.save(buffer, format_, **({"quality": 100} if format_ == "JPEG" else {}))
    data = buffer.getvalue()
    if format_ == "PNG":
        xmp = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)
        at, note = 33, PNG_NOTES["compressed text"]
    else:
        xmp = app(1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
        at, note = 2, app(14, b"Adobe")
    # Not every Pillow reads it in JPEG; what it makes of it, it makes beside a broken note too.
    whole = load_image(data[:at] + xmp + data[at:])
    broken = load_image(data[:at] + xmp + note + data[at:])
    assert (broken.size, broken.tobytes()) == (whole.size, whole.tobytes())
    if format_ == "PNG":
        assert_whole(data[:at] + xmp + note + data[at:])


def exif_profile() -> bytes:
    """An orientation as ImageMagick writes it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    packed = exif.tobytes()
    return f"\nexif\n{len(packed):8d}\n{packed.hex()}\n".encode()


PNG_ORIENTATIONS = {
    "compressed XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0x\0" + zlib.compress(XMP)),
    "profile": chunk(b"tEXt", b"Raw profile type exif\0" + exif_profile()),
    "compressed profile": chunk(
        b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(exif_profile())
    ),
}


@pytest.mark.parametrize("where", PNG_ORIENTATIONS)
def test_an_orientation_in_a_text_of_a_png_survives(where: str) -> None:
    stored = Image.new("RGB", (8, 16), BLUE)
    stored.paste(RED, (0, 8, 8, 16))
    buffer = io.BytesIO()
    stored.save(buffer, "PNG")
    data = buffer.getvalue()
    assert_whole(data[:33] + PNG_ORIENTATIONS[where] + data[33:])
    for note in ("compressed text", "wrong checksum"):
        assert_whole(data[:33] + PNG_NOTES[note] + PNG_ORIENTATIONS[where] + data[33:])


@pytest.mark.parametrize(
    "note",
    [
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0"),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0"),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + LONG),
        chunk(b"zTXt", b"Raw profile type exif\0"),
    ],
)
def test_an_orientation_that_cannot_be_read_is_left_out(note: bytes) -> None:
    data = encode("PNG")
    assert_whole(data[:33] + PNG_NOTES["compressed text"] + note + data[33:])


def app(number: int, body: bytes) -> bytes:
    return bytes([0xFF, 0xE0 + number]) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.filterwarnings("ignore:Image appears to be a malformed MPO")
@pytest.mark.parametrize(
    "note",
    [
        app(13, b"Photoshop 3.0\0" + b"8BIM\x04\x04"),
        app(14, b"Adobe"),
        app(0, b"JFIF"),
        app(2, b"ICC_PROFILE\0"),
        app(2, b"MPF\0nonsense"),
        b"\xff" + app(2, b"ICC_PROFILE\0"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg(note: bytes, options: dict[str, Any]) -> None:
    data = encode("JPEG", quality=100, **options)
    assert_whole(data[:2] + note + data[2:])


def test_a_jpeg_keeps_colour_space_and_orientation() -> None:
    image = Image.new("CMYK", (8, 16), (255, 255, 0, 0))
    image.paste((0, 255, 255, 0), (0, 8, 8, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=100, exif=exif)
    data = buffer.getvalue()
    assert_whole(data[:2] + app(14, b"Adobe") + data[2:])


def tiff(extra: tuple[tuple[int, int, int, int], ...] = ()) -> bytes:
    """An uncompressed TIFF made by hand: any further tags (tag, type, count, value)."""
    pixels = (bytes(RED) * 8 + bytes(BLUE) * 8) * 8
    bits = 8 + len(pixels)
    entries = [
        *[(256, 3, 1, 16), (257, 3, 1, 8), (258, 3, 3, bits), (259, 3, 1, 1), (262, 3, 1, 2)],
        *[(273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, 8), (279, 4, 1, len(pixels)), *extra],
    ]
    head = b"II*\0" + struct.pack("<I", bits + 6)
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    count = struct.pack("<H", len(entries))
    return head + pixels + struct.pack("<3H", 8, 8, 8) + count + packed + bytes(4)


@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "note",
    [
        (40965, 4, 1, 0x7FFFFFFF),  # a directory of interoperability outside its place
        (270, 2, 100_000, 8),  # a description longer than the file
        (34665, 4, 1, 0x7FFFFFFF),  # EXIF behind the end
        (700, 1, 1_000, 0x7FFFFFFF),  # XMP behind the end
        (34675, 7, 100_000, 8),  # a profile longer than the file
    ],
)
def test_tiff(note: tuple[int, int, int, int]) -> None:
    assert_whole(tiff())
    assert_whole(tiff((note,)))
    alone = pixels_alone(tiff((note, (274, 3, 1, 3))))
    assert alone is not None
    turned = load_image(alone)
    assert (turned.getpixel((2, 4)), turned.getpixel((13, 4))) == (BLUE, RED)


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_webp() -> None:
    data = encode("WEBP", lossless=True)
    pixels = (b"VP8L", data[20:])
    head = (b"VP8X", struct.pack("<I", 0x04) + bytes([15, 0, 0, 7, 0, 0]))
    whole = webp(head, pixels, (b"XMP ", b"abc" * 10))
    assert_whole(whole)
    assert_whole(whole[:-9])
    with pytest.raises(InvalidImage):
        load_image(whole[: len(whole) // 2])


def test_avif() -> None:
    if "AVIF" not in Image.SAVE:
        pytest.skip("this Pillow has no AVIF")
    exif = Image.Exif()
    exif[0x010E] = "a description"
    data = encode("AVIF", quality=100, exif=exif.tobytes())
    assert_whole(data)
    at = data.index(b"MM\0*") if b"MM\0*" in data else data.index(b"II*\0")
    broken = data[:at] + b"junk" + data[at + 4 :]
    with pytest.raises((SyntaxError, ValueError)):
        Image.open(io.BytesIO(broken))
    assert load_image(broken).tobytes() == load_image(data).tobytes()


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_pixels_that_are_cut_short_are_not_mended(format_: str) -> None:
    noise = Image.effect_noise((64, 64), 50)
    buffer = io.BytesIO()
    noise.save(buffer, format_)
    data = buffer.getvalue()
    with pytest.raises(InvalidImage):
        load_image(data[: len(data) // 2])


@pytest.mark.parametrize(
    "data", [b"", b"\x89PNG\r\n\x1a\n\0", b"\xff\xd8\xff", b"II*\0\xff\xff\xff"]
)
def test_the_first_bytes_alone_are_no_picture(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        load_image(data)
    assert pixels_alone(b"GIF89a") is None
