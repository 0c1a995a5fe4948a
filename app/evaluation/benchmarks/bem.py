"""BEM (Bulian et al. 2022): whether an answer means the reference, judged by a trained BERT.

Encyclopedic-VQA's official score asks it about what does not match exactly. It is an optional
extra, `pip install 'kbvqa[bem]'`: TensorFlow reads the SavedModel of
https://tfhub.dev/google/answer_equivalence/bem/1. The directory given must hold that model and the
vocab.txt of BERT base uncased.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import BertWordPieceTokenizer

from app.errors import BemUnavailable
from corpus.benchmarks.evqa import Bem

LENGTH = 512

Ids = NDArray[np.int64]


def load_bem(directory: Path) -> Bem:
    """Return the function (question, reference, candidate) -> probability that they agree.

    Raises:
        BemUnavailable: TensorFlow, the model or its vocabulary is missing or cannot be loaded.
    """
    vocabulary = directory / "vocab.txt"
    if not vocabulary.is_file():
        raise BemUnavailable(
            f"{vocabulary} does not exist: put the vocab.txt of bert-base-uncased beside the model"
        )
    try:
        import tensorflow as tf
    except ImportError as exc:
        raise BemUnavailable(
            "TensorFlow is not installed: pip install 'kbvqa[bem]', or leave --bem out"
        ) from exc
    try:
        model = tf.saved_model.load(str(directory))
    except (OSError, ValueError) as exc:
        raise BemUnavailable(
            f"{directory} holds no SavedModel ({exc}); unpack the model of "
            "tfhub.dev/google/answer_equivalence/bem/1 there"
        ) from exc
    tokenizer = BertWordPieceTokenizer(str(vocabulary), lowercase=True)

    def tokenize(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False).ids)

    cls_id, sep_id = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")

    def bem(question: str, reference: str, candidate: str) -> float:
        parts = [tokenize(text) for text in (candidate, reference, question)]
        input_ids, segment_ids = pack(parts, cls_id, sep_id)
        logits = model({"input_ids": input_ids[None], "segment_ids": segment_ids[None]})
        return probability(np.asarray(logits, np.float64).squeeze())

    return bem


def pack(parts: Sequence[Sequence[int]], cls_id: int, sep_id: int) -> tuple[Ids, Ids]:
    """Return input_ids and segment_ids [LENGTH] of [CLS] a [SEP] b [SEP] c [SEP], zero-padded.

    What is too long is cut off the first part, the candidate; the official script fails there.
    """
    room = LENGTH - len(parts) - 1 - sum(map(len, parts[1:]))
    ids, segments = [cls_id], [0]
    for number, part in enumerate((parts[0][: max(room, 0)], *parts[1:])):
        ids += [*part, sep_id]
        segments += [number] * (len(part) + 1)
    padding = [0] * (LENGTH - len(ids))
    return np.array((ids + padding)[:LENGTH]), np.array((segments + padding)[:LENGTH])


def probability(logits: NDArray[np.float64]) -> float:
    """Return the softmax of two logits, of the second."""
    exponents = np.exp(logits - logits.max())
    return float(exponents[1] / exponents.sum())
