"""Memory is looked at while work goes on, and growth is told apart from what comes and goes."""

import asyncio
import subprocess
import sys

import pytest

from benchmarks.growth import MIB, Look, growth, look, series, watched

# Takes so many MiB, says so, and waits for a line before each further amount.
TAKES = """
import sys
held = []
for line in sys.stdin:
    held.append(bytearray(b"x" * (int(line) << 20)))
    print(flush=True)
"""


def test_a_process_that_takes_memory_is_seen_to() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TAKES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        sizes = []
        for mebibytes in (1, 64):
            process.stdin.write(f"{mebibytes}\n")
            process.stdin.flush()
            process.stdout.readline()
            sizes.append(look(process.pid))
        process.stdin.close()
    assert 60 < (sizes[1].resident - sizes[0].resident) / MIB < 72
    if sys.platform == "linux":
        first, second = (size.anonymous for size in sizes)
        assert first is not None and second is not None
        assert 60 < (second - first) / MIB < 72
        assert second < sizes[1].resident, "the interpreter itself is a file"


def test_looks_come_at_both_ends_and_between() -> None:
    looks: list[Look] = []
    answers: list[int] = []

    async def work() -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            async with watched(process.pid, lambda: len(answers), looks, every=0.05):
                for number in range(4):
                    await asyncio.sleep(0.1)
                    answers.append(number)
            assert process.stdin is not None
            process.stdin.close()

    asyncio.run(work())
    assert looks[0].answered == 0 and looks[-1].answered == 4
    assert len(looks) >= 5
    assert [one.seconds for one in looks] == sorted(one.seconds for one in looks)


def test_a_peak_is_no_growth_and_a_slope_is() -> None:
    assert growth([*[30] * 10, *[100] * 20, 190, *[100] * 29]) == 0
    assert growth(list(range(100, 160))) == pytest.approx(154.5 / 114.5 - 1)
    assert growth([9, 4, 4, 4, 4, 4]) == 0, "the warm-up does not count"
    with pytest.raises(ValueError, match="at least 6"):
        growth([1, 2, 3])


def test_a_series_shows_its_ends_and_says_how_much_it_grew() -> None:
    looks = [Look(30.0 * n, 10 * n, (1000 + n) * MIB, (500 + n) * MIB) for n in range(61)]
    lines = series(looks).splitlines()
    assert lines[2].startswith("| 0.0 | 0 | 1000 | 500 |")
    assert lines[-3] == "| 30.0 | 600 | 1060 | 560 |"
    assert len(lines) < 20
    assert "Of 61 looks, from the median of minutes 5 to 10 to that of the last 5" in lines[-1]
    assert "resident memory grew by 4.0%, anonymous memory by 8.0%" in lines[-1]
    elsewhere = series([Look(30.0 * n, n, MIB, None) for n in range(12)])
    assert "anonymous memory" not in elsewhere and "resident memory grew by 0.0%" in elsewhere
