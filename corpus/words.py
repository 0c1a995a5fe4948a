"""Words, marks, and the characters of scripts that put no spaces between words.

Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan and others are written in runs: a run is no
word. Each of its characters counts as one, with the marks on it, as tokenizers of models have it.
"""

import re
import unicodedata

Span = tuple[int, int]

# First and last character of the blocks.
_UNSPACED = (
    *((0x0E00, 0x0EFF), (0x0F00, 0x0FFF), (0x1000, 0x109F)),  # Thai, Lao; Tibetan; Burmese
    *((0x1780, 0x17FF), (0x1950, 0x19FF), (0x1A20, 0x1AAF)),  # Khmer; Tai Le, New Tai Lue; Tai Tham
    *((0x1B00, 0x1B7F), (0xA980, 0xA9FF), (0xAA60, 0xAADF)),  # Balinese; Javanese; Tai Viet
    *((0x3005, 0x3007), (0x303B, 0x303B), (0x3041, 0x312F)),  # iteration; kana, bopomofo
    *((0x31A0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF)),  # more of them; Han
    *((0xA000, 0xA4CF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F)),  # Yi; Han; half-width kana
    *((0x1B000, 0x1B16F), (0x20000, 0x3FFFF)),  # old kana; Han
)
# A longer word is many tokens to every model, or none that it knows.
_LONGEST = 32


def _class(characters: str) -> str:
    return "".join(map(re.escape, characters))


# Marks on a character: of the scripts above up to the kana, and those of all scripts.
_MARKS = _class(
    "".join(
        chr(code)
        for first, last in _UNSPACED
        if last < 0x3100 or first == 0x3041
        for code in range(first, last + 1)
        if unicodedata.category(chr(code)).startswith("M")
    )
)
_MARKS += "\u0300-\u036f\ufe00-\ufe0f\u200d"
_RUNS = "".join(f"{chr(first)}-{chr(last)}" for first, last in _UNSPACED)
# For patterns: a character of those scripts with its marks, and a letter or digit of the others.
UNSPACED = rf"[{_RUNS}][{_MARKS}]*"
SPACED = rf"[^\W{_RUNS}]"
_TOKEN = re.compile(rf"{UNSPACED}|{SPACED}{{1,{_LONGEST}}}|[^\w\s]")
# Places that no word goes over. A pattern of so many characters takes long to compile: once.
_BEGINS = re.compile(rf"(?<!{SPACED})|(?=[{_RUNS}])")
_ENDS = re.compile(rf"(?:(?!{SPACED})|(?<=[{_RUNS}]))(?![{_MARKS}])")


def token_spans(text: str) -> list[Span]:
    """Return where each word, mark, or character of a script without spaces begins and ends.

    >>> token_spans("It's 5 m")
    [(0, 2), (2, 3), (3, 4), (5, 6), (7, 8)]
    >>> token_spans("東京 Tower")
    [(0, 1), (1, 2), (3, 8)]
    """
    return [found.span() for found in _TOKEN.finditer(text)]


def words(text: str) -> list[str]:
    """Return the words of a text, without marks.

    >>> words("It's a 東京 tower.")
    ['It', 's', 'a', '東', '京', 'tower']
    """
    return [found[0] for found in _TOKEN.finditer(text) if found[0][0].isalnum() or "_" in found[0]]


def find_whole(pattern: str, text: str) -> Span | None:
    """Return where a pattern first matches, in any case, as whole words; None if nowhere.

    >>> find_whole("nil", "the Nile"), find_whole("nile", "the Nile"), find_whole("東京", "東京都")
    (None, (4, 8), (0, 2))
    """
    sought, at = re.compile(pattern, re.IGNORECASE), 0
    while found := sought.search(text, at):
        if _BEGINS.match(text, found.start()) and _ENDS.match(text, found.end()):
            return found.span()
        at = found.start() + 1
    return None
