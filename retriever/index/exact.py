"""Every score of every passage, from memory: the oracle for recall, and the fast path on a GPU.

The rows of all passages lie end to end in one tensor, passages sorted by length. Equal lengths
are neighbours, so that a run of them is a [N, P, D] view without padding or gathering: one matrix
product and one max. No more than a tile of similarities exists at a time. On a GPU one kernel
scores them all (`fused.py`), where rows are in float16 or int8.

Shapes: B queries · Q query tokens · N passages · P passage tokens · T rows of all passages ·
D embedding dim
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Self

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from corpus.types import Hit, Passage
from retriever.encoding.compiling import CompiledFunction
from retriever.errors import CorpusTooLarge
from retriever.index.filters import PassageFilter
from retriever.index.ordered import Ordered, Precision, Rows, row_bytes
from retriever.index.passage_index import Fingerprint, PassageIndex, SearchMode
from retriever.index.search import query_rows
from retriever.scoring import maxsim_equal

# Similarities held at once: 64 MiB of float32. Scores do not depend on it.
_TILE = 2**24
_COLUMNS = 2_048  # query rows in one matrix product
_MEMORY = Path("/proc/meminfo")
_SPARE_BYTES = 512 * 2**20  # left for tiles and everything else


class _Run(NamedTuple):
    """Passages of one length: `size` of them from passage `first` on, rows from `row` on."""

    first: int
    size: int
    length: int
    row: int


class ExactSearch(ABC):
    """The exact search of a whole corpus, in the place of a `PassageIndex`.

    Attributes:
        passages: of the corpus, in the order in which they are kept.
        fingerprint: of the index that they were read from.
    """

    passages: Sequence[Passage]
    fingerprint: Fingerprint

    @property
    def count(self) -> int:
        """The number of passages."""
        return len(self.passages)

    def search(
        self,
        q_QD: ArrayLike,
        top_k: int,
        filter: PassageFilter | None = None,
        mode: SearchMode = "exact",
        candidates: int = 0,
    ) -> list[Hit]:
        """Return the passages with the highest MaxSim, as `PassageIndex.search` does.

        `mode` and `candidates` are there so that one can take the place of the other: nothing
        here is approximate.
        """
        return self.search_many([q_QD], top_k, filter)[0]

    @abstractmethod
    def search_many(
        self, queries: Sequence[ArrayLike], top_k: int, filter: PassageFilter | None = None
    ) -> list[list[Hit]]:
        """Return what `search` returns, for each of many queries, in fewer passes."""


class ExactSearcher(ExactSearch):
    """A corpus in memory.

        with PassageIndex.open(location) as index:
            searcher = ExactSearcher.load(index)
        hits = searcher.search(q_QD, top_k=5)

    Threads may share one.
    """

    def __init__(
        self,
        passages: Sequence[Passage],
        lengths: Sequence[int],
        rows_TD: Tensor,
        fingerprint: Fingerprint,
        scales_T: Tensor | None = None,
    ) -> None:
        """Not for callers: use `load`. Passages must be sorted by length."""
        self.passages, self.fingerprint = passages, fingerprint
        self._rows_TD, self._scales_T = rows_TD, scales_T
        self._runs = _runs(lengths)
        self._starts_N, self._lengths_N = torch.empty(0), torch.empty(0)
        self._score: Callable[[Tensor, Tensor, int], Tensor] = maxsim_equal
        self._scan: Callable[[ExactSearcher, Tensor], Tensor] = _scan_tiles
        device = rows_TD.device
        if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0):
            self._score = CompiledFunction(maxsim_equal)
            if rows_TD.dtype in (torch.float16, torch.int8):
                lengths_N = torch.tensor(lengths)
                self._starts_N = (lengths_N.cumsum(0) - lengths_N).to(device)
                self._lengths_N = lengths_N.to(device, torch.int32)
                self._scan = CompiledFunction(_scan_tiles, _scan_fused)

    @classmethod
    def load(
        cls,
        index: PassageIndex,
        device: torch.device | str = "cpu",
        precision: Precision | None = None,
    ) -> Self:
        """Return the corpus of an index, read once.

        Args:
            index: open for searching.
            device: where it is kept and scored.
            precision: float16 (default on a GPU), float32 (default on a CPU, where half precision
                is slow), or int8 with a scale a row: a quarter of float32's memory, scores off by
                up to 0.5% of the number of query tokens.

        Raises:
            CorpusTooLarge: if it does not fit into the free memory of the device.
        """
        device = torch.device(device)
        precision = precision or usual_precision(device)
        ordered, dim = Ordered.of(index), index.fingerprint.dim
        total = int(ordered.starts[-1])
        require_room(total * row_bytes(dim, precision), device, precision)
        rows = Rows.empty(total, dim, precision)
        for start, given in ordered.rows(index, precision):
            rows.put(start, given)
        there = rows.to(device)
        made_from = index.fingerprint
        return cls(ordered.passages, ordered.lengths, there.rows, made_from, there.scales)

    def search_many(
        self, queries: Sequence[ArrayLike], top_k: int, filter: PassageFilter | None = None
    ) -> list[list[Hit]]:
        """Return what `search` returns, for each of many queries, in fewer passes."""
        if top_k < 1:
            raise ValueError(f"top_k must be >= 1, got {top_k}")
        rows = [torch.from_numpy(query_rows(q, self.fingerprint.dim)) for q in queries]
        allowed = None if filter is None else [i for i, p in enumerate(self.passages) if filter(p)]
        hits: list[list[Hit]] = []
        start = 0
        while start < len(rows):
            longest, stop = len(rows[start]), start + 1
            while stop < len(rows):
                longest = max(longest, len(rows[stop]))
                if longest * (stop + 1 - start) > _COLUMNS:
                    break
                stop += 1
            for scores_N in self.scores(rows[start:stop]).cpu():
                hits.append(self._best(scores_N, top_k, allowed))
            start = stop
        return hits

    @torch.inference_mode()
    def scores(self, queries: Sequence[Tensor]) -> Tensor:
        """Return the scores [B, N] of a few queries [Q, D] for `passages`, in their order."""
        # Queries are padded with zero rows, which have the similarity 0 with every row and so add
        # 0 to every sum: exact.
        q_BQD = torch.nn.utils.rnn.pad_sequence(list(queries), batch_first=True)
        return self._scan(self, q_BQD.to(self._rows_TD.device)).T

    def _best(self, scores_N: Tensor, top_k: int, allowed: list[int] | None) -> list[Hit]:
        chosen = torch.arange(self.count) if allowed is None else torch.tensor(allowed)
        scores = scores_N[chosen.long()]
        if not len(scores):
            return []
        lowest = scores.topk(min(top_k, len(scores))).values[-1]
        at = (scores >= lowest).nonzero()[:, 0]
        hits = [
            Hit(self.passages[i], score)
            for i, score in zip(chosen[at].tolist(), scores[at].tolist(), strict=True)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.passage.id))[:top_k]


def _scan_tiles(searcher: ExactSearcher, q_BQD: Tensor) -> Tensor:
    """Return the scores [N, B] by matrix products, a tile of passages of one length at a time."""
    rows_TD, scales_T = searcher._rows_TD, searcher._scales_T
    B, Q, D = q_BQD.shape
    # All queries are one matrix [C, D] of C = B Q rows.
    q_CD = q_BQD.reshape(B * Q, D).to(torch.float16 if rows_TD.dtype == torch.float16 else None)
    scores_NB = torch.empty(searcher.count, B, device=rows_TD.device)
    for run in searcher._runs:
        # So many passages of this length have _TILE similarities with all query rows.
        step = max(1, _TILE // (B * Q * run.length))
        for n in range(0, run.size, step):
            m = min(step, run.size - n)
            # Their rows lie end to end: the view [m, P, D] copies nothing.
            rows = slice(run.row + n * run.length, run.row + (n + m) * run.length)
            tile_TD = rows_TD[rows]
            if scales_T is not None:
                tile_TD = tile_TD.float() * scales_T[rows, None]
            place = slice(run.first + n, run.first + n + m)
            scores_NB[place] = searcher._score(tile_TD.view(m, run.length, D), q_CD, Q)
    return scores_NB


def _scan_fused(searcher: ExactSearcher, q_BQD: Tensor) -> Tensor:
    """Return the scores [N, B] by one kernel."""
    from retriever.index.fused import maxsim_fused  # Triton is there with CUDA alone

    return maxsim_fused(
        q_BQD.half().contiguous(),
        searcher._rows_TD,
        searcher._starts_N,
        searcher._lengths_N,
        searcher._scales_T,
    )


def _runs(lengths: Sequence[int]) -> list[_Run]:
    runs: list[_Run] = []
    first = row = 0
    for length, group in groupby(lengths):
        count = len(list(group))
        runs.append(_Run(first, count, length, row))
        first, row = first + count, row + count * length
    return runs


def usual_precision(device: torch.device) -> Precision:
    """Return the numbers that rows are kept in on a device where nobody says."""
    return "float16" if device.type == "cuda" else "float32"


def free_for_rows(device: torch.device) -> int | None:
    """Return the bytes that rows may take on a device now; None where it is not known."""
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    elif _MEMORY.exists():
        # Not SC_AVPHYS_PAGES: files in the page cache give way, and there are always some.
        free = 1024 * int(_MEMORY.read_text().partition("MemAvailable:")[2].split()[0])
    else:  # as on macOS
        return None
    return max(0, free - _SPARE_BYTES)


def require_room(needed: int, device: torch.device, precision: str) -> None:
    """Raise CorpusTooLarge if so many bytes are not free on a device."""
    free = free_for_rows(device)
    if free is not None and needed > free:
        raise CorpusTooLarge(
            f"the corpus takes {needed:,} bytes as {precision}, {free:,} are free on {device}: "
            'take another device, precision="int8" or `retriever.index.parts`, or search the index '
            'with mode="exact"'
        )
