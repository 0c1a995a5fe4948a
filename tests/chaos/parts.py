"""What stands beside the server under test, each as a process of its own that may be killed.

    python -m tests.chaos.parts index FOLDER      prints its REST and its gRPC port
    python -m tests.chaos.parts generator         prints its port

The index is the tests' stand-in for a Qdrant server; it finds again what it was told before it
died. The generator is the stand-in for an OpenAI-compatible server. What it writes is made of all
that it was sent, picture included: an answer to less than the whole prompt is another answer.
"""

import json
import pickle
import signal
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from tests.integration.generator_server import Handler, serve
from tests.integration.qdrant_server import StandIn


class DurableStandIn(StandIn):
    """A stand-in that outlives its process: what was acknowledged is on the disk."""

    def __init__(self, folder: Path) -> None:
        self._kept = folder / "state"
        (folder / "collections").mkdir(parents=True, exist_ok=True)
        super().__init__(folder / "collections")

    def start(self) -> None:
        if self._kept.exists():
            collections, self.aliases = pickle.loads(self._kept.read_bytes())
            for name, collection in collections.items():
                collection.shard = edge.EdgeShard.load(str(self.directory / name))
                self.collections[name] = collection
        super().start()

    def create(self, name: str, request: Any) -> bool:
        return self._keep(super().create(name, request))

    def drop(self, name: str) -> bool:
        return self._keep(super().drop(name))

    def patch(self, name: str, request: Any) -> bool:
        return self._keep(super().patch(name, request))

    def change_aliases(self, request: Any) -> bool:
        return self._keep(super().change_aliases(request))

    def add_vector(self, name: str, vector: str, config: Any) -> None:
        super().add_vector(name, vector, config)
        self._keep(True)

    def upsert(self, name: str, points: Any) -> None:
        super().upsert(name, points)
        self.collection(name).shard.flush()

    def _keep(self, done: bool) -> bool:
        shards = {name: held.shard for name, held in self.collections.items()}
        for held in self.collections.values():
            held.shard.flush()
            held.shard = None  # type: ignore[assignment]
        try:
            new = self._kept.with_suffix(".new")
            new.write_bytes(pickle.dumps((self.collections, self.aliases)))
        finally:
            for name, shard in shards.items():
                self.collections[name].shard = shard
        new.replace(self._kept)
        return done


def answer(handler: Handler) -> None:
    """Write a word of all that was asked, and cite the first passage."""
    asked = handler.asked["messages" if handler.chat else "prompt"]
    word = sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    handler.events(f" c{word[:6]}", word[6:], " [1]")


def main() -> None:
    """Be the part that is named, until killed."""
    if sys.argv[1] == "index":
        index = DurableStandIn(Path(sys.argv[2]))
        print(json.dumps([index.port, index.grpc_port]), flush=True)
        signal.pause()
    with serve() as generator:
        generator.answer = answer
        print(json.dumps([int(generator.url.split(":")[2].split("/")[0])]), flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
