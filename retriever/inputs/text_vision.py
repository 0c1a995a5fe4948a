"""Text-based vision: what a classifier sees, written into the question.

FLMR and RA-VQA add detected object names to the query text. Here the vision tower's
own ImageNet classifier names what it sees, only when it is confident, and in words
that say how confident: the text encoder reads them, and the patches attend to them.

ImageNet knows 118 breeds of dogs, and no dog: so what most of the likely classes are is named, too
(`imagenet_kinds.txt`), and where the corpus has passages of that name and of none of these classes,
in their place. Of the names of a class the one that a passage has is written: ImageNet's "ice bear"
is a polar bear.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from operator import itemgetter
from pathlib import Path

from retriever.errors import InvalidCheckpoint

SETTINGS_NAME = "text_vision.json"

# The classifier learnt from photographs: of what is known to be one, it is right where it is less
# sure than it must be of a drawing (docs/measured/photographs.md).
_PHOTOGRAPH_GATE = 0.15

# Classes that count where passages have their names, and how likely one must be.
_CHANCES, _LEAST = 8, 0.02

_WORDS = re.compile(r"[\w'’]+")

# Whether a corpus has passages about what is called so; None where they are about something else.
Known = Callable[[str], bool | None]


@dataclass(frozen=True, slots=True)
class Sight:
    """What is named in a picture.

    Attributes:
        classes: the numbers of the classes that are likely enough, best first.
        kind: what the picture is most likely of, such as "dog"; "" where a class is likelier, or
            that is not likely enough.
        sure: whether the best class, or the kind, is as likely as "It shows" needs.
        likeliest: how likely that is, named or not.
        chances: the likeliest classes and how likely each is, unlikely ones too.
        kinds: how likely each kind is that one of these is of.
    """

    classes: tuple[int, ...] = ()
    kind: str = ""
    sure: bool = False
    likeliest: float = 0.0
    chances: tuple[tuple[int, float], ...] = ()
    kinds: tuple[tuple[str, float], ...] = ()

    def sentence(self, known: Known | None = None) -> str:
        """Return what is written behind the question: "" where nothing is named.

        Args:
            known: what passages there are; None where nobody knows.
        """
        knows = known or (lambda name: False)
        instead = self.kind != "" and knows(self.kind)
        names: list[str] = []
        for class_id in self.classes:
            own = imagenet_synonyms()[class_id]
            called = next((name for name in own if knows(name)), "")
            # "jersey" behind a question finds the island: then as it is called, too.
            other = next((name for name in own if knows(name) is not None), "")
            if called or not instead or imagenet_kinds().get(class_id) != self.kind:
                names += filter(None, [called or other])
        if self.kind and self.kind not in names:
            names.append(self.kind)
        return sentence(names, sure=self.sure) if names else ""

    def titles(self, known: Known | None = None) -> dict[str, float]:
        """Return the names that passages have, and how likely the picture shows what each is.

        Args:
            known: what passages there are; None where nobody knows: then none.
        """
        if known is None:
            return {}
        likely: dict[str, float] = {}
        for class_id, share in self.chances:
            if called := next((name for name in imagenet_synonyms()[class_id] if known(name)), ""):
                likely[called] = max(share, likely.get(called, 0.0))
        for kind, share in self.kinds:
            if known(kind):
                likely[kind] = max(share, likely.get(kind, 0.0))
        return likely

    def chance(self, title: str) -> float | None:
        """Return how likely the picture shows what something is called, as the classifier says.

        Of a title that has the name of a class among its words, or of a kind, by the longest such
        name; of one that is the last words of such a name, "Locomotive", by those names. None
        where no class is called so: then the classifier cannot tell.
        """
        if not (called := _names_within(title)):
            return None
        likely = [
            share
            for class_id, share in self.chances
            if not called.isdisjoint(map(_plain_words, imagenet_synonyms()[class_id]))
        ]
        likely += [share for kind, share in self.kinds if _plain_words(kind) in called]
        return max(likely, default=0.0)


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

    def sight(self, probabilities: Sequence[float]) -> Sight:
        """Return what is named of a picture, given the probabilities of all classes."""
        likeliest = sorted(range(len(probabilities)), key=lambda c: -probabilities[c])
        named = [c for c in likeliest[: self.max_names] if probabilities[c] >= self.gate]
        of_kinds: dict[str, float] = {}
        for class_id, kind in imagenet_kinds().items():
            of_kinds[kind] = of_kinds.get(kind, 0.0) + probabilities[class_id]
        kind, share = max(of_kinds.items(), key=itemgetter(1))
        best = probabilities[likeliest[0]]
        is_named = share >= max(self.gate, best)
        highest = max(best, share)
        chances = [
            (c, probabilities[c]) for c in likeliest[:_CHANCES] if probabilities[c] >= _LEAST
        ]
        met = dict.fromkeys(imagenet_kinds().get(c, "") for c, _ in chances)
        return Sight(
            tuple(named),
            kind if is_named else "",
            highest >= self.sure,
            highest,
            tuple(chances),
            tuple((each, of_kinds[each]) for each in met if each),
        )

    def describe(self, probabilities: Sequence[float], class_ids: Sequence[int]) -> str:
        """Return the sentence that names some classes, best first: "" when none passes the gate."""
        pairs = zip(probabilities, class_ids, strict=True)
        names = [imagenet_names()[c] for p, c in pairs if p >= self.gate][: self.max_names]
        return sentence(names, sure=probabilities[0] >= self.sure) if names else ""


def named_again(seen: str, guesses: Sequence[str]) -> bool:
    """Return whether what a sentence names first is among the guesses at another picture.

    >>> named_again("It shows tiger, tiger cat.", ["leopard", "tiger"])
    True
    >>> named_again("It shows polar bear.", ["ice bear"]), named_again("It shows dog.", ["pug"])
    (True, True)
    """
    names, _ = names_in(seen)
    classes = [c for c, name in enumerate(imagenet_names()) if name in guesses]
    called = {name for c in classes for name in (imagenet_kinds().get(c), *imagenet_synonyms()[c])}
    return bool(names) and names[0] in called


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


@cache
def imagenet_kinds() -> Mapping[int, str]:
    """Return by class what it is one of, in a word that people use, where there is such a word."""
    text = (files("retriever.inputs") / "imagenet_kinds.txt").read_text(encoding="utf-8")
    kinds: dict[int, str] = {}
    for kind, *ranges in map(str.split, text.splitlines()):
        for first, _, last in (r.partition("-") for r in ranges):
            kinds |= dict.fromkeys(range(int(first), int(last or first) + 1), kind)
    return kinds


def _plain_words(name: str) -> str:
    """Return the words of a name as they are compared: small, without the s of a plural.

    >>> _plain_words("The Two Cannons"), _plain_words("lady's slipper")
    ('the two cannon', "lady' slipper")
    """
    return " ".join(word.removesuffix("s") for word in _WORDS.findall(name.casefold()))


@cache
def _class_names() -> frozenset[str]:
    """Return every name of a class or a kind."""
    names = {_plain_words(name) for synonyms in imagenet_synonyms() for name in synonyms}
    return frozenset(names | {_plain_words(kind) for kind in imagenet_kinds().values()})


@cache
def _longest_name() -> int:
    """Return the words of the longest name."""
    return max(len(name.split()) for name in _class_names())


@cache
def _by_last_words() -> Mapping[str, frozenset[str]]:
    """Return the names of several words by their last ones."""
    ending: dict[str, set[str]] = {}
    for name in _class_names():
        words = name.split()
        for first in range(1, len(words)):
            ending.setdefault(" ".join(words[first:]), set()).add(name)
    return {last: frozenset(names) for last, names in ending.items()}


def _names_within(title: str) -> frozenset[str]:
    """Return the longest name of a class in a title, or the names that end with the title."""
    words = _plain_words(title).split()
    for length in range(min(len(words), _longest_name()), 0, -1):
        for first in range(len(words) - length + 1):
            if (name := " ".join(words[first : first + length])) in _class_names():
                return frozenset((name,))
    return _by_last_words().get(" ".join(words), frozenset())
