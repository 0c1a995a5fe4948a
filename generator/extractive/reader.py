"""The extractive reader: a question and passages in, the words that answer it out.

    reader = ExtractiveReader.from_pretrained()
    for reading in reader.read("What is the capital?", ["Kenya. Capital: Nairobi. Coast: 536 km."]):
        print(reading.text, reading.logprob)        # Nairobi, log p(answer | passage, question)

All windows of all passages go through the network in one pass. Each passage is read by itself:
the reader knows where an answer of the kind stands, not whether the passage is the right one;
that is the retriever's say, and `generator.answers.selection` joins both.
"""

import itertools
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

from corpus.reading import KINDS, Kind
from generator.extractive.model import (
    SHIPPED,
    SpanModel,
    base_tokenizer,
    load_trained,
    open_base,
)
from generator.extractive.spans import Span, best_spans, echoes, whole_words
from generator.extractive.windows import Window, batch, windows
from generator.sentences import sentence_numbers
from generator.values.wanted import meant, meant_from

NAME = "kbvqa-reader"
# How many spans of a passage are looked at, or taken where a list is wanted, and how probable a
# further one of a list is at least beside the best. Otherwise one is taken: two that tie make a
# worse answer together.
_SEVERAL, _LIST_FROM = 6, 0.25
# What stands between the parts of one list.
_BETWEEN = re.compile(r"\s*,?\s*(?:(?:and|or|and/or)\s+)?|\s*/\s*")
# How often as many more are looked at where some cannot be what is asked for.
_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """What a passage says to a question.

    Attributes:
        text: the words of the answer; "" where nothing can be one. To a question for yes or no
            they are what decides it, which answers.deciding compares.
        spans: the characters of the passage that were taken, the best first.
        logprob: log p(answer | passage, question): that of the best span, "no answer" among
            the alternatives, plus that of the question having an answer here, by the kinds.
        none_logprob: log p(no answer).
        kind: what sort of answer the question wants of this passage.
        kinds: the probability of each of corpus.reading.KINDS.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    logprob: float
    none_logprob: float
    kind: Kind
    kinds: tuple[float, ...]


NOTHING = Reading("", (), -50.0, 0.0, "none", (1.0, *[0.0] * (len(KINDS) - 1)))


class ExtractiveReader:
    """A span model with its tokenizer. Threads may share one.

    Args:
        model: what `load_trained` returned.
        tokenizer: MiniLM's.
        revision: the hash of the trained file.
        device: where it computes.
    """

    def __init__(
        self, model: SpanModel, tokenizer: Tokenizer, revision: str, device: str = "cpu"
    ) -> None:
        self._model, self._tokenizer = model.to(device).eval(), tokenizer
        self._device = device
        self.revision = revision

    @classmethod
    def from_pretrained(
        cls,
        path: Path | str = SHIPPED,
        device: str = "cpu",
        prepare: Callable[[nn.Module], None] = lambda model: None,
    ) -> "ExtractiveReader":
        """Return the reader that comes along, or another that `kbvqa train reader` wrote.

        Args:
            path: reader.safetensors.
            device: where it computes.
            prepare: changes the model on a CPU in place, for example to compute faster.

        Raises:
            GeneratorUnavailable: the file, or MiniLM's package, is missing or damaged.
        """
        base = open_base()
        model, revision = load_trained(Path(path).expanduser(), base)
        if device == "cpu":
            prepare(model)
        return cls(model, base_tokenizer(base), revision, device)

    @property
    def name(self) -> str:
        """Return the name under which calibrations are kept: of what it was trained to."""
        return f"{NAME}@{self.revision}"

    def health(self) -> str:
        """Return one line on what answers here, for the user to read."""
        return f"{self.name}, which points at words of the passages"

    def close(self) -> None:
        """Nothing to let go of."""

    @torch.inference_mode()
    def read(self, question: str, passages: Sequence[str], *, defend: bool = True) -> list[Reading]:
        """Return what each passage says to the question, in their order.

        Args:
            question: a text.
            passages: any number, of any length.
            defend: leave out sentences that repeat or answer a question; False measures them.
        """
        found = windows(self._tokenizer, question, passages)
        if not found:
            return [NOTHING] * len(passages)
        logits = self._model(*(part.to(self._device) for part in batch(found)))
        kinds = logits.kind_BK.float().softmax(-1).tolist()
        banned = [echoes(question, text) if defend else [] for text in passages]
        best: dict[int, Reading] = {}
        for row, window in enumerate(found):
            reading = self._decode(
                question,
                passages[window.passage],
                window,
                logits.start_BL[row].float().cpu(),
                logits.end_BL[row].float().cpu(),
                tuple(kinds[row]),
                banned[window.passage],
            )
            known = best.get(window.passage)
            # Of several windows the one that is surest beside its own "no answer".
            if known is None or _margin(reading) > _margin(known):
                best[window.passage] = reading
        return [best.get(number, NOTHING) for number in range(len(passages))]

    def _decode(
        self,
        question: str,
        text: str,
        window: Window,
        start_L: torch.Tensor,
        end_L: torch.Tensor,
        kinds: tuple[float, ...],
        banned: Sequence[tuple[int, int]],
    ) -> Reading:
        allowed = [
            not any(a < end and start < b for a, b in banned) for start, end in window.offsets
        ]
        kind = _wanted(kinds)
        numbers = sentence_numbers(text, window.offsets)
        several = kind == "list"
        likeliest: list[Span] = []
        for _ in range(_LOOKS):
            spans, none = best_spans(
                start_L, end_L, window.first, allowed, count=_SEVERAL, sentences=numbers
            )
            likeliest = likeliest or spans[:1]
            can = meant(question, text, [_characters(window, span) for span in spans])
            if all(can):
                break
            # What cannot be the answer is no alternative to it either.
            for span in itertools.compress(spans, map(operator.not_, can)):
                begin = meant_from(question, text, *_characters(window, span))
                for token in range(span.first, span.last + 1):
                    allowed[token] &= window.offsets[token][0] >= begin
        if not likeliest:
            return NOTHING
        # Where no words can be meant the likeliest are said, for what no words are worth.
        spans = list(itertools.compress(spans, can)) or [
            replace(likeliest[0], logprob=NOTHING.logprob)
        ]
        spans = spans if several else spans[:1]
        chosen = [s for s in spans if s.logprob - spans[0].logprob >= _log(_LIST_FROM)]
        places = [whole_words(text, *_characters(window, span)) for span in chosen]
        # A further span may be a mark alone.
        places = places[:1] + [p for p in places[1:] if any(map(str.isalnum, text[slice(*p)]))]
        places = _joined(text, places)
        words = "; ".join(text[a:b] for a, b in sorted(places))
        logprob = spans[0].logprob + _log(1 - kinds[KINDS.index("none")])
        return Reading(words, tuple(places), logprob, none, kind, kinds)


def _characters(window: Window, span: Span) -> tuple[int, int]:
    return window.offsets[span.first][0], window.offsets[span.last][1]


def _joined(text: str, places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges with those as one between which the text has "and", "or" and commas alone.

    >>> text = "slacks, or pants (US)"
    >>> [text[a:b] for a, b in _joined(text, [(11, 16), (0, 6), (18, 20)])]
    ['slacks, or pants', 'US']
    """
    joined = list(places)
    for before, after in itertools.pairwise(sorted(places)):
        if _BETWEEN.fullmatch(text, before[1], after[0]):
            whole = next(p for p in joined if p[0] <= before[0] and before[1] <= p[1])
            at = min(joined.index(whole), joined.index(after))
            joined = [p for p in joined if p not in (whole, after)]
            joined.insert(at, (whole[0], after[1]))
    return joined


def _wanted(kinds: Sequence[float]) -> Kind:
    """Return the likeliest kind of answer, "no answer" aside: that is the spans' to say."""
    best = max(range(1, len(KINDS)), key=lambda k: kinds[k])
    return KINDS[best]


def _margin(reading: Reading) -> float:
    return reading.logprob - reading.none_logprob


def _log(p: float) -> float:
    return float(torch.tensor(max(p, 1e-12)).log())
