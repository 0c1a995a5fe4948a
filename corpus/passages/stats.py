"""What is in a corpus: how many passages, how long, how many twice, in which languages."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from corpus.files.text_set import TextSet
from corpus.passages.corpora import PassageStream
from corpus.passages.filters import language_of
from corpus.passages.histogram import histogram_svg, quantile
from corpus.passages.policy import token_spans
from corpus.progress import Advance

# Telling the language of each passage would take most of the time.
_LANGUAGE_OF_FIRST, _LANGUAGE_OF_EVERY = 200, 50
NOT_SURE = "und"  # BCP 47's word for a language that is not determined
_NAME_LENGTH = 44  # what fits over the histogram
QUANTILES = {"shortest": 0.0, "median": 0.5, "95 %": 0.95, "longest": 1.0}


@dataclass(slots=True)
class Stats:
    """Counts over the passages of a corpus.

    Attributes:
        tokens: how often each length occurs, in words and marks.
        characters: of all texts.
        repeated: passages whose text was there before, in any case and spacing.
        sections: passages that name one.
        untitled: passages without a title.
        languages: of the first 200 passages and every 50th: as the passage says, else as its text
            tells; "und" where that is not sure, as of names and short sentences.
    """

    tokens: Counter[int] = field(default_factory=Counter)
    characters: int = 0
    repeated: int = 0
    sections: int = 0
    untitled: int = 0
    languages: Counter[str] = field(default_factory=Counter)

    @property
    def passages(self) -> int:
        """Return how many there are."""
        return self.tokens.total()

    def rows(self) -> dict[str, str]:
        """Return the counts for people."""
        rows = {"passages": f"{self.passages:,}"}
        if not self.passages:
            return rows
        for name, share in QUANTILES.items():
            rows[f"tokens, {name}"] = f"{quantile(self.tokens, share):,}"
        seen = self.languages.total()
        rows |= {
            "tokens, mean": f"{self._tokens() / self.passages:,.1f}",
            "tokens, all": f"{self._tokens():,}",
            "characters": f"{self.characters:,}",
            "texts that repeat another": f"{self.repeated:,}",
            "passages that name a section": f"{self.sections:,}",
            "passages without a title": f"{self.untitled:,}",
            f"languages of {seen:,}": ", ".join(
                f"{'not sure' if code == NOT_SURE else code} {100 * count / seen:.0f} %"
                for code, count in self.languages.most_common(4)
            ),
        }
        return rows

    def as_json(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        lengths = {name: quantile(self.tokens, share) for name, share in QUANTILES.items()}
        return {
            "passages": self.passages,
            "tokens": lengths | {"all": self._tokens()} if self.passages else {},
            "characters": self.characters,
            "repeated": self.repeated,
            "sections": self.sections,
            "untitled": self.untitled,
            "languages": dict(self.languages.most_common()),
        }

    def _tokens(self) -> int:
        return sum(length * count for length, count in self.tokens.items())


def count_passages(stream: PassageStream, limit: int | None, advance: Advance) -> Stats:
    """Return the counts over a stream, or over its first passages.

    Args:
        stream: what to read.
        limit: at most so many passages; None for all.
        advance: told how many bytes are read, and of how many.
    """
    stats, seen = Stats(), TextSet()
    tokenizer = stream.corpus.policy.tokenizer
    for number, passage in enumerate(islice(stream, limit)):
        stats.tokens[len(token_spans(passage.text, tokenizer))] += 1
        stats.characters += len(passage.text)
        stats.repeated += not seen.add(" ".join(passage.text.split()).casefold())
        stats.sections += bool(passage.section)
        stats.untitled += not passage.title
        every = number % _LANGUAGE_OF_EVERY == 0
        if every or number < _LANGUAGE_OF_FIRST:
            stats.languages[passage.language or language_of(passage.text) or NOT_SURE] += 1
        if every:
            advance(stream.bytes_done, stream.bytes_total)
    return stats


def draw(stats: Stats, name: str) -> str:
    """Return the histogram of passage lengths as SVG."""
    marks = {"median": quantile(stats.tokens, 0.5), "95 %": quantile(stats.tokens, 0.95)}
    short = name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"
    title = f"{short}: {stats.passages:,} passage{'s' * (stats.passages != 1)}"
    return histogram_svg(stats.tokens, title, "tokens (words and marks)", marks=marks)
