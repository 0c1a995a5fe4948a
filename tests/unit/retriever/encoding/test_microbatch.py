"""Queries of many threads share batches, and fail alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from corpus.types import Query
from retriever.encoding.encoder import Encoder
from retriever.encoding.microbatch import MicroBatcher


def test_queries_of_many_threads_share_batches(encoder: Encoder, monkeypatch) -> None:
    sizes: list[int] = []
    started = threading.Event()

    def run(queries):
        sizes.append(len(queries))
        started.wait(10)  # the first batch waits until the others have queued up
        return encoder.encode_queries(queries)

    batcher = MicroBatcher(run, max_items=4)
    questions = [Query(f"what is bird {i}") for i in range(9)]
    with ThreadPoolExecutor(9) as pool:
        futures = [pool.submit(batcher, q) for q in questions]
        while len(batcher._waiting) + sum(sizes) < 9:
            threading.Event().wait(0.01)
        started.set()
        results = [future.result(10) for future in futures]
    assert sum(sizes) == 9
    assert max(sizes) == 4
    for query, result in zip(questions, results, strict=True):
        alone = encoder.encode_query(query)
        np.testing.assert_allclose(result.rows_QD, alone.rows_QD, atol=1e-5)


def test_one_bad_query_fails_alone(encoder: Encoder) -> None:
    bad = Query("what", None, "the city " * 40)
    with ThreadPoolExecutor(6) as pool:
        batcher = MicroBatcher(encoder.encode_queries, window_s=0.2)
        futures = [pool.submit(batcher, q) for q in [Query("a bird"), bad] * 3]
        for i, future in enumerate(futures):
            if i % 2:
                with pytest.raises(ValueError, match="shorter instruction"):
                    future.result(10)
            else:
                assert len(future.result(10).rows_QD)


def test_the_queries_of_several_callers_share_a_batch(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each caller has several, as a question and its picture alone: they stay together."""
    begun, free = threading.Event(), threading.Event()
    sizes: list[int] = []
    encode = encoder._queries.encode

    def slow(queries, *others):
        sizes.append(len(queries))
        begun.set()
        assert free.wait(10)
        return encode(queries, *others)

    monkeypatch.setattr(encoder._queries, "encode", slow)
    before = encoder.batch_sizes.get(2, 0)
    pairs = [[Query(f"what is bird {i}"), Query(f"where is bird {i}")] for i in range(3)]
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(encoder.encode_together, pairs[0])
        assert begun.wait(10)
        others = [pool.submit(encoder.encode_together, pair) for pair in pairs[1:]]
        while len(encoder._batcher._waiting) < 2:
            threading.Event().wait(0.01)
        free.set()
        results = [first.result(10), *(other.result(10) for other in others)]
    assert sizes == [2, 4], "the two that came meanwhile were encoded at once"
    assert encoder.batch_sizes[2] == before + 1
    for pair, result in zip(pairs, results, strict=True):
        for query, made in zip(pair, result, strict=True):
            np.testing.assert_allclose(made.rows_QD, encode([query])[0].rows_QD, atol=1e-5)
    assert encoder.encode_together([]) == []


def test_what_was_cut_is_said_in_the_thread_of_who_asked(
    encoder: Encoder, caplog: pytest.LogCaptureFixture
) -> None:
    long = Query("what is the city " * 40)
    with ThreadPoolExecutor(2, thread_name_prefix="asks") as pool:
        asked = [pool.submit(encoder.encode_together, [long]) for _ in range(2)]
        assert all(future.result(10)[0].cut for future in asked)
    said = [record for record in caplog.records if "were cut" in record.message]
    assert len({record.threadName for record in said}) == len(said) == 2
