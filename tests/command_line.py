"""The command line as a user runs it, in a process of its own, with the golden checkpoint."""

import os
import subprocess
import sys
from pathlib import Path

from tests.golden_cases import GOLDEN

CHECKPOINT = str(GOLDEN / "B_preflmr")
PICTURE = str(GOLDEN / "images" / "img0.png")


def kbvqa(*arguments: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("KBVQA_")}
    return subprocess.run(
        [sys.executable, "-m", "kbvqa", *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**clean, "KBVQA_HOME": str(home), "HF_HUB_OFFLINE": "1", **environment},
        timeout=300,
    )


def assert_clear(run: subprocess.CompletedProcess[str], *words: str) -> None:
    assert run.returncode != 0
    assert "Traceback" not in run.stderr + run.stdout
    for word in words:
        assert word in run.stderr.replace("\n", " "), run.stderr
