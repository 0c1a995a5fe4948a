"""What commands show: while they work, and whatever text comes from outside."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app import cli
from app.commands import console
from app.commands.console import err, out, progress, shortened
from app.machine.logs import printable


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("It flows\n north.", "It flows north."),
        ("It flows north to the sea.", "It flows north to …"),
        ("x" * 30, "x" * 18 + " …"),
    ],
)
def test_a_text_ends_at_a_word_and_says_that_it_goes_on(text: str, short: str) -> None:
    assert shortened(text, 20) == short
    assert len(short) <= 20


def test_progress_has_a_rate_and_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(console.err, "get_time", lambda: clock[0])
    with progress() as (say, advance):
        say("Counting")
        for done in (0, 1, 50, 51, 100):
            advance(done, 100)
            clock[0] += 2.0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Counting" and len(lines) == 3, "a line a tenth at most"
    assert lines[1] == "  50 of 100, 24.5/s, 0:00:03 left"  # 49 in 2 s
    assert lines[2] == "  100 of 100"


def test_ctrl_c_says_that_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.commands.index.settings_with", interrupted)
    monkeypatch.setattr(sys, "argv", ["kbvqa", "index", "info"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "Interrupted. What was built so far is kept.\n"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain é 東京 [b]\n\ttext", "plain é 東京 [b]\n\ttext"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b2Jgone", "gone"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;https://x\x1b\\a link\x1b]8;;\x1b\\", "a link"),
        ("\x9d0;a title\x9ctext", "text"),
        ("\x1b]0;no end", "0;no end"),
        ("\x1bP1$q\x1b\\x\x1b(0y\x1bcz", "xyz"),
        ("over\rwritten\x08\x08 bell\x07 del\x7f", "overwritten bell del"),
        ("\x1b", ""),
    ],
)
def test_no_escape_sequence_reaches_a_terminal(
    raw: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printable(raw) == shown
    out.print(raw, markup=False, highlight=False, soft_wrap=True)
    err.print(raw, markup=False, highlight=False, soft_wrap=True)
    captured = capsys.readouterr()
    # rich shows a tab as spaces
    assert captured.out.rstrip("\n").split() == captured.err.rstrip("\n").split() == shown.split()


def test_names_of_emoji_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    out.print("scored 3:100:4 :dog:", highlight=False)
    assert capsys.readouterr().out == "scored 3:100:4 :dog:\n"


def kbvqa(*arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("KBVQA_")}
    return subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"kbvqa", *map(os.fsencode, arguments)],
        capture_output=True,
        env={**clean, **environment},
        check=False,
        timeout=300,
    )


TEXT = "東京 é \x1b[31mred\x9b2J"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii", "cp1252", "gbk"])
def test_output_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": "1", "title": TEXT, "text": TEXT}) + "\n", "utf-8")

    shown = kbvqa("corpus", "show", str(path), PYTHONIOENCODING=encoding)
    assert shown.returncode == 0, shown.stderr
    assert b"red" in shown.stdout and b"\x1b" not in shown.stdout
    expected = "東京 é red".encode(encoding, "backslashreplace")
    assert shown.stdout.count(expected) == 2

    as_json = kbvqa("corpus", "show", str(path), "--json", PYTHONIOENCODING=encoding)
    assert as_json.returncode == 0, as_json.stderr
    assert json.loads(as_json.stdout.decode(encoding))["text"] == TEXT
    assert b"\x1b" not in as_json.stdout and "\x9b".encode() not in as_json.stdout


NOT_UTF8 = b"caf\xe9"


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/" + NOT_UTF8
    os.mkdir(folder)  # noqa: PTH102 - pathlib has no bytes
    text = "A text about coffee that is long enough to be kept by the policy of pages."
    with open(folder + b"/" + NOT_UTF8 + b".md", "w") as file:  # noqa: PTH123
        file.write(text)
    made = tmp_path / "p.jsonl"
    run = kbvqa("corpus", "make", folder, "--out", str(made))
    assert run.returncode == 0, run.stderr
    row = json.loads(made.read_text("utf-8"))
    assert (row["id"], row["title"]) == (r"caf\xe9.md#0.0", r"caf\xe9")
    picture = tmp_path / "lengths.svg"
    run = kbvqa("corpus", "stats", folder, "--picture", str(picture), "--json")
    assert json.loads(run.stdout)["corpus"] == r"caf\xe9"
    assert r"caf\xe9" in picture.read_text("utf-8")
    for command in (("corpus", "show"), ("corpus", "make", "--out", str(made))):
        run = kbvqa(*command, os.fsencode(tmp_path) + b"/none" + NOT_UTF8)
        assert run.returncode == 1
        assert b"does not exist" in run.stderr and b"Unexpected" not in run.stderr


def test_a_question_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    run = kbvqa("ask", str(tmp_path / "x.png"), NOT_UTF8 + b"?")
    assert run.returncode == 2
    assert b"not in the encoding of this terminal" in run.stderr


def test_warnings_are_text_too(tmp_path: Path) -> None:
    code = (
        "import logging; from app.commands.console import open_streams; open_streams();"
        "logging.getLogger('x').warning('of %s', 'a \\x1b[31mpassage \\udce9')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert run.stderr == b"WARNING x: of a passage \\udce9\n"


OUT_COMMANDS = (
    ("evaluate", "run", "demo"),
    ("evaluate", "demo"),
    ("evaluate", "answers"),
    ("train", "mini"),
    ("train", "generator", "run"),
    ("train", "reader"),
)


@pytest.mark.parametrize("command", OUT_COMMANDS)
@pytest.mark.parametrize("below", ["", "a/b"])
def test_a_file_where_results_should_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...], below: str
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "there").write_text("mine")
    result = CliRunner().invoke(cli.app, [*command, "--out", str(tmp_path / "there" / below)])
    assert result.exit_code == 2
    assert f"{tmp_path / 'there'} is a file, and a directory is needed" in result.output


@pytest.mark.parametrize("below", ["", "a"])
def test_a_file_where_kbvqa_should_keep_things(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], below: str
) -> None:
    (tmp_path / "there").write_text("mine")
    monkeypatch.setenv("KBVQA_HOME", str(tmp_path / "there" / below))
    monkeypatch.setattr(sys, "argv", ["kbvqa", "setup"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    told = capsys.readouterr().err
    assert f"{tmp_path / 'there'} is a file, and a directory is needed" in told
    assert "KBVQA_HOME" in told and "Free some space" not in told


def test_a_directory_where_a_file_is_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "app", lambda **options: tmp_path.open("a"))
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    told = capsys.readouterr().err
    assert f"{tmp_path} is a directory, and a file is needed" in told
    assert "Free some space" not in told


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_directory_that_may_not_be_written_is_not_called_full(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    number: int,
    wrapped: bool,
) -> None:
    told = _told(monkeypatch, capsys, number, tmp_path, wrapped=wrapped)
    assert str(tmp_path) in told and os.strerror(number) in told
    assert "may not write or read there" in told and "KBVQA_HOME" in told
    assert "Free some space" not in told


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk_is_to_be_freed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    wrapped: bool,
) -> None:
    monkeypatch.setenv("KBVQA_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["kbvqa", "setup"])
    told = _told(monkeypatch, capsys, errno.ENOSPC, tmp_path, wrapped=wrapped)
    assert "Free some space" in told and "may not write" not in told
    assert str(tmp_path) in told and "or set KBVQA_HOME to a directory on another disk" in told


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_disk_that_is_full_is_named_and_not_that_of_the_home(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    wrapped: bool,
) -> None:
    place = tmp_path / "full" / "run"
    monkeypatch.setenv("KBVQA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "argv", ["kbvqa", "train", "reader", "--out", str(place)])
    told = _told(monkeypatch, capsys, errno.ENOSPC, place, wrapped=wrapped)
    assert "Free some space" in told and "KBVQA_HOME" not in told
    assert (f"where it writes, {place}" if wrapped else f"the disk of {place} is full") in told


def test_another_error_of_the_system_is_not_the_disk_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = _told(monkeypatch, capsys, errno.EMFILE, tmp_path, wrapped=False)
    assert "Too many open files" in told and "goes on where it stopped" in told
    assert "Free some space" not in told and "may not write" not in told


def _told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    place: Path,
    *,
    wrapped: bool,
) -> str:
    """Return what is said of an error of the system, or of one that a library wraps."""

    def fail(**options: object) -> None:
        error = OSError(number, os.strerror(number), str(place))
        raise RuntimeError(f"cannot write: {error}") if wrapped else error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    return capsys.readouterr().err
