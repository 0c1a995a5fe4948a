"""The search under load: many users at once on an index in a directory.

python -m benchmarks.search.users FOLDER SIZE WORK --users 50 --seconds 10

FOLDER is one that `benchmarks.search prepare` wrote; the index is built in WORK where it is not.
Each user asks, waits and asks again, a thread each:

    threads       all call `PassageIndex.search`, as the page and the API do
    one digest    likewise, with all candidates left to MaxSim, by one digest of eight rows
    batched       those who wait go together, `PassageIndex.search_many`
    1 process, 2 processes    each with the index open, they answer one after another

Prints for each, as the median of some turns, the queries a second, the 95th percentile of what one
waits, and the CPU milliseconds of a query, of all processes; and of the exact ten best the share
that is found.
"""

import json
import multiprocessing
import os
import queue
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.search.data import Rows, passages, queries
from benchmarks.search.engines import DIM, encode, named
from benchmarks.search.measured import REAL_TOKENS, TOP_K
from retriever.encoding.microbatch import MicroBatcher
from retriever.engines.candidates import CANDIDATES, DIGEST_ROWS, widest_step
from retriever.engines.interface import MEAN, TOKENS, Stage
from retriever.engines.interface import Search as EngineSearch
from retriever.engines.pooling import cluster_sums
from retriever.index.exact import ExactSearcher
from retriever.index.passage_index import Fingerprint, PassageIndex
from retriever.index.writing import write_corpus

_ASKED, _TURNS = 60, 3

Search = Callable[[Rows], list[str]]

app = typer.Typer(help=__doc__, rich_markup_mode=None)


def build(folder: Path, size: int, location: Path) -> None:
    """Build an index that chooses by means."""
    made_from = Fingerprint("bench", "c", "bench", "d", passages=size, dim=DIM)
    with PassageIndex.create(location, made_from) as index:
        write_corpus(index, named(passages(folder, size)), encode)
        index.finish()


def found(index: PassageIndex, q_QD: Rows) -> list[str]:
    """Return the ids of a search that does not say how many candidates."""
    return [hit.passage.id for hit in index.search(q_QD, TOP_K)]


@contextmanager
def by_threads(location: Path) -> Iterator[Search]:
    """Give a search that every thread calls for itself."""
    with PassageIndex.open(location) as index:
        yield lambda q_QD: found(index, q_QD)


@contextmanager
def by_one_digest(location: Path) -> Iterator[Search]:
    """Give a search of two steps before MaxSim, as it was before it had three."""
    with PassageIndex.open(location) as index:

        def search(q_QD: Rows) -> list[str]:
            first = Stage(MEAN, q_QD.mean(axis=0), widest_step(CANDIDATES))
            digest = Stage(TOKENS, cluster_sums(q_QD, DIGEST_ROWS), CANDIDATES, before=first)
            [points] = index._engine.query([EngineSearch(q_QD, TOP_K, digest)])
            return [point.payload["id"] for point in points]

        yield search


@contextmanager
def by_batches(location: Path) -> Iterator[Search]:
    """Give a search of all that wait together."""
    with PassageIndex.open(location) as index:
        batcher = MicroBatcher[Rows, list[str]](
            lambda asked: [
                [hit.passage.id for hit in hits] for hits in index.search_many(asked, TOP_K)
            ]
        )
        yield batcher


@contextmanager
def by_processes(location: Path, count: int) -> Iterator[Search]:
    """Give a search that the next free of several processes answers."""
    fork = multiprocessing.get_context("spawn")
    free: queue.Queue[Connection] = queue.Queue()
    with ExitStack() as stack:
        for _ in range(count):
            here, there = fork.Pipe()
            process = fork.Process(target=_read, args=(location, there), daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(here.send, None)
            here.recv()  # it is open
            free.put(here)

        def search(q_QD: Rows) -> list[str]:
            one = free.get()
            try:
                one.send(q_QD)
                ids: list[str] = one.recv()
                return ids
            finally:
                free.put(one)

        yield search


def _read(location: Path, asked: Connection) -> None:
    with PassageIndex.open(location) as index:
        asked.send("open")
        while (q_QD := asked.recv()) is not None:
            asked.send(found(index, q_QD))


def put_under(search: Search, asked: list[Rows], users: int, seconds: float) -> list[float]:
    """Return the seconds that each query took that users asked for so long."""
    waits: list[float] = []
    end = time.monotonic() + seconds

    def use(number: int) -> None:
        while (began := time.monotonic()) < end:
            search(asked[number % len(asked)])
            waits.append(time.monotonic() - began)
            number += users

    threads = [threading.Thread(target=use, args=(n,)) for n in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return waits


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and of its children that run or have ended."""
    ticks = 0
    for pid in (os.getpid(), *(child.pid for child in multiprocessing.active_children())):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@app.command()
def main(
    folder: Path,
    size: int,
    work: Path,
    users: int = 50,
    seconds: float = 10,
    way: Annotated[list[str] | None, typer.Option(help="Only these.")] = None,
) -> None:
    """Measure, and print JSON for each way."""
    location = work / f"users-{size}"
    if not location.exists():
        build(folder, size, location)
    asked = queries(folder, _ASKED, REAL_TOKENS)
    ways = {
        "threads": by_threads(location),
        "one digest": by_one_digest(location),
        "batched": by_batches(location),
        "1 process": by_processes(location, 1),
        "2 processes": by_processes(location, 2),
    }
    ways = {name: ways[name] for name in way or ways}
    measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    recall: dict[str, float] = {}
    with ExitStack() as stack:
        index = stack.enter_context(PassageIndex.open(location))
        exact = ExactSearcher.load(index)
        best = [{hit.passage.id for hit in hits} for hits in exact.search_many(asked, TOP_K)]
        del exact
        searches = {name: stack.enter_context(way) for name, way in ways.items()}
        for name, search in searches.items():
            shares = [len(b & {*search(q)}) / TOP_K for b, q in zip(best, asked, strict=True)]
            recall[name] = statistics.fmean(shares)
        for _ in range(_TURNS):
            for name, search in searches.items():
                began, cpu = time.monotonic(), _cpu_seconds()
                waits = put_under(search, asked, users, seconds)
                spent, cpu = time.monotonic() - began, _cpu_seconds() - cpu
                waited = float(np.quantile(waits, 0.95))
                measured[name].append((len(waits) / spent, waited, 1000 * cpu / len(waits)))
    for name, turns in measured.items():
        rate, p95, cpu_ms = (statistics.median(column) for column in zip(*turns, strict=True))
        numbers = {"a_second": rate, "p95_s": p95, "cpu_ms": cpu_ms, "recall": recall[name]}
        rounded = {key: round(value, 3) for key, value in numbers.items()}
        print(json.dumps({"way": name, **rounded, "turns": [round(t[0], 2) for t in turns]}))


if __name__ == "__main__":
    app()
