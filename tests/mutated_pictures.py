"""Pictures that nobody drew: files of every format with bytes changed, and some made to do harm.

    python -m tests.mutated_pictures --count 10000 --seed 1

reads so many as the API does, in this process, and prints how many were read and refused as JSON.
Whatever else happens (another error, more memory or more time than a picture may take, a crash)
ends it.
"""

import argparse
import json
import random
import resource
import signal
import struct
import sys
import time
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image, features

from corpus.errors import InvalidImage
from corpus.pictures.images import MAX_IMAGE_PIXELS, load_image

# A picture of 64 megapixels as Pillow holds it, and copies of it on the way to RGB.
MOST_MEMORY = 3 << 30
MOST_SECONDS = 60
_SIZES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def originals() -> dict[str, bytes]:
    """Return whole small pictures by the name of their kind."""
    plain = Image.radial_gradient("L").resize((64, 48))
    rgb = Image.merge("RGB", (plain, plain.rotate(90), plain.transpose(Image.Transpose.ROTATE_180)))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a picture"
    ways: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "png": (rgb, "PNG", {}),
        "png of a palette": (rgb.quantize(16), "PNG", {"transparency": 3}),
        "png of 16 bits": (plain.convert("I;16"), "PNG", {}),
        "png, transparent": (rgb.convert("RGBA"), "PNG", {"exif": exif}),
        "png, moving": (rgb, "PNG", {"save_all": True, "append_images": [rgb.rotate(9)]}),
        "jpeg": (rgb, "JPEG", {"exif": exif}),
        "jpeg, progressive": (rgb, "JPEG", {"progressive": True}),
        "jpeg of inks": (rgb.convert("CMYK"), "JPEG", {}),
        "mpo": (rgb, "MPO", {"save_all": True, "append_images": [rgb]}),
        "gif": (rgb, "GIF", {"save_all": True, "append_images": [rgb.rotate(9)]}),
        "bmp": (rgb, "BMP", {}),
        "bmp of a palette": (rgb.quantize(16), "BMP", {}),
        "tiff": (rgb, "TIFF", {"exif": exif}),
        "tiff, lzw": (rgb, "TIFF", {"compression": "tiff_lzw"}),
        "tiff, deflate": (rgb, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "tiff, fax": (plain.convert("1"), "TIFF", {"compression": "group4"}),
        "tiff of floats": (plain.convert("F"), "TIFF", {}),
        "ppm": (rgb, "PPM", {}),
        "ico": (rgb, "ICO", {"sizes": [(16, 16), (32, 32)]}),
    }
    if features.check("webp"):
        ways["webp"] = (rgb, "WEBP", {"exif": exif})
        ways["webp, lossless"] = (rgb.convert("RGBA"), "WEBP", {"lossless": True})
        ways["webp, moving"] = (rgb, "WEBP", {"save_all": True, "append_images": [rgb.rotate(9)]})
    if features.check("avif"):
        ways["avif"] = (rgb, "AVIF", {})
    if features.check("jpg_2000"):
        ways["jpeg 2000"] = (rgb, "JPEG2000", {})
    found = {}
    for name, (image, format_, how) in ways.items():
        file = BytesIO()
        image.save(file, format_, **how)
        found[name] = file.getvalue()
    return found


def harmful() -> dict[str, bytes]:
    """Return files that mean harm, by what they are."""
    whole = originals()
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    end = _chunk(b"IEND", b"")
    small = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(8 * 25))
    flood = zlib.compress(bytes(200_000_000), 9)
    magic = b"\x89PNG\r\n\x1a\n"
    script = b"<script>alert(1)</script>"
    return {
        "nothing": b"",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "svg with entities": b'<!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><svg>&b;</svg>',
        "html": b"<html>" + script,
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
        "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n",
        "png of 3,600 megapixels": magic + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + end,
        "png with a flood of text": magic
        + _chunk(b"IHDR", small)
        + _chunk(b"zTXt", b"k\0\0" + flood)
        + _chunk(b"IDAT", rows)
        + end,
        "png with a flooded profile": magic
        + _chunk(b"IHDR", small)
        + _chunk(b"iCCP", b"k\0\0" + flood)
        + _chunk(b"IDAT", rows)
        + end,
        "png with a flood of pixels": magic + _chunk(b"IHDR", small) + _chunk(b"IDAT", flood) + end,
        "png and zip": whole["png"] + b"PK\x03\x04" + bytes(30) + script,
        "jpeg and html": whole["jpeg"][:2] + b"\xff\xfe\x00\x1b" + script + whole["jpeg"][2:],
        "gif and script": b"GIF89a/*" + whole["gif"][8:] + b"*/=1;" + script,
        "gif of 4,294 megapixels": whole["gif"][:6] + b"\xff\xff\xff\xff" + whole["gif"][10:],
        "tiff whose directory is its own next": whole["tiff"][:4] + struct.pack("<I", 8) * 400,
        "bmp, upside down for ever": whole["bmp"][:22] + b"\0\0\0\x80" + whole["bmp"][26:],
        "ppm of 10,000 megapixels": b"P6 100000 100000 255\n" + bytes(64),
        "ppm of digits": b"P3 9 9 255\n" + b"1" * 100_000,
        "webp of 268 megapixels": b"RIFF\xff\xff\xff\x7fWEBPVP8X\x0a\0\0\0\x10" + b"\0" * 3
        + b"\xff\x3f\0" * 2,
        "jpeg of 4,294 megapixels": whole["jpeg"].replace(b"\x00\x30\x00\x40", b"\xff\xff\xff\xff"),
        "many dots": b"." * 1_000_000,
    }  # fmt: skip


def mutated(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield pictures with what they are: the harmful ones, then others with changed bytes."""
    chance = random.Random(seed)
    whole = originals()
    made = harmful()
    yield from list(made.items())[:count]
    for number in range(count - len(made)):
        name = chance.choice(sorted(whole))
        yield f"{name}, number {number} of seed {seed}", _changed(chance, whole, name)


def _changed(chance: random.Random, whole: dict[str, bytes], name: str) -> bytes:
    data = bytearray(whole[name])
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(data))
        # What decides stands at the beginning.
        at = at if chance.random() < 0.5 else min(at, chance.randrange(1, 120), len(data) - 1)
        match chance.randrange(8):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.randrange(256)
            case 2:  # a size, of one to four bytes, of either order
                width, order = chance.choice((1, 2, 4)), chance.choice(("big", "little"))
                size = chance.choice(_SIZES) & (256**width - 1)
                data[at : at + width] = size.to_bytes(width, order)  # type: ignore[arg-type]
            case 3:
                del data[at : at + chance.randrange(1, 40)]
            case 4:
                data[at:at] = chance.randbytes(chance.randrange(1, 40))
            case 5:
                data[at:at] = data[at : at + chance.randrange(1, 400)]
            case 6:
                del data[max(at, 1) :]
            case 7:
                other = whole[chance.choice(sorted(whole))]
                start = chance.randrange(len(other))
                data[at : at + 30] = other[start : start + chance.randrange(1, 200)]
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def read(name: str, data: bytes) -> bool:
    """Return whether a picture was read; else it was refused in words.

    Raises:
        Exception: anything else happened.
    """
    try:
        image = load_image(data)
    except InvalidImage as exc:
        assert str(exc), name
        return False
    assert image.mode == "RGB" and 0 < image.width * image.height <= MAX_IMAGE_PIXELS, name
    return True


def _too_slow(*_: object) -> None:
    raise TimeoutError(f"a picture took longer than {MOST_SECONDS} s")


def main() -> None:
    """Read them, in bounds, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    pictures = mutated(given.count, given.seed)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    signal.signal(signal.SIGALRM, _too_slow)
    counts, slowest = {"read": 0, "refused": 0}, (0.0, "")
    for name, data in pictures:
        began = time.perf_counter()
        signal.alarm(MOST_SECONDS)
        try:
            counts["read" if read(name, data) else "refused"] += 1
        except BaseException:
            print(f"{name}: {data[:2000]!r}", file=sys.stderr)
            raise
        signal.alarm(0)
        slowest = max(slowest, (time.perf_counter() - began, name))
    # Not ru_maxrss: a new process begins with that of the one that started it.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = 1024 * int(status.split("VmHWM:")[1].split()[0])
    said = {"peak_bytes": peak, "slowest_seconds": slowest[0], "slowest": slowest[1]}
    print(json.dumps({**counts, **said}))


if __name__ == "__main__":
    main()
