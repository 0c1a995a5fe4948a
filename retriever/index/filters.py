"""Restricting a search, or a deletion, to some passages."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from corpus.types import Passage


@dataclass(frozen=True, slots=True)
class PassageFilter:
    """Passages that fulfil every condition that is set.

        PassageFilter(sources=("enwiki",), title_prefix="France")

    Attributes:
        sources: the `source` is one of these.
        languages: the `language` is one of these.
        title_prefix: the title begins so; case matters.
        ids: the id is one of these; None for any. An empty tuple matches nothing.
        titles: the title is one of these.
    """

    sources: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    title_prefix: str = ""
    ids: tuple[str, ...] | None = None
    titles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "title_prefix":
                right = isinstance(value, str)
            elif value is None:
                right = f.name == "ids"
            else:
                right = isinstance(value, Iterable) and not isinstance(value, str)
                kept = tuple(value) if right else ()  # what is read once is read here
                right = right and all(isinstance(text, str) for text in kept)
                object.__setattr__(self, f.name, kept)
            if not right:
                raise TypeError(f"{f.name} must be {f.type}, got {value!r:.80}")

    @property
    def empty(self) -> bool:
        """Whether it restricts nothing."""
        return self == PassageFilter()

    def __call__(self, passage: Passage) -> bool:
        """Return whether a passage fulfils it."""
        return (
            (not self.sources or passage.source in self.sources)
            and (not self.languages or passage.language in self.languages)
            and passage.title.startswith(self.title_prefix)
            and (self.ids is None or passage.id in self.ids)
            and (not self.titles or passage.title in self.titles)
        )
