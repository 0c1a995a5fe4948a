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
