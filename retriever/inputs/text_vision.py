"""Text-based vision: what a classifier sees, written into the question.

FLMR and RA-VQA add detected object names to the query text. Here the vision tower's
own ImageNet classifier names what it sees, only when it is confident, and in words
that say how confident: the text encoder reads them, and the patches attend to them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from retriever.errors import InvalidCheckpoint

SETTINGS_NAME = "text_vision.json"

# The classifier learnt from photographs: of what is known to be one, it is right where it is less
# sure than it must be of a drawing (docs/measured/pictures.md).
_PHOTOGRAPH_GATE = 0.15


@dataclass(frozen=True, slots=True)
class TextVision:
    """When class names are written into a question.

    Attributes:
        gate: the least probability with which a class is named at all.
        sure: the least probability of the best class for "It shows" instead of
            "It may show".
        max_names: how many classes are named at most.
    """

    gate: float
    sure: float
    max_names: int = 3

    @classmethod
    def from_pretrained(cls, checkpoint: Path) -> "TextVision | None":
        """Return the checkpoint's settings, or None where it uses no text-based vision."""
        path = checkpoint / SETTINGS_NAME
        if not path.exists():
            return None
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as exc:
            raise InvalidCheckpoint(
                f"{path}: cannot be used ({exc}). It needs gate, sure and max_names, and nothing "
                "else."
            ) from exc

    def save_pretrained(self, checkpoint: Path) -> None:
        """Write the settings beside the weights."""
        text = json.dumps(asdict(self), indent=2) + "\n"
        (checkpoint / SETTINGS_NAME).write_text(text, encoding="utf-8")

    def of_photographs(self) -> "TextVision":
        """Return the settings for what is known to be a photograph, of which more is named."""
        return replace(self, gate=min(self.gate, _PHOTOGRAPH_GATE))

    def names(self, probabilities: Sequence[float], class_ids: Sequence[int]) -> list[str]:
        """Return the names to write, best first, from the likeliest classes in order."""
        pairs = zip(probabilities, class_ids, strict=True)
        return [imagenet_names()[c] for p, c in pairs if p >= self.gate][: self.max_names]

    def describe(self, probabilities: Sequence[float], class_ids: Sequence[int]) -> str:
        """Return the sentence that follows the question: "" when no class passes the gate."""
        names = self.names(probabilities, class_ids)
        return sentence(names, sure=probabilities[0] >= self.sure) if names else ""


def named_again(seen: str, guesses: Sequence[str]) -> bool:
    """Return whether what `sentence` names first is among the guesses at another picture.

    >>> named_again("It shows tiger, tiger cat.", ["leopard", "tiger"])
    True
    """
    names, _ = names_in(seen)
    return bool(names) and names[0] in guesses


def sentence(names: Sequence[str], *, sure: bool) -> str:
    """Return " It shows tiger, tiger cat." or " It may show tiger, tiger cat."."""
    return f" It {'shows' if sure else 'may show'} {', '.join(names)}."


def names_in(seen: str) -> tuple[tuple[str, ...], bool]:
    """Return the names in what `sentence` made, and whether it was sure; of "" none.

    >>> names_in(" It shows tiger, tiger cat.")
    (('tiger', 'tiger cat'), True)
    """
    for verb in ("shows", "may show"):
        if seen.strip().startswith(begin := f"It {verb} "):
            names = seen.strip().removeprefix(begin).removesuffix(".")
            return tuple(names.split(", ")), verb == "shows"
    return (), False


@cache
def imagenet_names() -> tuple[str, ...]:
    """Return the first name of each ImageNet-1k class, in the order of the classifier."""
    return tuple(names[0] for names in imagenet_synonyms())


@cache
def imagenet_synonyms() -> tuple[tuple[str, ...], ...]:
    """Return all names of each ImageNet-1k class, in the order of the classifier."""
    text = (files("retriever.inputs") / "imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(tuple(n.strip() for n in line.split(",")) for line in text.splitlines())
