"""What pages mark with `<!-- run -->` is run as it stands, in a folder with the files they name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from app.cli import app
from corpus.demo.data import demo_dir
from tests.doc_blocks import PAGES, ROOT, Command, blocks, commands, kbvqa_arguments

RUN = [page for page in PAGES if any(block.note.startswith("run") for block in blocks(page))]
GUIDE = ROOT / "docs" / "guide"
NOTES = {
    "brazil.md": "# Brazil\n\n## Food\n\nFeijoada is a stew of black beans, eaten on Saturdays.\n",
    "japan.md": "# Japan\n\nThe capital of Japan is Tokyo, on the island of Honshu, by the sea.\n",
}


@pytest.fixture
def folder(tmp_path: Path, home: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that pages name; where nothing else is said, the demo is searched."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KBVQA_HOME", str(home))
    monkeypatch.setenv("KBVQA_INDEX", str(index))
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("data", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    gallery = demo_dir() / "examples"
    shutil.copy(gallery / "kenya.png", "flag.png")
    Image.open(gallery / "giant-panda.png").convert("RGB").save("photo.jpg")
    Path("pictures").mkdir()
    for name in ("kenya", "japan"):
        shutil.copy(gallery / f"{name}.png", f"pictures/{name}.png")
    Path("notes").mkdir()
    for name, text in NOTES.items():
        Path("notes", name).write_text(text, encoding="utf-8")
    for page in sorted(GUIDE.glob("*.md")):
        write_files(page)
    return tmp_path


def write_files(page: Path) -> None:
    for block in blocks(page):
        kind, _, name = block.note.partition(": ")
        if kind == "file":
            Path(name).write_text(block.text, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_is_marked_runs(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    write_files(page)  # its own, where another page calls one the same
    for block in blocks(page):
        if not block.note.startswith("run"):
            continue
        if block.language == "python":
            exec(compile(block.text, str(page), "exec"), names)
            continue
        for command in commands(block.text):
            run(command, monkeypatch)
    capsys.readouterr()


def run(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command; what it exports lasts."""
    if command.words[0] == "export":
        for name, value in command.variables.items():
            monkeypatch.setenv(name, value)
    elif command.words[0] == "python":
        done = subprocess.run(
            [sys.executable, *command.words[1:]],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command.line}\n{done.stderr}"
    elif command.words[0] != ".":
        arguments = kbvqa_arguments(command)
        assert arguments is not None, f"it cannot be run here: {command.line}"
        with monkeypatch.context() as only_here:
            for name, value in command.variables.items():
                only_here.setenv(name, value)
            result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{command.line}\n{result.output}\n{result.exception!r}"


def test_pages_are_run() -> None:
    assert {page.stem for page in RUN} >= {"quickstart", "python", "index", "corpora"}
