"""What a user says of an answer, checked: it comes from a browser."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from io import BytesIO
from typing import Any, Literal

from PIL.Image import Image

from app.errors import InvalidFeedback

Verdict = Literal["up", "down"]
VERDICTS: tuple[Verdict, ...] = ("up", "down")
# Characters that are kept of each text, at most.
LONGEST = {
    "question": 4_000,
    "answer": 8_000,
    "reason": 2_000,
    "right_answer": 500,
    "checkpoint": 500,
    "generator": 500,
}
MOST_CITED = 50
LONGEST_ID = 500
PICTURE_SIDE = 1024  # pixels
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a user says of one answer.

    Attributes:
        id: of the question that was answered, 32 hexadecimal digits: a later opinion of it
            takes the place of an earlier one.
        verdict: "up" or "down".
        question: as it was asked, or as it was made to stand alone.
        answer: as it was shown.
        cited: ids of the passages that it cites.
        reason: in the user's words; "" for none.
        right_answer: what would have been right; "" where the user does not say.
        checkpoint: of the retriever.
        generator: that answered.
        picture: what was asked about, as JPEG; None where the user did not allow that.
        time: when it came, UTC, ISO 8601; "" before it is kept.

    Raises:
        InvalidFeedback: something is not what it should be, or too long.
    """

    id: str
    verdict: Verdict
    question: str
    answer: str
    cited: tuple[str, ...] = ()
    reason: str = ""
    right_answer: str = ""
    checkpoint: str = ""
    generator: str = ""
    picture: bytes | None = None
    time: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not _ID.fullmatch(self.id):
            raise InvalidFeedback("It is not known which answer is meant. Ask again, then say it.")
        if self.verdict not in VERDICTS:
            raise InvalidFeedback("Say first whether the answer is right or wrong.")
        for name, longest in LONGEST.items():
            _check(getattr(self, name), name.replace("_", " "), longest)
        if len(self.cited) > MOST_CITED:
            raise InvalidFeedback(f"{len(self.cited)} passages are cited; {MOST_CITED} are kept.")
        for id_ in self.cited:
            _check(id_, "id of a passage", LONGEST_ID)
        if not self.question.strip() or not self.answer.strip():
            raise InvalidFeedback("There is no answer yet. Ask first, then say what you think.")

    @classmethod
    def of(cls, record: Mapping[str, Any], **said: Any) -> "Opinion":
        """Return an opinion of an answer.

        Args:
            record: the answer, as `app.asking.report.recorded` has it.
            said: the verdict and what else the user says, by the names of attributes.
        """
        cited = record.get("citations")
        known: dict[str, Any] = {name: record.get(name) for name in ("id", "question", "answer")}
        if record.get("after"):  # a follow-up alone says nothing to whoever reads it
            known["question"] = record.get("asked_as") or known["question"]
        known |= {name: record.get(name, "") for name in ("checkpoint", "generator")}
        return cls(**known, cited=tuple(cited) if isinstance(cited, list) else (), **said)


COLUMNS = tuple(field.name for field in fields(Opinion))


def kept_picture(image: Image) -> bytes:
    """Return a picture as it is kept: JPEG, no side over PICTURE_SIDE, without its metadata."""
    small = image.convert("RGB")
    small.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    file = BytesIO()
    small.save(file, "JPEG", quality=92)
    return file.getvalue()


def _check(text: object, name: str, longest: int) -> None:
    if not isinstance(text, str):
        raise InvalidFeedback(f"The {name} must be a text, not {type(text).__name__}.")
    if len(text) > longest:
        raise InvalidFeedback(
            f"The {name} has {len(text):,} characters; {longest:,} are kept. Shorten it."
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise InvalidFeedback(f"The {name} is not valid Unicode. Write it again.") from exc
