"""BEM: what it is given, what is made of its logits, and a model of its signature in TensorFlow.

TensorFlow is no part of the environment; `make test-bem` makes one with it and runs this file.
"""

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import BemUnavailable
from app.evaluation.benchmarks.bem import LENGTH, load_bem, pack, probability
from corpus.benchmarks.evqa import score

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "paris", "city", "of", "light", "where", "?")


def test_segments_are_candidate_reference_question() -> None:
    ids, segments = pack([[5], [6, 7, 8], [9, 10]], cls_id=2, sep_id=3)
    assert ids[:11].tolist() == [2, 5, 3, 6, 7, 8, 3, 9, 10, 3, 0]
    assert segments[:11].tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 0]
    assert len(ids) == len(segments) == LENGTH
    assert ids.dtype == segments.dtype == np.int64


def test_a_candidate_that_is_too_long_is_cut() -> None:
    ids, segments = pack([[5] * 900, [6], [7, 7]], cls_id=2, sep_id=3)
    assert (ids[0], ids[-6:].tolist()) == (2, [3, 6, 3, 7, 7, 3])
    assert segments.tolist().count(0) == LENGTH - 5


def test_the_probability_is_the_softmax_of_the_second() -> None:
    assert probability(np.array([0.0, 0.0])) == 0.5
    assert probability(np.array([1000.0, 1000.0 + np.log(3)])) == pytest.approx(0.75)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BemUnavailable, match=r"vocab\.txt does not exist"):
        load_bem(tmp_path)


@pytest.fixture
def tf() -> Any:
    if os.environ.get("KBVQA_TEST_BEM"):
        return importlib.import_module("tensorflow")
    return pytest.importorskip("tensorflow", reason="`make test-bem` runs it")


def test_a_directory_without_a_model_is_refused(tf: Any, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    with pytest.raises(BemUnavailable, match=r"holds no SavedModel.*bem/1"):
        load_bem(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(BemUnavailable, match="holds no SavedModel"):
        load_bem(tmp_path)


def test_a_saved_model_is_asked(tf: Any, tmp_path: Path) -> None:
    class Overlap(tf.Module):
        """Agrees when candidate and reference, the first of two words, begin alike."""

        @tf.function(
            input_signature=[
                {
                    "input_ids": tf.TensorSpec([None, LENGTH], tf.int64),
                    "segment_ids": tf.TensorSpec([None, LENGTH], tf.int64),
                }
            ]
        )
        def __call__(self, inputs):
            ids = inputs["input_ids"]
            same = tf.cast(ids[:, 1] == ids[:, 4], tf.float32)
            return tf.stack([1.0 - same, same * 4.0], axis=-1)

    tf.saved_model.save(Overlap(), str(tmp_path))
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    bem = load_bem(tmp_path)

    assert bem("where?", "Paris of light", "paris city") == pytest.approx(1 / (1 + np.exp(-4)))
    assert bem("where?", "light", "paris city") < 0.5
    assert score("where?", ["Paris of light"], "paris city", "automatic", bem) == 1.0
