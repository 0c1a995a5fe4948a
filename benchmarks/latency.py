"""How long one person waits: the search, and from there to the answer.

    python -m benchmarks.latency --out docs/measured/latency.md

Asks a stranger's questions one after the other of the index that the settings name, in a process
of its own for each way, one way after the other and all of them again. Nothing else should run
beside it. Needs `kbvqa setup`.
"""

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from app.components import open_pipeline
from app.evaluation.tables import table
from app.settings import load_settings
from benchmarks.everyday import questions
from benchmarks.page import page
from corpus.demo.data import demo_dir
from corpus.pictures.images import load_image
from corpus.types import Query

# What each way adds to the environment.
WAYS: dict[str, dict[str, str]] = {
    "as it is": {},
    "one thread (OMP_NUM_THREADS=1)": {"OMP_NUM_THREADS": "1"},
    "numpy's threads as they are by themselves (OPENBLAS_THREAD_TIMEOUT=28)": {
        "OPENBLAS_THREAD_TIMEOUT": "28"
    },
}
_WARM = 3  # questions at the beginning that do not count


def asked() -> list[tuple[float, float, int]]:
    """Return of each question the seconds until its passages were found, and from there to its
    answer, and how many passages were read.
    """
    pipeline = open_pipeline(load_settings(), lambda _: None)
    taken = []
    for one in questions("strangers"):
        result = pipeline.ask(Query(one.question, load_image(demo_dir() / one.image)))
        total, read = result.timings_ms["total"], result.timings_ms["generate"]
        passages = len(result.answer.read) if result.answer else 0
        taken.append(((total - read) / 1000, read / 1000, passages))
    return taken[_WARM:]


def tables(taken: dict[str, Sequence[tuple[float, float, int]]]) -> str:
    """Return medians and what 95 of 100 take no longer than, as Markdown."""
    rows = []
    for way, each in taken.items():
        seconds_QW = np.array(each)
        (found, read, _), (found_95, read_95, _) = np.quantile(seconds_QW, (0.5, 0.95), axis=0)
        rows.append(
            (
                way,
                str(len(each)),
                f"{found:.2f}, {found_95:.2f}",
                f"{read:.3f}, {read_95:.2f}",
                f"{seconds_QW[:, 2].mean():.1f}",
            )
        )
    seconds = ("picture and search, s", "from search to answer, s")
    columns = ("", "questions", *seconds, "passages read")
    return "\n".join(table(columns, rows))


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2, help="how often each way is measured")
    parser.add_argument("--out", type=Path, help="where the page goes")
    arguments = parser.parse_args()
    if arguments.out is None:
        print(json.dumps(asked()))
        return
    taken = defaultdict(list)
    for _ in range(arguments.rounds):
        for way, environment in WAYS.items():
            command = [sys.executable, "-m", "benchmarks.latency"]
            said = subprocess.run(
                command, env=os.environ | environment, stdout=subprocess.PIPE, check=True
            ).stdout
            taken[way] += map(tuple, json.loads(said.splitlines()[-1]))
            print(way, flush=True)
    note = "A stranger's questions; the median, and what 95 of 100 take no longer than."
    command = f"python -m benchmarks.latency --out {arguments.out}"
    arguments.out.write_text(
        page("One person waits", command, tables(taken), note), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
