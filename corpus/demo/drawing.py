"""Draw the demo's flags and emoji from the npm packages they were published in.

SVG is rasterised by resvg (`pip install resvg_py`), 256 pixels wide. Noto's flags are the
64-pixel PNG files of emoji-datasource-google, as they are.
"""

import importlib
import json
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from corpus.demo.data import DemoImage
from corpus.demo.packages import fetch_npm, read_tarball
from corpus.errors import CorpusError

WIDTH = 256

# Package -> SHA-256 of its tarball.
PACKAGES = {
    "flag-icons@7.5.0": "c0b80bf0e08006a60f56621d6bc49f8c7131f4d1fef6737a165a673431f4b518",
    "country-flag-icons@1.6.20": "0b003c0984b53e12a870f0b9a2ccd9821c588c505cf18d7938dabec3ae669808",
    "@iconify-json/flagpack@1.2.8": "165ea189ef6ee00b8c10d66c0a2702a6afe1d89d7feafdc3a02a459d65580483",  # noqa: E501
    "@twemoji/svg@15.0.0": "1d2907557a422c7c4e3feca50ef915c39da1db3d76b4a4d7e73fb59bce4403c3",
    "openmoji@17.0.0": "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68",
    "@iconify-json/emojione@1.2.3": "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",  # noqa: E501
    "@iconify-json/fluent-emoji-flat@1.2.6": "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",  # noqa: E501
    "@iconify-json/noto@1.2.9": "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
    "emoji-datasource-google@16.0.0": "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",  # noqa: E501
}

# A picture's source -> (package, folder of its SVG files). Twemoji and OpenMoji name files by
# code points, the flag packages by country code.
_SVG_FILES = {
    "flag-icons": ("flag-icons@7.5.0", "flags/4x3/"),
    "country-flag-icons": ("country-flag-icons@1.6.20", "3x2/"),
    "twemoji": ("@twemoji/svg@15.0.0", ""),
    "openmoji": ("openmoji@17.0.0", "color/svg/"),
    "emoji-twemoji": ("@twemoji/svg@15.0.0", ""),
    "emoji-openmoji": ("openmoji@17.0.0", "color/svg/"),
}

# A picture's source -> package with an Iconify set (all icons in one JSON file).
_ICON_SETS = {
    "flagpack": "@iconify-json/flagpack@1.2.8",
    "emoji-emojione": "@iconify-json/emojione@1.2.3",
    "emoji-fluent-emoji-flat": "@iconify-json/fluent-emoji-flat@1.2.6",
    "emoji-noto": "@iconify-json/noto@1.2.9",
}

_PNG_FLAGS = ("emoji-datasource-google@16.0.0", "img/google/64/")


def draw_pictures(images: Iterable[DemoImage], out: Path, cache: Path) -> int:
    """Write the listed pictures below `out` and return how many.

    Raises:
        CorpusError: npm or resvg is missing, or a package cannot be fetched.
    """
    by_source: dict[str, list[DemoImage]] = {}
    for image in images:
        by_source.setdefault(image.source, []).append(image)
    emoji = _code_points(cache)
    for source, pictures in by_source.items():
        png = _png_reader(source, emoji, cache)
        for picture in pictures:
            path = out / picture.image
            path.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(BytesIO(png(path.stem))) as image_file:
                image_file.convert("RGBA").save(path, optimize=True)
    return sum(map(len, by_source.values()))


def icon_svg(icons: dict[str, Any], name: str) -> str:
    """Return one icon of an Iconify set as an SVG document."""
    while name not in icons["icons"]:
        name = icons["aliases"][name]["parent"]
    icon = icons["icons"][name]
    width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width}" height="{height}" viewBox="{box}">{icon["body"]}</svg>'
    )


def flag_code_points(iso: str) -> str:
    """Return the characters of a flag emoji: "FR" -> "1f1eb-1f1f7"."""
    return "-".join(f"{0x1F1E6 + ord(letter) - ord('A'):x}" for letter in iso)


def _png_reader(source: str, emoji: dict[str, str], cache: Path) -> Callable[[str], bytes]:
    """Return a function from a picture's file stem ("FR", "tiger") to PNG bytes."""
    if source == "noto":
        pngs = _files(*_PNG_FLAGS, cache)
        return lambda stem: pngs[f"{flag_code_points(stem)}.png"]
    if source in _ICON_SETS:
        icons = json.loads(_files(_ICON_SETS[source], "", cache)["icons.json"])
        return lambda stem: _rasterise(icon_svg(icons, _icon_name(source, stem)))
    files = _files(*_SVG_FILES[source], cache)
    # Iconify leaves variation selectors out of its code points; these files do not.
    svgs = {path.lower().replace("-fe0f", ""): data for path, data in files.items()}

    def read(stem: str) -> bytes:
        if "moji" in source:
            stem = emoji[stem] if source.startswith("emoji-") else flag_code_points(stem)
        return _rasterise(svgs[f"{stem.lower()}.svg"].decode())

    return read


def _icon_name(source: str, stem: str) -> str:
    if source == "flagpack":
        return "gb-ukm" if stem == "GB" else stem.lower()  # its "gb" is the flag of England
    return stem


def _code_points(cache: Path) -> dict[str, str]:
    """Return {emoji name: "1f469-200d-1f680"}."""
    chars = json.loads(_files(_ICON_SETS["emoji-noto"], "", cache)["chars.json"])
    return {name: chars_ for chars_, name in chars.items()}


def _files(package: str, folder: str, cache: Path) -> dict[str, bytes]:
    return read_tarball(fetch_npm(package, PACKAGES[package], cache), folder)


def _rasterise(svg: str) -> bytes:
    try:
        resvg = importlib.import_module("resvg_py")
    except ImportError as exc:
        raise CorpusError("resvg_py is not installed; run `pip install resvg_py`") from exc
    return bytes(resvg.svg_to_bytes(svg_string=svg, width=WIDTH))
