"""What depends on CUDA, checked and measured: embeddings, exact search, compiled kernels, speed.

python -m benchmarks.gpu --out runs/gpu                        under ten minutes on one GPU
python -m benchmarks.gpu --out runs/gpu --device cpu --quick   every line of it, tiny, on a CPU

Weights, passages and pictures are random and of PreFLMR's sizes: no checkpoint and no network is
needed, and of packages torch, transformers, numpy, pillow, tokenizers and safetensors alone. What
torch compiles needs a C compiler. A failed check makes the exit code 1 and stops nothing; what runs
out of memory or time becomes a row that says so; every section leaves gpu.json and gpu.md. How
tolerances are counted: `benchmarks.gpu_report`. The sections, of which --only runs some, and of
which each may take --minutes with what the ones before it left:

    peak        a matrix product in each precision, and copying memory: what shares are shares of
    golden      both golden models in each precision, and both ways of scoring, against the public
                implementation's numbers
    embeddings  ViT-B- and ViT-L-sized models against themselves on the CPU in float32
    search      ExactSearcher at 15,000, 114,000 and 1,000,000 passages of 180 tokens, queries of
                32, 113 and 320 rows; the corpus's end, where offsets are largest, against the CPU
    kernels     scoring and the passage encoder, compiled against plain; scoring by one kernel
    encoding    passages and queries a second, by the model alone and through Encoder; memory

A million passages take 46 GB in float16: an 80 GB card holds them. "tf32" is float32 as torch runs
it on CUDA by default, with convolutions in TF32; "float32" has that switched off.

Shapes: Q query rows · P passage rows · N passages · T rows of all passages · D embedding dim
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_random import (
    DTYPES,
    GOLDEN,
    LENGTH,
    QUICK,
    Corpus,
    D,
    Sizes,
    encoder_of,
    fitting,
    on_cpu,
    on_device,
    passage_batch,
    random_checkpoint,
    random_passages,
    random_queries,
    synthetic,
    unit_rows,
)
from benchmarks.gpu_report import (
    EXACTLY,
    GOLDEN_GAIN,
    Report,
    embedding_tolerance,
    milliseconds,
    row_distance,
    score_tolerance,
)
from corpus.types import Passage, Query
from retriever.checkpoint.loading import load_checkpoint
from retriever.encoding.encoder import Encoder
from retriever.encoding.queries import INSTRUCTION
from retriever.inputs.images import ImageProcessor
from retriever.inputs.tokenization import query_text
from retriever.scoring import maxsim, maxsim_equal, maxsim_ragged

if TYPE_CHECKING:
    from retriever.index.exact import ExactSearcher

CPU = torch.device("cpu")
TOP_K = 10
TOGETHER = 2_048  # query rows of queries that are searched together


def peak(report: Report, sizes: Sizes) -> None:
    """Measure a large matrix product in each precision, and copying memory."""

    def product(precision: str) -> None:
        shape = (sizes.matmul, sizes.matmul)
        a = torch.randn(shape, device=report.device).to(DTYPES[precision])
        ms = milliseconds(lambda: a @ a, report.device)
        report.peaks[precision] = 2 * sizes.matmul**3 / ms / 1e9
        report.add(what=f"product in {precision}", **{"TFLOP/s": report.peaks[precision]})

    def copied() -> None:
        source = torch.empty(sizes.copied, dtype=torch.uint8, device=report.device)
        target = torch.empty_like(source)
        ms = milliseconds(lambda: target.copy_(source), report.device)
        report.add(what="copying, read and written", **{"GB/s": 2 * sizes.copied / ms / 1e6})

    for precision in ("float32", "float16", "bfloat16"):
        report.attempt(precision, partial(product, precision))
    report.attempt("copy", copied)


def golden(report: Report, sizes: Sizes) -> None:
    """Check the golden models against the reference's embeddings and scores."""
    for name in ("A_flmr", "B_preflmr"):
        for precision in report.precisions:
            report.attempt(f"{name}, {precision}", partial(_golden, report, name, precision))


def _golden(report: Report, name: str, precision: str) -> None:
    what, device = f"{name} in {precision}", report.device
    checkpoint = load_checkpoint(GOLDEN / name)
    expected = load_file(GOLDEN / name / "tensors.safetensors")
    cases = json.loads((GOLDEN / name / "cases.json").read_text(encoding="utf-8"))
    query = next(case for case in cases["query"] if case["case"] == "multi")
    text = next(case for case in cases["doc"] if case["case"] == "text")
    pictures = [Image.open(GOLDEN / "images" / f"{image}.png") for image in query["images"]]
    pixels = ImageProcessor(size=(16, 16), shortest_edge=16)(pictures)
    model = encoder_of(checkpoint, device, precision).model
    with torch.inference_mode():
        q_BQD = model.encode_query(
            **on_device(checkpoint.query_tokenizer(query["texts"]), device),
            pixel_values=pixels.to(device, DTYPES[precision]),
        )
        p_NPD, mask_NP = model.encode_passage(
            **on_device(checkpoint.passage_tokenizer(text["texts"]), device)
        )
    late, mask = expected["doc.text.late"], expected["doc.text.mask"].bool().squeeze(-1)
    tolerance = embedding_tolerance(model.config, precision, GOLDEN_GAIN)
    apart = row_distance([q_BQD], [expected["query.multi.late"]])
    report.check(f"{what}: queries", apart, tolerance)
    report.check(f"{what}: which rows count", float((mask_NP.cpu() ^ mask).sum()), EXACTLY)
    report.check(f"{what}: passages", row_distance([p_NPD[mask_NP]], [late[mask]]), tolerance)
    _golden_scores(report, what, expected, precision)


def _golden_scores(
    report: Report, what: str, expected: Mapping[str, Tensor], precision: str
) -> None:
    """Check both ways of scoring, of the reference's own embeddings."""
    late = expected["query.multi.late"], expected["doc.text.late"]
    q_BQD, p_NPD = (rows.to(report.device, DTYPES[precision]) for rows in late)
    mask_NP = expected["doc.text.mask"].bool().squeeze(-1).to(report.device)
    half = precision in ("float16", "bfloat16")
    tolerance = score_tolerance(q_BQD.shape[1], q_BQD.shape[2], precision, rounded=3 if half else 0)
    for name, scores_BN in (
        ("maxsim", maxsim(q_BQD, p_NPD, mask_NP)),
        ("maxsim_ragged", maxsim_ragged(q_BQD, p_NPD[mask_NP], mask_NP.sum(1))),
    ):
        apart = (scores_BN.cpu() - expected["scores.multi_x_text"]).abs().max()
        report.check(f"{what}: {name}", float(apart), tolerance)


def embeddings(report: Report, sizes: Sizes) -> None:
    """Check random models of PreFLMR's sizes against themselves on the CPU in float32."""
    for name in sizes.towers:
        report.attempt(name, partial(_embeddings, report, sizes, name))


def _embeddings(report: Report, sizes: Sizes, name: str) -> None:
    checkpoint = random_checkpoint(sizes, name)
    queries, passages = random_queries(2), random_passages(checkpoint, 6, 20)
    expected = _rows(encoder_of(checkpoint, CPU, "float32"), queries, passages)
    for precision in report.precisions:
        report.begin(f"{name}, {precision}")
        found = _rows(encoder_of(checkpoint, report.device, precision), queries, passages)
        tolerance = embedding_tolerance(checkpoint.model.config, precision)
        apart = {kind: row_distance(found[kind], expected[kind]) for kind in expected}
        for kind, distance in apart.items():
            report.check(f"{name} in {precision}: {kind}", distance, tolerance)
        report.add(what=name, precision=precision, **apart, tolerance=tolerance.value)


def _rows(
    encoder: Encoder, queries: Sequence[Query], passages: Sequence[Passage]
) -> dict[str, list[Tensor]]:
    """Return the embeddings of queries and of passages."""
    read = {
        passage.id: torch.from_numpy(rows)
        for batch, found in encoder.encode_corpus(passages)
        for passage, rows in zip(batch, found, strict=True)
    }
    return {
        "queries": [torch.from_numpy(q.rows_QD) for q in encoder.encode_queries(queries)],
        "passages": [read[passage.id] for passage in passages],
    }


def search(report: Report, sizes: Sizes) -> None:
    """Check and measure exact search as `ExactSearcher` does it."""
    for corpus in sizes.corpora:
        report.attempt(str(corpus), partial(_search, report, sizes, corpus))


def _search(report: Report, sizes: Sizes, corpus: Corpus) -> None:
    """Search a corpus with queries of different lengths.

    The CPU scores a slice of it, the last passages: they lie where offsets are largest. Its time
    is scaled to the corpus.
    """
    torch.compiler.reset()  # a process that searches has one corpus
    q_QD = unit_rows(max(sizes.query_rows), CPU, seed=1)
    fits = fitting(corpus, report.device)
    if fits != corpus:
        fewer = f"{fits.passages:,} passages fit into the free memory"
        report.add(what=str(corpus), note=fewer)
    if fits.passages < sizes.compared:
        return
    searcher = synthetic(fits, q_QD, report.device)
    part = on_cpu(searcher, sizes.compared)
    for Q in sizes.query_rows:
        what = f"{fits}, {Q} query rows"
        report.begin(what)
        started = time.perf_counter()
        hits = searcher.search(q_QD[:Q], TOP_K)
        first_s = time.perf_counter() - started
        planted = str(fits.passages - 1)
        missed = float(hits[0].passage.id != planted)
        report.check(f"{what}: planted passage first", missed, EXACTLY)
        cpu_ms = _compare_scores(report, what, searcher, part, q_QD[:Q])
        row = {"what": str(fits), "query rows": Q, "first search s": first_s}
        row["CPU ms, scaled"] = cpu_ms * fits.passages / part.count
        report.add(**row, **_search_times(report, fits.precision, searcher, q_QD[:Q]))


def _compare_scores(
    report: Report, what: str, searcher: "ExactSearcher", part: "ExactSearcher", q_QD: Tensor
) -> float:
    """Check the scores of the slice; return milliseconds that the CPU takes for it."""
    expected_N = part.scores([q_QD])[0]
    cpu_ms = milliseconds(lambda: part.scores([q_QD]), CPU, repeats=1, warm=0)
    found_N = searcher.scores([q_QD])[0, -part.count :].cpu()
    half = searcher._rows_TD.dtype == torch.float16
    # What is stored is exact on the CPU: the query is rounded, and the product.
    tolerance = score_tolerance(len(q_QD), D, "float16", rounded=2 if half else 0)
    apart = float((found_N - expected_N).abs().max())
    report.check(f"{what}: the last {part.count:,} scores", apart, tolerance)
    return cpu_ms


def _search_times(
    report: Report, precision: str, searcher: "ExactSearcher", q_QD: Tensor
) -> dict[str, Any]:
    """Measure the scan alone, with the choice of hits, and of many queries together."""
    many = [q_QD] * max(1, TOGETHER // len(q_QD))
    rows_TD = searcher._rows_TD
    ms = milliseconds(lambda: searcher.scores([q_QD]), report.device)
    hits_ms = milliseconds(lambda: searcher.search(q_QD, TOP_K), report.device)
    many_ms = milliseconds(lambda: searcher.search_many(many, TOP_K), report.device, repeats=3)
    computed_in = "float16" if precision == "float16" else "float32"
    return {
        "scores ms": ms,
        "search ms": hits_ms,
        f"search ms, {TOGETHER} rows together": many_ms / len(many),
        "GB/s": rows_TD.nbytes / ms / 1e6,
        **report.speed(computed_in, 2 * len(q_QD) * rows_TD.numel(), ms),
    }


def kernels(report: Report, sizes: Sizes) -> None:
    """Compare what torch compiles with the same in plain torch."""
    report.attempt("scoring", partial(_scoring_kernels, report, sizes))
    report.attempt("passage encoder", partial(_encoder_kernels, report, sizes))


def _scoring_kernels(report: Report, sizes: Sizes) -> None:
    """Compare the ways to scan a corpus: plain torch, compiled, one kernel."""
    from retriever.index import exact

    torch.compiler.reset()
    q_QD = unit_rows(sizes.query_rows[1], CPU, seed=1)
    searcher = synthetic(sizes.corpora[1], q_QD, report.device)
    fused = searcher._scan
    compiled, plain_N = _compiled(maxsim_equal, report.device), torch.empty(0)
    for name, scan, score in (
        ("plain", exact._scan_tiles, maxsim_equal),
        ("compiled", exact._scan_tiles, compiled),
        ("one kernel", fused, compiled),
    ):
        what = f"scoring, {name}"
        report.begin(what)
        searcher._scan, searcher._score = scan, score
        started = time.perf_counter()
        scores_N = searcher.scores([q_QD])[0].cpu()
        first_s = time.perf_counter() - started
        ms = milliseconds(lambda: searcher.scores([q_QD]), report.device)
        if name == "plain":
            plain_N = scores_N
        else:  # each rounds a product once
            tolerance = score_tolerance(len(q_QD), D, "float16", rounded=2)
            report.check(what, float((scores_N - plain_N).abs().max()), tolerance)
        speed = report.speed("float16", 2 * len(q_QD) * searcher._rows_TD.numel(), ms)
        report.add(**{"what": what, "first s": first_s, "ms": ms}, **speed)


def _encoder_kernels(report: Report, sizes: Sizes) -> None:
    name = next(iter(sizes.towers))
    encoder = encoder_of(random_checkpoint(sizes, name), report.device, "float16")
    model, tokens = encoder.model, passage_batch(encoder, sizes.batch_tokens)
    flop = len(tokens["input_ids"]) * _flop(lambda: model.encode_passage(**_first(tokens)))
    plain: list[Tensor] = []
    for way, encode in (
        ("plain", model.encode_passage),
        ("compiled", _compiled(model.encode_passage, report.device)),
    ):
        what = f"passage encoder, {way}, float16"
        report.begin(what)
        with torch.inference_mode():
            started = time.perf_counter()
            rows = [encode(**tokens)[0].cpu()]
            first_s = time.perf_counter() - started
            ms = milliseconds(partial(encode, **tokens), report.device)
        if way == "plain":
            plain = rows
        else:
            tolerance = embedding_tolerance(model.config, "float16")
            report.check(what, row_distance(rows, plain), tolerance)
        speed = report.speed("float16", flop, ms)
        report.add(**{"what": what, "first s": first_s, "ms": ms}, **speed)


def _compiled(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """Return what `ExactSearcher` and `Encoder` compile; on a CPU traced, but not compiled."""
    backend = "inductor" if device.type == "cuda" else "aot_eager"
    compiled: Callable[..., Any] = torch.compile(function, dynamic=True, backend=backend)
    return compiled


def encoding(report: Report, sizes: Sizes) -> None:
    """Measure encoding: the model alone, and all that `Encoder` does."""
    first = next(iter(sizes.towers))
    for precision in ("float16", "bfloat16", "float32"):
        work = partial(_encode_passages, report, sizes, first, precision)
        report.attempt(f"BERT, {precision}", work)
    for name in sizes.towers:
        for precision in ("float16", "bfloat16"):
            work = partial(_encode_queries, report, sizes, name, precision)
            report.attempt(f"{name}, {precision}", work)


def _encode_passages(report: Report, sizes: Sizes, name: str, precision: str) -> None:
    """Measure batches without padding and with some, which attention takes another way, too."""
    encoder = encoder_of(random_checkpoint(sizes, name), report.device, precision)
    model, tokens = encoder.model, passage_batch(encoder, sizes.batch_tokens)
    flop = _flop(lambda: model.encode_passage(**_first(tokens)))
    passages = random_passages(encoder.checkpoint, sizes.encoded, LENGTH - 60, LENGTH + 60)
    batch = len(tokens["input_ids"])
    with torch.inference_mode():
        whole = milliseconds(lambda: model.encode_passage(**tokens), report.device)
        tokens["attention_mask"][-1, -1] = 0
        padded = milliseconds(lambda: model.encode_passage(**tokens), report.device)
    through = milliseconds(lambda: list(encoder.encode_corpus(passages)), report.device, repeats=3)
    for what, count, ms in (
        (f"{LENGTH} tokens, model", batch, whole),
        (f"{LENGTH} tokens, model, padding", batch, padded),
        (f"{LENGTH - 60} to {LENGTH + 60} tokens, Encoder.encode_corpus", len(passages), through),
    ):
        row = {"what": f"passages, {what}", "precision": precision, "a second": count / ms * 1e3}
        report.add(**row, **report.speed(precision, flop * count, ms))


def _encode_queries(report: Report, sizes: Sizes, name: str, precision: str) -> None:
    checkpoint, count = random_checkpoint(sizes, name), sizes.pictures
    encoder = encoder_of(checkpoint, report.device, precision)
    queries, model = random_queries(count), encoder.model
    texts = [query_text(INSTRUCTION, query.question) for query in queries]
    pixels = checkpoint.image_processor([query.image for query in queries if query.image])
    inputs = on_device(checkpoint.query_tokenizer(texts), report.device)
    inputs["pixel_values"] = pixels.to(report.device, encoder.dtype)
    flop = _flop(lambda: model.encode_query(**_first(inputs)))
    with torch.inference_mode():
        alone = milliseconds(lambda: model.encode_query(**inputs), report.device)
    together = milliseconds(lambda: encoder.encode_queries(queries), report.device)
    one = milliseconds(lambda: encoder.encode_queries(queries[:1]), report.device)
    for what, number, ms in (
        (f"model, {count} together", count, alone),
        (f"Encoder.encode_queries, {count} together", count, together),
        ("Encoder.encode_queries, one", 1, one),
    ):
        row = {"what": f"{name} queries, {what}", "precision": precision, "ms": ms}
        row["a second"] = number / ms * 1e3
        report.add(**row, **report.speed(precision, flop * number, ms))


def _flop(work: Callable[[], object]) -> int:
    """Return the floating-point operations of matrix products, convolutions and attention."""
    # With gradients, so that linear layers on a CPU take the way that is counted.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        work()
    return int(counter.get_total_flops())


def _first(inputs: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: tensor[:1] for name, tensor in inputs.items()}


SECTIONS = (peak, golden, embeddings, search, kernels, encoding)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sections; return 1 if a check failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of gpu.json and gpu.md")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--quick", action="store_true", help="tiny sizes, for a CPU or a first try")
    parser.add_argument(
        "--minutes",
        type=float,
        default=1.5,
        help="a section, 1.5 by default; what it leaves is for the later ones",
    )
    names = [section.__name__ for section in SECTIONS]
    parser.add_argument(
        "--only", choices=names, nargs="+", default=names, help="sections to run, after peak"
    )
    options = parser.parse_args(arguments)
    device: torch.device = options.device
    if device.type != "cuda" and not options.quick:
        parser.error(f"the sizes are a GPU's: give --quick with --device {device}")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            parser.error("torch finds no CUDA device: give --device cpu --quick")
        torch.cuda.set_device(device.index or 0)
    report = Report(options.out, device, options.minutes)
    sizes = QUICK if options.quick else Sizes()
    for section in SECTIONS:
        if section is peak or section.__name__ in options.only:
            report.run(section.__name__, partial(section, report, sizes))
    print((options.out / "gpu.md").read_text(encoding="utf-8"))
    return 1 if report.failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
