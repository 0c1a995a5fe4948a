"""kbvqa train retriever: PreFLMR's stages, or a fine-tuning, by the one loop."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.commands.console import CheckpointOption, directory, err, out, progress, settings_with

if TYPE_CHECKING:
    from retriever.training.recipes import RetrieverRecipe
    from retriever.training.train import PartSize

_SHOWN = (
    *("steps", "batch", "accumulate", "negatives", "learning_rate", "mapping_learning_rate"),
    *("warmup", "decay", "weight_decay", "clip"),
)


def train_retriever(
    examples: Annotated[
        list[str],
        typer.Option(
            help="A file with rows of {id, image, question, gold_passage_ids}, a benchmark such as "
            "m2kr-evqa, or MSMARCO's triples (.tsv); several for a mixture."
        ),
    ],
    passages: Annotated[
        list[Path], typer.Option(help="The corpus that they are asked of; one for each.")
    ],
    output: Annotated[
        Path, typer.Option("--out", help="Where the checkpoint is written.", callback=directory)
    ],
    recipe: Annotated[
        str, typer.Option(help="own, finetune, text-encoder, mapping, intermediate, m2kr.")
    ] = "own",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the recipe."),
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(help="Questions to keep the best by: a file, or a benchmark's valid split."),
    ] = None,
    validation_passages: Annotated[
        Path | None, typer.Option(help="What those are asked of. Default: the first --passages.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="The directory of the pictures. Default: the file's or benchmark's."),
    ] = None,
    negatives: Annotated[
        Path | None, typer.Option(help="What `kbvqa train negatives` wrote, for one --examples.")
    ] = None,
    mined: Annotated[
        bool,
        typer.Option(
            "--mine", help="Mine negatives, anew at each look at the validation questions."
        ),
    ] = False,
    features: Annotated[
        Path | None,
        typer.Option(
            help="Where what frozen towers say is kept; runs may share it. Default: in --out.",
            callback=directory,
        ),
    ] = None,
    keep_features: Annotated[
        bool,
        typer.Option("--features-kept/--no-features", help="Keep them, or run every tower again."),
    ] = True,
    checkpoint: CheckpointOption = None,
) -> None:
    """Train a retriever by one of PreFLMR's recipes, or fine-tune one on your own questions.

    \b
    kbvqa train retriever --examples mine.jsonl --passages passages.jsonl --out runs/mine
    kbvqa train retriever --recipe finetune --checkpoint LinWeizheDragon/PreFLMR_ViT-L \\
        --examples m2kr-evqa --passages m2kr/EVQA_passages --validation m2kr-evqa --out runs/evqa
    accelerate launch --num_processes 8 -m kbvqa train retriever ...

    The same command goes on where an interrupted one stopped. Settings for --set: trains, rows,
    steps, batch, accumulate, chunk, negatives, learning_rate, mapping_learning_rate, warmup, decay,
    weight_decay, clip, passage_tokens, repeats, evaluate_every, recall_at, patience, bfloat16,
    recompute, seed. docs/guide/train-retriever.md says what they are.
    """
    from app.machine.extras import require

    require("train")
    chosen = named_recipe(recipe, changes or [])
    if len(examples) != len(passages) or (negatives is not None and len(examples) > 1):
        raise typer.BadParameter(
            f"{len(examples)} --examples and {len(passages)} --passages: give one corpus for each, "
            "and --negatives for a single one"
        )
    if mined and (validation is None or negatives is not None):
        raise typer.BadParameter(
            "--mine needs --validation, at whose looks it mines, and takes the place of --negatives"
        )
    settings = settings_with(None, checkpoint)
    from app.components import open_checkpoint
    from app.training.negatives import Refresh
    from app.training.retriever import Source, apart, licences, read_set, read_validation
    from retriever.training.negatives import NegativeRules
    from retriever.training.train import part_sizes, train

    root = settings.data_directory
    with progress() as (say, advance):
        say("Reading questions and passages")
        pairs = zip(examples, passages, strict=True)
        sets = apart([read_set(Source(e, p, images), root, negatives) for e, p in pairs])
        found = None
        if validation is not None:
            source = Source(validation, validation_passages or passages[0], images)
            found = read_validation(source, root)
        say("Loading the checkpoint")
        loaded = open_checkpoint(settings)
        for line in plan(chosen, part_sizes(loaded.model, chosen)):
            err.print(line, highlight=False, soft_wrap=True)
        for given in sets:
            counts = f"{len(given.examples):,} questions, {len(given.passages):,} passages"
            err.print(f"{given.name}: {counts}", highlight=False)
        rules = NegativeRules()
        refresh = Refresh(sets, output / "negatives", rules, say, advance) if mined else None
        origin = {"licences": licences(sets), "negatives": asdict(rules) if mined else None}
        trained = train(
            loaded, sets, chosen, output, validation=found, refresh=refresh, features=features,
            keep_features=keep_features, origin=origin, say=say, advance=advance,
        )  # fmt: skip
    for row in trained.rows:
        out.print(_shown(row), highlight=False)
    out.print(f"Checkpoint, card and log in {trained.model} and {output}", soft_wrap=True)


def named_recipe(name: str, changes: list[str]) -> "RetrieverRecipe":
    """Return a recipe with some settings changed. Raises typer.BadParameter."""
    from retriever.training.recipes import RECIPES, override

    if name not in RECIPES:
        raise typer.BadParameter(f"{name!r} is no recipe; choose from {', '.join(RECIPES)}")
    try:
        return override(RECIPES[name](), changes)
    except ValueError as exc:
        raise typer.BadParameter(f"--set {exc}") from exc


def plan(recipe: "RetrieverRecipe", sizes: "list[PartSize]") -> list[str]:
    """Return what is going to be trained and how, for people."""
    lines = [f"Recipe {recipe.name}; scored: {recipe.rows} rows"]
    for part, parameters, trained in sizes:
        what = "trained" if trained else "frozen"
        lines.append(f"  {part:<10}{parameters:>13,} parameters, {what}")
    for name in _SHOWN:
        ours = "  (our choice)" if name in recipe.ours else ""
        lines.append(f"  {name} {getattr(recipe, name)}{ours}")
    return lines


def _shown(row: dict[str, Any]) -> str:
    figures = [f"{name} {value:.4g}" for name, value in row.items() if name != "step"]
    return f"step {row['step']:,}: {', '.join(figures)}"
