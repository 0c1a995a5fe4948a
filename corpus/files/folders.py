"""Which files of a folder are a corpus, and whether all of it is there.

A download that broke off leaves a part that looks like the whole: some of several numbered files,
a link to what never came, a file under a name for what is not finished. None of these is taken for
a corpus.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from corpus.errors import DatasetNotFound
from corpus.files.sources import PACKED, open_binary, path_text

MARKDOWN = (".md", ".markdown", ".txt")
TABLES = (".csv", ".tsv")
LINES = (".jsonl", ".json")
_DATA_NAMES = (*LINES, ".parquet", *TABLES, ".xml", *MARKDOWN)
# Texts about a folder, which is seldom what it holds.
_ABOUT = re.compile(r"(readme|licen[cs]es?|changelog|contributing|notice)\b", re.IGNORECASE)
_UNFINISHED = (".part", ".partial", ".incomplete", ".crdownload", ".download", ".aria2")

# "test_passages-00001-of-00003.parquet"
_PART = re.compile(r"(.*?)(\d+)([-_ ]of[-_ ])(\d+)[^.]*(\..*)?", re.DOTALL)
# A dump of Wikipedia in parts: "...xml-p41243p151573.bz2", from page to page
_PAGES = re.compile(r"\.xml-p(\d+)p(\d+)")
_DELETED_PAGES = 1_000  # may be missing between two parts, or before the first
_SHOWN = 5

logger = logging.getLogger(__name__)


class FileGroup(NamedTuple):
    """Files of a folder that are read alike, in a fixed order, and its other files."""

    files: list[Path]
    left_out: list[Path]


def corpus_files(path: Path, split: str = "") -> list[Path]:
    """Return the data files of a corpus in a fixed order: a file alone, or most of a folder's.

    Raises:
        DatasetNotFound: as `found_files`.
    """
    return found_files(path, split)[0].files


def found_files(
    path: Path,
    split: str = "",
    endings: Sequence[str] = (),
    is_lines: Callable[[Path], bool] = lambda file: False,
) -> list[FileGroup]:
    """Return what a corpus may be: a file alone, or the kinds of files in a folder.

    Files of one kind are read alike: .md, .markdown and .txt, or .csv and .tsv, or .jsonl and what
    `is_lines` says of .json. The kind with the most files comes first, of two with as many the
    larger one. A README or a licence is no reason to take a folder for texts.

    Args:
        path: a file or folder. Files and folders whose names begin with ".", and files whose
            names begin with "_", are not data. Links to files are read, wherever these lie (a hub's
            cache is made of them); links to folders only where they lead to one within `path`,
            and are left out otherwise.
        split: of a folder with files "{split}_passages-..." or "{split}-...": this split.
        endings: the only kind that is wanted, by the ends of its names; () for any.
        is_lines: whether a .json file has what a .jsonl file has: records, not settings.

    Raises:
        DatasetNotFound: there is nothing, a part of what comes first is missing, or the folder
            holds several splits and none is named.
    """
    if not path.is_dir():
        open_binary(path).close()
        return [FileGroup([path], [])]
    outside: list[Path] = []
    every = list(_walk(path, outside))
    data = sorted(filter(_is_data, every))
    splits = {name for file in data if (name := split_of(file))}
    if split:
        data = [file for file in data if split_of(file) == split]
    elif len(splits) > 1:
        raise DatasetNotFound(
            f"{path} holds the splits {', '.join(sorted(splits))}, which often repeat each other; "
            "name one with --split"
        )
    kinds: dict[str, list[Path]] = {}
    for file in data:
        if not endings or _data_suffix(_bare(file)) in endings:
            kinds.setdefault(_kind(file, is_lines), []).append(file)
    if not kinds:
        raise DatasetNotFound(_nothing_in(path, every, split, endings) + _elsewhere(outside))
    ordered = sorted(kinds.values(), key=_much, reverse=True)
    require_whole(ordered[0])
    return [
        # Other splits are not left out: they were not asked for.
        FileGroup(
            files,
            [
                file
                for file in every
                if not (file in chosen or split_of(file) or file.name.startswith("_"))
            ]
            + outside,
        )
        for files in ordered
        for chosen in [set(files)]
    ]


def endings_text(files: Iterable[Path]) -> str:
    """Return how many files there are of each ending: "2 .png, 1 .csv"."""
    counts = Counter(file.suffix or "without an ending" for file in files)
    return ", ".join(f"{count:,} {ending}" for ending, count in counts.most_common())


def _kind(file: Path, is_lines: Callable[[Path], bool]) -> str:
    """Return the ending that stands for all that are read like this file."""
    suffix = _data_suffix(_bare(file))
    if suffix == LINES[1] and is_lines(file):
        return LINES[0]
    return next((same[0] for same in (MARKDOWN, TABLES) if suffix in same), suffix)


def _much(files: Sequence[Path]) -> tuple[int, int]:
    """Return how many files there are, but for texts about the folder, and their bytes."""
    own = [f for f in files if not (_data_suffix(_bare(f)) in MARKDOWN and _ABOUT.match(f.name))]
    return len(own), sum(file.stat().st_size for file in own if file.exists())


def _nothing_in(path: Path, files: Iterable[Path], split: str, wanted: Sequence[str]) -> str:
    """Return what to say of a folder without data, and of the files that it has instead."""
    if split:
        return f"{path} has no files of the split {split!r}; check the path"
    lack = f"{path} has no {', '.join(wanted or _DATA_NAMES)} files"
    others = endings_text(files)
    return f"{lack}; it has {others}. Check the path" if others else f"{lack}; check the path"


def _elsewhere(links: Sequence[Path]) -> str:
    """Return what to say of links that lead out of a folder without data: "" for none."""
    if not links:
        return ""
    first, more = links[0], f" and {len(links) - 1:,} more" if links[1:] else ""
    return f". {first.name}{more} is a link that leads elsewhere: name {first.resolve()} to read it"


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


def _walk(folder: Path, outside: list[Path]) -> Iterator[Path]:
    """Yield the files under a folder, and links that lead nowhere.

    A folder that several paths lead to is read once, under the path without a link. Links to
    folders that are not within this one are put into `outside`.
    """
    root = folder.resolve()
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
            if entry.is_symlink() and entry.is_dir() and not _within(entry, root):
                outside.append(entry)
            elif entry.is_dir():
                (links if entry.is_symlink() else folders).append(entry)
            elif entry.is_symlink() and not entry.exists() and not _is_data(entry):
                logger.warning("%s is a link that leads nowhere: nothing is read from it", entry)
            elif entry.is_file() or entry.is_symlink():
                yield entry


def _within(link: Path, root: Path) -> bool:
    return link.resolve().is_relative_to(root)


def _is_data(file: Path) -> bool:
    if file.name.startswith("_"):
        return False
    return _data_suffix(_bare(file)) in _DATA_NAMES


def _bare(file: Path) -> Path:
    """Return a file's name as it will be when it has been fetched."""
    return file.with_suffix("") if file.suffix.lower() in _UNFINISHED else file


def _data_suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    last = suffixes[-1] if suffixes else ""
    return ".xml" if last.startswith(".xml-p") else last  # a dump in parts: .xml-p1p41242
