"""Evaluations by the command line that are killed in every stage end as if nothing had happened.

Format-true benchmarks run against a server on loopback. A process forks the command, so that its
imports are paid for once; the fork kills itself (SIGKILL) before a row, in the middle of one, or
while a finished stage is put in order. Ctrl-C does no worse.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.evaluation.files.json_rows import read_results
from corpus.files.passages import write_passages
from corpus.types import Passage
from retriever.building.build import build_index
from retriever.checkpoint.loading import load_checkpoint
from tests import benchmark_files as make
from tests.golden_cases import GOLDEN, golden_image
from tests.integration.generator_server import KEY, MODEL, Server, serve

ROOT = Path(__file__).parents[2]
CHECKPOINT = GOLDEN / "B_preflmr"

DRIVER = """
import json, os, signal, sys
# What a shell starts in the background ignores SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
import app.cli, app.components, app.evaluation.run, app.evaluation.benchmarks.catalog
from app.evaluation.files import resumable
from corpus.pictures.store import ImageCache

def arm(file, row, how):
    add, arrange = resumable.ResumableRows.add, resumable.ResumableRows.arrange
    seen = [0]

    def killing_add(rows, what):
        if rows.path.name == file and how != "arrange":
            seen[0] += 1
            if seen[0] == row:
                if how == "half":
                    line = resumable._line(what)
                    rows._file.write(line[: len(line) // 2])
                    rows._file.flush()
                stop = signal.SIGINT if how == "interrupt" else signal.SIGKILL
                os.kill(os.getpid(), stop)
        return add(rows, what)

    def killing_arrange(rows, names, **how_kept):
        if rows.path.name == file and how == "arrange":
            rows.path.with_name(file + ".partial").write_bytes(b"half a fi")
            os.kill(os.getpid(), signal.SIGKILL)
        return arrange(rows, names, **how_kept)

    resumable.ResumableRows.add = killing_add
    resumable.ResumableRows.arrange = killing_arrange

for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if not child:
        sys.stdout = sys.stderr
        if order["kill"]:
            arm(*order["kill"])
        sys.argv = ["kbvqa", *order["args"]]
        try:
            app.cli.main()
        except SystemExit as exc:
            sys.stderr.flush()
            os._exit(exc.code or 0)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class Commands:
    """Runs commands, killing them where it is told to."""

    process: subprocess.Popen[str]

    def run(self, *args: str, kill: tuple[str, int, str] | None = None) -> int:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"args": args, "kill": kill}) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four benchmarks with their pictures, and an index."""
    folder = tmp_path_factory.mktemp("data")
    make.okvqa(folder / "okvqa")
    make.infoseek(folder / "infoseek")
    make.evqa(folder / "evqa" / "test.csv")
    row = make.M2KR_ROWS[0] | {"pos_item_ids": ["p:paris", "p:gone"], "answers": ["Paris"] * 10}
    rows = [row | {"question_id": f"OKVQA_{n}", "question": f"What is {n}?"} for n in range(7)]
    make.m2kr(folder / "m2kr", "OKVQA", rows=rows)
    pictures = {
        "coco/a.png": "img0",
        "coco/val2014/COCO_val2014_000000297147.jpg": "img0",
        "oven/00/oven_00000002.jpg": "img1",
        "oven/04/oven_04925844.jpg": "img0",
        "evqa-images/inat/val/x.png": "img0",
        "evqa-images/google-landmark/train/0/a/b/0abc12.jpg": "img1",
    }
    for name, image in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        golden_image(image).save(folder / name)
    listed = {"images": [{"id": 2412, "file_name": "val/x.png"}]}
    (folder / "evqa-images" / "inat" / "val.json").write_text(json.dumps(listed))
    passages = [
        Passage("p:paris", "Paris", "Paris is the capital of France, a city on a river."),
        Passage("p:tower", "Tower", "The tower was built in 1889, and is 330 m high."),
        Passage("p:bird", "Bird", "This bird lays three eggs. It is yellow."),
    ]
    write_passages(folder / "passages.jsonl", passages)
    checkpoint = load_checkpoint(CHECKPOINT)
    build_index(folder / "passages.jsonl", folder / "index", checkpoint, lambda done, total: None)
    return folder


@pytest.fixture(scope="module")
def commands(data: Path, server: Server) -> Iterator[Commands]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "KBVQA_HOME": str(data / "home"),
        "KBVQA_DATA": str(data),
        "KBVQA_INDEX": str(data / "index"),
        "KBVQA_CHECKPOINT": str(CHECKPOINT),
        "KBVQA_GENERATOR_URL": server.url,
        "KBVQA_GENERATOR_MODEL": MODEL,
        "KBVQA_GENERATOR_API_KEY": KEY,
        "HF_HUB_OFFLINE": "1",
    }
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", DRIVER]
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, env=environment, cwd=ROOT
    ) as process:
        yield Commands(process)
        assert process.stdin is not None
        process.stdin.close()


TIMES = ("encode_ms", "search_ms", "seconds")


def left(out: Path) -> dict[str, Any]:
    """Return all that a run left, without what is about time."""
    found: dict[str, Any] = {}
    for path in sorted(out.iterdir()):
        if path.name in ("results.json", "run.json"):
            value = json.loads(path.read_text())
            for part in (value.get("provenance", value)).values():
                if isinstance(part, dict):
                    part.pop("stage", None)
            value.get("provenance", {}).pop("stages", None)
            for cost in value.get("cost", {}).values():
                cost["latency_ms"] = {step: s["n"] for step, s in cost["latency_ms"].items()}
            found[path.name] = value
        elif path.name == "table.md":
            timed = ("milliseconds", "retrieve:", "answer:", "score:", "| encode", "| search")
            lines = path.read_text().splitlines()
            found[path.name] = [
                line for line in lines if not any(t in line for t in (*timed, "| answer |"))
            ]
        elif path.suffix == ".jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            found[path.name] = [
                {name: value for name, value in row.items() if name not in TIMES} for row in rows
            ]
        else:
            found[path.name] = path.read_bytes()
    return found


@pytest.mark.parametrize("benchmark", ["okvqa", "infoseek", "evqa", "m2kr-okvqa"])
def test_a_run_that_is_killed_leaves_what_an_undisturbed_one_leaves(
    commands: Commands, data: Path, tmp_path: Path, benchmark: str
) -> None:
    def arguments(out: Path) -> list[str]:
        return [
            *("evaluate", "run", benchmark, "--out", str(out), "--strategy", "concat"),
            *("--also", "all", "--batch", "2", "--concurrency", "3"),
        ]

    assert commands.run(*arguments(tmp_path / "whole")) == 0
    draw = random.Random(benchmark)
    most = {"retrieval": 2, "answers": 3, "scores": 3}
    kills = [
        (f"{stage}.jsonl", draw.randint(1, rows), draw.choice(("before", "half")))
        for stage, rows in most.items()
    ]
    kills += [(f"{draw.choice(list(most))}.jsonl", 0, "arrange")]
    for kill in kills:
        assert commands.run(*arguments(tmp_path / "killed"), kill=kill) == -signal.SIGKILL
    interrupt = ("answers.jsonl", 1, "interrupt")  # Ctrl-C
    (tmp_path / "killed" / "answers.jsonl").unlink(missing_ok=True)
    assert commands.run(*arguments(tmp_path / "killed"), kill=interrupt) == 130
    assert commands.run(*arguments(tmp_path / "killed")) == 0
    assert left(tmp_path / "killed") == left(tmp_path / "whole")

    # A prediction that is wrong, or is not there, lowers the headline.
    out = tmp_path / "killed"
    results = read_results(out)
    before = results.figure(results.judged_by).value
    rows = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    mine = [row for row in rows if row["condition"] == "retrieved"]
    scores = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    right = {s["id"] for s in scores if s["condition"] == "retrieved" and s["fate"] == "right"}
    if not right:
        assert benchmark in ("okvqa", "evqa"), "the server says Paris to everything"
        return
    victim = next(row for row in mine if row["id"] in right)
    for changed in ([{**victim, "text": "Rome"}], []):
        kept = [row for row in rows if row is not victim]
        text = "".join(json.dumps(row) + "\n" for row in (*kept, *changed))
        (out / "answers.jsonl").write_text(text)
        assert commands.run(*arguments(out), "--stage", "score") == 0
        lowered = read_results(out).figure(results.judged_by)
        assert lowered.value < before
        assert lowered.n == results.figure(results.judged_by).n
