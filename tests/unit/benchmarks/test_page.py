"""Pages of figures say how, when and where they were made."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

from benchmarks import page as pages
from benchmarks.search import candidates

ROOT = Path(__file__).parents[3]
TABLE = "| a | n |\n|---|---|\n| 1.0 ± 0.1 | 3 |\n"


def test_a_page_says_how_and_when_and_where(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text(f"# Things\n\n{TABLE}")
    command = [sys.executable, "-m", "benchmarks.page", "report.md", "page.md", "--title", "Things"]
    command += ["--by", "make things", "--note", "Percent."]
    subprocess.run(command, cwd=tmp_path, check=True, env={"PYTHONPATH": str(ROOT), "PATH": ""})
    assert (tmp_path / "page.md").read_text() == (
        f"# Things\n\n`make things`, {date.today()}, {pages.machine()}. Percent.\n\n{TABLE}"
    )
    assert pages.processor() in pages.machine() and "torch 2." in pages.machine()


def test_ways_to_choose_are_tables_with_errors() -> None:
    shares = {str(c): 0.5 for c in candidates.CANDIDATES}
    errors = {f"{c} stderr": 0.02 for c in candidates.CANDIDATES}
    pooled = {"10": 0.82, "10 stderr": 0.012, "5": 0.8, "5 stderr": 0.01, "rows": 0.5}
    ways = json.loads(json.dumps({"mean": shares | errors, "pooled by 2, exact": pooled}))
    first, second, third = candidates.tables(ways).split("\n\n")
    assert first.splitlines()[2] == f"| mean | {' | '.join(['0.500 ± 0.020'] * 5)} |"
    assert len(second.splitlines()) == 2
    assert third.splitlines()[2] == "| pooled by 2, exact | 0.800 ± 0.010 | 0.820 ± 0.012 |"
