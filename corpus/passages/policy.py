"""How passages are made of pages: one object says all of it.

PassagePolicy()                                     a corpus's passages as they are
PassagePolicy(by="section")                         a passage a section
PassagePolicy(by="tokens", size=128, overlap=16)    windows of tokens within sections
PassagePolicy(by="sentences", size=4)               groups of sentences within sections
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from corpus import words
from corpus.errors import CorpusError
from corpus.files.pages import Page
from corpus.types import Passage
from corpus.words import Span

By = Literal["record", "section", "tokens", "sentences"]
Duplicates = Literal["keep", "exact", "near"]


@dataclass(frozen=True, slots=True)
class PassagePolicy:
    """How passages are made of pages, and which are kept.

    Attributes:
        by: "record": a section as it is, under the corpus's own id where it is the only one;
            "section": the same with the id "{page}#{section}"; "tokens" and "sentences":
            windows of `size` within a section, with the id "{page}#{section}.{number}".
        size: tokens or sentences in a window.
        overlap: how many of them a window shares with the one before.
        tokenizer: a tokenizer.json that counts the tokens; "" counts words, marks, and the
            characters of scripts without spaces (`corpus.words`).
        title_prefix: whether "title: T [section title: S] content: " goes before the text, as
            in M2KR's passages, which the released checkpoints were trained on.
        min_characters: shorter passages are left out, before any prefix.
        language: an ISO 639-1 code: passages in other languages are left out; "" keeps all.
        duplicates: "exact" leaves out texts that were there before, in any case and spacing;
            "near" also those with a Jaccard similarity of at least `similarity`.
        similarity: of the 5-word shingles of two texts, estimated.

    Raises:
        ValueError: a number is out of its range.
    """

    by: By = "record"
    size: int = 128
    overlap: int = 0
    tokenizer: str = ""
    title_prefix: bool = False
    min_characters: int = 1
    language: str = ""
    duplicates: Duplicates = "keep"
    similarity: float = 0.9

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}")
        if not 0 <= self.overlap < self.size:
            raise ValueError(f"overlap must be from 0 to size - 1, got {self.overlap}")
        if not 0 < self.similarity <= 1:
            raise ValueError(f"similarity must be above 0 and at most 1, got {self.similarity}")

    def passages(self, page: Page) -> Iterator[Passage]:
        """Yield the passages of a page, before anything is left out."""
        alone = self.by == "record" and len(page.sections) == 1
        for index, section in enumerate(page.sections):
            number = page.numbers[index] if page.numbers else index
            for part, text in enumerate(self._texts(section.text, page.language)):
                name = page.id if alone else f"{page.id}#{number}"
                if self.by in ("tokens", "sentences"):
                    name += f".{part}"
                yield Passage(
                    id=name,
                    title=page.title,
                    text=self.prefix(page.title, section.title) + text,
                    url=page.url,
                    source=page.source,
                    section=section.title,
                    entity=page.entity,
                    language=page.language,
                )

    def prefix(self, title: str, section: str) -> str:
        """Return what goes before the text of a passage."""
        if not self.title_prefix or not title:
            return ""
        middle = f"section title: {section} " if section else ""
        return f"title: {title} {middle}content: "

    def describe(self) -> dict[str, Any]:
        """Return the policy as plain data, for the record of a run."""
        return asdict(self)

    def _texts(self, text: str, language: str) -> Iterator[str]:
        if self.by in ("record", "section"):
            spans = [(0, len(text))]
        elif self.by == "tokens":
            spans = token_spans(text, self.tokenizer)
        else:
            spans = sentence_spans(text, language or "en")
        size = self.size if self.by in ("tokens", "sentences") else 1
        for first, last in windows(len(spans), size, self.overlap):
            piece = text[spans[first][0] : spans[last][1]].strip()
            if piece:
                yield piece


def windows(count: int, size: int, overlap: int = 0) -> Iterator[tuple[int, int]]:
    """Yield the first and last index of each window over `count` things.

    The last window is the first that reaches the end: no window lies within another.

    >>> list(windows(5, 2)), list(windows(5, 3, 1))
    ([(0, 1), (2, 3), (4, 4)], [(0, 2), (2, 4)])
    """
    first = 0
    while first < count:
        last = min(first + size, count) - 1
        yield first, last
        if last == count - 1:
            return
        first += size - overlap


def token_spans(text: str, tokenizer: str = "") -> list[Span]:
    """Return where each token of a text, by a tokenizer or `corpus.words`, begins and ends."""
    if not tokenizer:
        return words.token_spans(text)
    encoded = _tokenizer(tokenizer).encode(text, add_special_tokens=False)
    return [(begin, end) for begin, end in encoded.offsets if end > begin]


def sentence_spans(text: str, language: str = "en") -> list[Span]:
    """Return where each sentence of a text begins and ends; a paragraph ends a sentence.

    >>> text = "Dr. Smith came. He left."
    >>> [text[begin:end] for begin, end in sentence_spans(text)]
    ['Dr. Smith came. ', 'He left.']
    """
    # Imported here: it loads its rules for all languages, which takes a moment.
    from sentencex import get_sentence_boundaries

    spans = []
    for found in get_sentence_boundaries(language, text):
        if not found["is_paragraph_break"] and text[found["start_index"] : found["end_index"]]:
            spans.append((found["start_index"], found["end_index"]))
    return spans


@lru_cache(maxsize=2)
def _tokenizer(path: str) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(Path(path).read_text("utf-8"))
    except Exception as exc:  # the library raises Exception itself
        raise CorpusError(f"{path} is not a tokenizer.json that can be read: {exc}") from exc
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
