"""Where figures come from: prompts, processor, revision, times over several sittings."""

import subprocess
import time
from pathlib import Path

import pytest

from app.evaluation import provenance
from app.evaluation.provenance import Stopwatch, git_revision, processor, prompt_record
from generator.prompts import single


def test_each_strategy_names_the_prompts_that_it_may_use() -> None:
    assert list(prompt_record("ra-vqa", "instruct")) == ["no-retrieval-v1", "ra-vqa-v1"]
    assert list(prompt_record("critic", "few-shot")) == [
        "few-shot-closed-v1", "few-shot-single-v2", "few-shot-relevance-v1"
    ]  # fmt: skip
    assert list(prompt_record("concat", "instruct")) == ["no-retrieval-v1", "short-answer-v1"]
    assert prompt_record("extract", "few-shot") == {}


def test_a_prompt_of_other_words_has_another_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = prompt_record("ra-vqa", "instruct")

    def otherwise(query, passage, style):
        prompt = single(query, passage, style)
        return type(prompt)(prompt.name, prompt.messages[1:], prompt.stop)

    monkeypatch.setattr(provenance, "single", otherwise)
    after = prompt_record("ra-vqa", "instruct")
    assert after["ra-vqa-v1"] != before["ra-vqa-v1"]
    assert after["no-retrieval-v1"] == before["no-retrieval-v1"]


def test_sittings_add_up_and_one_that_makes_nothing_leaves_the_record() -> None:
    first = Stopwatch({})
    time.sleep(0.02)
    record = first.record(3)
    again = Stopwatch(record).record(2)
    assert (again["made"], again["packages"]) == (5, record["packages"])
    assert again["seconds"] >= record["seconds"] >= 0.02
    assert again["per_second"] == pytest.approx(5 / again["seconds"], rel=0.1)
    assert Stopwatch(again).record(0) == again
    assert "cores" in processor()


def test_a_changed_file_shows_in_the_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file.py").write_text("1")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "file.py"))
    assert git_revision() == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    revision = git_revision()
    assert len(revision) == 12
    (tmp_path / "file.py").write_text("2")
    assert git_revision() == f"{revision}+changes"
