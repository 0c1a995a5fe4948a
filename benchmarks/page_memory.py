"""What the memory of the page's process is taken by: measured stage by stage as it starts.

    python -m benchmarks.page_memory --out docs/measured/memory.md

Each stage does what `kbvqa web` does next, then reads /proc/self/smaps_rollup: what is private to
the process, and what it shares with the page cache, which the system takes back when it needs it.
Questions are asked of the demo by two threads at once, as the page lets in. Needs `kbvqa setup`.
"""

import argparse
import platform
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

QUESTIONS = 40
MIB = 2**20


def memory() -> dict[str, int]:
    """Return the bytes of this process: private, shared with files, and the highest so far."""
    text = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    found = {name: 1024 * int(kib) for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB", status, re.M)
    return {
        "anonymous": found["Anonymous"],
        "files": found["Rss"] - found["Anonymous"],
        "peak": 1024 * int(peak),
    }


def stages() -> Iterator[tuple[str, dict[str, int]]]:
    """Yield each stage of the page's start with the memory after it."""
    yield "Python", memory()
    import torch  # noqa: F401

    yield "torch", memory()
    from app.components import open_checkpoint, open_pipeline
    from app.settings import load_settings

    settings = load_settings()
    yield "kbvqa's modules", memory()
    open_checkpoint(settings)
    yield "a checkpoint, let go again", memory()
    pipeline = open_pipeline(settings, lambda said: None)
    yield "checkpoint, index and reader", memory()
    from app.web.page import build_page

    page: Any = build_page(pipeline, settings)
    assert page is not None
    yield "Gradio and the page", memory()
    ask = asker(pipeline)
    ask(0)
    yield "the first question", memory()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ask, range(QUESTIONS)))
    yield f"{QUESTIONS} questions, two at a time", memory()


def asker(pipeline: Any) -> Callable[[int], object]:
    """Return what asks the n-th question of the demo's gallery."""
    from corpus.demo.data import example_gallery, example_image_path
    from corpus.pictures.images import load_image
    from corpus.types import Query

    gallery = example_gallery()

    def ask(number: int) -> object:
        example = gallery[number % len(gallery)]
        return pipeline.ask(Query(example.question, load_image(example_image_path(example))), 5)

    return ask


def report(rows: list[tuple[str, dict[str, int]]]) -> str:
    """Return a table in Markdown: each stage, what it added, and the highest until then."""
    lines = ["| after | MiB private | added | MiB of files | MiB at the highest |"]
    lines.append("|---|---:|---:|---:|---:|")
    before = [0, *(row["anonymous"] for _, row in rows)]
    for (name, row), earlier in zip(rows, before, strict=False):
        cells = row["anonymous"], row["anonymous"] - earlier, row["files"], row["peak"]
        lines.append(f"| {name} | " + " | ".join(f"{cell / MIB:,.0f}" for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def processor() -> str:
    """Return the processor's name."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = re.search(r"^model name\s*: (.*)$", text, re.M)
    return found[1] if found else platform.machine()


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    rows = []
    for name, row in stages():
        rows.append((name, row))
        print(f"{name:36} {row['anonymous'] / MIB:8,.0f} {row['files'] / MIB:8,.0f}", flush=True)
    text = (
        "# Memory of the page\n\nWritten by `python -m benchmarks.page_memory`: one run, with the "
        f"index and the reader of the demo.\n{processor()}, Python {platform.python_version()}, "
        f"{date.today()}.\n\n"
        f"{report(rows)}"
    )
    if out is not None:
        out.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
