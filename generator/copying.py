"""Which tokens may come next when an answer has to be words of a passage."""

from collections.abc import Callable, Sequence

_PUNCTUATION = ".,;:!?"
_LONGEST_TITLE = 4  # words


def without_heading(passage: str) -> str:
    """Return a passage without the heading it opens with, if there is more.

    The likeliest copy is often the title, and hardly ever the answer: a question about
    a country is not answered by its name.

    >>> without_heading("Iceland - Currency. Currency: Icelandic kronur (ISK).")
    'Currency: Icelandic kronur (ISK).'
    >>> without_heading("Polar bear. The polar bear is a large bear.")
    'The polar bear is a large bear.'
    >>> without_heading("Paris is the capital of France. It lies on the Seine.")
    'Paris is the capital of France. It lies on the Seine.'
    """
    heading, _, rest = passage.partition(". ")
    is_heading = " - " in heading or len(heading.split()) <= _LONGEST_TITLE
    return rest if rest and is_heading else passage


class Source:
    """A passage as tokens, and the runs of whole words in it.

    A position is the index of a token. The same words may stand in several places, so
    what has been copied so far is a list of positions: those of its last token.

    Args:
        text: the passage on one line, its words separated by single spaces.
        encode: gives the tokens of a text. A space must begin a token and not end one.
    """

    def __init__(self, text: str, encode: Callable[[str], list[int]]) -> None:
        self._tokens: list[int] = []
        self._starts: list[int] = []
        self._ends: set[int] = set()
        for word in text.split(" "):
            start = len(self._tokens)
            self._starts.append(start)
            self._tokens += encode(f" {word}")
            self._ends.add(len(self._tokens) - 1)
            # "Paris." may also end before its period.
            bare = encode(f" {word.rstrip(_PUNCTUATION)}")
            if bare == self._tokens[start : start + len(bare)]:
                self._ends.add(start + len(bare) - 1)

    def starts(self) -> dict[int, list[int]]:
        """Return the tokens that begin a word, each with its positions."""
        return self._by_token(self._starts)

    def following(self, positions: Sequence[int]) -> dict[int, list[int]]:
        """Return the tokens that come after `positions`, each with its own positions."""
        return self._by_token([p + 1 for p in positions if p + 1 < len(self._tokens)])

    def may_end(self, positions: Sequence[int]) -> bool:
        """Return whether one of `positions` is the end of a word."""
        return any(position in self._ends for position in positions)

    def _by_token(self, positions: Sequence[int]) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for position in positions:
            found.setdefault(self._tokens[position], []).append(position)
        return found
