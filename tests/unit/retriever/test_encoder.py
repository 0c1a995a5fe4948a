import numpy as np
import pytest
import torch

from corpus.types import Passage, Query
from retriever import encoder as encoder_module
from retriever.checkpoint import load_checkpoint
from retriever.encoder import Encoder, batches_by_length
from tests.golden_cases import GOLDEN, golden_image

TEXTS = (
    "Paris is the capital of France.",
    "bird",
    "The old church is in the city. It was built of stone, it is tall, it is large.",
    "...",
)
PASSAGES = [Passage(str(i), text, text) for i, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(load_checkpoint(GOLDEN / "B_preflmr"), torch.device("cpu"))


def encoded(encoder: Encoder) -> dict[str, np.ndarray]:
    return {
        passage.id: rows
        for passages, embeddings in encoder.encode_passages(PASSAGES)
        for passage, rows in zip(passages, embeddings, strict=True)
    }


def test_batching_changes_no_embedding(encoder: Encoder, monkeypatch) -> None:
    together = encoded(encoder)
    monkeypatch.setattr(encoder_module, "TOKENS_PER_BATCH", 1)
    alone = encoded(encoder)
    assert together.keys() == alone.keys() == {"0", "1", "2", "3"}
    for id_, rows in together.items():
        np.testing.assert_allclose(rows, alone[id_], atol=1e-5)


def test_passage_rows_are_unit_norm_and_hold_no_punctuation(encoder: Encoder) -> None:
    rows = encoded(encoder)
    for embedding in rows.values():
        np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)
    # [CLS], [D] and [SEP] of a text that is punctuation only.
    assert len(rows["3"]) == 3


def test_instruction_rows_of_a_query_are_dropped(encoder: Encoder) -> None:
    image = golden_image("img0").convert("RGB")
    with_picture, without = encoder.encode_queries(
        [Query("what is this bird", image), Query("what is this bird")]
    )
    np.testing.assert_allclose(np.linalg.norm(with_picture.rows_QD, axis=1), 1, atol=1e-5)
    visual_rows = 4 + 16  # prefix and patches of the tiny model
    assert len(with_picture.rows_QD) == len(without.rows_QD) + visual_rows
    assert len(without.rows_QD) < encoder.checkpoint.query_tokenizer.max_length


def test_mixed_queries_keep_their_order(encoder: Encoder) -> None:
    image = golden_image("img1").convert("RGB")
    queries = [Query("a bird"), Query("a bird", image), Query("the tower"), Query("what", image)]
    together = encoder.encode_queries(queries)
    for query, result in zip(queries, together, strict=True):
        alone = encoder.encode_queries([query])[0]
        np.testing.assert_allclose(result.rows_QD, alone.rows_QD, atol=1e-5)


def test_batches_hold_every_index_within_the_token_budget(monkeypatch) -> None:
    monkeypatch.setattr(encoder_module, "TOKENS_PER_BATCH", 20)
    lengths = [3, 4, 5, 9, 9, 30]
    batches = list(batches_by_length(range(6), lengths))
    assert [i for batch in batches for i in batch] == list(range(6))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= 20 for b in batches)
