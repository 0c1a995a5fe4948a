"""Passages in bfloat16 beside float32: how fast on this processor, and what retrieval loses.

python -m benchmarks.precision --out runs/precision        about five minutes on two cores

Indexes the demo corpus in both precisions, the way `kbvqa index build` does, and asks both
the validation pictures' questions by exact search. Writes precision.json and precision.md.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from app.commands.console import progress
from app.components import open_checkpoint, open_exact
from app.settings import load_settings
from benchmarks.page import processor
from corpus.benchmarks.demo import demo_examples
from corpus.demo.data import demo_dir, demo_passages_path
from corpus.pictures.images import load_image
from corpus.types import Query
from retriever.building.build import build_index
from retriever.checkpoint.loading import Checkpoint
from retriever.encoding.encoder import Encoder
from retriever.encoding.precision import fastest_on_cpu, linear_seconds
from retriever.encoding.queries import EncodedQuery
from retriever.index.passage_index import PassageIndex
from retriever.metrics import recall_at_k
from retriever.numbers import PassagePrecision

PRECISIONS: tuple[PassagePrecision, ...] = ("float32", "bfloat16")
RECALL_AT = (1, 5, 10)


def main(
    out: Annotated[Path, typer.Option(help="Directory of the indexes and results.")],
) -> None:
    """Build both indexes, search them, and write the table."""
    checkpoint = open_checkpoint(load_settings())
    text = checkpoint.model.config.bert_config()
    widths = text.hidden_size, text.intermediate_size
    result: dict[str, Any] = {
        "processor": processor(),
        "torch": torch.__version__,
        "linear_seconds": linear_seconds(*widths),
        "chosen_here": fastest_on_cpu(*widths),
    }
    examples = [e for kind in ("flag", "emoji") for e in demo_examples(kind, per_picture=2)]
    golds = [set(e.gold_passage_ids) for e in examples]
    with progress() as (say, advance):
        say("Encoding the questions")
        encoder = Encoder(checkpoint)
        queries: list[EncodedQuery] = []
        for i, example in enumerate(examples):
            picture = load_image(demo_dir() / example.image)
            queries.append(encoder.encode_query(Query(example.question, picture)))
            advance(i + 1, len(examples))
        for precision in PRECISIONS:
            say(f"Indexing in {precision}")
            location = out / precision
            seconds = _build(location, checkpoint, precision, advance)
            with PassageIndex.open(location) as index:
                exact = open_exact(index, out, say)
                assert exact is not None
                many = exact.search_many([q.rows_QD for q in queries], 10)
                found = [[hit.passage.id for hit in hits] for hits in many]
            pairs = list(zip(found, golds, strict=True))
            recalls = {
                f"recall@{k}": _mean([recall_at_k(f, g, k) for f, g in pairs]) for k in RECALL_AT
            }
            result[precision] = {
                "cpu_seconds": seconds,
                **recalls,
                "n": len(pairs),
                "top10": found,
            }
    single, half = (result[p].pop("top10") for p in PRECISIONS)
    same = [len(set(a) & set(b)) / 10 for a, b in zip(single, half, strict=True)]
    result["same_of_top10"] = _mean(same)
    (out / "precision.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (out / "precision.md").write_text(report(result), encoding="utf-8")
    print(report(result))


def report(result: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    lines = ["| passages in | CPU s | " + " | ".join(f"recall@{k}" for k in RECALL_AT) + " |"]
    lines.append("|---" * (2 + len(RECALL_AT)) + "|")
    for precision in PRECISIONS:
        row = result[precision]
        recalls = " | ".join(f"{100 * row[f'recall@{k}']:.2f}" for k in RECALL_AT)
        lines.append(f"| {precision} | {row['cpu_seconds']:.0f} | {recalls} |")
    times = result["linear_seconds"]
    return "\n".join(lines) + (
        f"\n\n{result['processor']}, torch {result['torch']}; {result['float32']['n']} questions "
        f"on pictures of the validation vendor. One linear layer: bfloat16 is "
        f"{times['float32'] / times['bfloat16']:.2f} times as fast, so {result['chosen_here']} is "
        f"taken. {100 * result['same_of_top10']:.1f} % of the top ten are the same.\n"
    )


def _build(
    location: Path, checkpoint: Checkpoint, precision: PassagePrecision, advance: Any
) -> float:
    """Return the CPU seconds of a build; 0 where it was there."""
    started = time.process_time()
    built = build_index(
        demo_passages_path(), location, checkpoint, advance, precision=precision, swap=True
    )
    assert built is not None
    return time.process_time() - started


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    typer.run(main)
