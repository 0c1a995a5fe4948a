"""A command never writes over what it reads, however that is spelled, and says what it replaces."""

import os
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from app.cli import app as cli

TABLE = "id,text\n1,hello there\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, list(map(str, arguments)))


@pytest.mark.parametrize("spelled", ["itself", "dots", "link", "hard link", "equals"])
def test_the_corpus_is_not_replaced(tmp_path: Path, spelled: str) -> None:
    table, written = tmp_path / "a.csv", tmp_path / "b.csv"
    table.write_text(TABLE)
    if spelled == "link":
        written.symlink_to(table)
    elif spelled == "hard link":
        os.link(table, written)
    else:
        (tmp_path / "sub").mkdir()
        written = tmp_path / "sub" / ".." / "a.csv" if spelled == "dots" else table
    out = [f"--out={written}"] if spelled == "equals" else ["--out", written]
    result = run("corpus", "make", table, *out)
    assert result.exit_code == 2
    assert "is read by this command too" in " ".join(result.output.split())
    assert table.read_text() == TABLE and written.read_text() == TABLE


@pytest.mark.parametrize(
    "command",
    [
        ("ask", "a.png", "What?", "--why", "a.png"),
        ("ask", "a.png", "What?", "--after", "a.json", "--save", "a.json"),
        ("corpus", "stats", "a.csv", "--picture", "a.csv"),
        ("corpus", "pictures", "a.csv", "--out", "a.csv"),
        ("index", "build", "a.csv", "--index", "ix", "--report", "a.csv"),
        ("index", "pictures", "a.jsonl", "--out", "a.jsonl"),
    ],
)
def test_no_command_replaces_what_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    written = Path(command[-1])
    written.write_text(TABLE)
    Path(command[1] if "." in command[1] else command[2]).write_text(TABLE)
    result = run(*command)
    assert result.exit_code == 2
    assert "is read by this command too" in " ".join(result.output.split())
    assert written.read_text() == TABLE


def test_a_file_of_the_folder_that_is_read_is_not_replaced(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text(TABLE)
    assert run("corpus", "make", tmp_path, "--out", table).exit_code == 2
    assert table.read_text() == TABLE


def test_what_is_replaced_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TABLE)
    written = tmp_path / "passages.jsonl"
    first = run("corpus", "make", tmp_path / "a.csv", "--out", written)
    assert first.exit_code == 0 and "will be replaced" not in first.output
    again = run("corpus", "make", tmp_path / "a.csv", "--out", written)
    assert again.exit_code == 0 and "is there already and will be replaced" in again.stderr


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TABLE)
    made = run("corpus", "make", tmp_path / "a.csv", "--out", tmp_path / "none" / "p.jsonl")
    assert made.exit_code == 2 and "there is no folder" in made.output


@pytest.mark.parametrize(
    ("readers", "said"),
    [
        (("r2", "r1"), "r2/reader.safetensors is a reader already"),
        (("r1", "r1"), "name another folder"),
        (("r1",), "one reader"),
    ],
)
def test_a_mean_replaces_no_reader_and_is_of_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readers: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    files = [Path(name, "reader.safetensors") for name in ("r1", "r2")]
    for file in files:
        file.parent.mkdir()
        file.write_text("trained")
    named = [f"{name}/reader.safetensors" for name in readers]
    result = run("train", "mean", *named, "--out", "r2" if len(readers) > 1 else "new")
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())
    assert all(file.read_text() == "trained" for file in files)
