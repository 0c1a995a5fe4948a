"""The pictures of examples: where they lie, whether they changed, and loading them."""

from pathlib import Path

from PIL import Image

from app.evaluation.provenance import digest, file_sha256
from corpus.errors import InvalidImage
from corpus.pictures.images import load_image
from corpus.pictures.store import ImageCache, ImageFolder, black_image
from corpus.types import Example


class Pictures:
    """Pictures by the name that an example has for them. Threads may share one.

    Args:
        root: the directory that names are relative to.
        cache: of prepared pictures; only where no generator looks at them.
    """

    def __init__(self, root: Path, cache: ImageCache | None = None) -> None:
        self.folder = ImageFolder(root)
        self._cache = cache
        self._hashes: dict[str, str] = {}

    def load(self, example: Example) -> Image.Image | None:
        """Return an example's picture: a black one or None where it has none.

        Raises:
            InvalidImage: it is not there, or is none.
        """
        if not example.image:
            # Without a picture, what the question alone finds is measured.
            return black_image() if example.black_image else None
        path = self.folder.find(example.image)
        if path is None:
            place = self.folder.root / self.folder.place(example.image)
            raise InvalidImage(f"{place} does not exist")
        return self._cache.load(path) if self._cache is not None else load_image(path)

    def sha256(self, example: Example) -> str:
        """Return a short hash of an example's picture file, read once; "" where none can be."""
        if example.image not in self._hashes:
            path = self.folder.find(example.image) if example.image else None
            try:
                found = "" if path is None else file_sha256(path)[:16]
            except OSError:  # load_image says what is wrong
                found = ""
            self._hashes[example.image] = found
        return self._hashes[example.image]


def row_key(asked: object, picture_sha256: str, given: object = "") -> str:
    """Return the key of a row: hashes of what is asked of the picture, of it, and of the rest."""
    return f"{digest(asked)}.{picture_sha256}.{digest(given)}"


def same_key(there: str, wanted: str, *, given: bool = True) -> bool:
    """Return whether a row that is there is the one that is wanted.

    A picture that is gone has not changed: what was made of it may still be scored otherwise.

    Args:
        there: the key of the row.
        wanted: its key as it is now.
        given: False compares only what is asked, and the picture.
    """
    asked, picture, rest = wanted.split(".")
    parts = there.split(".")
    return (
        parts[0] == asked
        and (not picture or parts[1:2] == [picture])
        and (not given or parts[2:] == [rest])
    )
