"""Which passages should MaxSim be computed for? Ways to choose them, side by side on real vectors.

python -m benchmarks.search.candidates FOLDER OUT.json

FOLDER is one that `benchmarks.search prepare` wrote.

For each way the share of the exact top ten that is among the first C, into OUT.json and OUT.md.
Slow parts are plain torch: only recall is measured here, not time.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.search.data import passages, queries, real_count
from retriever.engines.pooling import cluster_sums, pool_tokens
from retriever.scoring import maxsim_ragged

TOP_K = 10
QUERIES, TOKENS = 90, 56
TEXT_TOKENS = 32  # of kbvqa-mini's 56 query rows; the others come from the picture
CANDIDATES = (100, 200, 500, 1_000, 2_000)
CHAINED = (50, 100, 200, 400)


class Corpus:
    """Passages end to end, queries, and the truth."""

    def __init__(self, folder: Path, pool: int = 1) -> None:
        rows = [pool_tokens(r, pool) for _, r in passages(folder, real_count(folder))]
        self.lengths_N = torch.tensor([len(r) for r in rows])
        self.rows_TD = torch.from_numpy(np.concatenate(rows))
        self.q_BQD = torch.from_numpy(np.stack(queries(folder, QUERIES, TOKENS)))
        self.owner_T = torch.repeat_interleave(torch.arange(len(rows)), self.lengths_N)

    def maxsim(self, q_BQD: Tensor) -> Tensor:
        """Return exact scores [B, N]."""
        return maxsim_ragged(q_BQD, self.rows_TD, self.lengths_N)

    @property
    def means_ND(self) -> Tensor:
        """Return the mean row of each passage."""
        return torch.segment_reduce(self.rows_TD, "mean", lengths=self.lengths_N, axis=0)


def unit(x: Tensor) -> Tensor:
    """Return vectors at norm 1."""
    return torch.nn.functional.normalize(x, dim=-1)


def found(top_BK: Tensor, chosen_BC: Tensor) -> np.ndarray:
    """Return for each query the share of its top ten that was chosen."""
    pairs = zip(top_BK.tolist(), chosen_BC.tolist(), strict=True)
    return np.array([len(set(top) & set(chosen)) / len(top) for top, chosen in pairs])


def kmeans(x_ND: Tensor, groups: int, rounds: int = 6) -> Tensor:
    """Return unit centres [K, D]."""
    centres = x_ND[torch.randperm(len(x_ND))[:groups]]
    for _ in range(rounds):
        nearest = (x_ND @ centres.T).argmax(1)
        centres = unit(torch.zeros_like(centres).index_add_(0, nearest, x_ND))
    return centres


def nearest_groups(x_ND: Tensor, centres_KD: Tensor) -> Tensor:
    """Return the nearest centre of each row."""
    return torch.cat([(part @ centres_KD.T).argmax(1) for part in x_ND.split(50_000)])


def fixed_dimensional(corpus: Corpus, groups_T: Tensor, groups_BQ: Tensor, count: int) -> Tensor:
    """Return scores of encodings with a block for each group of the space (MUVERA).

    A passage's block is the mean of its rows there, or of all its rows where it has none; a
    query's the sum.
    """
    N, D = len(corpus.lengths_N), corpus.rows_TD.shape[1]
    at_T = corpus.owner_T * count + groups_T
    sums = torch.zeros(N * count, D).index_add_(0, at_T, corpus.rows_TD)
    sizes = torch.zeros(N * count).index_add_(0, at_T, torch.ones(len(at_T)))
    blocks = (sums / sizes.clamp_min(1)[:, None]).view(N, count, D)
    blocks = torch.where((sizes == 0).view(N, count, 1), corpus.means_ND[:, None], blocks)
    q = torch.zeros(len(groups_BQ), count, D)
    q.scatter_add_(1, groups_BQ[:, :, None].expand(-1, -1, D), corpus.q_BQD)
    return q.flatten(1) @ blocks.flatten(1).T


def ways(corpus: Corpus) -> Iterator[tuple[str, Tensor]]:
    """Yield the name of each way, and the score [B, N] by which it chooses."""
    q_BQD, D = corpus.q_BQD, corpus.rows_TD.shape[1]
    means = corpus.means_ND
    mean_q = q_BQD.mean(1)
    yield "mean, dot product", mean_q @ means.T
    yield "mean, cosine", mean_q @ unit(means).T
    yield "mean, cosine, corpus mean taken off", mean_q @ unit(means - means.mean(0)).T
    parts = [q_BQD[:, :TEXT_TOKENS].mean(1), q_BQD[:, TEXT_TOKENS:].mean(1)]
    yield "means of text and picture, normalised, summed", sum(map(unit, parts)) @ unit(means).T
    ranks = [(-(part @ unit(means).T)).argsort(1).argsort(1).float() for part in parts]
    yield "means of text and picture, reciprocal ranks", 1 / (60 + ranks[0]) + 1 / (60 + ranks[1])
    yield "means of text and picture, best rank", -torch.minimum(*ranks)
    torch.manual_seed(0)
    planes = torch.randn(D, 4)
    powers = 2 ** torch.arange(4)
    cells = ((corpus.rows_TD @ planes > 0) * powers).sum(1)
    yield (
        "fixed-dimensional, 16 random cells, 2,048 dims",
        fixed_dimensional(corpus, cells, ((q_BQD @ planes > 0) * powers).sum(-1), 16),
    )
    sample = corpus.rows_TD[torch.randperm(len(corpus.rows_TD))[:60_000]]
    for count in (16, 64):
        centres = kmeans(sample, count)
        groups = nearest_groups(corpus.rows_TD, centres)
        name = f"fixed-dimensional, {count} learned cells, {count * D:,} dims"
        query_groups = (q_BQD @ centres.T).argmax(2)
        yield name, fixed_dimensional(corpus, groups, query_groups, count)
    for count in (1_024, 4_096):
        centres = kmeans(sample, count, rounds=4)
        codes = nearest_groups(corpus.rows_TD, centres)
        rows = corpus.rows_TD
        corpus.rows_TD = centres[codes]
        yield f"centroids instead of rows (PLAID), {count:,}", corpus.maxsim(q_BQD)
        corpus.rows_TD = rows
    for rows_left in (4, 8, 16):
        digest = torch.stack(
            [_padded(cluster_sums(q.numpy(), rows_left), rows_left) for q in q_BQD]
        )
        yield f"digest of {rows_left} query rows, all passages", corpus.maxsim(digest)


def _padded(rows: np.ndarray, count: int) -> Tensor:
    return torch.from_numpy(np.pad(rows, ((0, count - len(rows)), (0, 0))))


def chained(mean_BN: Tensor, digest_BN: Tensor, means: int, candidates: int) -> Tensor:
    """Return what the means and then the digest choose."""
    first = mean_BN.topk(means).indices
    return first.gather(1, digest_BN.gather(1, first).topk(candidates).indices)


def main() -> None:
    """Measure, print a table, write JSON."""
    folder, out = map(Path, sys.argv[1:])
    torch.set_num_threads(2)
    corpus = Corpus(folder)
    top = corpus.maxsim(corpus.q_BQD).topk(TOP_K).indices
    results: dict[str, dict[str, float]] = {}
    kept: dict[str, Tensor] = {}

    def note(name: str, candidates: int, shares: np.ndarray) -> None:
        results.setdefault(name, {})[str(candidates)] = float(shares.mean())
        results[name][f"{candidates} stderr"] = float(shares.std() / np.sqrt(len(shares)))

    for name, scores in ways(corpus):
        for candidates in CANDIDATES:
            note(name, candidates, found(top, scores.topk(candidates).indices))
        if name == "mean, cosine" or name.startswith("digest"):
            kept[name] = scores
        print(name, results[name], flush=True)
    for rows_left in (4, 8, 16):
        for means in (1_000, 2_000, 4_000):
            for candidates in CHAINED:
                digest = kept[f"digest of {rows_left} query rows, all passages"]
                chosen = chained(kept["mean, cosine"], digest, means, candidates)
                note(f"{means:,} means, digest of {rows_left}", candidates, found(top, chosen))
            print(rows_left, means, results[f"{means:,} means, digest of {rows_left}"], flush=True)
    for factor in (2, 3, 4):
        pooled = Corpus(folder, factor)
        chosen = pooled.maxsim(pooled.q_BQD).topk(TOP_K).indices
        name = f"passage tokens pooled by {factor}, exact"
        note(name, TOP_K, found(top, chosen))
        note(name, 5, found(top[:, :5], chosen[:, :5]))
        results[name]["rows"] = len(pooled.rows_TD) / len(corpus.rows_TD)
        print(name, results[name], flush=True)
    out.write_text(json.dumps({"queries": QUERIES, "ways": results}, indent=1) + "\n")
    out.with_suffix(".md").write_text(tables(results), encoding="utf-8")


def tables(results: dict[str, dict[str, float]]) -> str:
    """Return the shares found, with standard errors, by way and by number of candidates."""
    parts = []
    for candidates in (CANDIDATES, CHAINED, (5, TOP_K)):
        ways = [name for name, row in results.items() if {*map(str, candidates)} <= row.keys()]
        head = ["chosen by", *(f"C = {c:,}" for c in candidates)]
        lines = [head, ["---", *["---:"] * len(candidates)]]
        for name in ways:
            row = results[name]
            lines.append(
                [name, *(f"{row[str(c)]:.3f} ± {row[f'{c} stderr']:.3f}" for c in candidates)]
            )
        parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
