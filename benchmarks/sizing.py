"""The tables of docs/guide/sizing.md: passages by `plan_index`, questions by division.

    python -m benchmarks.sizing

Nothing is measured here. What was measured stands in MEASURED, with the page that has it; a test
holds both pages to it.
"""

import math

from retriever.building.sizing import IndexPlan, plan_index
from retriever.engines.record import LEARNED_WIDENING, Storage

PASSAGES = (10**5, 10**6, 10**7, 10**8, 10**9)
RATES = (1, 10, 1_000)
TOKENS = 100  # of a passage
DIM = 128
MOST_BUSY = 0.7  # of a process or a core: nearer to 1 the line grows without end
STORAGES = {
    "float32": Storage("float32"),
    "float16, the default": Storage(),
    "float16 and a scalar copy": Storage("float16", "scalar"),
    "float16 and a binary copy": Storage("float16", "binary"),
    "turbo4": Storage("turbo4"),
}

# By what was measured: the figure as its page has it, and the page.
MEASURED = {
    "answers a second": ("3.21", "load.md"),
    "MiB of a process": ("1654", "load.md"),
    "queries encoded a core-second": ("8.5", "encoding.md"),
    "passages encoded a core-second": ("11.7", "encoding.md"),
    "milliseconds of a search": ("26.1", "candidates.md"),
}


def measured(what: str) -> float:
    """Return a figure that was measured."""
    return float(MEASURED[what][0])


def busy(rate: float, each: float) -> int:
    """Return how many take `rate` a second, where each can take `each`, none busier than it may be.

    >>> busy(10, 3.21)
    5
    """
    return math.ceil(rate / (each * MOST_BUSY))


def bytes_a_passage() -> str:
    """Return the bytes of a passage by how its tokens are kept, as a table."""
    million = 10**6
    rows = []
    for name, storage in STORAGES.items():
        plan = plan_index(million, TOKENS, dim=DIM, storage=storage)
        cells = [plan.tokens, plan.quantized, plan.means, plan.learned, plan.ids]
        cells += [plan.payload, plan.memory, plan.disk]
        rows.append([name, *(f"{cell / million:,.0f}" for cell in cells)])
    return table(
        ["tokens", "vectors", "copy", "mean", "learned", "id", "text", "in memory", "on disk"], rows
    )


def an_index() -> str:
    """Return what so many passages take, as a table."""
    rows = []
    for passages in PASSAGES:
        one = plan_index(passages, TOKENS)
        two = plan_index(passages, TOKENS, replicas=2)
        copy = plan_index(passages, TOKENS, storage=Storage("float16", "binary"))
        hours = passages / measured("passages encoded a core-second") / 3600
        rows.append(
            [
                f"{passages:,}",
                *(_size(size) for size in (one.disk, one.disk_peak, one.memory)),
                *(_size(size) for size in (one.memory + one.tokens, copy.memory)),
                f"{one.nodes:,}",
                f"{two.nodes:,}",
                f"{hours:,.0f}",
            ]
        )
    heads = ["passages", "disk", "disk at worst", "memory", "with the tokens", "with a binary copy"]
    return table([*heads, "nodes", "two replicas", "core-hours"], rows)


def questions() -> str:
    """Return what so many questions a second take, as a table."""
    rows = []
    for rate in RATES:
        processes = busy(rate, measured("answers a second"))
        memory = processes * measured("MiB of a process") * 2**20
        search = busy(rate, 1000 / measured("milliseconds of a search"))
        rows.append(
            [
                f"{rate:,}",
                f"{processes:,}",
                _size(memory),
                f"{busy(rate, measured('queries encoded a core-second')):,}",
                f"{search:,}",
                *(f"{_size(rate * bytes_read(plan()))}/s" for plan in (_plain, _with_copy)),
            ]
        )
    heads = ["a second", "processes", "their memory", "cores that encode", "cores that search"]
    return table([*heads, "read", "with a copy"], rows)


def bytes_read(plan: IndexPlan) -> float:
    """Return what a question reads of token vectors that are on the disk alone.

    The first digest of a large index looks at up to twenty times the candidates, in the quantized
    copy where there is one; the second at the candidates.
    """
    looked_at = plan.candidates if plan.quantized else plan.candidates * LEARNED_WIDENING
    return looked_at * TOKENS * DIM * 2


def _plain() -> IndexPlan:
    return plan_index(10**5, TOKENS)


def _with_copy() -> IndexPlan:
    return plan_index(10**5, TOKENS, storage=Storage("float16", "binary"))


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table of Markdown, the first column to the left."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _size(size: float) -> str:
    """Return bytes in the unit that a disk is bought in, to two figures or so.

    >>> _size(5.12e7), _size(2.9e12)
    ('51 MB', '2.9 TB')
    """
    for unit in ("MB", "GB", "TB"):
        size /= 1000 if unit != "MB" else 10**6
        if size < 1000 or unit == "TB":
            return f"{size:,.1f} {unit}" if size < 10 else f"{size:,.0f} {unit}"
    raise AssertionError


if __name__ == "__main__":
    print(bytes_a_passage(), an_index(), questions(), sep="\n\n")
