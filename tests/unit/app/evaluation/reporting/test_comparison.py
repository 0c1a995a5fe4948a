"""Whether two runs differ: hand-computed cases, and what is said of them."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import InvalidSettings
from app.evaluation.reporting.comparison import (
    compare,
    comparison_text,
    paired_bootstrap,
    sign_test,
)
from app.evaluation.reporting.runs import open_run, open_runs
from corpus.errors import DatasetNotFound
from tests.evaluation_runs import examples, write_run


def test_the_difference_is_paired(tmp_path: Path) -> None:
    rows = examples(100)
    # Half are right in both: what differs are ten of a hundred, and all in one direction.
    a = [float(i < 50) for i in range(100)]
    b = [float(i < 60) for i in range(100)]
    first, second = (
        open_run(write_run(tmp_path / name, rows, right)) for name, right in (("a", a), ("b", b))
    )
    found = next(d for d in compare(first, second).differences if d.metric == "exact_match")
    assert (found.first, found.second, found.n) == (0.5, 0.6, 100)
    assert found.difference == pytest.approx(0.1)
    assert found.stderr == pytest.approx(
        (0.09 / 99) ** 0.5, abs=1e-6
    )  # that of 10 ones and 90 zeros
    assert 0.04 <= found.low <= 0.06 and 0.15 <= found.high <= 0.17
    assert found.p == pytest.approx(2 / 2**10, abs=1e-6)  # as ten throws of a coin come out


def test_metrics_with_the_same_rows_have_the_same_figures(tmp_path: Path) -> None:
    rows = examples(40)
    names = {"a": [1.0] * 40, "b": [float(i >= 7) for i in range(40)]}
    runs = [open_run(write_run(tmp_path / name, rows, right)) for name, right in names.items()]
    found = {d.metric: replace(d, metric="") for d in compare(*runs).differences}
    assert found["recall@5"] == found["recall@10"]
    assert found["exact_match"].p == pytest.approx(2 / 2**7, abs=1e-6)


@pytest.mark.parametrize(
    ("more", "fewer", "p"),
    [(7, 0, 0.015625), (0, 0, 1.0), (1, 0, 1.0), (8, 2, 0.109375), (2, 8, 0.109375)],
)
def test_the_sign_test_is_exact(more: int, fewer: int, p: float) -> None:
    assert sign_test(more, fewer) == pytest.approx(p)
    assert 0 < sign_test(40_000, 39_000) < 0.001


def test_no_difference_has_p_one_and_a_balanced_one_is_no_finding(tmp_path: Path) -> None:
    assert paired_bootstrap(Counter({0.0: 50}), [0]) == (0.0, 0.0, 1.0)
    low, high, p = paired_bootstrap(Counter({1.0: 10, -1.0: 10, 0.0: 80}), [0])
    assert low < 0 < high and p > 0.8
    # All of five differ in one direction: 2 * (1 + none) / 10,001, and not 0.
    assert paired_bootstrap(Counter({1.0: 5}), [0])[2] == pytest.approx(2 / 10_001)


def test_changes_say_which_way_and_provenance_what_differs(tmp_path: Path) -> None:
    rows = examples(4)
    write_run(tmp_path / "a", rows, [1.0, 1.0, 0.0, 0.0])
    write_run(tmp_path / "b", rows, [1.0, 0.0, 1.0, 0.0], generator="other", passages=9_000)
    found = compare(*open_runs([tmp_path / "a", tmp_path / "b"]))
    assert [(c.id, c.now, c.first, c.second) for c in found.changes] == [
        ("q1", "wrong", "thing 1", "something else"),
        ("q2", "right", "something else", "thing 2"),
    ]
    assert ("answers.generator.name", "reader", "other") in found.provenance
    assert ("corpus.passages", "8500", "9000") in found.provenance
    assert not [name for name, *_ in found.provenance if "seconds" in name or "started" in name]
    text = comparison_text(found, shown=0)
    assert "| answers.generator.name | reader | other |" in text
    assert "Right in A, wrong in B (by exact_match, as retrieved): 1" in text
    assert "| **exact_match** | as retrieved |" in text
    assert "and 1 more: --show 1" in text


def test_what_differs_is_told_in_short(tmp_path: Path) -> None:
    runs = []
    for name, out, judging in (("a", "--out=a", {}), ("b", "--out 'my b'", {"fit": {"scale": 1}})):
        run = open_run(write_run(tmp_path / name, examples(4), [1.0] * 4))
        made = run.results.provenance
        command = f"kbvqa evaluate run x {out} --depth 5"
        stages = {stage: replace(record, command=command) for stage, record in made.stages.items()}
        made = replace(made, stages=stages, judging=judging)
        runs.append(replace(run, results=replace(run.results, provenance=made)))
    assert compare(*runs).provenance == (("judging.fit", "-", "1 values, in results.json"),)


def test_only_the_same_questions_are_compared_and_it_says_so(tmp_path: Path) -> None:
    rows = examples(6)
    write_run(tmp_path / "a", rows, [1.0] * 6)
    other = [replace(rows[0], answers=("another",)), *rows[1:4]]
    write_run(tmp_path / "b", other, [0.0] * 4)
    found = compare(*open_runs([tmp_path / "a", tmp_path / "b"]))
    assert (found.n, found.left_out) == (3, (3, 1))
    assert "Over the 3 examples in both: 3 of A and 1 of B are left out." in comparison_text(found)


def test_runs_without_a_common_example_are_refused(tmp_path: Path) -> None:
    rows = examples(3)
    write_run(tmp_path / "a", rows, [1.0] * 3)
    write_run(tmp_path / "b", [replace(row, id=f"x{row.id}") for row in rows], [1.0] * 3)
    write_run(tmp_path / "c", [replace(row, question="Who?") for row in rows], [1.0] * 3)
    with pytest.raises(InvalidSettings, match="not one id is in both"):
        compare(*open_runs([tmp_path / "a", tmp_path / "b"]))
    with pytest.raises(InvalidSettings, match="3 have the same id, but other questions"):
        compare(*open_runs([tmp_path / "a", tmp_path / "c"]))


def test_retrieval_alone_is_compared_by_recall(tmp_path: Path) -> None:
    rows = examples(6)
    write_run(tmp_path / "a", rows, [0.0] * 6, answers=False)
    write_run(tmp_path / "b", rows, [1.0] * 6, answers=False)
    found = compare(*open_runs([tmp_path / "a", tmp_path / "b"]))
    assert found.judged_by == "recall@5"
    assert {change.fates for change in found.changes} == {("not retrieved", "retrieved")}


def test_what_was_withheld_is_compared_as_users_are_shown_it(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, examples(4), [1.0] * 4) for name in ("a", "b")]
    named = {d.metric for d in compare(*open_runs(runs)).differences}
    assert "exact_match_shown" not in named  # nothing was withheld
    scores = runs[1] / "scores.jsonl"
    first, *rest = map(json.loads, scores.read_text().splitlines())
    lines = [json.dumps(row) + "\n" for row in ({**first, "status": "withheld"}, *rest)]
    scores.write_text("".join(lines))
    found = {d.metric: d.difference for d in compare(*open_runs(runs)).differences}
    assert (found["exact_match"], found["exact_match_shown"]) == (0.0, -0.25)


def test_a_directory_that_changed_since_it_was_scored_is_refused(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", examples(3), [1.0] * 3)
    lines = (folder / "examples.jsonl").read_text().splitlines(keepends=True)
    (folder / "examples.jsonl").write_text("".join(lines[:2]))
    with pytest.raises(DatasetNotFound, match="2 examples and results of 3"):
        open_run(folder)
    (folder / "scores.jsonl").unlink()
    with pytest.raises(DatasetNotFound, match=r"no scores\.jsonl"):
        open_run(folder)


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / x / "run", examples(2), [1.0] * 2) for x in "ab"]
    assert [run.name for run in open_runs(folders)] == ["a/run", "b/run"]
    assert [run.name for run in open_runs([folders[0]] * 2)] == ["run", "run (2)"]


def test_the_command_prints_a_table_and_json(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from app.cli import app

    rows = examples(4)
    a = write_run(
        tmp_path / "a", [replace(rows[0], question="A \x1b[31mred"), *rows[1:]], [1.0] * 4
    )
    b = write_run(
        tmp_path / "b", [replace(rows[0], question="A \x1b[31mred"), *rows[1:]], [0.0] * 4
    )
    shown = CliRunner().invoke(app, ["evaluate", "compare", str(a), str(b)])
    assert shown.exit_code == 0, shown.output
    assert "| **exact_match** | as retrieved | 100.0 | 0.0 | -100.0 ± 0.0 |" in shown.output
    assert "\x1b" not in shown.output
    plain = CliRunner().invoke(app, ["evaluate", "compare", str(a), str(b), "--json"])
    assert json.loads(plain.output)["changes"][0]["now"] == "wrong"
    wrong = CliRunner().invoke(app, ["evaluate", "compare", str(a), str(b), "--condition", "x"])
    assert wrong.exit_code == 2
