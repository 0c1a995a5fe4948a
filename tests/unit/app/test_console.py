"""What commands show while they work, where there is no terminal."""

import sys

import pytest

from app import cli, console
from app.console import progress


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
