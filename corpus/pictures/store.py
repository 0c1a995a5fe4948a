"""Where the pictures of benchmarks are on disk, which are missing, and a cache of resized ones.

A benchmark names its pictures; under the image directory they may lie as these rules say:

    COCO (OK-VQA, LLaVA)    train2014/COCO_train2014_000000000009.jpg, and without the folder
    OVEN, InfoSeek          oven_04925844 as 04/oven_04925844.jpg, or without the shard
    Google Landmarks v2     google-landmark/train/a/b/c/abc....jpg
    iNaturalist 2021        inat/train/00001_.../....jpg, by the id in inat/train.json or val.json
    KVQA, WIT, CC3M, ...    the path as it stands in the rows

A name that was written on Windows, train2014\\a.jpg, is looked for as train2014/a.jpg too, and
one with accents in both spellings of Unicode: NFC, and NFD as macOS writes it.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import Literal

import ijson
from PIL import Image

from corpus.errors import DatasetNotFound
from corpus.files.sources import Source
from corpus.pictures.images import load_image
from corpus.types import Example

BLACK_SIZE = (336, 336)
INAT_PREFIX, LANDMARK_PREFIX = "inat:", "landmark:"
_UNLISTED = "neither inat/train.json nor inat/val.json there names its file"

# A picture may have another of these endings, or another case of it, than its row says.
_ENDINGS = (".jpg", ".JPEG", ".jpeg", ".JPG", ".png", ".PNG")
_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
_OVEN = re.compile(r"oven_(\d\d)\d+$")
_COCO = re.compile(r"COCO_(\w+\d{4})_\d{12}$")


def spellings(name: str) -> Iterator[str]:
    """Yield a file name as it is, then with its accents composed (NFC) and decomposed (NFD)."""
    yield from dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in _FORMS)))


class ImageFolder:
    """An image directory.

    Attributes:
        root: what picture names are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._inat: dict[str, str | None] = {}  # every id that was looked up

    def find(self, name: str) -> Path | None:
        """Return where a picture lies, by the first rule that finds it, or None."""
        for candidate in self._candidates(name):
            path = self.root / candidate
            if path.is_file():
                return path
        return None

    def place(self, name: str) -> str:
        """Return where a picture should lie under the directory, as people are told."""
        return next(self._candidates(name), f"{name} ({_UNLISTED})")

    def find_all(self, names: Iterable[str]) -> dict[str, Path | None]:
        """Return where each picture lies, or None, by name; iNaturalist's lists are read once."""
        every = dict.fromkeys(names)
        self._read_inat([name for name in every if name.startswith(INAT_PREFIX)])
        return {name: self.find(name) for name in every}

    def require_all(self, names: Iterable[str]) -> dict[str, Path]:
        """Return where each picture lies, by name.

        Raises:
            DatasetNotFound: some are missing.
        """
        found = self.find_all(names)
        if missing := [name for name, path in found.items() if path is None]:
            raise DatasetNotFound(
                f"{len(missing):,} of {len(found):,} pictures are not under {self.root}, such as "
                f"{self.place(missing[0])}: give the pictures' folder by --images"
            )
        return {name: path for name, path in found.items() if path is not None}

    def missing(self, examples: Iterable[Example]) -> list[str]:
        """Return the names of pictures that are not there, each once, in order."""
        found = self.find_all(example.image for example in examples if example.image)
        return [name for name, path in found.items() if path is None]

    def _candidates(self, name: str) -> Iterator[str]:
        for spelled in spellings(name):
            yield from self._places(spelled)
            if "\\" in spelled:
                yield from self._places(spelled.replace("\\", "/"))

    def _places(self, name: str) -> Iterator[str]:
        if name.startswith(INAT_PREFIX):
            id_ = name.removeprefix(INAT_PREFIX)
            if id_ not in self._inat:
                self._read_inat([name])
            if known := self._inat[id_]:
                yield f"inat/{known}"
                yield known
            return
        if name.startswith(LANDMARK_PREFIX):
            id_ = name.removeprefix(LANDMARK_PREFIX)
            for ending in _ENDINGS:
                inside = "/".join([*id_[:3], f"{id_}{ending}"])
                yield from (f"google-landmark/train/{inside}", f"train/{inside}", inside)
            return
        yield name
        folder, _, base = name.rpartition("/")
        stem = Path(base).stem if Path(base).suffix.lower() in _ENDINGS else base
        # The ending that the row gives, where it gives one, comes first.
        for ending in dict.fromkeys((base.removeprefix(stem) or _ENDINGS[0], *_ENDINGS)):
            if (found := _OVEN.match(stem)) or (found := _COCO.match(stem)):
                yield from (f"{found[1]}/{stem}{ending}", f"{stem}{ending}")
            yield f"{folder}/{stem}{ending}" if folder else f"{stem}{ending}"

    def _read_inat(self, names: Collection[str]) -> None:
        """Look up the file names of iNaturalist's ids, which its own lists hold."""
        wanted = {name.removeprefix(INAT_PREFIX) for name in names} - self._inat.keys()
        found: dict[str, str] = {}
        for folder in (self.root / "inat", self.root):
            for split in ("train", "val"):
                if wanted - found.keys() and (folder / f"{split}.json").is_file():
                    found |= inat_file_names(folder / f"{split}.json", wanted)
        self._inat |= dict.fromkeys(wanted) | found


def inat_file_names(path: Path, ids: Collection[str]) -> dict[str, str]:
    """Return {id: file name} of pictures in iNaturalist 2021's train.json or val.json, streamed."""
    with Source(path).stream() as stream:
        return {
            str(image["id"]): image["file_name"]
            for image in ijson.items(stream, "images.item")
            if str(image["id"]) in ids
        }


def check_images(folder: ImageFolder, examples: Collection[Example], listing: Path) -> list[str]:
    """Return where missing pictures should lie, having written it to a file, one a line.

    Raises:
        DatasetNotFound: every picture is missing: the image directory is not the right one.
    """
    names = folder.missing(examples)
    missing = [folder.place(name) for name in names]
    if not missing:
        listing.unlink(missing_ok=True)
        return []
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text("".join(f"{name}\n" for name in missing), encoding="utf-8")
    if len(missing) == len({example.image for example in examples if example.image}):
        absolute = PureWindowsPath(names[0]).anchor
        raise DatasetNotFound(
            f"none of the {len(missing):,} pictures is under {folder.root} (the first is "
            f"{missing[0]!r}); give their directory with --images"
            + (", and names from there on" if absolute else "")
            + f". They are listed in {listing}"
        )
    return missing


def black_image() -> Image.Image:
    """Return the black picture that PreFLMR's evaluation gives a query without one."""
    return Image.new("RGB", BLACK_SIZE)


class ImageCache:
    """Pictures as the vision tower sees them, decoded and resized once.

    Args:
        folder: where they are kept, as PNG files; made when missing.
        name: says what `prepare` does; another name shares no pictures.
        prepare: crops and resizes. Doing it again to its result must change nothing.
    """

    def __init__(
        self, folder: Path, name: str, prepare: Callable[[Image.Image], Image.Image]
    ) -> None:
        self._folder, self._name, self._prepare = folder, name, prepare
        folder.mkdir(parents=True, exist_ok=True)

    def load(self, path: Path) -> Image.Image:
        """Return a picture prepared, from the cache where its file has not changed since.

        Raises:
            InvalidImage: as `load_image`.
        """
        kept = self._folder / f"{self._key(path)}.png"
        if kept.is_file():
            return load_image(kept)
        image = self._prepare(load_image(path))
        partial = kept.with_suffix(f".{os.getpid()}.partial")
        image.save(partial, "PNG", compress_level=1)
        partial.replace(kept)
        return image

    def _key(self, path: Path) -> str:
        try:
            stat = path.stat()
        except OSError:
            stat = None  # load_image says what is wrong
        state = (stat.st_size, stat.st_mtime_ns) if stat else ()
        return hashlib.sha256(repr((self._name, str(path.resolve()), state)).encode()).hexdigest()[
            :32
        ]
