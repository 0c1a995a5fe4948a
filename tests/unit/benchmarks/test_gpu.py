"""The GPU script, run on a CPU: what it leaves, and that a wrong number makes a check fail."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks import gpu, gpu_random
from benchmarks.gpu_random import GOLDEN, QUICK, Corpus, synthetic, unit_rows
from benchmarks.gpu_report import (
    EXACTLY,
    Report,
    Tolerance,
    milliseconds,
    row_distance,
    score_tolerance,
)

CPU = torch.device("cpu")
SECTIONS = ["peak", "golden", "embeddings", "search", "kernels", "encoding"]
# Neither the index nor the page has a part in it.
UNNEEDED = {"pydantic", "qdrant_client", "qdrant_edge", "gradio", "matplotlib", "pyarrow"}


def run(out: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    code = gpu.main(["--out", str(out), "--device", "cpu", "--quick", *arguments])
    return code, json.loads((out / "gpu.json").read_text(encoding="utf-8"))


def notes(found: dict[str, Any], section: str) -> list[str]:
    return [row.get("note", "") for row in found["sections"][section]["rows"]]


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path, CPU, 1)


@pytest.fixture
def one_thread():
    """On busy cores threads that share a product wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_a_quick_run_measures_every_section_and_passes_every_check(one_thread, tmp_path) -> None:
    code, found = run(tmp_path)
    assert code == 0 and all(check["passed"] for check in found["checks"])
    assert list(found["sections"]) == SECTIONS
    assert {check["section"] for check in found["checks"]} == set(SECTIONS[1:5])
    assert len(found["checks"]) >= 2 * len(QUICK.corpora) * len(QUICK.query_rows) + 30
    for name in ("peak", "embeddings", "search", "kernels", "encoding"):
        assert found["sections"][name]["rows"] and not any(notes(found, name)), name
    for row in found["sections"]["search"]["rows"] + found["sections"]["encoding"]["rows"]:
        assert row["TFLOP/s"] > 0 and row["share of peak"] > 0, row
    assert found["machine"]["torch"] == torch.__version__
    table = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert "| 60 in int8, 40 to 40 tokens | 50 |" in table and "checks passed" in table


def test_a_wrong_golden_row_fails_and_the_rest_is_measured(
    one_thread, tmp_path, monkeypatch
) -> None:
    copied = tmp_path / "golden"
    shutil.copytree(GOLDEN, copied)
    path = copied / "A_flmr" / "tensors.safetensors"
    tensors = load_file(path)
    tensors["query.multi.late"][1, 2] *= -1
    save_file(tensors, path)
    monkeypatch.setattr(gpu, "GOLDEN", copied)
    code, found = run(tmp_path / "out", "--only", "golden")
    failed = [check for check in found["checks"] if not check["passed"]]
    assert code == 1 and list(found["sections"]) == ["peak", "golden"]
    names = {check["check"] for check in failed}
    assert {f"A_flmr in {p}: queries" for p in ("float32", "float16", "bfloat16")} <= names
    # The reference's scores are no longer those of its rows; nothing else has changed.
    assert {name.rpartition(": ")[2] for name in names} <= {"queries", "maxsim", "maxsim_ragged"}
    assert all(name.startswith("A_flmr") for name in names) and len(found["checks"]) == 30


def test_row_distances_by_hand() -> None:
    rows = [torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.6, 0.8]])]
    turned = [rows[0], torch.tensor([[0.6, -0.8]])]
    assert row_distance(rows, rows) == 0
    assert row_distance(turned, rows) == pytest.approx(1.6)
    assert math.isnan(row_distance([rows[0] * math.nan, rows[1]], rows))
    with pytest.raises(ValueError):
        row_distance(rows[:1], rows)


def test_score_tolerances_by_hand() -> None:
    assert score_tolerance(2, 6).value == 2 * 2 * (6 + 2) * 2.0**-24
    half = score_tolerance(2, 6, "float16", rounded=3).value
    assert half == score_tolerance(2, 6).value + 3 * 2 * 2.0**-11


def test_what_stops_a_piece_of_work_becomes_a_row(report: Report, tmp_path: Path) -> None:
    def raising(error: Exception):
        def work() -> None:
            raise error

        return work

    def section() -> None:
        message = "CUDA out of memory. Tried to allocate 50 GiB. GPU 0 has 40 GiB"
        report.attempt("large", raising(torch.OutOfMemoryError(message)))
        report.attempt("lacking", raising(ModuleNotFoundError("No module named 'pydantic'")))
        assert not report.failed
        report.attempt("broken", raising(RuntimeError("no C compiler\nat line 1")))
        report.attempt("NaN", lambda: report.check("NaN", math.nan, Tolerance(1.0, "u")))
        report.attempt("right", lambda: report.check("right", 0.0, EXACTLY))
        report.minutes = -1
        report.attempt("late", raising(AssertionError("is not begun")))

    report.run("first", section)
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert notes(found, "first") == [
        "out of memory: CUDA out of memory. Tried to allocate 50 GiB",
        "left out: No module named 'pydantic', which the code measured here imports",
        "RuntimeError: no C compiler",
        "left out: -1 minutes are over",
    ]
    assert [(c["check"], c["passed"]) for c in found["checks"]] == [
        ("broken", False),
        ("NaN", False),
        ("right", True),
    ]


def test_a_corpus_larger_than_the_memory_is_scaled_down(report, monkeypatch) -> None:
    monkeypatch.setattr(gpu, "fitting", lambda corpus, device: corpus._replace(passages=45))
    report.run("search", lambda: gpu._search(report, QUICK, Corpus(60, "float16", 40, 40)))
    rows = report.sections["search"]["rows"]
    assert rows[0]["note"] == "45 passages fit into the free memory"
    assert [row["what"] for row in rows[1:]] == ["45 in float16, 40 to 40 tokens"] * 2
    monkeypatch.setattr(gpu, "fitting", lambda corpus, device: corpus._replace(passages=3))
    report.run("search", lambda: gpu._search(report, QUICK, Corpus(60, "float16", 40, 40)))
    assert len(report.sections["search"]["rows"]) == 1


@pytest.mark.parametrize("precision", ["float16", "float32", "int8"])
def test_a_wrong_score_fails(precision: str, report: Report, monkeypatch) -> None:
    monkeypatch.setattr(gpu_random, "CHUNK", 100)
    q_QD = unit_rows(32, CPU, seed=1)
    searcher = synthetic(Corpus(20, precision, 5, 9), q_QD, CPU)
    part = gpu.on_cpu(searcher, 7)
    assert searcher.count == 20 and part.count == 7
    report.run("search", lambda: None)
    gpu._compare_scores(report, "right", searcher, part, q_QD)
    assert not report.failed
    part._rows_TD[-1] = -part._rows_TD[-1]  # of the planted passage
    gpu._compare_scores(report, "wrong", searcher, part, q_QD)
    assert [check["check"] for check in report.failed] == ["wrong: the last 7 scores"]


def test_a_median_of_times(monkeypatch) -> None:
    clock = iter([0.0, 0.004, 1.0, 1.001, 2.0, 2.002])
    monkeypatch.setattr("benchmarks.gpu_report.time.perf_counter", lambda: next(clock))
    calls: list[int] = []
    assert milliseconds(lambda: calls.append(1), CPU, repeats=3) == pytest.approx(2)
    assert len(calls) == 2 + 3


def test_full_sizes_are_refused_on_a_cpu(tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit):
        gpu.main(["--out", str(tmp_path), "--device", "cpu"])
    assert "give --quick with --device cpu" in capsys.readouterr().err


def test_it_imports_neither_engine_nor_page() -> None:
    code = "import benchmarks.gpu, retriever.index.exact, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not UNNEEDED & {name.partition(".")[0] for name in done.stdout.split()}
