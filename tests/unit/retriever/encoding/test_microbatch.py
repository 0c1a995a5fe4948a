"""Queries of many threads share batches, and fail alone."""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

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
    long, both = Query("what is the city " * 40), threading.Barrier(2, timeout=60)

    def ask(_: int) -> bool:
        both.wait()  # else the first thread may be done, and be given the second question, too
        return bool(encoder.encode_together([long])[0].cut)

    with ThreadPoolExecutor(2, thread_name_prefix="asks") as pool:
        assert all(pool.map(ask, range(2), timeout=60))
    said = [record for record in caplog.records if "were cut" in record.message]
    assert len({record.threadName for record in said}) == len(said) == 2


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Ctrl-C in the main thread, so long after it begins."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_while_it_waits_for_others_costs_nobody_else() -> None:
    batcher = MicroBatcher[int, int](list, window_s=1)
    with ThreadPoolExecutor(1) as pool:
        with interrupted_after(0.3):
            other = pool.submit(lambda: (time.sleep(0.05), batcher(1))[1])
            batcher(0)
        assert other.result(10) == 1, "it waited while the other led"
        assert pool.submit(batcher, 2).result(10) == 2


def test_an_interrupt_while_it_waits_for_its_turn_costs_nobody_else() -> None:
    begun, free = threading.Event(), threading.Event()
    ran: list[int] = []

    def run(items):
        ran.extend(items)
        begun.set()
        assert free.wait(10)
        return items

    batcher = MicroBatcher[int, int](run)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(batcher, 1)
        assert begun.wait(10)
        with interrupted_after(0.2):
            batcher(0)
        later = pool.submit(batcher, 2)
        free.set()
        assert (leader.result(10), later.result(10)) == (1, 2)
    assert ran == [1, 2], "nobody wants what the one who left has asked"


def test_an_interrupt_of_the_batch_costs_nobody_else() -> None:
    slow = threading.Event()

    def run(items):
        if threading.current_thread() is threading.main_thread():
            slow.wait(10)
        return items

    batcher = MicroBatcher[int, int](run, window_s=0.1)
    with ThreadPoolExecutor(1) as pool:
        with interrupted_after(0.4):
            other = pool.submit(lambda: (time.sleep(0.02), batcher(1))[1])
            batcher(0)
        assert other.result(10) == 1
