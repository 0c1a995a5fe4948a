"""What an index of a size takes: bytes, memory, disk, nodes. Arithmetic only.

The factors are the schema's; tests/unit/retriever/building/test_sizing.py compares them with an
index that was built. Nothing beyond 300 thousand passages has been searched
here: the rest is extrapolated.
"""

import math
from dataclasses import dataclass

from retriever.engines.candidates import CANDIDATES, is_large
from retriever.engines.connection import VectorsMemory
from retriever.engines.learned import DIRECTIONS
from retriever.engines.record import DEFAULT_STORAGE, Learned, Storage

_BYTES_PER_NUMBER = {"float32": 4.0, "float16": 2.0, "turbo4": 0.56}  # turbo4 with its scales
_QUANTIZED_BYTES = {None: 0.0, "scalar": 1.0, "binary": 0.125}
_ID_BYTES = 80  # the point's UUID in both directions, version, offset of its rows
_LOG_BYTES = 100 * 2**20  # the write-ahead log, in pieces of 32 MiB
# What finds 0.99 of the ten best among so many passages: docs/measured/candidates.md.
MEASURED_CANDIDATES = ((100_000, 200), (1_000_000, 400))
_USABLE = 0.75  # of a node's memory and disk


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """Sizes in bytes, for all copies of all shards together unless it says otherwise.

    Attributes:
        tokens: the token vectors, on disk.
        quantized: their quantized copy, in memory.
        means: the means, in memory.
        learned: the learned vectors of a large index, in memory.
        ids: the points' ids, in memory.
        payload: the passages, on disk.
        disk: of everything, when nothing is being optimised.
        disk_peak: what must be free at worst.
        memory: what must be in memory for searches not to wait for the disk, but for the tokens
            of the candidates.
        nodes: how many nodes of the given size hold it.
        shards: parts to cut the collection in: two a node.
        tokens_memory: where a server should keep the token vectors: "cached" if they fit into
            the memory of these nodes beside the rest.
        candidates: what a search takes that does not say. A large index learns its own number,
            and `kbvqa index info` says it; without an index that has measured it, it is what made
            passages took, as many or, at most, 300 thousand.
    """

    tokens: int
    quantized: int
    means: int
    learned: int
    ids: int
    payload: int
    disk: int
    disk_peak: int
    memory: int
    nodes: int
    shards: int
    tokens_memory: VectorsMemory
    candidates: int


def plan_index(
    passages: int,
    tokens_per_passage: float,
    *,
    dim: int = 128,
    storage: Storage = DEFAULT_STORAGE,
    replicas: int = 1,
    payload_bytes: int = 700,
    node_memory: int = 64 * 2**30,
    node_disk: int = 2 * 2**40,
    measured: Learned | None = None,
) -> IndexPlan:
    """Return what an index takes.

    Args:
        passages: how many.
        tokens_per_passage: on average, after punctuation is dropped.
        dim: of the embeddings.
        storage: how the tokens are kept.
        replicas: copies of each shard.
        payload_bytes: of a passage's text, title and so on, on average.
        node_memory: of a node of the cluster, in bytes.
        node_disk: of a node of the cluster, in bytes.
        measured: what an index of such passages has learned; None for a general number.

    Raises:
        ValueError: a number is not positive.
    """
    numbers = (passages, tokens_per_passage, dim, replicas, node_memory, node_disk)
    if min(numbers) <= 0 or payload_bytes < 0:
        raise ValueError(f"sizes and counts must be positive, got {numbers}, {payload_bytes}")
    rows = passages * tokens_per_passage * dim * replicas
    points = passages * replicas
    tokens = rows * _BYTES_PER_NUMBER[storage.tokens]
    quantized = rows * _QUANTIZED_BYTES[storage.quantization]
    means, ids = points * dim * 4, points * _ID_BYTES
    payload = points * payload_bytes
    large = is_large(passages)
    learned = int(points * DIRECTIONS * _BYTES_PER_NUMBER["turbo4"]) if large else 0
    disk = tokens + quantized + means + learned + ids + payload + _LOG_BYTES * replicas
    memory = quantized + means + learned + ids
    nodes = max(math.ceil(memory / (node_memory * _USABLE)), 3 if replicas > 1 else 1)
    while _peak(disk, nodes) > nodes * node_disk * _USABLE:
        nodes += 1
    return IndexPlan(
        tokens=int(tokens),
        quantized=int(quantized),
        means=means,
        learned=learned,
        ids=ids,
        payload=payload,
        disk=int(disk),
        disk_peak=int(_peak(disk, nodes)),
        memory=int(memory),
        nodes=nodes,
        shards=1 if nodes == 1 else 2 * nodes,
        tokens_memory="cached" if memory + tokens <= nodes * node_memory * _USABLE else "cold",
        candidates=_candidates(passages, measured),
    )


def _candidates(passages: int, measured: Learned | None) -> int:
    if not is_large(passages):
        return CANDIDATES
    if measured is not None:
        return measured.candidates
    enough = [candidates for size, candidates in MEASURED_CANDIDATES if passages <= size]
    return min(enough, default=MEASURED_CANDIDATES[-1][1])


def _peak(disk: float, nodes: int) -> float:
    """Return what must be free at worst: an optimised segment is written beside the old one.

    On one node, which may be a directory, that is everything; on several a segment of many.
    """
    return disk * (2 if nodes == 1 else 1.1)
