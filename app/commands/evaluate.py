"""kbvqa evaluate: measure retrieval and answers."""

import json
from pathlib import Path
from typing import Annotated

import typer

from app.console import CheckpointOption, IndexOption, out, progress, settings_with

app = typer.Typer(help="Measure retrieval and answers.", no_args_is_help=True)


@app.command("run")
def evaluate_run(
    examples: Annotated[
        Path,
        typer.Argument(help="Rows of {id, image, question, answers, gold_passage_ids}."),
    ],
    images: Annotated[Path, typer.Option(help="The directory that `image` is relative to.")],
    output: Annotated[Path, typer.Option("--out", help="Where results are written.")],
    no_answer: Annotated[bool, typer.Option("--no-answer", help="Retrieval alone.")] = False,
    no_retrieval: Annotated[
        bool, typer.Option("--no-retrieval", help="The generator alone: the baseline.")
    ] = False,
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Measure recall@k, pseudo_recall@5 and exact_match, with standard errors.

    Writes examples.jsonl (one line an example, as it goes) and results.json. Run again
    with the same --out, it goes on where it stopped.

    \b
    kbvqa evaluate run examples.jsonl --images pictures --out runs/first --no-answer
    """
    if no_answer and no_retrieval:
        raise typer.BadParameter("--no-answer and --no-retrieval leave nothing to measure")
    from app.components import open_pipeline
    from app.evaluate import evaluate
    from corpus.examples import read_examples

    settings = settings_with(index, checkpoint)
    rows = read_examples(examples)
    with progress() as (say, advance):
        pipeline = open_pipeline(settings, say, retrieval=not no_retrieval, answer=not no_answer)
        say("Evaluating")
        results = evaluate(
            pipeline,
            rows,
            images,
            output,
            retrieval=not no_retrieval,
            answer=not no_answer,
            advance=advance,
        )
    for name, value in results.items():
        if not isinstance(value, dict):
            out.print(f"{name:<24} {value}", highlight=False)
    out.print(f"Written to {output}", soft_wrap=True)


@app.command("demo")
def evaluate_demo_command(
    output: Annotated[Path, typer.Option("--out", help="Where results are written.")] = Path(
        "runs/evaluate-demo"
    ),
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
        pipeline = open_pipeline(settings, say, answer=not no_answer)
        evaluate_demo(pipeline, output, say, advance, answer=not no_answer)
    calibration = calibrate(output)
    text = json.dumps(calibration, indent=2) + "\n"
    (output / "calibration.json").write_text(text, encoding="utf-8")
    out.print((output / "report.md").read_text(encoding="utf-8"), highlight=False, soft_wrap=True)
    out.print(f"Not sure below {calibration['unsure_below']}: {text}", highlight=False)
