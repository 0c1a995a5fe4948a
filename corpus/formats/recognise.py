"""Which format a file or folder has, seen from its content."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import CorpusError
from corpus.files.csv_rows import CsvRows, DuplicateColumn
from corpus.files.folders import LINES, MARKDOWN, TABLES
from corpus.files.pages import PageReader
from corpus.files.parquet import M2krPassages, PassagesParquet, WikipediaParquet, open_parquet
from corpus.files.sources import Source, compression, content_name
from corpus.formats.evqa_kb import EvqaKnowledgeBase
from corpus.formats.google_search import GoogleSearch
from corpus.formats.lines import JsonLines, Wiki6M, WikipediaJsonLines
from corpus.formats.plain import CsvPassages, MarkdownFile
from corpus.formats.wikipedia import WikipediaDump
from corpus.formats.wit import COLUMNS as WIT_COLUMNS
from corpus.formats.wit import WikipediaImageText

_HEAD_BYTES = 1 << 16
_IDS = {"id", "_id"}


@dataclass(frozen=True, slots=True)
class Format:
    """A format that can be read.

    Attributes:
        name: as given to `--format`.
        what: what it is, for people.
        open: makes the reader of one file.
        endings: of the names of its files, before those of compression.
        pages: whether records are whole pages, of which passages have yet to be made.
    """

    name: str
    what: str
    open: Callable[[Path], PageReader]
    endings: tuple[str, ...]
    pages: bool = False


_LINES = (*LINES, ".txt")
_PARQUET = (".parquet",)

FORMATS = {
    format_.name: format_
    for format_ in (
        Format("passages", "JSONL of {id, text, title, ...}", JsonLines, _LINES),
        Format("passages-parquet", "parquet of id, text, title, ...", PassagesParquet, _PARQUET),
        Format("wikipedia-dump", "pages-articles*.xml.bz2", WikipediaDump, (".xml",), pages=True),
        Format(
            "wikipedia-parquet", "parquet of id, url, title, text", WikipediaParquet, _PARQUET, True
        ),
        Format(
            "wikipedia-jsonl", "JSONL of {id, url, title, text}", WikipediaJsonLines, _LINES, True
        ),
        Format("evqa-kb", "encyclopedic_kb_wiki.json or .zip", EvqaKnowledgeBase, (".json",), True),
        Format("wiki6m", "Wiki6M_ver_1_0.jsonl.gz of InfoSeek", Wiki6M, _LINES, True),
        Format(
            "google-search", "okvqa_full_corpus.csv, okvqa_train_corpus.csv", GoogleSearch, TABLES
        ),
        Format("m2kr", "*_passages parquet", M2krPassages, _PARQUET),
        Format("wit", "wit_v1.*.tsv.gz", WikipediaImageText, TABLES, pages=True),
        Format("csv", "CSV or TSV with id, text, title", CsvPassages, (*TABLES, ".txt")),
        Format(
            "markdown", "Markdown or plain text: a page a file", MarkdownFile, MARKDOWN, pages=True
        ),
    )
}


class UnknownFormat(CorpusError):
    """A whole file that is in none of the formats."""


def recognise(path: Path) -> Format:
    """Return the format of one file.

    Raises:
        DatasetNotFound: there is no such file.
        UnknownFormat: it is in none of the formats; the message says what was found.
        CorpusError: it is empty or damaged.
    """
    suffix = Path(content_name(path)).suffix.lower()
    if suffix in MARKDOWN and suffix != ".txt":
        return FORMATS["markdown"]
    try:
        return _by_content(path)
    except UnknownFormat:
        if suffix == ".txt":
            return FORMATS["markdown"]
        raise


def has_lines(path: Path) -> bool:
    """Return whether a .json file is in a format that .jsonl files have, too."""
    try:
        return recognise(path).endings == _LINES
    except CorpusError:  # which is said where the file is read
        return False


def _by_content(path: Path) -> Format:
    if compression(path) == "parquet":
        return _by_columns(path)
    head = _head(path)
    text = head.decode("utf-8", "replace").removeprefix("\ufeff").lstrip()
    if text.startswith("<"):
        if "<mediawiki" in text:
            return FORMATS["wikipedia-dump"]
    elif text.startswith("{"):
        return _by_keys(path, text)
    elif text.startswith("["):
        if (first := text[1:].lstrip()).startswith("{"):
            return _by_keys(path, first)
        raise UnknownFormat(f"{path} begins like a JSON array, but not like one of objects")
    elif not text:
        raise CorpusError(f"{path} is empty; check that it was written to its end")
    else:
        return _by_header(path)
    raise _unknown(path, f"it begins {head[:40]!r}")


def _head(path: Path) -> bytes:
    return next(Source(path).chunks(), b"")[:_HEAD_BYTES]


def _by_columns(path: Path) -> Format:
    names = open_parquet(path).schema_arrow.names
    if "passage_content" in names:
        return FORMATS["m2kr"]
    if {"id", "url", "title", "text"} <= set(names):
        return FORMATS["wikipedia-parquet"]
    if "text" in names and _IDS & set(names):
        return FORMATS["passages-parquet"]
    raise _unknown(path, f"its columns are {', '.join(names)}")


def _by_keys(path: Path, text: str) -> Format:
    line, newline, _ = text.partition("\n")
    try:
        keys = json.loads(line).keys() if newline or len(text) < _HEAD_BYTES else _keys_in(line)
    except ValueError:
        keys = _keys_in(text)
    if "wikidata_id" in keys:
        return FORMATS["wiki6m"]
    if "text" in keys and _IDS & set(keys):
        return FORMATS["passages"]
    if '"section_texts"' in text or next(iter(keys), "").startswith("http"):
        return FORMATS["evqa-kb"]
    if keys and len(text) == len(line) and not line.rstrip().endswith("}"):
        raise UnknownFormat(
            f"{path}: the value of {list(keys)[-1]!r} in its first object goes on behind the first "
            f"{_HEAD_BYTES:,} bytes, in which a format is recognised: shorten it, or put it last"
        )
    raise _unknown(path, f"the keys of its first object are {', '.join(list(keys)[:8])}", keys)


def _keys_in(text: str) -> list[str]:
    """Return strings followed by a colon near the beginning of an object that is cut off."""
    decoder, keys, at = json.JSONDecoder(), [], 1
    while (at := text.find('"', at)) >= 0:
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            break
        if text[at : at + 1] == ":" or text[at : at + 2] == " :":
            keys.append(value)
    return keys


def _by_header(path: Path) -> Format:
    known = {"google-search": ("kid", "text"), "csv": ("id", "title", "text"), "wit": WIT_COLUMNS}
    for name, columns in known.items():
        try:
            CsvRows(path, columns, optional=("title",))
        except DuplicateColumn:
            raise
        except CorpusError:
            continue
        return FORMATS[name]
    first = _head(path).partition(b"\n")[0]
    line = first.decode("utf-8-sig", "replace").strip()
    delimiter = next((mark for mark in "\t,;" if mark in line), ",")
    names = [name.strip('" ') for name in line.split(delimiter)]
    raise _unknown(path, f"its first line is {first[:60]!r}", names)


def _slips(names: Iterable[str]) -> str:
    """Return what is to be mended for names to be those of passages, where one is; else ""."""
    folded = {name.strip().casefold(): name for name in names}
    if "_id" in folded:
        folded["id"] = "id"
    if not {"id", "text"} & folded.keys():
        return ""
    slips = [
        f"call {folded[name]!r} {name!r}"
        for name in ("id", "title", "text")
        if folded.get(name, name) != name
    ]
    slips += [f"{name!r} is missing" for name in ("id", "text") if name not in folded]
    return " and ".join(slips)


def _unknown(path: Path, found: str, names: Iterable[str] = ()) -> UnknownFormat:
    if slips := _slips(names):
        return UnknownFormat(
            f"{path} is in no known format: {found}. As passages it needs id and text: {slips}. Or "
            "name its format with --format"
        )
    known: Iterable[str] = (f"{format_.name} ({format_.what})" for format_ in FORMATS.values())
    return UnknownFormat(
        f"{path} is in no known format: {found}. Known are {'; '.join(known)}. Name one with "
        "--format if it was not recognised; plain text is read where a file's name ends in .txt"
    )
