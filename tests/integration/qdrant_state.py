"""What the stand-in for a Qdrant server holds: collections, names and snapshots."""

import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from tests.integration.qdrant_answers import (
    NOT_ENOUGH_SPACE,
    Refusal,
    check_strict,
    check_timeout,
)
from tests.integration.qdrant_requests import edge_filter, edge_graph, edge_vector_params


@dataclass
class Collection:
    """A collection, and its optimiser.

    A "grey" one has work pending since a restart, a "red" one found no room: both go on with the
    next write or change of settings, as "yellow", and after `looks` looks are "green".
    """

    request: models.CreateCollection
    shard: edge.EdgeShard
    metadata: dict[str, Any]
    indexes: dict[str, Any] = field(default_factory=dict)
    strict: models.StrictModeConfig | None = None
    status: str = "green"
    trouble: str = ""
    looks: int = 3

    def woken(self, *, room: bool) -> None:
        if self.status in ("grey", "red"):
            self.status = "yellow" if room else "red"
            self.trouble = "" if room else NOT_ENOUGH_SPACE

    def looked_at(self) -> None:
        if self.status == "yellow":
            self.looks -= 1
            if self.looks <= 0:
                self.status = "green"


_READS = {
    *("version", "aliases", "list", "exists", "info", "cluster"),
    *("retrieve", "retrieve vectors", "count", "facet", "scroll", "scroll vectors", "query"),
    "download",
}


class State:
    """What a server holds. `fault(operation)` is called before each operation: it may raise or
    sleep.
    """

    def __init__(
        self, directory: Path, api_key: str | None, read_only_api_key: str | None = None
    ) -> None:
        self.directory, self.api_key = directory, api_key
        self.read_only_api_key = read_only_api_key
        self.collections: dict[str, Collection] = {}
        self.aliases: dict[str, str] = {}
        self.fault: Callable[[str], None] = lambda operation: None
        self.operations: list[str] = []
        self.timeouts: dict[str, set[int | None]] = {}
        self.version = "1.19.0"
        self.peers = 1
        self.room = True  # for the optimiser
        self.snapshots: dict[str, Collection] = {}
        self.lock = threading.Lock()

    def begin(self, operation: str, key: str | None, timeout: int | None = None) -> None:
        if operation == "version":  # told to everybody
            return
        self.operations.append(operation)
        self.timeouts.setdefault(operation, set()).add(timeout)
        self.fault(operation)
        if self.api_key is None or key == self.api_key or operation == "ready":
            return
        if self.read_only_api_key is None or key != self.read_only_api_key:
            raise Refusal(403, "Forbidden: Invalid api-key")
        if operation not in _READS:
            raise Refusal(403, "Forbidden: Global manage access is required")

    def check(
        self, operation: str, names: tuple[str, ...], request: Any, timeout: int | None
    ) -> None:
        """Refuse what the strict mode of a collection refuses."""
        if operation in ("count", "delete", "facet", "query", "retrieve", "scroll", "index"):
            named = self.collections.get(self.aliases.get(names[0], names[0])) if names else None
            if named is not None:
                check_timeout(named.strict, timeout)
                check_strict(named.strict, operation, request)

    def collection(self, name: str) -> Collection:
        try:
            return self.collections[self.aliases.get(name, name)]
        except KeyError:
            raise Refusal(404, f"Not found: Collection `{name}` doesn't exist!") from None

    def create(self, name: str, request: models.CreateCollection) -> bool:
        if name in self.collections or name in self.aliases:
            raise Refusal(409, f"Wrong input: Collection `{name}` already exists!")
        assert isinstance(request.vectors, dict)
        if any(params.memory == models.Memory.PINNED for params in request.vectors.values()):
            raise Refusal(400, "Wrong input: dense vectors cannot be pinned")
        path = self.directory / name
        path.mkdir()
        vectors = {n: edge_vector_params(params) for n, params in request.vectors.items()}
        config = edge.EdgeConfig(vectors=vectors, hnsw_config=edge_graph(request.hnsw_config))
        shard = edge.EdgeShard.create(str(path), config)
        made = Collection(request, shard, dict(request.metadata or {}))
        made.strict = request.strict_mode_config
        self.collections[name] = made
        return True

    def drop(self, name: str) -> bool:
        if name not in self.collections:
            return False
        self.collections.pop(name).shard.close()
        shutil.rmtree(self.directory / name)
        self.aliases = {a: c for a, c in self.aliases.items() if c != name}
        return True

    def patch(self, name: str, request: models.UpdateCollection) -> bool:
        collection = self.collection(name)
        for key, value in (request.metadata or {}).items():
            if value is None:
                collection.metadata.pop(key, None)
            else:
                collection.metadata[key] = value
        if request.strict_mode_config is not None:
            collection.strict = request.strict_mode_config
        if request.optimizers_config is not None:
            collection.woken(room=self.room)
        return True

    def snapshot(self, name: str) -> str:
        """Keep a copy of a collection, with its metadata as they are."""
        name = self.aliases.get(name, name)
        collection = self.collection(name)
        collection.shard.flush()
        snapshot = f"{name}-2026.snapshot"
        folder = self.directory.with_name("snapshots") / snapshot
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.directory / name, folder)
        self.snapshots[snapshot] = replace(collection, metadata=dict(collection.metadata))
        return snapshot

    def recover(self, name: str, location: str) -> bool:
        """Put a snapshot in the place of a collection, or make one of it."""
        snapshot = location.rpartition("/")[2]
        if snapshot not in self.snapshots:
            raise Refusal(404, f"Not found: Snapshot {location}")
        if name in self.collections:
            self.collections.pop(name).shard.close()
            shutil.rmtree(self.directory / name)
        folder = self.directory.with_name("snapshots") / snapshot
        shutil.copytree(folder, self.directory / name)
        shard = edge.EdgeShard.load(str(self.directory / name))
        kept = self.snapshots[snapshot]
        self.collections[name] = replace(kept, shard=shard, metadata=dict(kept.metadata))
        return True

    def cluster(self, name: str) -> dict[str, Any]:
        """Say where shards are: the first node, which is asked, holds every peers-th."""
        request = self.collection(name).request
        shards = request.shard_number or self.peers
        replicas = min(request.replication_factor or 1, self.peers)
        placed = [(s, (s + r) % self.peers) for s in range(shards) for r in range(replicas)]
        return {
            "peer_id": 0,
            "shard_count": shards,
            "local_shards": [
                {"shard_id": s, "points_count": 0, "state": "Active"} for s, p in placed if p == 0
            ],
            "remote_shards": [
                {"shard_id": s, "peer_id": p, "state": "Active"} for s, p in placed if p != 0
            ],
            "shard_transfers": [],
        }

    def change_aliases(self, request: models.ChangeAliasesOperation) -> bool:
        for action in request.actions:
            if isinstance(action, models.CreateAliasOperation):
                if action.create_alias.alias_name in self.collections:
                    raise Refusal(400, "Wrong input: a collection has this name")
                self.collection(action.create_alias.collection_name)
                self.aliases[action.create_alias.alias_name] = action.create_alias.collection_name
            elif isinstance(action, models.DeleteAliasOperation):
                self.aliases.pop(action.delete_alias.alias_name, None)
        return True

    def add_vector(self, name: str, vector: str, config: models.DenseVectorConfig) -> None:
        """Let the points of a collection have one more vector."""
        collection = self.collection(name)
        vectors = collection.request.vectors
        assert isinstance(vectors, dict) and config.datatype is not None
        if vector in vectors:
            raise Refusal(409, f"Wrong input: Vector `{vector}` already exists!")
        datatype = config.datatype.value
        collection.shard.update(
            edge.UpdateOperation.create_dense_vector(
                vector,
                config.size,
                getattr(edge.Distance, config.distance.value),
                datatype=getattr(edge.VectorStorageDatatype, datatype.capitalize()),
            )
        )
        vectors[vector] = models.VectorParams(
            size=config.size, distance=config.distance, datatype=models.Datatype(datatype)
        )

    def set_vectors(self, name: str, points: list[models.PointVectors]) -> None:
        collection = self.collection(name)
        check_strict(collection.strict, "upsert", points)
        self._check_sizes(collection, points)
        new = [edge.PointVectors(str(p.id), p.vector) for p in points]
        collection.shard.update(edge.UpdateOperation.update_vectors(new))
        collection.woken(room=self.room)

    def _check_sizes(
        self,
        collection: Collection,
        points: Sequence[models.PointStruct | models.PointVectors],
    ) -> None:
        vectors = collection.request.vectors
        assert isinstance(vectors, dict)
        for point in points:
            assert isinstance(point.vector, dict)
            for vector_name, vector in point.vector.items():
                if vector_name not in vectors:
                    text = f"Not existing vector name error: {vector_name}"
                    raise Refusal(400, f"Wrong input: {text}")
                rows: Any = vector if isinstance(vector[0], list) else [vector]  # type: ignore[index]
                for row in rows:
                    if len(row) != (size := vectors[vector_name].size):
                        text = f"expected dim: {size}, got {len(row)}"
                        raise Refusal(400, f"Wrong input: Vector dimension error: {text}")

    def upsert(self, name: str, points: list[models.PointStruct]) -> None:
        collection = self.collection(name)
        check_strict(collection.strict, "upsert", points)
        self._check_sizes(collection, points)
        new = [edge.Point(str(p.id), p.vector, p.payload) for p in points]
        collection.shard.update(edge.UpdateOperation.upsert_points(new))
        collection.woken(room=self.room)

    def info(self, name: str) -> dict[str, Any]:
        collection = self.collection(name)
        collection.looked_at()
        strict = collection.strict
        return {
            "status": collection.status,
            "optimizer_status": {"error": collection.trouble} if collection.trouble else "ok",
            "segments_count": 1 if collection.status == "green" else 69,
            "indexed_vectors_count": 0,
            "points_count": collection.shard.count(edge.CountRequest(exact=True)),
            "payload_schema": {},
            "config": {
                "params": {
                    "vectors": collection.request.model_dump(mode="json")["vectors"],
                    "replication_factor": collection.request.replication_factor,
                },
                "strict_mode_config": strict and strict.model_dump(mode="json"),
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1000,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
                "metadata": collection.metadata,
            },
        }

    def scroll(self, name: str, request: models.ScrollRequest) -> tuple[list[Any], Any]:
        check_strict(self.collection(name).strict, "scroll", request)
        records, following = self.collection(name).shard.scroll(
            edge.ScrollRequest(
                offset=None if request.offset is None else str(request.offset),
                limit=request.limit,
                filter=edge_filter(request.filter),
                with_payload=request.with_payload,  # type: ignore[arg-type]
                with_vector=bool(request.with_vector),
            )
        )
        return list(records), following
