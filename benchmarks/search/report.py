"""The tables of the benchmark of the index, as docs/measured/index.md has them."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.search.measured import LONGER, REAL_TOKENS, TOP_K

Run = dict[str, Any]
TRUTH = "here, in memory, float32"
STORED = {
    "kbvqa": "**float16**",
    "float32": "float32",
    "turbo4": "turbo4",
    "scalar": "float16 and a scalar copy",
    "binary": "float16 and a binary copy",
}
HEAD = """# The index

docs/measured/README.md says what was measured, and what it comes to. CPU ms: a query's, of all
threads, mean ± standard error of n queries. Recall: of the exact ten (five) best,
± standard error. "memory" is the most anonymous memory of the process that builds and searches,
with what the benchmark itself holds of the vectors. From 20,000 passages on candidates are chosen
by learned vectors, below by means.

"""
PEERS = ("fast_plaid", "warp", "tachiom", "muvera", "maxsim_cpu", "lancedb", "voyager", "local")


def searches(runs: dict[str, Run]) -> list[Run]:
    """Return one row for each search, with each query's recall against the exact one."""
    rows = []
    for name, result in runs.items():
        engine, _, size = name.rpartition("-")
        exact = runs.get(f"memory-{size}", {}).get("searches", [])
        truth = {s["tokens"]: s["found"] for s in exact if s["name"] == TRUTH}
        if beside := runs.get(f"beside-{size}"):
            truth[REAL_TOKENS] = beside["truth"]
        for search in result.get("searches", []):
            row = {"engine": engine, "size": result["size"]} | search
            # Fewer queries are the first of more.
            pairs = list(zip(truth.get(search["tokens"], []), search["found"], strict=False))
            for k in (5, 10):
                row[f"recall@{k}"] = [len({*t[:k]} & {*f[:k]}) / k for t, f in pairs]
            rows.append(row)
    return rows


def tables(runs: dict[str, Run]) -> str:
    """Return all tables, in Markdown."""
    rows = searches(runs)
    parts = {
        "Searches, 56 query tokens": _searches(rows),
        "Each setting of a peer, and the cheapest here that finds as much": _peers(rows),
        "CPU ms by query tokens (recall@10 where it is not 1)": _lengths(rows),
        "Storage, 200 candidates and exact": _storage(runs, rows),
        "Building": _builds(runs),
        "Memory of building, random rows": _memory(runs),
        "Queries of 320 rows that repeat themselves less": _redundancy(runs),
        "Made passages": _made(runs),
    }
    return HEAD + "\n".join(f"## {name}\n\n{table}\n" for name, table in parts.items() if table)


def _table(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    """Return a table whose first columns are aligned left."""
    marks = ["---" if i < left else "---:" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *rows))


def _recall(row: Run, k: int) -> str:
    shares = row[f"recall@{k}"]
    if not shares:
        return "-"
    if min(shares) == 1:
        return "1"
    return f"{np.mean(shares):.3f} ± {np.std(shares) / np.sqrt(len(shares)):.3f}"


def _ms(row: Run) -> str:
    digits = 2 if row["cpu_ms"] < 10 else 1 if row["cpu_ms"] < 100 else 0
    return f"{row['cpu_ms']:,.{digits}f} ± {row['cpu_ms_stderr']:,.{digits}f}"


def _label(row: Run) -> str:
    detail = f"{row['candidates']:,} candidates" if "candidates" in row else row.get("settings")
    detail = f"{detail} (default)" if row.get("default") else detail
    return f"{row['name']}, {detail}" if detail else str(row["name"])


def _searches(rows: list[Run]) -> str:
    lines = [
        [
            f"{row['size']:,}",
            _label(row),
            _recall(row, 5),
            _recall(row, 10),
            _ms(row),
            str(row["queries"]),
        ]
        for row in sorted(rows, key=lambda r: (r["size"], r["cpu_ms"]))
        if row["tokens"] == REAL_TOKENS
        and row["engine"] in ("kbvqa", "beside", "memory", "memory_int8", "local")
    ]
    return _table(["passages", "search", "recall@5", "recall@10", "CPU ms", "n"], lines, left=2)


def _peers(rows: list[Run]) -> str:
    """Beside each setting of a peer the cheapest here that finds as much of the same queries."""
    lines = []
    for peer in sorted(rows, key=lambda r: (r["size"], r["engine"], r["cpu_ms"])):
        count = len(peer["recall@10"])
        if peer["engine"] not in PEERS or peer["tokens"] != REAL_TOKENS or not count:
            continue
        wanted = np.mean(peer["recall@10"])
        as_good = [
            row
            for row in rows
            if row["size"] == peer["size"]
            and row["tokens"] == REAL_TOKENS
            and row["engine"] in ("kbvqa", "memory", "beside")
            and row["name"].startswith("here")
            and np.mean(row["recall@10"][:count]) >= wanted
        ]
        best = min(as_good, key=lambda row: row["cpu_ms"])
        lines.append(
            [
                f"{peer['size']:,}",
                _label(peer),
                _recall(peer, 10),
                _ms(peer),
                _label(best).removeprefix("here, "),
                f"{np.mean(best['recall@10'][:count]):.3f}",
                _ms(best),
                f"{peer['cpu_ms'] / best['cpu_ms']:,.1f}",
                str(count),
            ]
        )
    head = ["passages", "peer", "recall@10", "CPU ms", "here", "recall@10", "CPU ms", "ratio", "n"]
    return _table(head, lines, left=2) if lines else ""


def _lengths(rows: list[Run]) -> str:
    """CPU time by query length, for what was timed at all lengths."""
    found: dict[tuple[int, str], dict[int, Run]] = {}
    for row in rows:
        if row["engine"] == "kbvqa" or row["engine"] not in STORED:
            found.setdefault((row["size"], _label(row)), {})[row["tokens"]] = row
    lines = []
    for (size, label), by_tokens in sorted(found.items()):
        if not {*LONGER} <= by_tokens.keys():
            continue
        cells = []
        for tokens in (REAL_TOKENS, *LONGER):
            row = by_tokens[tokens]
            exact = not row["recall@10"] or min(row["recall@10"]) == 1
            cells.append(_ms(row) + ("" if exact else f" ({np.mean(row['recall@10']):.3f})"))
        lines.append([f"{size:,}", label, *cells, str(by_tokens[LONGER[-1]]["queries"])])
    head = ["passages", "search", *(str(t) for t in (REAL_TOKENS, *LONGER)), "n"]
    return _table(head, lines, left=2)


def _storage(runs: dict[str, Run], rows: list[Run]) -> str:
    sizes = [run["size"] for name, run in runs.items() if name.rpartition("-")[0] == "turbo4"]
    if not sizes:
        return ""
    lines = []
    for engine, label in STORED.items():
        mine = [
            row
            for row in rows
            if (row["engine"], row["size"], row["tokens"]) == (engine, sizes[0], REAL_TOKENS)
        ]
        default = [row for row in mine if row.get("candidates") == 200]
        exact = [row for row in mine if row["name"] == "here, exact"]
        if default and exact:
            lines.append(
                [
                    label,
                    f"{runs[f'{engine}-{sizes[0]}']['disk'] / 1e6:,.0f} MB",
                    *(_recall(default[0], k) for k in (5, 10)),
                    _ms(default[0]),
                    *(_recall(exact[0], k) for k in (5, 10)),
                    _ms(exact[0]),
                ]
            )
    head = ["tokens", "disk", "recall@5", "recall@10", "CPU ms"]
    return _table([*head, *(f"exact, {name}" for name in head[2:])], lines)


def _builds(runs: dict[str, Run]) -> str:
    lines = []
    named = [(*name.rpartition("-")[::2], run) for name, run in runs.items()]
    for engine, size, run in sorted(named, key=lambda item: (item[0], int(item[1]))):
        if "failed" in run:
            lines.append([engine, f"{int(size):,}", run["failed"], "", "", ""])
        elif "build_seconds" in run:
            lines.append(
                [
                    engine,
                    f"{int(size):,}",
                    f"{int(size) / run['build_cpu_seconds']:,.0f}",
                    f"{run['disk'] / 1e6:,.0f} MB" if "disk" in run else "",
                    f"{run['log'] / 1e6:,.0f} MB" if "log" in run else "",
                    f"{run['peak_anonymous'] / 1e6:,.0f} MB",
                ]
            )
    return _table(["engine", "passages", "passages/CPU-s", "disk", "log", "memory"], lines)


def _memory(runs: dict[str, Run]) -> str:
    found = sorted((r for r in runs.values() if "writing" in r), key=lambda r: r["passages"])
    lines = [
        [f"{r['passages']:,}", *(f"{r[key] / 1e6:.0f} MB" for key in ("writing", "finishing"))]
        for r in found
    ]
    return _table(["passages", "writing", "finishing"], lines, left=0) if lines else ""


def _redundancy(runs: dict[str, Run]) -> str:
    lines = []
    for run in (run for run in runs.values() if "kinds" in run):
        for kind in run["kinds"]:
            cells = [kind["name"], f"{kind['kept']:.2f}"]
            for candidates in (200, 400):
                cells.append(f"{kind[f'means {candidates}']:.3f}")
                recall = kind[f"recall {candidates}"]
                cells.append(f"{recall:.3f} ± {kind[f'recall {candidates} stderr']:.3f}")
            lines.append(cells)
    head = ["query", "cosine", "among 2,000 means", "200 candidates", "4,000 means"]
    return _table([*head, "400 candidates"], lines) if lines else ""


def _made(runs: dict[str, Run]) -> str:
    """How many of the exact top ten are not real passages, where there are others."""
    lines = []
    for search in (s for run in runs.values() for s in run.get("searches", [])):
        made = [id_ for found in search["found"] for id_ in found if not id_.endswith("#0")]
        if search["name"] == TRUTH and search["tokens"] == REAL_TOKENS and made:
            share = len(made) / (TOP_K * search["queries"])
            lines.append(f"Of the exact top ten {share:.0%} are made passages.")
    return "\n".join(lines)


def plotted(runs: dict[str, Run]) -> Iterator[Run]:
    """Yield one row for each search, with recall as a mean and its standard error."""
    for row in searches(runs):
        kept = {k: v for k, v in row.items() if k not in ("found", "recall@5", "recall@10")}
        if shares := row["recall@10"]:
            kept["recall"] = float(np.mean(shares))
            kept["recall_stderr"] = float(np.std(shares) / np.sqrt(len(shares)))
        yield kept
