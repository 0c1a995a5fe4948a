"""The command line as a user runs it, with the golden checkpoint: in this process, or one apart."""

import io
import logging
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from app.cli import main
from tests.golden_cases import GOLDEN

CHECKPOINT = str(GOLDEN / "B_preflmr")
PICTURE = str(GOLDEN / "images" / "img0.png")

Run = subprocess.CompletedProcess[str]


def kbvqa(*arguments: str, home: Path, **environment: str) -> Run:
    """Run a command from its arguments to its exit code, without the seconds that imports take."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    log = logging.getLogger()
    handlers, level, code = list(log.handlers), log.level, 0
    with (
        patch.dict(os.environ, _environment(home, environment), clear=True),
        patch.object(sys, "argv", ["kbvqa", *arguments]),
        redirect_stdout(streams[0]),
        redirect_stderr(streams[1]),
    ):
        try:
            main()
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        finally:
            log.handlers[:] = handlers
            log.setLevel(level)
    said = [stream.buffer.getvalue().decode() for stream in streams]  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(arguments, code, *said)


def kbvqa_apart(*arguments: str, home: Path, **environment: str) -> Run:
    """Run a command in a process of its own, where more than its words and files matters."""
    return subprocess.run(
        [sys.executable, "-m", "kbvqa", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=_environment(home, environment),
        timeout=300,
    )


def _environment(home: Path, more: dict[str, str]) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("KBVQA_")}
    return {**clean, "KBVQA_HOME": str(home), "HF_HUB_OFFLINE": "1", **more}


def assert_clear(run: Run, *words: str) -> None:
    assert run.returncode != 0
    assert "Traceback" not in run.stderr + run.stdout
    for word in words:
        assert word in run.stderr.replace("\n", " "), run.stderr
