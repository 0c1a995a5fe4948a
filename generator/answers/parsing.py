"""From a completion to an answer with the passages that prove it. Pure functions."""

import re
import unicodedata
from collections.abc import Sequence

from corpus.types import Citation, Hit
from corpus.words import SPACED, UNSPACED
from generator.answers.answer import Answer
from generator.errors import BadCompletion, EmptyCompletion
from generator.marks import without_emphasis

_CITATION = re.compile(
    r"\s*\[\s*(?:passages?\s*)?(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\s*\]", re.IGNORECASE
)
_UNFINISHED_CITATION = re.compile(r"\s*\[[\d\s,;]*$")
_ARTICLES = frozenset({"a", "an", "the"})
# 1,500 and 1'500, and with the spaces that do not break: one number, as 1500 is.
_GROUPED = re.compile(
    r"(?<![\d.,'’])[1-9]\d{0,2}(?:([,'’\u00a0\u2007\u2009\u202f])\d{3})(?:\1\d{3})*(?!\1?\d)"
)
_MINUS = str.maketrans("−–", "--")
# In this order: a decimal, a number with its sign, C++ and A-, a character of a script without
# spaces, any other run of letters and digits.
_SIGN = rf"(?<!{SPACED})(?<![)\]%°])-"
_LETTERS = rf"(?:(?!_){SPACED})"
_WORD = re.compile(
    rf"(?:{_SIGN})?(?<!{SPACED})(?<!\.)\d+\.\d+(?!\.?\d)"
    rf"|{_SIGN}\d{_LETTERS}*"
    rf"|(?<!{SPACED})[a-z]{{1,2}}(?:\+{{1,2}}|#|-)(?!{SPACED}|[+#-])"
    rf"|{UNSPACED}"
    rf"|{_LETTERS}+"
)
_BARE_DECIMAL = re.compile(rf"(?<!{SPACED})(?<!\.)\.(?=\d)")
# Up to four characters that come again 24 times, or more of them six times.
_ENDLESS = re.compile(r"(.{1,4}?)\1{23,}|(.{5,60}?)\2{5,}", re.DOTALL)
_QUOTES = "\"'“”‘’«»`"


def parse_answer(completion: str, hits: Sequence[Hit]) -> Answer:
    """Return the answer in the completion of a prompt with numbered passages, all in one.

    Its citations are in the order written.

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
    citations = tuple(Citation(hits[n - 1].passage.id, n, origin) for n in cited)
    return Answer(text, citations, "concat")


def answer_text(completion: str) -> str:
    """Return the answer in `completion` without citations.

    Raises:
        EmptyCompletion: there is no text beside the citations.
        BadCompletion: it repeats itself without end.
    """
    require_end(completion)
    line = completion.strip().partition("\n")[0]
    text = _tidy(_UNFINISHED_CITATION.sub("", _CITATION.sub("", line)))
    if not text:
        raise EmptyCompletion(
            f"The generator wrote no answer: {completion[:80]!r}. Ask again or rephrase."
        )
    return text


def require_end(text: str) -> None:
    """Return unless a text repeats itself as models do that find no end.

    Raises:
        BadCompletion: a character or some words come again and again.

    >>> require_end("10,000,000,000 of 1,000,000,000,000, very very tall")
    """
    if (found := _ENDLESS.search(text)) is not None:
        raise BadCompletion(
            f"The generator repeats {found[found.lastindex or 0]!r} without end, which is no "
            "answer. Ask otherwise, or by another strategy."
        )


def same_answer(first: str, second: str) -> bool:
    """Return whether two answers have the same words, articles aside unless they are all there is.

    >>> same_answer("The Nile.", "nile"), same_answer("A", "the"), same_answer("-5", "5")
    (True, False, False)
    """
    return _telling(first) == _telling(second)


def contains(text: str, phrase: str) -> bool:
    """Return whether `text` has the words of `phrase` in sequence, however written.

    A phrase of an article alone, such as the letter A, is in no longer text.

    >>> contains("Its capital is São Tomé.", "sao tomé"), contains("1,500 km", "1500")
    (True, True)
    >>> contains("Parisian cafés", "Paris"), contains("It is a B", "A")
    (False, False)
    """
    wanted = words(phrase)
    if not wanted:
        return False
    if _ARTICLES.issuperset(wanted.split()):
        return same_answer(text, phrase)
    return f" {wanted} " in f" {words(text)} "


def words(text: str) -> str:
    """Return the words of `text`, lower case, without accents, one space between.

    A number is one word with its sign and decimals, and without marks between its digits. So is
    each character of a script without spaces.

    >>> words("At −1,234.5 °C, 9-10 days: Crème brûlée!")
    'at -1234.5 c 9 10 days creme brulee'
    """
    joined = _GROUPED.sub(lambda found: re.sub(r"\D", "", found[0]), text)
    plain = unicodedata.normalize("NFKD", joined).translate(_MINUS).casefold()
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return " ".join(_WORD.findall(_BARE_DECIMAL.sub("0.", plain)))


def _telling(text: str) -> list[str]:
    """Return the words that tell answers apart; of a text without words the text itself."""
    every = words(text).split() or text.split()
    return [word for word in every if word not in _ARTICLES] or every


def _tidy(text: str) -> str:
    """Return `text` without marks, enclosing quotes and final period; "" if it has no word."""
    text = " ".join(without_emphasis(text).split()).removeprefix("Answer:").strip()
    if len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES:
        text = text.strip(_QUOTES).strip()
    # "U.S." and "J. R. R." keep their period.
    if re.search(r"\w{2}[”\"')]*\.$", text):
        text = text[:-1]
    return text if words(text) else ""
