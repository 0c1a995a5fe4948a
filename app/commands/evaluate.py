"""kbvqa evaluate: measure retrieval and answers."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from app.console import (
    CandidatesOption,
    CheckpointOption,
    IndexOption,
    directory,
    out,
    progress,
    settings_with,
)

app = typer.Typer(help="Measure retrieval and answers.", no_args_is_help=True)


@app.command("run")
def evaluate_run(
    benchmark: Annotated[
        str,
        typer.Argument(
            help="demo, okvqa, infoseek, evqa, m2kr-okvqa, m2kr-wit, ..., or a file with rows of "
            "{id, image, question, answers, gold_passage_ids}."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--out", help="Where results are written.", callback=directory)
    ],
    split: Annotated[
        str,
        typer.Option(help="train, val, valid or test; not for a file. Default: that of papers."),
    ] = "",
    data: Annotated[
        Path | None, typer.Option(help="Its files. Default: its folder in KBVQA_DATA.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="The directory that pictures are relative to. Default: in KBVQA_DATA."),
    ] = None,
    no_answer: Annotated[bool, typer.Option("--no-answer", help="Retrieval alone.")] = False,
    no_retrieval: Annotated[
        bool, typer.Option("--no-retrieval", help="The generator alone: the baseline.")
    ] = False,
    depth: Annotated[
        int, typer.Option(min=1, max=500, help="Passages to find: recall is given up to here.")
    ] = 10,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many examples, evenly spread.")
    ] = None,
    image_cache: Annotated[
        Path | None,
        typer.Option(help="Keep resized pictures here, for later runs.", callback=directory),
    ] = None,
    all_pictures: Annotated[
        bool,
        typer.Option(
            "--all-pictures",
            help="evqa: each question about each of its pictures, as the official accuracy has it.",
        ),
    ] = False,
    bem: Annotated[
        Path | None,
        typer.Option(help="evqa: the directory of BEM, the official answer-equivalence model."),
    ] = None,
    candidates: CandidatesOption = None,
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Measure recall, pseudo-recall and the benchmark's own answer scores.

    Writes examples.jsonl (one line an example, as it goes) and results.json. Run again
    with the same --out, it goes on where it stopped and tries again what failed; ten failures
    in a row end it. With --bem added it scores again what was answered, and asks nothing again.

    \b
    kbvqa evaluate run okvqa --index gs112k --out runs/okvqa
    kbvqa evaluate run m2kr-evqa --index evqa --depth 100 --out runs/m2kr-evqa
    kbvqa evaluate run examples.jsonl --images pictures --out runs/first --no-answer

    What the generator said is scored, withheld or not; "_shown" has what is withheld as wrong.
    Examples that cannot be scored are counted apart, in no mean, and "_failures_wrong" has those
    of the generator as wrong. Missing pictures are listed before the run starts.
    """
    if no_answer and no_retrieval:
        raise typer.BadParameter("--no-answer and --no-retrieval leave nothing to measure")
    settings = settings_with(index, checkpoint, candidates=candidates)
    from app.benchmarks import open_benchmark

    asked, pictures = open_benchmark(
        benchmark,
        split,
        settings.data_directory,
        data=data,
        images=images,
        limit=limit,
        all_pictures=all_pictures,
        bem=bem,
    )
    answer = not no_answer and asked.answer_scores is not None
    if image_cache is not None and answer:
        raise typer.BadParameter("--image-cache needs --no-answer: a generator may read pictures")
    from app.components import open_pipeline
    from app.evaluate import evaluate
    from corpus.image_store import ImageCache

    with progress() as (say, advance):
        pipeline = open_pipeline(
            settings, say, retrieval=not no_retrieval, answer=answer, exact=True
        )
        cache = None
        if image_cache is not None:
            processor = pipeline.encoder.checkpoint.image_processor
            cache = ImageCache(image_cache, repr(processor), processor.prepare)
        say(f"Evaluating {asked.name}")
        results = evaluate(
            pipeline,
            asked,
            pictures,
            output,
            retrieval=not no_retrieval,
            answer=answer,
            depth=depth,
            cache=cache,
            advance=advance,
        )
    _print_results(results)
    out.print(f"Written to {output}", soft_wrap=True)


@app.command("demo")
def evaluate_demo_command(
    output: Annotated[
        Path, typer.Option("--out", help="Where results are written.", callback=directory)
    ] = Path("runs/evaluate-demo"),
    no_answer: Annotated[bool, typer.Option("--no-answer", help="Retrieval alone.")] = False,
    checkpoint: CheckpointOption = None,
) -> None:
    """Measure the checkpoint on the demo benchmark: pictures of a vendor never trained on.

    \b
    kbvqa evaluate demo --out runs/evaluate-demo

    Retrieval by kind of picture, the same questions without pictures, and short answers
    with and without retrieval. Writes report.md and calibration.json beside the rows.
    """
    from app.components import open_pipeline
    from app.evaluate_demo import calibrate, evaluate_demo

    settings = settings_with(None, checkpoint)
    with progress() as (say, advance):
        pipeline = open_pipeline(settings, say, answer=not no_answer, exact=True)
        evaluate_demo(pipeline, output, say, advance, answer=not no_answer)
    calibration = calibrate(output)
    text = json.dumps(calibration, indent=2) + "\n"
    (output / "calibration.json").write_text(text, encoding="utf-8")
    out.print((output / "report.md").read_text(encoding="utf-8"), highlight=False, soft_wrap=True)
    out.print(f"Not sure below {calibration['unsure_below']}: {text}", highlight=False)


@app.command("answers")
def evaluate_answers_command(
    output: Annotated[
        Path, typer.Option("--out", help="Where results are written.", callback=directory)
    ] = Path("runs/evaluate-answers"),
    calibrating: Annotated[
        int, typer.Option(min=10, help="Questions on flags to calibrate on.")
    ] = 120,
    tested: Annotated[
        int, typer.Option(min=1, help="And to test on, with and without their passages.")
    ] = 121,
    things: Annotated[
        int,
        typer.Option(min=1, help="Questions on things to calibrate on; as many to test on."),
    ] = 120,
    attacked: Annotated[int, typer.Option(min=1, help="Questions on flags with each attack.")] = 60,
    others: Annotated[
        int, typer.Option(min=1, help="Of each set, for strategies other than the one set.")
    ] = 121,
    critic: Annotated[int, typer.Option(min=1, help="Of each set, for the critic.")] = 40,
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Compare the strategies: answers, confidence, unanswerable questions, attacks.

    They are asked "mini": questions with short answers about flags and things of the demo
    corpus, on entities and in wordings that no reader was trained on.

    \b
    kbvqa evaluate answers --out runs/answers
    kbvqa evaluate answers --out runs/answers-short --calibrating 40 --tested 60 --things 30

    The strategy that is set (KBVQA_STRATEGY) is calibrated; the others are compared with it.
    What calibrates and what tests are different entities. Writes report.md, and calibration.json
    to set as KBVQA_CALIBRATION. Interrupted, the same command goes on where it stopped.
    """
    from app.answer_sets import Sizes
    from app.components import open_answering, open_checkpoint, open_generator, open_index
    from app.evaluate_answers import compare
    from app.pipeline import Pipeline
    from retriever.encoder import Encoder

    settings = settings_with(index, checkpoint)
    with progress() as (say, advance):
        loaded = open_checkpoint(settings)
        answering = open_answering(settings, loaded, open_generator(settings, say))
        with open_index(settings.searched_index, loaded, settings.connection) as opened:
            pipeline = Pipeline(Encoder(loaded), opened, answering)
            sizes = Sizes(calibrating, tested, tested, attacked, things, others, critic)
            text = compare(pipeline, output, sizes, say, advance)
    out.print(text, highlight=False, soft_wrap=True)


def _print_results(results: dict[str, Any]) -> None:
    """Print what was measured, on which corpus, and how many examples are in each figure."""
    corpus = results["corpus"] or "none"
    out.print(f"[bold]{escape(results['benchmark'])}[/] on the corpus [bold]{escape(corpus)}[/]")
    names = [name.removesuffix("_n") for name in results if name.endswith("_n")]
    for name in names:
        style = "bold" if name == results["headline"] else ""
        line = f"{name:<28} {results[name]:.4f} ± {results[f'{name}_stderr']:.4f}"
        out.print(escape(f"{line}  n = {results[f'{name}_n']:,}"), style=style, highlight=False)
        if (lower := results.get(f"{name}_failures_wrong")) is not None:
            out.print(escape(f"  {lower:.4f} with failures as wrong"), highlight=False)
    for name, value in results.get("summary", {}).items():
        out.print(escape(f"{name:<28} {value}"), highlight=False)
    out.print(f"{results['n']:,} examples, {results['unscored']:,} unscored", highlight=False)
    for reason, count in results["unscored_reasons"].items():
        out.print(f"  {count:,}  {escape(reason)}", highlight=False)
    if results["empty"]:
        out.print(f"{results['empty']:,} answers without a word, scored as such", highlight=False)
    if len(results.get("search", ())) > 1:
        how = ", ".join(f"{count:,} {name}" for name, count in results["search"].items())
        out.print(f"[yellow]not all were searched alike[/]: {how}", highlight=False)
    if results.get("missing_images"):
        out.print(f"{results['missing_images']:,} pictures are missing", highlight=False)
    if results.get("gold_not_in_corpus"):
        gone = results["gold_not_in_corpus"]
        out.print(
            f"[yellow]{gone:,} examples have no gold passage in this corpus[/]: is it the right "
            "one?",
            highlight=False,
        )
    for note in results["notes"]:
        out.print(f"[dim]{escape(note)}[/]", highlight=False, soft_wrap=True)
