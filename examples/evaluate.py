"""Measure retrieval and answers on questions of your own; stopped, the same call goes on.

python examples/evaluate.py my-index examples.jsonl pictures runs/first
"""

import sys
from pathlib import Path

from app.evaluation.benchmarks.catalog import open_benchmark
from app.evaluation.run import evaluate
from kbvqa import Encoder, PassageIndex, Pipeline, Reader


def main(location: str, questions: str, pictures: str, out: str) -> None:
    """Print each figure with its standard error; everything else is in the directory `out`."""
    encoder = Encoder.from_pretrained("kbvqa-mini")
    benchmark, folder = open_benchmark(questions, "", Path(), images=Path(pictures))
    with PassageIndex.open(location) as index:
        pipeline = Pipeline(encoder, index, Reader.from_pretrained())
        results = evaluate(pipeline, benchmark, folder, Path(out))
    assert results is not None  # all stages were run
    for figure in results.figures:
        if not figure.group:
            percent = f"{100 * figure.value:5.1f} ± {100 * figure.stderr:4.1f} %"
            print(f"{figure.metric:20} {percent}  n = {figure.n}")


if __name__ == "__main__":
    main(*sys.argv[1:])
