"""Pictures without what stands beside their pixels: texts, profiles, notes of cameras and editors.

A decoder may trip over these although the pixels are whole: over a long text, a profile in an
unknown encoding, a note that was cut short. What decides about pixels stays as it is, damage and
all: nothing here mends a picture.
"""

import re
import struct
import zlib

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PNG_XMP = b"XML:com.adobe.xmp\0"
_PNG_EXIF = b"Raw profile type exif\0"  # as ImageMagick writes it
_LONGEST_TEXT = 1 << 20  # bytes, unpacked: a decoder refuses longer ones
_JPEG_SCAN = 0xDA
_JPEG_ORIENTED = (b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0")
_JPEG_BARE = (0x01, *range(0xD0, 0xD9))  # markers without a length
_TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
# Sizes, compression, colours, orientation, strips and tiles; JPEG's tables; YCbCr.
_TIFF_KEPT = frozenset(
    {*range(254, 260), 262, 266, 273, 274, *range(277, 280), 284, 292, 293, 317, 320}
    | {*range(322, 326), 338, 339, 347, *range(512, 522), *range(529, 533)}
)
_WEBP_KEPT = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"EXIF")
_WEBP_PROFILE, _WEBP_EXIF, _WEBP_XMP = 0x20, 0x08, 0x04  # flags: there is one
_AVIF_EXIF_ITEM = re.compile(rb"(infe[\x02\x03].{3}(?:.{4}|.{6}))Exif", re.DOTALL)


def pixels_alone(data: bytes) -> bytes | None:
    """Return a picture's bytes without side data but its orientation; None for other formats.

    PNG, JPEG, TIFF, WebP and AVIF are known. A file that is cut short or damaged stays so.
    """
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data[:4] in _TIFF_ORDERS:
        return _tiff(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return _AVIF_EXIF_ITEM.sub(rb"\1free", data)
    return None


def _png(data: bytes) -> bytes:
    kept = [_PNG]
    at = len(_PNG)
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        chunk = data[at : at + 12 + size]
        if name in _PNG_KEPT or (_sound(chunk) and _oriented(name, chunk[8:-4])):
            kept.append(chunk)
        at += len(chunk)
    return b"".join(kept)


def _oriented(name: bytes, body: bytes) -> bool:
    """Return whether a PNG chunk may hold the orientation, and can be read."""
    if name == b"iTXt" and body.startswith(_PNG_XMP):
        packed, rest = body[len(_PNG_XMP) :][:1], body[len(_PNG_XMP) + 2 :]
        return packed == b"\0" or _unpacks(b"".join(rest.split(b"\0", 2)[2:]))
    if name == b"zTXt" and body.startswith(_PNG_EXIF):
        return _unpacks(body[len(_PNG_EXIF) + 1 :])
    return name == b"eXIf" or (name == b"tEXt" and body.startswith(_PNG_EXIF))


def _unpacks(text: bytes) -> bool:
    """Return whether a compressed text is whole and no longer than decoders take."""
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(text, _LONGEST_TEXT)
    except zlib.error:
        return False
    return unpacker.eof


def _sound(chunk: bytes) -> bool:
    """Return whether a PNG chunk has the checksum that it says."""
    return len(chunk) >= 12 and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _jpeg(data: bytes) -> bytes:
    kept = [data[:2]]
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _JPEG_SCAN:
        marker = data[at + 1]
        if marker == 0xFF or marker in _JPEG_BARE:  # fill, or nothing behind it
            at += 1 if marker == 0xFF else 2
            continue
        segment = data[at : at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")]
        if len(segment) < 4:
            break
        if _decides(marker, segment[4:]):
            kept.append(segment)
        at += len(segment)
    return b"".join([*kept, data[at:]])


def _decides(marker: int, body: bytes) -> bool:
    """Return whether a JPEG segment decides about pixels: all but notes, and of these three."""
    if marker == 0xE0:
        return body.startswith(b"JFIF\0") and len(body) >= 14
    if marker == 0xE1:
        return body.startswith(_JPEG_ORIENTED)
    if marker == 0xEE:
        return body.startswith(b"Adobe") and len(body) >= 12  # the colour space
    return not (0xE2 <= marker <= 0xEF or marker == 0xFE)


def _tiff(data: bytes) -> bytes:
    """Return the file with a second directory of its first picture, which the head points at."""
    order = _TIFF_ORDERS[data[:4]]
    try:
        (at,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, at)
        entries = [data[at + 2 + 12 * n : at + 14 + 12 * n] for n in range(count)]
        kept = [e for e in entries if struct.unpack_from(f"{order}H", e)[0] in _TIFF_KEPT]
    except struct.error:
        return data
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + bytes(4)
    return b"".join((data[:4], struct.pack(f"{order}I", len(data)), data[8:], directory))


def _webp(data: bytes) -> bytes:
    chunks = []
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        chunk = data[at : at + 8 + size + size % 2]
        if name in _WEBP_KEPT and (name != b"EXIF" or len(chunk) >= 8 + size):
            chunks.append((name, chunk))
        at += len(chunk)
    gone = _WEBP_PROFILE | _WEBP_XMP | (_WEBP_EXIF if b"EXIF" not in dict(chunks) else 0)
    body = b"WEBP" + b"".join(
        chunk[:8] + bytes([chunk[8] & ~gone]) + chunk[9:]
        if name == b"VP8X" and len(chunk) > 8
        else chunk
        for name, chunk in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body
