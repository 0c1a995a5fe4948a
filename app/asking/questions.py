"""What a user may ask, on the page and on the command line. Benchmarks ask what they ask."""

import re

from app.errors import InvalidQuestion
from app.machine.logs import printable
from corpus.types import Box

MAX_TOP_K = 20  # passages that the page and the API show
# What every way of asking says of that number.
CITED_TOO = "where the answer cites one further down, those up to it are shown too"
# What is said beside questions; names have them too, so that all of a text has to be such words.
_POLITE = (
    r"(?:ok|okay|thx|(?:many )?thanks|thank you|a lot|(?:very|so) much|cheers|got it|i see|"
    r"yes|yep|no|nope|sure|fine|great|nice|cool|"
    r"(?:hi|hello|hey)(?: there)?|good (?:morning|afternoon|evening|night)|bye|goodbye)"
)
_NO_QUESTION = re.compile(rf"{_POLITE}(?: {_POLITE})*")
_BESIDE_WORDS = re.compile(r"[^\w?]+")
_LETTER = re.compile(r"[^\W\d_]")


def checked_question(question: str, most_characters: int) -> str:
    """Return a question that a user typed, without control characters, or white space around it.

    Raises:
        InvalidQuestion: it is empty, too long, or plainly no question, such as "Thanks!".
    """
    question = printable(question).strip()
    if not question:
        raise InvalidQuestion("The question is empty. Ask something about the picture.")
    if is_no_question(question):
        raise InvalidQuestion(f"{question!r:.40} is no question. Ask something about the picture.")
    if len(question) > most_characters:
        raise InvalidQuestion(
            f"The question has {len(question):,} characters; at most {most_characters:,} are read. "
            "Ask a shorter one."
        )
    return question


def is_no_question(text: str) -> bool:
    """Return whether a text is thanks, a greeting or the like, or no words at all.

    With a question mark behind it, or any other word, it may be a question.

    >>> [is_no_question(text) for text in ("Ok, thanks!", "Hello Kitty", "hello?", "42?", "?")]
    [True, False, False, True, True]
    """
    words = _BESIDE_WORDS.sub(" ", text.casefold()).strip()
    return not _LETTER.search(words) or _NO_QUESTION.fullmatch(words) is not None


def boxes_of(*texts: str) -> tuple[Box, ...]:
    """Return parts of a picture: left, upper, right, lower, in pixels; none for empty texts.

    Raises:
        InvalidQuestion: one is not four whole numbers with commas between them.
    """
    return tuple(_box(text) for text in texts if text)


def _box(text: str) -> Box:
    try:
        left, upper, right, lower = (int(part) for part in text.split(","))
    except (ValueError, AttributeError) as exc:
        raise InvalidQuestion(
            f"The part of the picture, {text!r}, is not left,upper,right,lower in whole pixels, "
            "such as 10,20,200,140."
        ) from exc
    return left, upper, right, lower
