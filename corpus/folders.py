"""Which files of a folder are a corpus, and whether all of it is there.

A download that broke off leaves a part that looks like the whole: some of several numbered files,
a link to what never came, a file under a name for what is not finished. None of these is taken for
a corpus.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from corpus.errors import DatasetNotFound
from corpus.files import open_binary, path_text

MARKDOWN = (".md", ".markdown")
AS_MARKDOWN = "plain text is read as Markdown where a file's name ends in .md"
_DATA_NAMES = (".jsonl", ".json", ".parquet", ".csv", ".tsv", ".xml", *MARKDOWN)
_PACKED = (".gz", ".bz2", ".zst", ".zip")
_UNFINISHED = (".part", ".partial", ".incomplete", ".crdownload", ".download", ".aria2")

# "test_passages-00001-of-00003.parquet"
_PART = re.compile(r"(.*?)(\d+)([-_ ]of[-_ ])(\d+)[^.]*(\..*)?", re.DOTALL)
# A dump of Wikipedia in parts: "...xml-p41243p151573.bz2", from page to page
_PAGES = re.compile(r"\.xml-p(\d+)p(\d+)")
_DELETED_PAGES = 1_000  # may be missing between two parts, or before the first
_SHOWN = 5

logger = logging.getLogger(__name__)


def corpus_files(path: Path, split: str = "") -> list[Path]:
    """Return the data files of a corpus in a fixed order: a file alone, or a folder's.

    Args:
        path: a file or folder. Files and folders whose names begin with ".", and files whose
            names begin with "_", are not data; folders that links point to are read.
        split: of a folder with files "{split}_passages-..." or "{split}-...": this split.

    Raises:
        DatasetNotFound: there is nothing, a part of it is missing, or the folder holds several
            splits and none is named.
    """
    if not path.is_dir():
        open_binary(path).close()
        return [path]
    every = list(_walk(path))
    found = sorted(filter(_is_data, every))
    splits = {name: file for file in found if (name := split_of(file))}
    if split:
        found = [file for file in found if split_of(file) == split]
    elif len(splits) > 1:
        raise DatasetNotFound(
            f"{path} holds the splits {', '.join(sorted(splits))}, which often repeat each other; "
            "name one with --split"
        )
    if not found:
        raise DatasetNotFound(_nothing_in(path, every, split))
    require_whole(found)
    if len(kinds := {_data_suffix(file) for file in found}) > 1:
        if kinds & set(MARKDOWN) and (rest := [f for f in found if f.suffix not in MARKDOWN]):
            return rest  # a README.md beside the data
        raise DatasetNotFound(f"{path} mixes {', '.join(sorted(kinds))}; name one file or folder")
    return found


def _nothing_in(path: Path, files: Iterable[Path], split: str) -> str:
    """Return what to say of a folder without data, and of the files that it has instead."""
    if split:
        return f"{path} has no files of the split {split!r}; check the path"
    lack = f"{path} has no {', '.join(_DATA_NAMES)} files"
    endings = sorted({file.suffix for file in files if file.suffix})
    if not endings:
        return f"{lack}; check the path"
    others = ", ".join(endings[:_SHOWN])
    return f"{lack}; it has {others}. Check the path, or rename: {AS_MARKDOWN}"


def require_whole(files: Iterable[Path]) -> None:
    """Raise DatasetNotFound where files are not all of what they are parts of; see `lacking`."""
    if lack := lacking(files):
        more = f" and {len(lack) - _SHOWN:,} more" if len(lack) > _SHOWN else ""
        raise DatasetNotFound(
            f"a part of the data is missing: {'; '.join(lack[:_SHOWN])}{more}. Fetch it, or name "
            "a file to read it alone"
        )


def lacking(files: Iterable[Path]) -> list[str]:
    """Return what is missing beside files, each with the reason: [] where they are whole.

    That is a part of a set whose names say how many there are, what a link points to, and the
    rest of a download that is not finished.
    """
    parts: dict[tuple[Path, str, str, str], dict[int, str]] = {}
    pages: list[tuple[int, int, Path]] = []
    lack = []
    for file in files:
        if file.suffix.lower() in _UNFINISHED:
            lack.append(f"{path_text(file)} (a download that is not finished)")
        elif not file.exists():
            lack.append(f"{path_text(file)} (a link to {file.readlink()}, which is not there)")
        if found := _PART.fullmatch(file.name):
            begin, number, of, count, end = found.groups("")
            parts.setdefault((file.parent, begin, of + count, end), {})[int(number)] = number
        elif found := _PAGES.search(file.name):
            pages.append((int(found[1]), int(found[2]), file))
    for (folder, begin, of, end), numbers in parts.items():
        lack += (
            path_text(folder / f"{begin}{number}{of}{end}")
            for number in _missing_numbers(numbers, int(of[4:]))
        )
    return lack + _missing_pages(sorted(pages))


def _missing_numbers(numbers: dict[int, str], count: int) -> Iterator[str]:
    """Yield the numbers of the parts that are not there, counted from 0 or from 1."""
    width = min(map(len, numbers.values()))
    first = 1 if count in numbers and 0 not in numbers else 0
    for number in range(first, first + count):
        if number not in numbers:
            yield f"{number:0{width}}"


def _missing_pages(parts: list[tuple[int, int, Path]]) -> list[str]:
    """Return the pages of a dump that lie between its parts but in none of them."""
    behind = 0
    lack = []
    for first, last, file in parts:
        if first > behind + 1 + _DELETED_PAGES:
            lack.append(f"pages {behind + 1:,} to {first - 1:,} before {path_text(file)}")
        behind = max(behind, last)
    return lack


def split_of(path: Path) -> str:
    """Return "test" of "test_passages-00000-of-00001.parquet"; "" where there is none."""
    if path.suffix != ".parquet" or "-of-" not in path.name:
        return ""
    return path.name.partition("-")[0].removesuffix("_passages")


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files under a folder, and links that lead nowhere.

    A folder that several paths lead to is read once, under the path without a link.
    """
    seen: set[tuple[int, int]] = set()
    folders, links = [folder], list[Path]()
    while folders or links:
        here = folders.pop() if folders else links.pop(0)
        try:
            state = here.stat()
            entries = sorted(here.iterdir())
        except OSError as exc:
            raise DatasetNotFound(f"{here} cannot be read: {exc.strerror}") from exc
        if (state.st_dev, state.st_ino) in seen:
            continue
        seen.add((state.st_dev, state.st_ino))
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                (links if entry.is_symlink() else folders).append(entry)
            elif entry.is_symlink() and not entry.exists() and not _is_data(entry):
                logger.warning("%s is a link that leads nowhere: nothing is read from it", entry)
            elif entry.is_file() or entry.is_symlink():
                yield entry


def _is_data(file: Path) -> bool:
    if file.name.startswith("_"):
        return False
    bare = file.with_suffix("") if file.suffix.lower() in _UNFINISHED else file
    return _data_suffix(bare) in _DATA_NAMES


def _data_suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    last = suffixes[-1] if suffixes else ""
    return ".xml" if last.startswith(".xml-p") else last  # a dump in parts: .xml-p1p41242
