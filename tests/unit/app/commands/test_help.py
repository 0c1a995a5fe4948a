"""What --help says of defaults and names is what holds."""

import pytest
from typer.testing import CliRunner

from app.cli import app
from app.evaluation.benchmarks.catalog import KNOWN
from app.settings import Settings
from corpus.passages.corpora import PAGE_POLICY, RECORD_POLICY


def said(*words: str) -> str:
    run = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, [*words, "--help"])
    assert run.exit_code == 0
    return " ".join(run.output.replace("│", " ").split())


def test_where_the_page_is_served() -> None:
    usual = Settings.model_fields
    assert f"Default: KBVQA_HOST, else {usual['host'].default}." in said("web")
    assert f"Default: KBVQA_PORT, else {usual['port'].default}." in said("web")


@pytest.mark.parametrize("words", [("index", "build"), ("corpus", "make")])
def test_how_passages_are_made(words: tuple[str, ...]) -> None:
    for name in ("by", "size", "min_characters"):
        pages, records = getattr(PAGE_POLICY, name), getattr(RECORD_POLICY, name)
        assert f"Default: {pages}, of pages; else {records}." in said(*words), name


def test_which_benchmarks_of_the_demo_there_are() -> None:
    assert "demo, demo-hand, " in said("evaluate", "run") and "demo-hand" in KNOWN
