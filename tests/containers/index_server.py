"""The tests' stand-in for a Qdrant server, as a process of its container: REST 6333, gRPC 6334."""

import os
import signal
from pathlib import Path

from tests.integration.qdrant_durable import DurableStandIn

DurableStandIn(
    Path("/qdrant/storage"),
    os.environ.get("QDRANT__SERVICE__API_KEY"),
    read_only_api_key=os.environ.get("QDRANT__SERVICE__READ_ONLY_API_KEY"),
    address="0.0.0.0",
    ports=(6333, 6334),
)
signal.pause()
