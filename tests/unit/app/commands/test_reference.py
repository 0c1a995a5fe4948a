"""The reference of settings: every one once, as app.settings has it, and docs/settings.md alike."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.asking.questions import MAX_TOP_K
from app.cli import app as cli
from app.commands.reference import GROUPS, as_markdown, reference
from app.settings import Settings, load_settings

PAGE = Path(__file__).resolve().parents[4] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KBVQA_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


def test_every_setting_is_there_once_with_its_meaning() -> None:
    rows = reference(Settings())
    names = [row.variable.removeprefix("KBVQA_").lower() for row in rows]
    assert sorted(names) == sorted(Settings.model_fields)
    assert {row.group for row in rows} == set(GROUPS)
    assert all(row.meaning and row.values for row in rows)
    assert not any("None" in row.meaning or "`home`" in row.meaning for row in rows)


def test_no_more_passages_are_set_than_may_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KBVQA_TOP_K", str(MAX_TOP_K + 1))
    result = CliRunner().invoke(cli, ["settings"])
    assert (
        result.exit_code != 0
        and f"KBVQA_TOP_K: Input should be less than or equal to {MAX_TOP_K}"
        in str(result.exception or result.output)
    )


def test_the_page_of_the_docs_is_what_is_written_from_the_settings() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_markdown(reference(Settings())), (
        "run `kbvqa settings --markdown > docs/settings.md`"
    )


def test_a_value_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KBVQA_TOP_K", "7")
    monkeypatch.setenv("KBVQA_QDRANT_API_KEY", "s3cret")
    monkeypatch.setenv("KBVQA_PORT", "")  # empty: not set
    run = CliRunner().invoke(cli, ["settings", "--json"])
    found = {row["variable"]: row for row in json.loads(run.stdout)}
    assert found["KBVQA_TOP_K"]["value"] == "7"
    assert found["KBVQA_TOP_K"]["origin"] == "environment"
    assert found["KBVQA_TOP_K"]["default"] == "5"
    assert found["KBVQA_PORT"]["origin"] == "default"
    assert "s3cret" not in run.stdout
    assert found["KBVQA_QDRANT_API_KEY"]["value"] == "**********"
    shown = CliRunner().invoke(cli, ["settings"]).stdout
    assert "KBVQA_TOP_K = 7  (environment; default: 5)" in shown
    assert "Passages shown." in shown


@pytest.mark.parametrize("command", [["settings"], ["settings", "--json"], ["doctor"]])
def test_a_key_among_the_fields_of_a_request_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    fields = {"user": {"api_key": "s3cret"}, "tokens": ["s3cret"], "max_tokens": 9, "seed": 4}
    monkeypatch.setenv("KBVQA_GENERATOR_EXTRA_BODY", json.dumps(fields))
    shown = CliRunner().invoke(cli, command).stdout.replace("\\", "")
    assert "s3cret" not in shown and '"max_tokens": 9, "seed": 4' in shown


@pytest.mark.parametrize(
    ("variable", "values"),
    [
        ("KBVQA_STRATEGY", "extract, concat, ra-vqa, critic, no-retrieval"),
        ("KBVQA_TOP_K", f"a whole number from 1 to {MAX_TOP_K}"),
        ("KBVQA_GENERATOR_TIMEOUT_SECONDS", "a number above 0"),
        ("KBVQA_GENERATOR_EXTRA_BODY", "a JSON object"),
        ("KBVQA_CALIBRATION", "a path"),
    ],
)
def test_what_a_setting_may_be(variable: str, values: str) -> None:
    assert {row.variable: row.values for row in reference(load_settings())}[variable] == values
