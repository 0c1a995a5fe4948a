"""A stand-in for a Qdrant server that outlives its process: what it acknowledged is on the disk."""

import pickle
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from tests.integration.qdrant_server import StandIn


class DurableStandIn(StandIn):
    """A stand-in that finds again in a folder what it was told before it died.

    Args:
        folder: for the collections and what is known of them; made where it is missing.
        api_key: that may do everything; None asks for no key.
        read_only_api_key: that may only read.
        address: to listen on.
        ports: of REST and gRPC, 0 for free ones.
    """

    def __init__(
        self,
        folder: Path,
        api_key: str | None = None,
        *,
        read_only_api_key: str | None = None,
        address: str = "127.0.0.1",
        ports: tuple[int, int] = (0, 0),
    ) -> None:
        self._kept = folder / "state"
        (folder / "collections").mkdir(parents=True, exist_ok=True)
        super().__init__(
            folder / "collections",
            api_key,
            read_only_api_key=read_only_api_key,
            address=address,
            ports=ports,
        )

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
