"""Thousands of broken and hostile pictures through what decodes uploads: read, or refused in words.

KBVQA_TEST_MUTATIONS is how many, KBVQA_TEST_SEED which.
"""

import json
import os
import subprocess
import sys

from tests.mutated_pictures import harmful, mutated, originals, read

COUNT = int(os.environ.get("KBVQA_TEST_MUTATIONS", "400"))
SEED = int(os.environ.get("KBVQA_TEST_SEED", "1"))
MOST_MEMORY = 1 << 30  # these are small: none may make anything large


def test_no_picture_breaks_the_process() -> None:
    words = ["-m", "tests.mutated_pictures", "--count", f"{COUNT}", "--seed", f"{SEED}"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout)
    assert said["read"] + said["refused"] == COUNT
    assert said["read"] and said["refused"]
    assert said["peak_bytes"] < MOST_MEMORY, said


def test_the_whole_ones_are_read() -> None:
    for name, data in originals().items():
        assert read(name, data), name


def test_what_means_harm_is_refused_or_harmless() -> None:
    names = {name for name, data in harmful().items() if read(name, data)}
    # A whole picture with something behind or between its parts is that picture, and no more.
    assert names <= {
        "png and zip",
        "jpeg and html",
        "gif and script",
        "png with a flood of text",
        "png with a flooded profile",
        "png with a flood of pixels",
        "bmp, upside down for ever",
        "tiff whose directory is its own next",
    }


def test_a_seed_gives_the_same_pictures() -> None:
    assert list(mutated(60, 7)) == list(mutated(60, 7)) != list(mutated(60, 8))
