"""PLAID, as PyLate has it from ColBERT's authors, on the same vectors, in its own environment.

PEER_PYTHON benchmarks/search_peer.py FOLDER SIZE WORK

Imports nothing of this project but search_data, which is beside it and needs numpy only.
"""

import json
import resource
import sys
import time
from pathlib import Path


def main() -> None:
    """Build and search, and print a JSON object on the last line."""
    folder, size, work = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    sys.path.insert(0, str(Path(__file__).parent))
    import numpy as np
    import torch
    from pylate import indexes
    from search_data import passages, queries

    torch.set_num_threads(1)
    ids, rows = zip(*passages(folder, size), strict=True)
    index = indexes.PLAID(str(work), f"plaid-{size}", override=True, nbits=4)
    started, cpu = time.perf_counter(), time.process_time()
    index.add_documents(documents_ids=list(ids), documents_embeddings=list(rows))
    result = {
        "size": size,
        "build_seconds": time.perf_counter() - started,
        "build_cpu_seconds": time.process_time() - cpu,
        "disk": sum(
            p.stat().st_blocks * 512 for p in (work / f"plaid-{size}").rglob("*") if p.is_file()
        ),
        "searches": [],
    }
    for cells, docs in ((2, 256), (4, 1024), (8, 8192), (32, 8192)):
        index = indexes.PLAID(str(work), f"plaid-{size}", ncells=cells, ndocs=docs, nbits=4)
        for tokens, count in ((56, 100), (64, 20), (113, 20), (320, 20)):
            if tokens != 56 and (size < 14_000 or cells != 8):
                continue
            asked = queries(folder, count, tokens)
            index(asked[:1], k=10)
            cpu_ms, wall, found = [], [], []
            for q in asked:
                t, c = time.perf_counter(), time.process_time()
                found.append([hit["id"] for hit in index([q], k=10)[0]])
                wall.append(time.perf_counter() - t)
                cpu_ms.append(1000 * (time.process_time() - c))
            result["searches"].append(
                {
                    "name": "PLAID", "tokens": tokens, "queries": len(asked),
                    "cpu_ms": float(np.mean(cpu_ms)),
                    "cpu_ms_stderr": float(np.std(cpu_ms) / np.sqrt(len(cpu_ms))),
                    "wall_ms": 1000 * float(np.median(wall)),
                    "found": found, "cells": cells, "docs": docs,
                }
            )  # fmt: skip
    result["peak_memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print("\n" + json.dumps(result))


if __name__ == "__main__":
    main()
