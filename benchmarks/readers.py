"""What the extractive reader is compared with: similarity alone, and models that write.

All have the shape that `benchmarks.reading` measures, (question, passages) -> (answer, log p).
"""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from tokenizers import Tokenizer

from corpus.types import Passage, Query
from generator.answers import answer_text
from generator.copying import without_heading
from generator.errors import BadCompletion
from generator.extractive.model import SpanModel, base_model, base_tokenizer
from generator.extractive.reader import ExtractiveReader, Reading
from generator.interface import Generator, wait
from generator.prompts import Style, single

Answerer = Callable[[str, list[str]], tuple[str, float]]

# Where a piece of a passage ends: a sentence, or a "label: value" of the Factbook.
_PIECE = re.compile(r"(?<=[.;!?])\s+(?=[A-Z\d])")
_LABEL = re.compile(r"^[A-Z][^.:]{2,40}: ")


def best(readings: Sequence[Reading]) -> Reading:
    """Return the surest reading, whatever the passages are: what the choice has to beat."""
    return max(readings, key=lambda r: r.logprob)


def extractive(reader: ExtractiveReader) -> Answerer:
    """Return the reader as it is, the surest passage's words."""

    def answer(question: str, passages: list[str]) -> tuple[str, float]:
        reading = best(reader.read(question, passages))
        return reading.text, reading.logprob

    return answer


def similarity() -> Answerer:
    """Return MiniLM as published: the piece of any passage most like the question, its label off.

    Its "log p" is the cosine minus 1.
    """
    model, tokenizer = base_model(), base_tokenizer()

    def answer(question: str, passages: list[str]) -> tuple[str, float]:
        split = [_PIECE.split(without_heading(passage)) for passage in passages]
        pieces = [piece for own in split for piece in own if piece.strip()]
        vectors_ND = _embedded(model, tokenizer, [question, *pieces])
        cosines_N = vectors_ND[1:] @ vectors_ND[0]
        i = int(cosines_N.argmax())
        return _LABEL.sub("", pieces[i]).rstrip(". "), float(cosines_N[i]) - 1

    return answer


def writing(
    generator: Generator,
    style: Style,
    *,
    freely: bool = False,
    pointer: ExtractiveReader | None = None,
) -> Answerer:
    """Return a model that writes an answer to each passage; its surest one is taken.

    Args:
        generator: continues the prompts.
        style: of the prompts.
        freely: any words; else those of the passage alone, where the model can be held to that.
        pointer: given the extractive reader, only the sentences that it points at are read.
    """

    def answer(question: str, passages: list[str]) -> tuple[str, float]:
        if pointer is not None:
            readings = pointer.read(question, passages)
            chosen = [(p, r) for p, r in zip(passages, readings, strict=True) if r.text]
            passages = [sentences(p, r) for p, r in chosen] or passages
        prompts = [single(Query(question), Passage("p", "", text), style) for text in passages]
        if freely:
            prompts = [replace(prompt, source="") for prompt in prompts]
        found = [("", -50.0)]
        for completion in wait(generator.complete(prompts)):
            try:
                found.append((answer_text(completion.text), completion.mean_logprob or -50.0))
            except BadCompletion:
                continue
        return max(found, key=lambda pair: pair[1])

    return answer


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
    hidden_NLD = model.bert(input_ids=ids_NL, attention_mask=mask_NL).last_hidden_state
    mean_ND = (hidden_NLD * mask_NL[..., None]).sum(1) / mask_NL.sum(1, keepdim=True)
    return torch.nn.functional.normalize(mean_ND, dim=-1)
