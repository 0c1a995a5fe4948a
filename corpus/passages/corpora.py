"""Any corpus on disk as one stream of passages.

    with open_corpus("enwiki-latest-pages-articles.xml.bz2").read() as stream:
        for passage in stream:
            ...
            stream.bytes_done, stream.bytes_total     # for a bar

The stream holds one record in memory at a time, whatever the size of the corpus; what it remembers
of each passage (its id, its text where duplicates are removed) takes eight bytes.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from corpus.errors import CorpusError, InvalidRecord
from corpus.files.folders import FileGroup, found_files, lacking, split_of
from corpus.files.pages import Entry, PageReader
from corpus.files.sources import path_text
from corpus.files.text_set import TextSet
from corpus.formats.google_search import TRAIN_NAME, GoogleSearch, corpus_name
from corpus.formats.plain import MarkdownFile
from corpus.formats.recognise import FORMATS, Format, UnknownFormat, has_lines, recognise
from corpus.formats.wikipedia import WikipediaDump
from corpus.passages.filters import Filter
from corpus.passages.policy import PassagePolicy
from corpus.types import Passage

# A passage is read by a model whole, and none reads so much: it is a file that lost its line ends.
MOST_CHARACTERS = 10_000_000
_NOT_UNICODE = "holds bytes that are not UTF-8, or half of a surrogate pair"

# What is made of pages where nothing else is asked for.
PAGE_POLICY = PassagePolicy(by="tokens", size=180, overlap=20, title_prefix=True, min_characters=40)
RECORD_POLICY = PassagePolicy()

_ENDINGS = (
    *(".gz", ".bz2", ".zst", ".zip"),
    *(".jsonl", ".json", ".parquet", ".csv", ".tsv", ".xml", ".md", ".txt"),
)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A corpus on disk and how it is read.

    Attributes:
        name: printed in every result; the two Google-search corpora never share one.
        path: the file or folder.
        files: its data files in reading order.
        format: how they are read.
        policy: how passages are made.
        bytes_total: of the files, as they are on disk.
        only_train: of the Google-search corpus, GS112K alone.
        workers: processes for formats whose parsing is slow.
        left_out: other files of the folder, of which nothing is read.
        base_url: where its pages can be seen, for those that do not say it themselves: what
            `{page}` in it stands for is the page's id without ".md"; without `{page}` the id is
            put behind it. "" for nowhere.
    """

    name: str
    path: Path
    files: tuple[Path, ...]
    format: Format
    policy: PassagePolicy
    bytes_total: int
    only_train: bool = False
    workers: int = 0
    left_out: tuple[Path, ...] = ()
    base_url: str = ""

    def read(self, *, skip_bad: bool = False) -> "PassageStream":
        """Return the passages.

        Args:
            skip_bad: go on behind records that cannot be used; the stream's `bad` lists them.
        """
        return PassageStream(self, skip_bad=skip_bad)

    def reader(self, file: Path) -> PageReader:
        """Return the reader of one of the files."""
        if self.format.name == "wikipedia-dump":
            return WikipediaDump(file, self.workers)
        if self.format.name == "google-search":
            return GoogleSearch(file, only_train=self.only_train)
        if self.format.name == "markdown":
            root = self.path if self.path.is_dir() else self.path.parent
            return MarkdownFile(file, root)
        return self.format.open(file)


class PassageStream(Iterator[Passage]):
    """The passages of a corpus, one after another.

    Attributes:
        corpus: what is read.
        bad: the records left out because they cannot be used.
        empty: how many records were left out on purpose: redirects, pages without text.
    """

    def __init__(self, corpus: Corpus, *, skip_bad: bool) -> None:
        self.corpus, self._skip_bad = corpus, skip_bad
        self.bad: list[CorpusError] = []
        self.empty = 0
        self._filter = Filter(corpus.policy)
        self._ids = TextSet()
        self._sizes = [file.stat().st_size for file in corpus.files]
        self._files_read = 0
        self._reader: PageReader | None = None
        self._passages = self._read()

    def __next__(self) -> Passage:
        return next(self._passages)

    @property
    def dropped(self) -> dict[str, int]:
        """Return how many passages the policy left out, by reason."""
        return dict(self._filter.dropped)

    @property
    def left_out(self) -> list[str]:
        """Return what was left out on purpose, how much of it and why: lines for people."""
        policy = self.corpus.policy
        by_option = {
            "short": f" (less than the {policy.min_characters:,} characters of --min-characters)",
            "language": f" (not {policy.language}, which --language names)",
        }
        lines = [
            f"{count:,} passage{'s' * (count != 1)} left out: {reason}{by_option.get(reason, '')}"
            for reason, count in sorted(self._filter.dropped.items())
        ]
        if self.empty:
            lines.append(f"{self.empty:,} record{'s' * (self.empty != 1)} without a page or text")
        return lines

    @property
    def bytes_total(self) -> int:
        """Return the size of the corpus on disk."""
        return self.corpus.bytes_total

    @property
    def bytes_done(self) -> int:
        """Return how far into the corpus reading has come."""
        done = sum(self._sizes[: self._files_read])
        return done + (self._reader.bytes_read if self._reader is not None else 0)

    def close(self) -> None:
        """Stop reading, and end the processes that parse."""
        self._passages.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> Generator[Passage, None, None]:
        for number, file in enumerate(self.corpus.files):
            self._files_read, self._reader = number, None
            try:
                self._reader = self.corpus.reader(file)
            except CorpusError as exc:
                self._report(exc)
                continue
            with closing(self._reader.entries()) as entries:
                for entry in entries:
                    yield from self._record(file, entry)
        self._files_read, self._reader = len(self.corpus.files), None

    def _record(self, file: Path, entry: Entry) -> Iterator[Passage]:
        """Yield the passages of one record that are kept."""
        page = entry.page
        if isinstance(page, CorpusError):
            self._report(page)
            return
        if page is None or not page.sections:
            self.empty += 1
            return
        if self.corpus.base_url and not page.url:
            page = replace(page, url=page_url(self.corpus.base_url, page.id))
        for passage in self.corpus.policy.passages(page):
            if not self._ids.add(passage.id):
                problem = f"{passage.id!r} was the id of an earlier one; ids must be unique"
                self._refuse(file, entry, "id", problem)
            elif len(passage.text) > MOST_CHARACTERS:
                problem = (
                    f"has {len(passage.text):,} characters, and at most {MOST_CHARACTERS:,} are a "
                    "passage: --by tokens makes shorter ones of it"
                )
                self._refuse(file, entry, "text", problem)
            elif field := _not_unicode(passage):
                self._refuse(file, entry, field, _NOT_UNICODE)
            elif self._filter.keeps(passage):
                yield passage

    def _refuse(self, file: Path, entry: Entry, field: str, problem: str) -> None:
        self._report(InvalidRecord(file, entry.number, field, problem, unit="record"))

    def _report(self, error: CorpusError) -> None:
        if not self._skip_bad:
            raise error
        self.bad.append(error)


def open_corpus(
    path: str | Path,
    *,
    policy: PassagePolicy | None = None,
    format_name: str = "",
    split: str = "",
    only_train: bool = False,
    workers: int = 0,
    base_url: str = "",
) -> Corpus:
    """Return a corpus, its format recognised, ready to be read.

    Args:
        path: a file, or a folder, which is read as what most of it is.
        policy: how passages are made; None for PAGE_POLICY where records are pages, and for
            passages as they are elsewhere.
        format_name: one of FORMATS where it is not to be guessed; of a folder, its files alone.
        split: of a folder that holds several, as M2KR's do: "train", "valid" or "test".
        only_train: of OK-VQA's Google-search corpus, GS112K alone.
        workers: processes that parse wikitext beside this one.
        base_url: as of `Corpus`.

    Raises:
        DatasetNotFound: there is nothing at the path, or a split must be named.
        CorpusError: the format is not known.
    """
    path = Path(path)
    if format_name and format_name not in FORMATS:
        known = ", ".join(FORMATS)
        raise CorpusError(f"there is no format {format_name!r}; known are {known}")
    if format_name:
        format_ = FORMATS[format_name]
        files, left_out = found_files(path, split, format_.endings, has_lines)[0]
    else:
        format_, (files, left_out) = _recognised(found_files(path, split, is_lines=has_lines))
    google = format_.name == "google-search"
    if only_train and not google:
        raise CorpusError(f"{path} is {format_.name}: only the Google-search corpus has GS112K")
    return Corpus(
        name=TRAIN_NAME if only_train else corpus_name(files[0]) if google else _name(path, files),
        path=path,
        files=tuple(files),
        format=format_,
        policy=policy or (PAGE_POLICY if format_.pages else RECORD_POLICY),
        bytes_total=sum(file.stat().st_size for file in files),
        only_train=only_train,
        workers=workers,
        left_out=tuple(left_out),
        base_url=base_url,
    )


def page_url(base: str, page_id: str) -> str:
    """Return where a page can be seen.

    >>> page_url("https://example.org/docs", "notes/a b.md")
    'https://example.org/docs/notes/a%20b.md'
    >>> page_url("https://example.org/docs/{page}.html", "notes/a b.md")
    'https://example.org/docs/notes/a%20b.html'
    """
    if "{page}" in base:
        return base.replace("{page}", quote(page_id.removesuffix(Path(page_id).suffix)))
    return f"{base.rstrip('/')}/{quote(page_id)}"


def _recognised(found: list[FileGroup]) -> tuple[Format, FileGroup]:
    """Return the first kind of files whose format is known, and the format.

    Raises:
        CorpusError: none is, or one is damaged; of the first.
    """
    unknown: list[UnknownFormat] = []
    for kind in found:
        try:
            return recognise(kind.files[0]), kind
        except UnknownFormat as exc:
            unknown.append(exc)
    raise unknown[0]


def _not_unicode(passage: Passage) -> str:
    """Return the first field of a passage that cannot be written as UTF-8; "" if all can."""
    for field in fields(passage):
        try:
            getattr(passage, field.name).encode("utf-8")
        except UnicodeEncodeError:
            return field.name
    return ""


def _name(path: Path, files: Sequence[Path]) -> str:
    """Return a folder's name, with the split where it has one, or a file's without its endings.

    The only file of a split stands for it; one of several does not.
    """
    whole = path.is_dir() or not lacking(files)
    if whole and (split := split_of(files[0])):
        folder = path if path.is_dir() else path.parent
        return f"{path_text(Path(folder.resolve().name))}/{split}"
    return path_text(Path(path.resolve().name if path.is_dir() else stem(path)))


def stem(path: Path) -> str:
    """Return a file's name without the endings that say its format.

    >>> stem(Path("enwiki-20240101-pages-articles1.xml-p1p41242.bz2"))
    'enwiki-20240101-pages-articles1.xml-p1p41242'
    """
    name = path.name
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name
