"""Passages to rows: batches, windows and threads change nothing."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from corpus.types import Passage, Query
from retriever.encoding import passages
from retriever.encoding.encoder import Encoder
from retriever.encoding.passages import batches_by_length

TEXTS = (
    "Paris is the capital of France.",
    "bird",
    "The old church is in the city. It was built of stone, it is tall, it is large.",
    "...",
)
PASSAGES = [Passage(str(i), text, text) for i, text in enumerate(TEXTS)]


def encoded(encoder: Encoder) -> dict[str, np.ndarray]:
    return {
        passage.id: rows
        for batch, embeddings in encoder.encode_corpus(PASSAGES)
        for passage, rows in zip(batch, embeddings, strict=True)
    }


def test_batching_changes_no_embedding(encoder: Encoder, monkeypatch) -> None:
    together = encoded(encoder)
    monkeypatch.setattr(passages, "TOKENS_PER_BATCH", {"cpu": 1})
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


def test_batches_hold_every_index_within_the_token_budget() -> None:
    lengths = [3, 4, 5, 9, 9, 30]
    batches = list(batches_by_length(range(6), lengths, 20))
    assert [i for batch in batches for i in batch] == list(range(6))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= 20 for b in batches)


def test_windows_come_whole_and_in_batches_of_their_own(encoder: Encoder, monkeypatch) -> None:
    monkeypatch.setattr(passages, "WINDOW", 3)
    together = encoded(encoder)
    monkeypatch.setattr(passages, "WINDOW", 1024)
    for id_, rows in encoded(encoder).items():
        np.testing.assert_allclose(rows, together.pop(id_), atol=1e-5)
    assert not together


def test_threads_stay_as_they_were_but_for_the_workers(encoder: Encoder, monkeypatch) -> None:
    def threads_elsewhere() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.get_num_threads).result()

    encode = encoder._passages.encode_batch
    within: list[int] = []

    def watched(tokens: dict[str, torch.Tensor]) -> object:
        within.append(torch.get_num_threads())
        return encode(tokens)

    monkeypatch.setattr(encoder._passages, "encode_batch", watched)
    monkeypatch.setitem(passages.TOKENS_PER_BATCH, "cpu", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        encoded(encoder)
        assert torch.get_num_threads() == 3
        assert threads_elsewhere() == 3
        assert within == [1] * len(PASSAGES)
    finally:
        torch.set_num_threads(before)


def test_an_error_in_the_corpus_reaches_the_caller(encoder: Encoder) -> None:
    def broken():
        yield PASSAGES[0]
        raise OSError("line 2")

    with pytest.raises(OSError, match="line 2"):
        list(encoder.encode_corpus(broken()))


def test_passages_that_are_cut_are_reported(encoder: Encoder, caplog) -> None:
    limit = encoder.checkpoint.passage_tokenizer.max_length
    long = Passage("long", "", "bird " * 2 * limit)
    told: list[tuple[str, int]] = []
    batches = list(encoder.encode_corpus([PASSAGES[0], long], lambda p, n: told.append((p.id, n))))
    assert told == [("long", 2 * limit + 3)]
    rows = {p.id: len(e) for ps, es in batches for p, e in zip(ps, es, strict=True)}
    assert rows["long"] == limit
    list(encoder.encode_corpus([long]))
    assert "'long'" in caplog.text


@pytest.mark.slow
def test_compiled_it_gives_the_same_rows(encoder: Encoder) -> None:
    compiled = Encoder(encoder.checkpoint, torch.device("cpu"), compile_model=True)
    for id_, rows in encoded(compiled).items():
        np.testing.assert_allclose(rows, encoded(encoder)[id_], atol=1e-5)


def test_passages_in_bfloat16_are_those_in_float32_to_its_three_digits(encoder: Encoder) -> None:
    """bfloat16 keeps 8 bits: a product is wrong by 2^-9; rows of the fixture by under 2 %."""
    halved = Encoder(encoder.checkpoint, torch.device("cpu"), passage_precision="bfloat16")
    assert (encoder.passage_precision, halved.passage_precision) == ("float32", "bfloat16")
    passages = [Passage("a", "A", "A goldfinch on a branch."), Passage("b", "B", "Mount Fuji")]
    expected = {p.id: rows for batch, es in encoder.encode_corpus(passages)
                for p, rows in zip(batch, es, strict=True)}  # fmt: skip
    for batch, embeddings in halved.encode_corpus(passages):
        for passage, rows in zip(batch, embeddings, strict=True):
            assert rows.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
            cosines = (rows * expected[passage.id]).sum(1)
            assert cosines.min() > 0.999 and not np.array_equal(rows, expected[passage.id])
    # Queries stay as they are.
    query = Query("What is it?")
    assert np.array_equal(halved.encode_query(query).rows_QD, encoder.encode_query(query).rows_QD)
