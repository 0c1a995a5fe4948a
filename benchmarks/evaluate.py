"""Evaluating against a server that takes half a second an answer, beside a plain loop.

    python -m benchmarks.evaluate speed     1,000 questions through all stages, beside the loop
    python -m benchmarks.evaluate memory    what 10,000 and 100,000 questions take of memory

`speed` needs what `kbvqa setup` makes. The server is a process of its own on loopback that streams
a short answer after a wait, however many ask at once. The plain loop, `Pipeline.ask` for one
question after the other, is measured on fewer and said to be so. Where the processor is slow,
retrieval by kbvqa-mini takes longer than the server: KBVQA_CHECKPOINT and KBVQA_INDEX name another
retriever.

`memory` puts stand-ins in the places of encoder and generator, so that 100,000 questions are a
matter of minutes: what is measured is what the stages themselves keep.
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import typer

from app.components import open_pipeline
from app.evaluation.benchmarks.benchmark import own_benchmark
from app.evaluation.provenance import processor
from app.evaluation.run import Options, evaluate
from app.pipeline import Pipeline
from app.settings import load_settings
from corpus.benchmarks.demo import demo_examples
from corpus.demo.data import demo_dir
from corpus.pictures.images import load_image
from corpus.types import Example, Hit, Passage, Query
from generator.answers.answering import Answering
from generator.answers.confidence import Calibration
from generator.answers.plan import AnswerPlan
from generator.interface import Capabilities, Completion, Usage, Waiting, Work
from generator.prompts import Prompt
from retriever.encoding.queries import EncodedQuery
from retriever.engines.record import Build, Fingerprint

app = typer.Typer(help=__doc__, no_args_is_help=True)
MODEL = "half-a-second"


@app.command()
def speed(
    questions: Annotated[int, typer.Option(help="Asked through all stages.")] = 1000,
    plain: Annotated[int, typer.Option(help="Asked one after the other.")] = 20,
    seconds: Annotated[float, typer.Option(help="That the server takes for an answer.")] = 0.5,
    concurrency: Annotated[int, typer.Option(help="Questions on their way.")] = 64,
) -> None:
    """Time an evaluation beside the plain loop."""
    with _server(seconds) as url, tempfile.TemporaryDirectory() as out:
        settings = load_settings().model_copy(
            update={
                "generator_url": url,
                "generator_model": MODEL,
                "generator_concurrency": concurrency,
                "strategy": "concat",
            }
        )
        pipeline = open_pipeline(settings, lambda what: None)
        examples = _examples(questions)
        began = time.perf_counter()
        for example in examples[:plain]:
            pipeline.ask(Query(example.question, load_image(demo_dir() / example.image)), 10)
        each = (time.perf_counter() - began) / plain
        began = time.perf_counter()
        results = evaluate(
            pipeline,
            own_benchmark("speed", examples),
            demo_dir(),
            Path(out),
            Options(concurrency=concurrency),
        )
        took = time.perf_counter() - began
        assert results is not None
        stages = {
            name: f"{record.seconds:.1f} s" for name, record in results.provenance.stages.items()
        }
        print(f"{processor()}; answers take {seconds} s")
        print(
            f"plain loop: {each:.3f} s a question, n = {plain}: {each * questions:,.0f} s for all"
        )
        print(
            f"stages: {took:.1f} s for n = {questions:,} ({stages}): {each * questions / took:.1f}x"
        )
        print(f"failed: {sum(o.statuses.get('failed', 0) for o in results.outcomes.values())}")


@app.command()
def memory(
    counts: Annotated[str, typer.Option(help="Numbers of questions.")] = "10000,100000",
) -> None:
    """Measure what the stages take of memory, each number of questions in a process of its own."""
    for count in counts.split(","):
        subprocess.run(
            [sys.executable, "-m", "benchmarks.evaluate", "one-memory", count], check=True
        )


@app.command(hidden=True)
def one_memory(count: int) -> None:
    """Print the memory before and after an evaluation of so many questions."""
    index = _StandInIndex()
    encoder = SimpleNamespace(
        checkpoint=SimpleNamespace(id="c@1", revision="1", unsure_below=None, picture_weight=0.0),
        encode_queries=lambda queries: [_encoded() for _ in queries],
    )
    pipeline = Pipeline.__new__(Pipeline)
    pipeline.encoder, pipeline.index = encoder, index  # type: ignore[assignment]
    pipeline.exact, pipeline.candidates, pipeline._mode = None, 400, "two-stage"
    generator: Any = _StandInGenerator()
    pipeline.answering = Answering(generator, AnswerPlan("concat", passages=3), Calibration())
    examples = [
        Example(f"q{n}", "", f"What is number {n}?", (f"{n}",), (f"p{n % 1000}",))
        for n in range(count)
    ]
    before = _peak_mib()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        evaluate(
            pipeline, own_benchmark("memory", examples), Path(out), Path(out), Options(batch=64)
        )
        written = sum(path.stat().st_size for path in Path(out).iterdir()) / 2**20
    took = time.perf_counter() - began
    print(
        f"{count:,} questions: {before:.0f} MiB with the questions alone, "
        f"{_peak_mib():.0f} MiB at most; {written:.0f} MiB of files; {took:.0f} s"
    )


class _StandInIndex:
    """Finds the same hundred passages for every query."""

    location = "nowhere"
    count = 1000
    fingerprint: Any
    built: Any

    def __init__(self) -> None:
        self.fingerprint = Fingerprint("c", "1", "numbers", "2", 1000)
        self.built = Build(self.fingerprint)
        self._passages = [Passage(f"p{n}", f"{n}", f"The number {n}. " * 20) for n in range(1000)]

    def search_many(self, rows: Sequence[Any], top_k: int, **_: Any) -> list[list[Any]]:
        hits = [Hit(p, 30.0 - n / 10) for n, p in enumerate(self._passages[:top_k])]
        return [hits for _ in rows]

    def get(self, ids: Sequence[str]) -> list[Passage]:
        return [self._passages[int(id_[1:])] for id_ in ids]

    def content_hashes(self, ids: Sequence[str]) -> dict[str, str]:
        return dict.fromkeys(ids, "")


class _StandInGenerator:
    """Answers at once."""

    name, style = "stand-in", "few-shot"

    def capabilities(self) -> Capabilities:
        return Capabilities(images=False, logprobs=True, choices=True)

    def health(self) -> str:
        return "here"

    def stream(self, prompt: Prompt, **_: Any) -> Work[Completion]:
        yield Waiting()
        return Completion("7 [1]", (-0.1, -0.1), Usage(300, 2))


def _encoded() -> EncodedQuery:
    return EncodedQuery(np.zeros((1, 2), np.float32), "", 0)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _examples(count: int) -> list[Example]:
    short = demo_examples("flag", per_picture=2, seed=1, short=True)
    return [replace(short[n % len(short)], id=str(n)) for n in range(count)]


@contextmanager
def _server(seconds: float) -> Iterator[str]:
    """Yield the URL of a server in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.evaluate", "serve", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


@app.command(hidden=True)
def serve(seconds: float) -> None:
    """Answer chat completions after a wait, any number at once; print the port."""
    asyncio.run(_serve(seconds))


async def _serve(seconds: float) -> None:
    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await _answer(reader, writer, seconds):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, limit=2**24, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> bool:
    """Answer one request; return whether there may be another."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(
        (int(line.split(":")[1]) for line in head.splitlines() if "content-length" in line.lower()),
        0,
    )
    body = json.loads(await reader.readexactly(length)) if length else {}
    usage = {"prompt_tokens": 500, "completion_tokens": 3, "total_tokens": 503}
    if head.startswith("GET"):
        data = {"data": [{"id": MODEL, "max_model_len": 8192}], "version": "1"}
        _reply(writer, "application/json", json.dumps(data))
    elif not body.get("stream"):  # a probe
        choice = {"index": 0, "message": {"content": "yes"}, "finish_reason": "length"}
        _reply(writer, "application/json", json.dumps({"choices": [choice], "usage": usage}))
    else:
        await asyncio.sleep(seconds)
        events = [
            {"choices": [{"index": 0, "delta": {"content": "Paris [1]"}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": usage},
        ]
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        _reply(writer, "text/event-stream", f"{text}data: [DONE]\n\n")
    await writer.drain()
    return True


def _reply(writer: asyncio.StreamWriter, kind: str, text: str) -> None:
    data = text.encode()
    writer.write(
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
    )
    writer.write(data)


if __name__ == "__main__":
    app()
