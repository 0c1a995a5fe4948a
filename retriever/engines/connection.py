"""How a Qdrant server is reached, and how a collection is laid out on it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

VectorsMemory = Literal["cold", "cached"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """How a new collection is laid out. docs/guide/index.md advises, `kbvqa index plan` computes.

    Attributes:
        shards: parts of the collection; two a node let the cluster grow. None for one a node.
        replicas: copies of each part; 2 survive the loss of a node.
        write_consistency: copies that must have a write before it counts.
        tokens_memory: "cold" reads token vectors from disk as they are needed, "cached" reads
            them into the disk cache at the start. Qdrant pins no vectors.
        means_memory: likewise of the means.
    """

    shards: int | None = None
    replicas: int = 1
    write_consistency: int = 1
    tokens_memory: VectorsMemory = "cold"
    means_memory: VectorsMemory = "cached"

    def __post_init__(self) -> None:
        numbers = (self.shards or 1, self.replicas, self.write_consistency)
        if min(numbers) < 1 or self.write_consistency > self.replicas:
            raise ValueError(
                f"shards, replicas and write_consistency must be >= 1, the last at most the "
                f"number of replicas; got {self.shards}, {self.replicas}, {self.write_consistency}"
            )


@dataclass(frozen=True, slots=True)
class QdrantConnection:
    """How to talk to a Qdrant server; without meaning for a directory.

    Attributes:
        api_key: sent with every request; None sends none.
        ca_file: certificates (PEM) that an https:// server's must be signed by; None for the
            authorities that everybody trusts.
        grpc_port: where vectors are written and read; None for the port of the URL plus one.
        timeout_seconds: for one request; the server is told.
        attempts: how often a request is tried, at least, while the server is away or busy.
        retry_seconds: the first wait between two; each next one is twice as long, give or take.
        build_wait_seconds: how long whoever writes waits for a server that is away; 0 for no
            longer than the attempts take.
        work_seconds: how long the server may work in the background, on a snapshot or without
            moving on an optimisation, before it is given up.
        cluster: the layout of collections that are made.
    """

    api_key: str | None = None
    ca_file: Path | None = None
    grpc_port: int | None = None
    timeout_seconds: int = 60
    attempts: int = 5
    retry_seconds: float = 0.5
    build_wait_seconds: int = 0
    work_seconds: int = 3600
    cluster: Cluster = field(default_factory=Cluster)

    def __repr__(self) -> str:
        return (
            f"QdrantConnection(grpc_port={self.grpc_port}, timeout_seconds={self.timeout_seconds})"
        )


DEFAULT_CONNECTION = QdrantConnection()


def is_url(location: Path | str) -> bool:
    """Return whether a location is a collection on a server, not a directory."""
    return str(location).startswith(("http://", "https://"))
