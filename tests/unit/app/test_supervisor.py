"""What `make up` starts again too soon waits: examples/supervisor/app.sh."""

import os
import subprocess
import time
from pathlib import Path

from tests.doc_blocks import ROOT

APP = ROOT / "examples" / "supervisor" / "app.sh"


def test_a_page_that_ends_again_and_again_is_started_later_each_time(tmp_path: Path) -> None:
    programs, starts = tmp_path / "bin", tmp_path / "runs" / "up" / "starts"
    programs.mkdir()
    starts.parent.mkdir(parents=True)
    for name, script in {"sleep": 'echo "waits $1"', "python": 'echo "$@"; exit 1'}.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (programs / name).chmod(0o755)

    def start() -> list[str]:
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        run = subprocess.run(
            [APP], capture_output=True, text=True, check=False, cwd=tmp_path, env={"PATH": path}
        )
        assert (run.returncode, run.stderr) == (1, "")
        return run.stdout.splitlines()

    served = "-m kbvqa web --build"
    assert [start() for _ in range(3)] == [[f"waits {n}", served] for n in range(3)]
    starts.write_text("\n" * 500, encoding="utf-8")
    assert start() == ["waits 60", served]
    long_ago = time.time() - 120
    os.utime(starts, (long_ago, long_ago))
    assert start() == ["waits 0", served]
