"""How many questions a second the API answers, and how long people wait: 1, 8, 32, 128 at once.

    python -m benchmarks.load --seconds 45 --soak 1800 --out docs/measured/load.md
    python -m benchmarks.load --users --soak 1800            # the soak alone: does memory grow?

Each user asks, reads the answer, and asks again; who is refused waits as long as `Retry-After`
says. Pictures are the gallery's, cut a little differently every time, so that no question comes
twice. The server is started here, as `kbvqa web` would be, and stopped; the questions come from
this process, which takes its own share of the cores. Needs `kbvqa setup`.
"""

import argparse
import asyncio
import base64
import io
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from benchmarks.growth import MIB, Look, series, watched
from benchmarks.page import page
from corpus.demo.data import example_gallery, example_image_path

START_SECONDS = 600
ASK_SECONDS = 600
SOAK_USERS = 4


@dataclass
class Load:
    """What came of so many users in so many seconds.

    Attributes:
        users: at once.
        seconds: from the first question until the last answer.
        waits: seconds of each answered question, refusals before it included.
        statuses: how often each was answered; 0 for no answer at all.
        memory: of the server, every half minute.
    """

    users: int
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    memory: list[Look] = field(default_factory=list)


class Questions:
    """Bodies of /v1/ask about the gallery, no two alike."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._gallery = [
            (example.question, Image.open(example_image_path(example)).convert("RGB"))
            for example in example_gallery()
        ]

    def next(self) -> dict[str, str]:
        """Return a question and its picture, cut by up to a tenth at each side."""
        question, picture = self._chance.choice(self._gallery)
        width, height = picture.size
        left, right = (self._chance.uniform(0, 0.1) * width for _ in range(2))
        upper, lower = (self._chance.uniform(0, 0.1) * height for _ in range(2))
        box = (round(left), round(upper), round(width - right), round(height - lower))
        file = io.BytesIO()
        picture.crop(box).save(file, "PNG")
        return {"question": question, "image": base64.b64encode(file.getvalue()).decode()}


async def put_under(url: str, process: int, users: int, seconds: float) -> Load:
    """Return what comes of users who ask for so many seconds."""
    load, questions = Load(users), Questions(users)
    began = time.monotonic()
    limits = httpx.Limits(max_connections=users)
    async with (
        httpx.AsyncClient(base_url=url, timeout=ASK_SECONDS, limits=limits) as client,
        watched(process, lambda: len(load.waits), load.memory),
        asyncio.TaskGroup() as group,
    ):
        for _ in range(users):
            group.create_task(_user(client, questions, load, began + seconds))
    load.seconds = time.monotonic() - began
    return load


async def _user(client: httpx.AsyncClient, questions: Questions, load: Load, until: float) -> None:
    while (asked := time.monotonic()) < until:
        body = questions.next()
        while True:
            try:
                answer = await client.post("/v1/ask", json=body)
            except httpx.HTTPError:
                load.statuses[0] += 1
                break
            load.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                load.waits.append(time.monotonic() - asked)
            if answer.status_code != 429 or time.monotonic() > until:
                break
            await asyncio.sleep(float(answer.headers["retry-after"]))


@contextmanager
def serving() -> Iterator[tuple[str, int]]:
    """Serve the demo on a free port; yields its address and the number of the process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "app.cli", "web", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "KBVQA_API_REQUESTS_PER_MINUTE": "1000000"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as server:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_for(url, server)
            yield url, server.pid
        finally:
            server.send_signal(signal.SIGTERM)


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise SystemExit("the server does not come up: is the demo built (`kbvqa setup`)?")


def table(loads: Sequence[Load]) -> str:
    """Return the loads as a table of Markdown."""
    lines = [
        "| users | answered | a second | p50 s | p95 s | p99 s | refused (429) | errors | MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for load in loads:
        p50, p95, p99 = np.percentile(load.waits or [float("nan")], (50, 95, 99))
        before, after = (f"{load.memory[end].resident / MIB:.0f}" for end in (0, -1))
        errors = sum(n for status, n in load.statuses.items() if status not in (200, 429))
        lines.append(
            f"| {load.users} | {len(load.waits)} | {len(load.waits) / load.seconds:.2f} "
            f"| {p50:.1f} | {p95:.1f} | {p99:.1f} | {load.statuses[429]} | {errors} "
            f"| {before} to {after} |"
        )
    return "\n".join(lines) + "\n"


NOTE = (
    "Each user asks again as soon as there is an answer, and after a refusal when the server says; "
    "what people wait includes that. Server and users share the cores."
)


def main() -> None:
    """Measure, and print each row as it comes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, nargs="*", default=[1, 8, 32, 128])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each number of users")
    parser.add_argument(
        "--soak", type=float, default=0.0, help=f"seconds that {SOAK_USERS} users then ask"
    )
    parser.add_argument("--out", type=Path, help="a page of docs/measured")
    arguments = parser.parse_args()
    parts = []
    if arguments.users:
        parts.append(table(_loads(arguments.users, arguments.seconds)))
    if arguments.soak:
        [soak] = _loads([SOAK_USERS], arguments.soak)
        title = f"## {SOAK_USERS} users for {soak.seconds / 60:.0f} minutes"
        parts.append(f"{title}\n\n{table([soak])}\n{series(soak.memory)}")
        print(parts[-1])
    if arguments.out:
        command = f"python -m benchmarks.load --seconds {arguments.seconds:g}"
        command += f" --soak {arguments.soak:g}" * bool(arguments.soak)
        text = page("Load", command, "\n".join(parts), NOTE)
        arguments.out.write_text(text, encoding="utf-8")


def _loads(numbers: Sequence[int], seconds: float) -> list[Load]:
    """Return what comes of these numbers of users, one after the other, on a server of its own."""
    loads = []
    with serving() as (url, process):
        asyncio.run(put_under(url, process, 1, 5.0))  # the first questions are slower
        for users in numbers:
            loads.append(asyncio.run(put_under(url, process, users, seconds)))
            print(table(loads[-1:]), flush=True)
    return loads


if __name__ == "__main__":
    main()
