"""Pictures that come with a question, and where they lie while they are needed.

    with own_uploads():                 # a folder of this process, gone with it
        page = build_page(...)

What the page itself shows (the examples) is served from where it is: see `kept_pictures`. No
clean-up of uploads touches it. No other file of this machine comes in: see `only_own_files`.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder, is_static_file
from PIL.Image import Image

from app.errors import InvalidQuestion
from corpus.errors import InvalidImage
from corpus.pictures.images import load_image

UPLOADS_KEPT_SECONDS = 24 * 60 * 60
MOST_KEPT_BYTES = 1 << 29
MOST_KEPT_FILES = 5_000
_FOLDER = "GRADIO_TEMP_DIR"


@contextmanager
def own_uploads() -> Iterator[Path]:
    """Give a new folder that Gradio puts uploads into, and remove it with all that is in it.

    Gradio's own folder is one for all its pages on a machine, and one that stops deletes from it.
    It lies where GRADIO_TEMP_DIR says, or with the other temporary files.
    """
    before = os.environ.get(_FOLDER)
    if before:
        Path(before).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="kbvqa-uploads-", dir=before)).resolve()
    os.environ[_FOLDER] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ[_FOLDER]
        else:
            os.environ[_FOLDER] = before
        shutil.rmtree(folder, ignore_errors=True)


def make_room(folder: Path) -> None:
    """Delete the oldest uploads of more than MOST_KEPT_BYTES or MOST_KEPT_FILES, parts of them too.

    Whoever still asks about one is told to add it again.
    """
    files = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            state = path.lstat()
            if not S_ISDIR(state.st_mode):
                files.append((state.st_mtime, state.st_size, path))
    kept, size = len(files), sum(size for _, size, _ in files)
    for _, freed, path in sorted(files):
        if kept <= MOST_KEPT_FILES and size <= MOST_KEPT_BYTES:
            return
        path.unlink(missing_ok=True)
        kept, size = kept - 1, size - freed
        if path.parent != folder:
            with suppress(OSError):  # another is in it
                path.parent.rmdir()


def kept_pictures(folder: Path) -> None:
    """Have the pictures of a folder served from there: Gradio neither copies nor deletes them."""
    gr.set_static_paths([folder])


def only_own_files(page: gr.Blocks) -> None:
    """Have Gradio open no file for a request but uploads and examples, and no address.

    By itself it copies whatever file a record names to the uploads before a function sees it, and
    fetches addresses: of a page that is mounted it does not check them, as `launch` would. A record
    without its mark is data to it, which `read_picture` refuses.
    """
    prepare = page.preprocess_data

    async def checked(block_fn: Any, inputs: list[Any], *args: Any, **named: Any) -> Any:
        return await prepare(block_fn, _unmarked(inputs), *args, **named)

    page.preprocess_data = checked


def read_picture(picture: Any) -> Image:
    """Return the uploaded picture, upright and RGB.

    Args:
        picture: Gradio's record of it; None where there is none.

    Raises:
        InvalidQuestion: nothing was uploaded.
        InvalidImage: it is not a whole picture; the message names it as the user does.
    """
    path = (picture or {}).get("path")
    if not path:
        raise InvalidQuestion("There is no picture yet. Add one, or click an example.")
    if not _own(path):
        raise InvalidQuestion("The picture was not uploaded here. Upload it, then ask again.")
    if not Path(path).is_file():
        raise InvalidQuestion("The picture is no longer on the server; add it again.")
    try:
        return load_image(Path(path))
    except InvalidImage as exc:
        name = picture.get("orig_name") or "the picture"
        raise InvalidImage(str(exc).replace(str(path), name)) from exc


def _own(path: Any) -> bool:
    """Return whether a path, which may be an address or anything, is of an upload or an example."""
    try:
        if not Path(path).is_absolute():
            return False
        place = Path(path).resolve()
    except (TypeError, ValueError, OSError, RuntimeError):  # no path, NUL, a loop of links
        return False
    return place.is_relative_to(Path(get_upload_folder()).resolve()) or is_static_file(place)


def _unmarked(sent: Any) -> Any:
    """Return what a browser sent, where records of other files do not say that they are files."""
    if isinstance(sent, list):
        return [_unmarked(part) for part in sent]
    if not isinstance(sent, dict):
        return sent
    foreign = "path" in sent and not _own(sent["path"])
    return {k: _unmarked(v) for k, v in sent.items() if not (foreign and k == "meta")}
