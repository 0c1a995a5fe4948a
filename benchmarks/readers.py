"""What the extractive reader is compared with: similarity alone, and models that write.

All have the shape that `benchmarks.reading` measures, (question, passages) -> (answer, log p).
"""

import itertools
import re
from collections.abc import Callable, Sequence

import torch
from tokenizers import Tokenizer

from corpus.types import Passage, Query
from generator.answers.extracting import shown
from generator.answers.parsing import answer_text
from generator.errors import BadCompletion
from generator.extractive.model import SpanModel, base_model, base_tokenizer
from generator.extractive.reader import ExtractiveReader, Reading
from generator.interface import Generator, wait
from generator.prompts import Style, single

Answerer = Callable[[str, list[str]], tuple[str, float]]

_LONGEST_TITLE = 4  # words
# Where a piece of a passage ends: a sentence, or a "label: value" of the Factbook.
_PIECE = re.compile(r"(?<=[.;!?])\s+(?=[A-Z\d])")
_LABEL = re.compile(r"^[A-Z][^.:]{2,40}: ")


def best(readings: Sequence[Reading]) -> Reading:
    """Return the surest reading, whatever the passages are: what the choice has to beat."""
    return max(readings, key=lambda r: r.logprob)


def extractive(reader: ExtractiveReader) -> Answerer:
    """Return the reader as it is, the surest passage's words, or of them what is wanted."""

    def answer(question: str, passages: list[str]) -> tuple[str, float]:
        readings = reader.read(question, passages)
        reading = best(readings)
        passage = Passage("p", "", passages[readings.index(reading)])
        text = shown(question, passage, reading)[0] if reading.text else ""
        return text, reading.logprob

    return answer


def similarity() -> Answerer:
    """Return MiniLM as published: the piece of any passage most like the question, its label off.

    Its "log p" is the cosine minus 1.
    """
    model, tokenizer = base_model(), base_tokenizer()

    def answer(question: str, passages: list[str]) -> tuple[str, float]:
        split = [_PIECE.split(_without_heading(passage)) for passage in passages]
        pieces = [piece for own in split for piece in own if piece.strip()]
        vectors_ND = _embedded(model, tokenizer, [question, *pieces])
        cosines_N = vectors_ND[1:] @ vectors_ND[0]
        i = int(cosines_N.argmax())
        return _LABEL.sub("", pieces[i]).rstrip(". "), float(cosines_N[i]) - 1

    return answer


# What a model is given of a passage in which the extractive reader points at something.
Shown = Callable[[str, Reading], str]


def pointed(reader: ExtractiveReader, then: Answerer, shown: Shown) -> Answerer:
    """Return what answers from the passages that the reader points at anything in, as shown."""

    def answer(question: str, passages: list[str]) -> tuple[str, float]:
        readings = zip(passages, reader.read(question, passages), strict=True)
        return then(question, [shown(p, r) for p, r in readings if r.text] or passages)

    return answer


def writing(generator: Generator, style: Style) -> Answerer:
    """Return a model that writes an answer to each passage; its surest one is taken."""

    def answer(question: str, passages: list[str]) -> tuple[str, float]:
        prompts = [single(Query(question), Passage("p", "", text), style) for text in passages]
        found = [("", -50.0)]
        for completion in wait(generator.complete(prompts)):
            try:
                found.append((answer_text(completion.text), completion.mean_logprob or -50.0))
            except BadCompletion:
                continue
        return max(found, key=lambda pair: pair[1])

    return answer


def _without_heading(passage: str) -> str:
    """Return a passage without the heading it opens with, if there is more.

    The piece most like the question is often the title, and hardly ever the answer.

    >>> _without_heading("Iceland - Currency. Currency: Icelandic kronur (ISK).")
    'Currency: Icelandic kronur (ISK).'
    >>> _without_heading("Paris is the capital of France. It lies on the Seine.")
    'Paris is the capital of France. It lies on the Seine.'
    """
    heading, _, rest = passage.partition(". ")
    is_heading = " - " in heading or len(heading.split()) <= _LONGEST_TITLE
    return rest if rest and is_heading else passage


def marked(passage: str, reading: Reading) -> str:
    """Return a passage with a reading's spans between guillemets."""
    for start, end in sorted(reading.spans, reverse=True):
        passage = f"{passage[:start]}«{passage[start:end]}»{passage[end:]}"
    return passage


def sentences(passage: str, reading: Reading) -> str:
    """Return the sentences that a reading's spans are in, in order."""
    bounds = [0, *(match.end() for match in _PIECE.finditer(passage)), len(passage)]
    return " ".join(
        passage[a:b].strip()
        for a, b in itertools.pairwise(bounds)
        if any(start < b and end > a for start, end in reading.spans)
    )


@torch.inference_mode()
def _embedded(model: SpanModel, tokenizer: Tokenizer, texts: Sequence[str]) -> torch.Tensor:
    """Return unit vectors [N, D]: the mean of MiniLM's last hidden states."""
    encodings = tokenizer.encode_batch(list(texts))
    length = min(256, max(len(e.ids) for e in encodings))
    ids_NL = torch.tensor([(e.ids + [0] * length)[:length] for e in encodings])
    mask_NL = torch.tensor([([1] * len(e.ids) + [0] * length)[:length] for e in encodings])
    hidden_NLD = model.bert(ids_NL, mask_NL, torch.zeros_like(ids_NL))
    mean_ND = (hidden_NLD * mask_NL[..., None]).sum(1) / mask_NL.sum(1, keepdim=True)
    return torch.nn.functional.normalize(mean_ND, dim=-1)
