"""From a completion to an answer with the passages that prove it. Pure functions."""

import re
import unicodedata
from collections.abc import Sequence

from corpus.types import Answer, Citation, Hit
from generator.errors import EmptyCompletion

_CITATION = re.compile(
    r"\s*\[\s*(?:passages?\s*)?(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\s*\]", re.IGNORECASE
)
_UNFINISHED_CITATION = re.compile(r"\s*\[[\d\s,;]*$")
_NOT_WORD = re.compile(r"[\W_]+")
_QUOTES = "\"'“”‘’«»`"


def parse_answer(completion: str, hits: Sequence[Hit]) -> Answer:
    """Return the answer in `completion`, with its citations in the order written.

    Args:
        completion: what the generator wrote; only its first line counts.
        hits: the hits that were in the prompt, in that order.

    A citation of a passage that was not in the prompt is dropped. When none is left,
    the passages that contain the answer word for word are cited.

    Raises:
        EmptyCompletion: there is no text beside the citations.
    """
    line = completion.strip().partition("\n")[0]
    text = answer_text(completion)
    numbers = [int(n) for group in _CITATION.findall(line) for n in re.findall(r"\d+", group)]
    cited = [n for n in dict.fromkeys(numbers) if 1 <= n <= len(hits)]
    origin = "generator" if cited else "match"
    if not cited:
        cited = [n for n, hit in enumerate(hits, start=1) if contains(hit.passage.text, text)]
    return Answer(text, tuple(Citation(hits[n - 1].passage.id, n, origin) for n in cited))


def answer_text(completion: str) -> str:
    """Return the answer in `completion` without citations.

    Raises:
        EmptyCompletion: there is no text beside the citations.
    """
    line = completion.strip().partition("\n")[0]
    text = _tidy(_UNFINISHED_CITATION.sub("", _CITATION.sub("", line)))
    if not text:
        raise EmptyCompletion(
            f"The generator wrote no answer: {completion[:80]!r}. Ask again or rephrase."
        )
    return text


def same_answer(first: str, second: str) -> bool:
    """Return whether two answers have the same words, articles aside.

    >>> same_answer("The Nile.", "nile")
    True
    """
    return _telling(first) == _telling(second)


def contains(text: str, phrase: str) -> bool:
    """Return whether `text` has the words of `phrase` in sequence, however written.

    >>> contains("Its capital is São Tomé.", "sao tomé")
    True
    >>> contains("Parisian cafés", "Paris")
    False
    """
    return bool(phrase := words(phrase)) and f" {phrase} " in f" {words(text)} "


def words(text: str) -> str:
    """Return the words of `text`, lower case, without accents, one space between."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return _NOT_WORD.sub(" ", plain.casefold()).strip()


def _telling(text: str) -> list[str]:
    return [word for word in words(text).split() if word not in ("a", "an", "the")]


def _tidy(text: str) -> str:
    """Return `text` without enclosing quotes and final period; "" if it has no word."""
    text = " ".join(text.split()).removeprefix("Answer:").strip()
    if len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES:
        text = text.strip(_QUOTES).strip()
    # "U.S." and "J. R. R." keep their period.
    if re.search(r"\w{2}[”\"')]*\.$", text):
        text = text[:-1]
    return text if words(text) else ""
