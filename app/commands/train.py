"""kbvqa train: train the small retriever, fine-tune a generator."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands.console import IndexOption, directory, err, out, progress, settings_with
from app.commands.finetune import train_finetune, train_negatives
from app.commands.train_retriever import train_retriever

app = typer.Typer(
    help="Train a retriever, a reader, kbvqa-mini; fine-tune a generator.", no_args_is_help=True
)
app.command("retriever")(train_retriever)
app.command("finetune")(train_finetune)
app.command("negatives")(train_negatives)


@app.command("mini")
def train_mini(
    output: Annotated[
        Path, typer.Option("--out", help="Where the trained files are written.", callback=directory)
    ] = Path("runs/kbvqa-mini"),
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    start: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="A trained.safetensors to go on from, with fewer steps. Default: anew.",
        ),
    ] = None,
    bfloat16: Annotated[
        bool,
        typer.Option("--bfloat16", help="For processors that are fast in it (AMX, AVX-512 BF16)."),
    ] = False,
) -> None:
    """Train kbvqa-mini on the demo data, on a CPU.

    \b
    kbvqa train mini --out runs/kbvqa-mini
    kbvqa train mini --start runs/kbvqa-mini/trained.safetensors --out runs/longer

    Views and passages are encoded once and kept in the output directory; each stage has its log
    and curve there. The same command goes on where an interrupted one stopped. The result
    replaces the model in the repository by copying it to retriever/checkpoint/kbvqa_mini.
    """
    from app.machine.extras import require
    from retriever.training.demo.mini import MiniRecipe, continued, train

    require("train")
    if start is None:
        recipe = MiniRecipe(seed=seed, threads=threads, bfloat16=bfloat16)
    else:
        recipe = continued(seed, threads, bfloat16)
    with progress() as (say, advance):
        train(recipe, output, say, advance, start)
    out.print(f"Trained weights and log in {output}", soft_wrap=True)


@app.command("generator")
def train_generator(
    run: Annotated[
        Path, typer.Argument(help="Questions with their passages: what `kbvqa evaluate run` wrote.")
    ],
    output: Annotated[
        Path, typer.Option("--out", help="Where the adapters are written.", callback=directory)
    ],
    model: Annotated[
        str, typer.Option(help="What is trained: a directory of transformers, or a hub id.")
    ],
    validation: Annotated[
        Path | None, typer.Option(help="Another such run, to keep the best and to stop by.")
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="own, or as published: okvqa-flmr, okvqa-preflmr.")
    ] = "own",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the recipe."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="The directory of the pictures, for a model that sees.")
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Write the merged model too, to OUT/merged.")
    ] = False,
    index: IndexOption = None,
) -> None:
    """Fine-tune a generator on retrieved passages by LoRA, as RA-VQA does.

    \b
    kbvqa evaluate run demo --split train --no-answer --depth 5 --out runs/train
    kbvqa evaluate run demo --split val --no-answer --depth 5 --out runs/val
    kbvqa train generator runs/train --validation runs/val \\
        --model HuggingFaceTB/SmolLM2-135M-Instruct --out runs/lora --merge
    export KBVQA_READER=runs/lora/merged KBVQA_PROMPT_STYLE=instruct

    \b
    kbvqa train generator runs/okvqa-train --model Salesforce/blip2-flan-t5-xl \\
        --recipe okvqa-preflmr --images coco --out runs/blip2
    accelerate launch --num_processes 4 -m kbvqa train generator ...

    The same command goes on where an interrupted one stopped. Settings for --set: rank, alpha,
    dropout, targets, learning_rate, accumulate, passages, drawn, max_source_tokens,
    max_target_tokens, prompt, nll, marginal, retrieval, retrieval_labels, epochs, steps,
    patience, bfloat16, seed. docs/guide/train.md says how to serve the result with vLLM.
    """
    from app.machine.extras import require
    from generator.training.recipe import RECIPES, override

    require("train")
    if recipe not in RECIPES:
        raise typer.BadParameter(f"{recipe!r} is no recipe; choose from {', '.join(RECIPES)}")
    try:
        chosen = override(RECIPES[recipe](), changes or [])
    except ValueError as exc:
        raise typer.BadParameter(f"--set {exc}") from exc
    settings = settings_with(index, None)
    from app.components import open_set_index
    from app.training.generator import fine_tune

    with progress() as (say, advance), open_set_index(settings) as opened:
        trained = fine_tune(
            opened, run, output, chosen, model, validation, images, merge, say, advance
        )
    for name, left_out in trained.left_out.items():
        for reason, count in left_out.items():
            err.print(f"{count:,} questions of {name} left out: {reason}", highlight=False)
    for row in trained.history:
        losses = [f"{name} {row[name]:.4f}" for name in ("train", "validation") if name in row]
        out.print(f"epoch {row['epoch']}, step {row['step']}: {', '.join(losses)}", highlight=False)
    out.print(f"Adapters in {output}", soft_wrap=True)
    if merge:
        out.print(f"Merged model in {output / 'merged'}", soft_wrap=True)


@app.command("reader")
def train_extractive_reader(
    output: Annotated[
        Path, typer.Option("--out", help="Where reader.safetensors is written.", callback=directory)
    ] = Path("runs/reader"),
    demo: Annotated[
        bool, typer.Option("--demo/--no-demo", help="Train on the demo corpus's questions.")
    ] = True,
    facts: Annotated[
        int | None,
        typer.Option(
            min=12,
            help="Fields of the demo's Factbook asked for in an epoch.",
            show_default="6000",
        ),
    ] = None,
    leads: Annotated[
        int | None,
        typer.Option(
            min=0, help="Of its questions to Wikipedia asked in an epoch.", show_default="all"
        ),
    ] = None,
    spoken: Annotated[
        int | None,
        typer.Option(
            min=0, help="Of its questions in everyday words asked in an epoch.", show_default="all"
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="A reader to go on from, instead of MiniLM."),
    ] = None,
    squad: Annotated[
        list[Path] | None,
        typer.Option(help="A file in SQuAD's format; may be given several times."),
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(
            help="Questions with gold passages: m2kr-okvqa, m2kr-evqa, ...; its train split."
        ),
    ] = None,
    passages: Annotated[
        Path | None, typer.Option(help="The corpus with the benchmark's gold passages.")
    ] = None,
    words: Annotated[
        int | None,
        typer.Option(
            min=10,
            help="Of longer passages of --squad and --benchmark sentences around the answer, so "
            "many words at most, others in each epoch: as long as what is retrieved.",
            show_default="all",
        ),
    ] = None,
    unanswered: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Of the questions of --squad and --benchmark, this share is asked again of the "
            "passage without the sentences that answer: a reader must know when there is nothing.",
            show_default="0",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    learning_rate: Annotated[float, typer.Option(min=0)] = 1.5e-4,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    bfloat16: Annotated[
        bool,
        typer.Option("--bfloat16", help="For processors that are fast in it (AMX, AVX-512 BF16)."),
    ] = False,
) -> None:
    """Train the extractive reader: a span head on MiniLM.

    \b
    kbvqa train reader --out runs/reader
    kbvqa train reader --squad train-v2.0.json --no-demo --out runs/squad-reader
    kbvqa train reader --benchmark m2kr-okvqa --passages m2kr/OKVQA_passages --out runs/okvqa-reader
    export KBVQA_READER=runs/reader/reader.safetensors

    It computes on the GPU where there is one. The same command goes on where an interrupted one
    stopped, and --start goes on from a reader that is trained. How the one that comes along was
    made: docs/guide/train.md.
    """
    of_others = {"--words": words, "--unanswered": unanswered}
    if not squad and benchmark is None:
        for name, value in of_others.items():
            if value is not None:
                raise typer.BadParameter(
                    f"{name} is for --squad or --benchmark, which are not given"
                )
    if passages is not None and benchmark is None:
        raise typer.BadParameter(
            "--passages is the corpus of --benchmark, which is not given: SQuAD's format, for "
            "--squad, has its passages in it"
        )
    of_demo = {"--facts": facts, "--leads": leads, "--spoken": spoken}
    if not demo and (given := [name for name, value in of_demo.items() if value is not None]):
        raise typer.BadParameter(
            f"{given[0]} is of the demo's questions, which --no-demo leaves out"
        )
    import torch

    from app.training.reader import train_reader
    from generator.training.spans import SpanRecipe

    torch.set_num_threads(threads)
    recipe = SpanRecipe(epochs=epochs, learning_rate=learning_rate, seed=seed, bfloat16=bfloat16)
    examples: tuple[Any, ...] = ()
    if benchmark is not None:
        if passages is None:
            raise typer.BadParameter("--benchmark needs --passages, the corpus it is asked of")
        from app.evaluation.benchmarks.catalog import open_benchmark

        root = settings_with(None, None).data_directory
        examples = tuple(open_benchmark(benchmark, "train", root)[0].examples)
    with progress() as (say, advance):
        history = train_reader(
            output,
            recipe,
            say,
            advance,
            demo=demo,
            facts=6000 if facts is None else facts,
            leads=leads,
            spoken=spoken,
            start=start,
            squad=squad or (),
            examples=examples,
            passages=passages,
            words=words,
            unanswered=unanswered or 0,
        )
    for row in history:
        losses = ", ".join(f"{name} {row[name]:.4f}" for name in ("train", "validation"))
        out.print(f"epoch {row['epoch']:.0f}: {losses}", highlight=False)
    out.print(f"The reader is {output / 'reader.safetensors'}", soft_wrap=True)


@app.command("mean")
def mean_of_readers(
    readers: Annotated[list[Path], typer.Argument(help="Files that `train reader` wrote.")],
    output: Annotated[
        Path, typer.Option("--out", help="Where reader.safetensors is written.", callback=directory)
    ] = Path("runs/mean"),
) -> None:
    """Write the mean of several readers' weights, which reads better than each.

    \b
    kbvqa train reader --seed 0 --out runs/a
    kbvqa train reader --seed 1 --epochs 5 --out runs/b
    kbvqa train mean runs/a/reader.safetensors runs/b/reader.safetensors --out runs/mean
    export KBVQA_READER=runs/mean/reader.safetensors

    They must have begun at the same weights, MiniLM's, as all that are trained here have. A
    folder that holds a reader is refused.
    """
    if len(readers) < 2:
        raise typer.BadParameter(f"{readers[0]} is one reader: a mean is of two or more")
    from generator.extractive.model import WEIGHTS_NAME, save_mean

    written = output / WEIGHTS_NAME
    if written.exists():
        raise typer.BadParameter(
            f"--out: {written} is a reader already, and would be lost: name another folder"
        )
    output.mkdir(parents=True, exist_ok=True)
    save_mean(readers, written, {"mean_of": str(len(readers))})
    out.print(f"The reader is {written}", soft_wrap=True)
