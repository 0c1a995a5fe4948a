"""The tests' stand-in for vLLM, as a process of its container: `vllm serve MODEL` on port 8000."""

import os
import signal
import sys
from pathlib import Path

from tests.integration.generator_server import answer_with_all, serve

# As `hf download` of the same image left it, in the volume.
downloaded = Path.home() / "model"
[command, model, *options] = sys.argv[1:]
assert (command, downloaded.read_text().strip()) == ("serve", model), sys.argv
with serve(8000, address="0.0.0.0", key=os.environ["VLLM_API_KEY"], model=model) as server:
    server.answer = answer_with_all
    signal.pause()
