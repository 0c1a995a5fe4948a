"""Many users at once on an index on a server: what the client does with them.

python -m benchmarks.search.served run --seconds 8

Users ask, wait and ask again, a thread each, by one `PassageIndex` as the page and the API do. The
other end is a process that takes --wait milliseconds for a search, --at-once of them at a time and
the others in a line, whatever is asked; all else it answers is the tests' stand-in's. So the rates
are what client and waiting allow, and say nothing about a server's own work. Prints for numbers of
users, and for 50 that wait no longer than --until seconds, answers in time, late answers and
failures a second, after how long 95 % of the searches had ended, answered or not, the client's CPU
milliseconds, and connections a search.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.search.data import Rows
from benchmarks.search.engines import DIM, encode, named
from benchmarks.search.index_memory import unit
from benchmarks.search.measured import REAL_TOKENS, TOP_K
from retriever.engines.connection import QdrantConnection
from retriever.engines.deadline import wanted_until
from retriever.errors import IndexUnavailable
from retriever.index.passage_index import Fingerprint, PassageIndex
from retriever.index.writing import write_corpus
from tests.integration import qdrant_server
from tests.integration.qdrant_server import StandIn

_PASSAGES, _ROWS, _QUERIES, _TURNS = 1_000, 20, 20, 3

app = typer.Typer(help=__doc__, rich_markup_mode=None)


class _Slow(qdrant_server._Handler):
    """Answers every search with what it found for the first, after a while."""

    seconds: float
    room: threading.Semaphore
    found: dict[str, Any] | None = None
    connections = 0

    def setup(self) -> None:
        super().setup()
        _Slow.connections += 1

    def do_POST(self) -> None:
        if self.found is None or not self.path.partition("?")[0].endswith("/points/query/batch"):
            self._answer()
            return
        self.rfile.read(int(self.headers["content-length"]))
        with self.room:
            time.sleep(self.seconds)
        self._send(200, self.found)

    def do_query(self, request: Any, name: str) -> Any:
        found = super().do_query(request, name)
        _Slow.found = {"result": found, "status": "ok", "time": 0.0}
        return found


@app.command("serve", hidden=True)
def serve(milliseconds: float, at_once: int) -> None:
    """Be the other end until standard input ends; each line is answered with the connections."""
    _Slow.seconds, _Slow.room = milliseconds / 1000, threading.Semaphore(at_once)
    qdrant_server._Handler = _Slow  # type: ignore[misc]
    qdrant_server.ThreadingHTTPServer.request_queue_size = 128  # as servers have it
    with tempfile.TemporaryDirectory() as folder:
        stand_in = StandIn(Path(folder))
        print(json.dumps([stand_in.url, stand_in.grpc_port]), flush=True)
        for _ in sys.stdin:
            print(_Slow.connections, flush=True)
        stand_in.stop()


class Users:
    """Some users of one index, and what became of their searches."""

    def __init__(self, index: PassageIndex, until: float) -> None:
        self._index, self._until = index, until
        self.waits: list[float] = []  # of answers and failures
        self.failed = self.late = 0

    def ask(self, count: int, asked: list[Rows], seconds: float) -> None:
        """Have so many users ask for so long."""
        end = time.monotonic() + seconds

        def use(number: int) -> None:
            while (began := time.monotonic()) < end:
                try:
                    with wanted_until(began + self._until):
                        self._index.search(asked[number % len(asked)], TOP_K)
                except IndexUnavailable:
                    self.failed += 1
                else:
                    self.late += time.monotonic() - began > self._until
                self.waits.append(time.monotonic() - began)
                number += count

        threads = [threading.Thread(target=use, args=(n,)) for n in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


@app.command("run")
def run(
    wait: Annotated[float, typer.Option(help="Milliseconds of a search.")] = 50,
    at_once: Annotated[int, typer.Option(help="Searches at a time at the other end.")] = 4,
    seconds: float = 8,
    users: list[int] = [1, 4, 50],  # noqa: B006 - as typer wants it
    until: Annotated[list[float], typer.Option(help="Seconds, of 50 users.")] = [0.5, 2],  # noqa: B006
) -> None:
    """Measure, and print JSON for each number of users and each time."""
    command = [sys.executable, "-m", "benchmarks.search.served", "serve", str(wait), str(at_once)]
    pipe = subprocess.PIPE
    ways = [(count, 60.0) for count in users] + [(50, limit) for limit in until]
    measured: dict[tuple[int, float], list[tuple[float, ...]]] = {way: [] for way in ways}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdin is not None and other.stdout is not None
        url, port = json.loads(other.stdout.readline())

        def connections() -> int:
            assert other.stdin is not None and other.stdout is not None
            print("", file=other.stdin, flush=True)
            return int(other.stdout.readline())

        location, connection = f"{url}/bench", QdrantConnection(grpc_port=port)
        _build(location, connection)
        asked = list(unit(1, _QUERIES * REAL_TOKENS).reshape(_QUERIES, REAL_TOKENS, DIM))
        with PassageIndex.open(location, connection=connection) as index:
            index.search(asked[0], TOP_K)
            for _ in range(_TURNS):
                for count, limit in ways:
                    group = Users(index, limit)
                    opened, cpu, began = connections(), time.process_time(), time.monotonic()
                    group.ask(count, asked, seconds)
                    spent, cpu = time.monotonic() - began, time.process_time() - cpu
                    ended = len(group.waits)
                    measured[count, limit].append(
                        (
                            (ended - group.late - group.failed) / spent,
                            group.late / spent,
                            group.failed / spent,
                            float(np.quantile(group.waits, 0.95)),
                            1000 * cpu / ended,
                            (connections() - opened) / ended,
                        )
                    )
        other.stdin.close()
    for (count, limit), turns in measured.items():
        columns = (statistics.median(column) for column in zip(*turns, strict=True))
        names = (
            "a_second",
            "late_a_second",
            "failed_a_second",
            "p95_s",
            "cpu_ms",
            "connections_a_search",
        )
        numbers = dict(zip(names, (round(number, 3) for number in columns), strict=True))
        rates = [round(turn[0], 1) for turn in turns]
        print(json.dumps({"users": count, "until_s": limit, **numbers, "turns": rates}))


def _build(location: str, connection: QdrantConnection) -> None:
    rows = unit(0, _PASSAGES * _ROWS).reshape(_PASSAGES, _ROWS, DIM)
    made_from = Fingerprint("bench", "c", "bench", "d", passages=_PASSAGES, dim=DIM)
    with PassageIndex.create(location, made_from, connection=connection) as index:
        write_corpus(index, named((f"p{i}", p_PD) for i, p_PD in enumerate(rows)), encode)
        index.finish()


if __name__ == "__main__":
    app()
