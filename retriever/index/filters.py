"""Restricting a search, or a deletion, to some passages."""

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
            if isinstance(value, str) != (f.name == "title_prefix") and value is not None:
                raise TypeError(f"{f.name} must be {f.type}, got {value!r}")

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
