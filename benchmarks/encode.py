"""Encoding passages, pictures and questions: this encoder beside the public indexer's way.

python -m benchmarks.encode run --out runs/encode        about half an hour on one core
python -m benchmarks.encode report --out runs/encode     table.md and cost.png

One model with random weights of PreFLMR_ViT-B's sizes, and real passages of the demo corpus,
in one process. The public way takes 64 passages as they come, pads them to the longest of the
batch or to 512 tokens, and tokenises between batches. Times are CPU-seconds of the process on
`--threads` threads; ways take turns, batch by batch, so that a busy machine disturbs all alike.
"""

import json
import random
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from PIL import Image
from torch import Tensor

from corpus.types import Passage, Query
from retriever.checkpoint.loading import Checkpoint
from retriever.checkpoint.mini import base_vocabulary
from retriever.checkpoint.pretrained import FLMRModel
from retriever.encoding.ahead import WINDOW
from retriever.encoding.encoder import Encoder
from retriever.inputs.images import ImageProcessor
from retriever.inputs.tokenization import PassageTokenizer, QueryTokenizer
from retriever.model.config import FLMRConfig

app = typer.Typer(help=__doc__, no_args_is_help=True, rich_markup_mode=None)

PUBLIC_BATCH = 64
CPU = torch.device("cpu")
OutOption = Annotated[Path, typer.Option("--out", help="Directory of the results.")]
Rows = dict[str, Tensor]


def vit_b(seed: int = 0) -> FLMRModel:
    """Return a random model of PreFLMR_ViT-B's sizes, always the same."""
    torch.manual_seed(seed)
    vocab = base_vocabulary()
    config = FLMRConfig(
        separate_query_and_context_text_encoder=True,
        use_transformer_mapping_network=True,
        transformer_mapping_config_base="bert-base-uncased",
        transformer_mapping_num_hidden_layers=1,
        mask_instruction_token=":",
    )
    return FLMRModel(config, QueryTokenizer(vocab), PassageTokenizer(vocab)).eval()


def public_way(model: FLMRModel, passages: list[Passage], padding: str) -> Rows:
    """Return the rows of a batch, encoded as the public indexer does."""
    with torch.no_grad():
        tokens = model.passage_tokenizer([p.text for p in passages], padding=padding)
        rows, mask = model.encode_passage(**tokens)
    return {p.id: r[m] for p, r, m in zip(passages, rows, mask, strict=True)}


def this_way(encoder: Encoder, passages: list[Passage]) -> Rows:
    """Return the rows of passages, encoded as `kbvqa index build` does."""
    return {
        passage.id: torch.from_numpy(rows)
        for batch, embeddings in encoder.encode_corpus(passages)
        for passage, rows in zip(batch, embeddings, strict=True)
    }


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU-seconds that a call takes in all threads, and its value."""
    started = time.process_time()
    value = work()
    return time.process_time() - started, value


def _parts(passages: list[Passage], size: int) -> Iterator[list[Passage]]:
    for start in range(0, len(passages), size):
        yield passages[start : start + size]


def _worst(ours: Rows, theirs: Rows) -> float:
    return max(float((ours[id_] - rows).abs().max()) for id_, rows in theirs.items())


def compare(
    passages: list[Passage], samples: dict[str, int], say: Callable[[str], None]
) -> dict[str, Any]:
    """Return seconds of the three ways over the same passages, and the largest difference.

    A window of `encode_corpus` is the unit of a turn. The public ways take long: they are
    measured on the first of the passages, which come in random order, and scaled.

    Args:
        passages: in random order.
        samples: how many of them each padding ("longest", "512") is measured on.
        say: told how far it is.
    """
    plain, encoder = vit_b(), Encoder(_checkpoint(vit_b()), CPU)
    warm = passages[:8]
    this_way(encoder, warm), public_way(plain, warm, "longest")
    seconds, done, worst = {"here": 0.0, "longest": 0.0, "512": 0.0}, dict.fromkeys(samples, 0), 0.0
    for window in _parts(passages, WINDOW):
        spent, ours = cpu_seconds(lambda window=window: this_way(encoder, window))
        seconds["here"] += spent
        for batch in _parts(window, PUBLIC_BATCH):
            for way in samples:
                if done[way] >= samples[way]:
                    continue
                padding = "longest" if way == "longest" else "max_length"
                spent, theirs = cpu_seconds(lambda b=batch, p=padding: public_way(plain, b, p))
                seconds[way] += spent
                done[way] += len(batch)
                worst = max(worst, _worst(ours, theirs))
            say(", ".join(f"{way} {s:.0f} CPU-s" for way, s in seconds.items()))
    for way, count in done.items():
        seconds[way] *= len(passages) / count
    return {"seconds": seconds, "measured_on": done, "largest_difference": worst}


def _checkpoint(model: FLMRModel) -> Checkpoint:
    return Checkpoint("ViT-B, random weights", "0" * 12, model, ImageProcessor())


def grow(encoder: Encoder) -> list[dict[str, float]]:
    """Return milliseconds of CPU a passage by its length and the batch's size."""
    found = []
    for length in (32, 64, 128, 256, 512):
        for batch in (1, 4, 16):
            row = encoder.checkpoint.passage_tokenizer.cut(
                encoder.checkpoint.passage_tokenizer.tokenize(["bird " * 512])[0], length
            )
            tokens = encoder.checkpoint.passage_tokenizer.pad([row] * batch)
            times = [
                cpu_seconds(lambda t=tokens: encoder._passages.encode_batch(t))[0] for _ in range(3)
            ]
            ms = statistics.median(times) / batch * 1e3
            found.append({"tokens": length, "batch": batch, "ms_per_passage": ms})
    return found


def queries(encoder: Encoder, pictures: list[Path]) -> dict[str, float]:
    """Return CPU-seconds a picture (decode, resize) and a query, alone and eight together."""
    images = [Image.open(path) for path in pictures]
    processor = encoder.checkpoint.image_processor
    prepare, _ = cpu_seconds(lambda: processor(images))
    asked = [Query("What is the capital of this country?", image) for image in images]
    encoder.encode_queries(asked[:1])
    alone = [cpu_seconds(lambda q=q: encoder.encode_queries([q]))[0] for q in asked[:8]]
    together, _ = cpu_seconds(lambda: encoder.encode_queries(asked[:8]))
    return {
        "picture_s": prepare / len(images),
        "query_alone_s": statistics.median(alone),
        "query_of_eight_s": together / 8,
    }


@app.command()
def run(
    out: OutOption,
    passages: Annotated[int, typer.Option(help="Real passages.")] = 2000,
    longest: Annotated[int, typer.Option(help="Of them, padded to the longest.")] = 1024,
    padded: Annotated[int, typer.Option(help="Of them, padded to 512.")] = 256,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
) -> None:
    """Measure, and write results.json."""
    from corpus.demo.data import demo_dir, demo_images, demo_passages_path
    from corpus.files.passages import read_passages

    torch.set_num_threads(threads)
    chosen = random.Random(0).sample(list(read_passages(demo_passages_path())), passages)
    result = compare(chosen, {"longest": longest, "512": padded}, typer.echo)
    encoder = Encoder(_checkpoint(vit_b()), CPU)
    result["growth"] = grow(encoder)
    result["queries"] = queries(encoder, [demo_dir() / found.image for found in demo_images()[:64]])
    result |= {
        "passages": passages,
        "mean_tokens": statistics.mean(
            len(row)
            for row in encoder.checkpoint.passage_tokenizer.encode([p.text for p in chosen])
        ),
        "threads": threads,
        "peak_rss_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "torch": torch.__version__,
    }
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2) + "\n"
    (out / "results.json").write_text(text, encoding="utf-8")
    report(out)


@app.command()
def report(out: OutOption) -> None:
    """Write table.md and cost.png of results.json."""
    result = json.loads((out / "results.json").read_text(encoding="utf-8"))
    seconds, n = result["seconds"], result["passages"]
    names = {
        "here": "this encoder",
        "longest": "batches of 64 as they come, padded to the longest "
        f"(measured on {result['measured_on']['longest']:,})",
        "512": f"batches of 64, padded to 512 (measured on {result['measured_on']['512']:,})",
    }
    lines = [
        f"{n:,} passages of {result['mean_tokens']:.0f} tokens, ViT-B-sized model, float32, "
        f"{result['threads']} thread(s), torch {result['torch']}.",
        "",
        "| | CPU-s | passages / CPU-s | times this encoder |",
        "|---|---|---|---|",
        *(
            f"| {names[way]} | {s:.0f} | {n / s:.1f} | {s / seconds['here']:.2f} |"
            for way, s in seconds.items()
        ),
        "",
        f"Largest difference of an embedding: {result['largest_difference']:.1e}. "
        f"Peak memory with two models of 1.3 GB: {result['peak_rss_gib']:.1f} GiB.",
        "",
        "| | per CPU-second |",
        "|---|---|",
        f"| pictures decoded, resized, normalised | {1 / result['queries']['picture_s']:.0f} |",
        f"| queries with a picture, one by one | {1 / result['queries']['query_alone_s']:.1f} |",
        f"| queries, eight together | {1 / result['queries']['query_of_eight_s']:.1f} |",
    ]
    (out / "table.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _plot(result["growth"], out / "cost.png")
    typer.echo("\n".join(lines))


def _plot(growth: list[dict[str, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for batch in sorted({point["batch"] for point in growth}):
        points = [point for point in growth if point["batch"] == batch]
        axes.plot(
            [p["tokens"] for p in points],
            [p["ms_per_passage"] for p in points],
            marker="o",
            label=f"{batch:.0f} in a batch",
        )
    axes.set_xlabel("tokens of a passage")
    axes.set_ylabel("CPU-ms a passage")
    axes.set_title("Cost of encoding, BERT-base, one thread")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    app()
