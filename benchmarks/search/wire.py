"""Writing to a server: what the client spends on a passage, and how many it writes a second.

python -m benchmarks.search.wire --wait 50

writes passages of 84 random rows as `kbvqa index build` does, but for the encoding, by one and by
several writes under way at once, in turn, and prints the median of three of each. The other end is
a process that reads each message from the wire, waits --wait milliseconds, as a server and the
network would let it, and keeps nothing; all else it answers is the tests' stand-in's. So the rate
is what the client can do.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from qdrant_client.grpc import points_pb2

from benchmarks.search.index_memory import DIM, unit
from corpus.types import Passage
from retriever.encoding.ahead import windows
from retriever.engines.connection import QdrantConnection
from retriever.index.passage_index import Fingerprint, PassageIndex
from retriever.index.writing import Batch, write_corpus
from tests.integration.qdrant_server import StandIn

_ROWS, _BATCH, _REPEATS = 84, 50, 3
_MOST_AT_ONCE = 64

app = typer.Typer(help=__doc__, rich_markup_mode=None)


class _Patient(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every call that it is done, after a while."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        done = points_pb2.UpdateResult(status=points_pb2.UpdateStatus.Completed)
        self._done = points_pb2.PointsOperationResponse(result=done).SerializeToString()

    def service(self, handler_call_details: Any) -> Any:
        if handler_call_details.method.endswith("/Scroll"):
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")  # no point
        return grpc.unary_unary_rpc_method_handler(self._write)

    def _write(self, request: bytes, context: Any) -> bytes:
        time.sleep(self._seconds)
        return self._done


@app.command("serve", hidden=True)
def serve(milliseconds: float) -> None:
    """Be the other end until standard input ends, and say the ports."""
    with tempfile.TemporaryDirectory() as folder:
        stand_in = StandIn(Path(folder))
        options = [("grpc.max_receive_message_length", -1)]
        server = grpc.server(futures.ThreadPoolExecutor(_MOST_AT_ONCE), options=options)
        server.add_generic_rpc_handlers((_Patient(milliseconds / 1000),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        print(json.dumps([stand_in.url, port]), flush=True)
        sys.stdin.read()
        stand_in.stop()


@app.command("run")
def run(
    wait: Annotated[float, typer.Option(help="Milliseconds a write takes at the other end.")] = 50,
    passages: int = 4_000,
    at_once: list[int] = [1, 2, 4, 8],  # noqa: B006 - as typer wants it
) -> None:
    """Measure, and print JSON for each number of writes at once."""
    command = [sys.executable, "-m", "benchmarks.search.wire", "serve", str(wait)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdin is not None and other.stdout is not None
        url, port = json.loads(other.stdout.readline())
        connection = QdrantConnection(grpc_port=port)
        found: dict[int, list[tuple[float, float]]] = {n: [] for n in at_once}
        for turn in range(_REPEATS):
            for writers in at_once:
                location = f"{url}/bench-{turn}-{writers}"
                found[writers].append(measure(location, connection, passages, writers))
        other.stdin.close()
    for writers, times in found.items():
        cpu, wall = (statistics.median(column) for column in zip(*times, strict=True))
        told = {"writers": writers, "cpu_ms": 1000 * cpu / passages, "a_second": passages / wall}
        print(json.dumps({name: round(number, 3) for name, number in told.items()}))


def measure(
    location: str, connection: QdrantConnection, count: int, writers: int
) -> tuple[float, float]:
    """Return the CPU and the wall seconds that writing so many passages takes."""
    rows = list(unit(0, _BATCH * _ROWS).reshape(_BATCH, _ROWS, DIM))
    passages = [Passage(f"p{i}", f"Title {i}", "word " * 100) for i in range(count)]

    def encode(wanted: Iterable[Passage]) -> Iterator[Batch]:
        for batch in windows(wanted, _BATCH):
            yield batch, rows[: len(batch)]

    made_from = Fingerprint("bench", "c", "bench", "d", passages=count, dim=DIM)
    with PassageIndex.create(location, made_from, connection=connection) as index:
        index._engine.writers = writers  # type: ignore[misc]
        began, cpu = time.perf_counter(), time.process_time()
        write_corpus(index, passages, encode)
        return time.process_time() - cpu, time.perf_counter() - began


if __name__ == "__main__":
    app()
