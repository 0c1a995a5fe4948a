"""What stands beside the server under test, each as a process of its own that may be killed.

    python -m tests.chaos.parts index FOLDER      prints its REST and its gRPC port
    python -m tests.chaos.parts generator         prints its port

The index is the tests' stand-in for a Qdrant server; it finds again what it was told before it
died. The generator is the stand-in for an OpenAI-compatible server.
"""

import json
import signal
import sys
from pathlib import Path

from tests.integration.generator_server import answer_with_all, serve
from tests.integration.qdrant_durable import DurableStandIn


def main() -> None:
    """Be the part that is named, until killed."""
    if sys.argv[1] == "index":
        index = DurableStandIn(Path(sys.argv[2]))
        print(json.dumps([index.port, index.grpc_port]), flush=True)
        signal.pause()
    with serve() as generator:
        generator.answer = answer_with_all
        print(json.dumps([int(generator.url.split(":")[2].split("/")[0])]), flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
