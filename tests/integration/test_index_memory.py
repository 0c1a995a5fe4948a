"""Building an index keeps neither embeddings nor texts in memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEWER, MORE = 2_000, 7_000
# A passage has a text of 6,000 characters and 84 rows: 21 kB as float16. 1.3 kB were measured.
TEXT, BYTES_A_PASSAGE = 6_000, 3_000


def peak(passages: int) -> int:
    """Return the most anonymous memory of a process that builds an index."""
    command = [sys.executable, "-m", "benchmarks.search.index_memory", str(passages)]
    command += ["--text", str(TEXT)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=300)
    found = json.loads(done.stdout)
    return int(max(found["writing"], found["finishing"]))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_a_passage_more_takes_a_fraction_of_its_size_in_memory() -> None:
    growth = peak(MORE) - peak(FEWER)
    assert growth < (MORE - FEWER) * BYTES_A_PASSAGE
