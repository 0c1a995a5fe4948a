"""kbvqa study: a grid of training recipes, run, tabulated and drawn."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from app.commands.console import directory, err, out, progress, settings_with, takes

if TYPE_CHECKING:
    from app.training.study.grid import Sources, Stages, Study
    from app.training.study.outcome import Outcome

_PREFIX = 32  # tokens of the released checkpoints' prefix MLP


def study_sources(
    examples: Annotated[
        list[str] | None,
        typer.Option(
            help="Questions of the mapping stage and the last one: a file, or a benchmark such as "
            "m2kr-okvqa; several for a mixture."
        ),
    ] = None,
    passages: Annotated[
        list[Path] | None, typer.Option(help="The corpus that they are asked of; one for each.")
    ] = None,
    intermediate: Annotated[
        str | None,
        typer.Option(
            help="Questions of the intermediate stage, such as m2kr-evqa. With them every recipe "
            "is run twice: without the stage and with it."
        ),
    ] = None,
    intermediate_passages: Annotated[
        Path | None, typer.Option(help="What those are asked of. Default: the first --passages.")
    ] = None,
    validation: Annotated[
        str | None,
        typer.Option(help="Questions to measure on: a file, or a benchmark's valid split."),
    ] = None,
    validation_passages: Annotated[
        Path | None, typer.Option(help="What those are asked of. Default: the first --passages.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="The directory of the pictures. Default: the file's or benchmark's."),
    ] = None,
) -> "Sources | None":
    """Return where the data are; None where no option says so. Raises typer.BadParameter."""
    from app.training.retriever import Source
    from app.training.study.grid import Sources

    given = examples, passages, intermediate, intermediate_passages, validation
    if not any((*given, validation_passages, images)):
        return None
    if not examples or not passages or validation is None:
        raise typer.BadParameter(
            "a study needs --examples and --passages to train on and --validation to measure on; "
            "or give --planted and none of them"
        )
    if len(examples) != len(passages):
        raise typer.BadParameter(
            f"{len(examples)} --examples and {len(passages)} --passages: give one corpus for each"
        )
    between = None
    if intermediate is not None:
        between = Source(intermediate, intermediate_passages or passages[0], images)
    return Sources(
        tuple(Source(e, p, images) for e, p in zip(examples, passages, strict=True)),
        between,
        Source(validation, validation_passages or passages[0], images),
    )


@takes(sources=study_sources)
def study(
    sources: "Sources | None",
    output: Annotated[
        Path, typer.Option("--out", help="Where runs, tables and plot go.", callback=directory)
    ],
    planted: Annotated[
        bool,
        typer.Option(
            "--planted", help="A study that comes along: drawn banners, tiny towers, minutes."
        ),
    ] = False,
    vision: Annotated[
        list[str] | None,
        typer.Option(
            help="A vision tower: random:WIDTHxLAYERS, a CLIP's directory or hub id, or a "
            "checkpoint that lends its own, such as kbvqa-mini; several for a grid."
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(help="A text tower: the same, with a BERT's directory or hub id."),
    ] = None,
    mapping: Annotated[
        list[int] | None,
        typer.Option(
            min=0, help="Layers of the mapping transformer; several for a grid. Default: 1."
        ),
    ] = None,
    prefix: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Tokens of the prefix MLP. Default: {_PREFIX}, with --planted 4."
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="[STAGE.]NAME=VALUE",
            help="Change a setting of all stages, or of one: mapping, intermediate, full.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of first weights.")] = 0,
) -> None:
    """Train and measure a grid of recipes: towers, mapping layers, the intermediate stage.

    \b
    kbvqa study --planted --out runs/study              tiny towers, in minutes on a CPU
    kbvqa study --planted --mapping 0 --mapping 2 --out runs/study      more into the same table
    kbvqa study --vision openai/clip-vit-base-patch32 --vision openai/clip-vit-large-patch14 \\
        --text bert-base-uncased --examples m2kr-okvqa --passages m2kr/OKVQA_passages \\
        --intermediate m2kr-evqa --intermediate-passages m2kr/EVQA_passages \\
        --validation m2kr-okvqa --out runs/scaling

    Stages are PreFLMR's: mapping, intermediate, full; without --intermediate there are two. OUT
    then has table.md, results.json and study.png: parameters, recall and pseudo recall in an index
    of the validation passages, validation loss, and what the intermediate stage gained. The same
    command goes on where it was stopped, and tries again what failed. docs/guide/study.md says the
    rest; settings for --set are those of `kbvqa train retriever`.
    """
    from app.machine import network, threads
    from app.machine.extras import require
    from app.training.study import grid
    from app.training.study.run import run_study

    require("train")
    if planted == (sources is not None):
        raise typer.BadParameter("give --planted, or --examples, --passages and --validation")
    stages = _changed(grid.planted() if planted else grid.published(), changes or [])
    if planted:
        vision, text = vision or list(grid.PLANTED_VISION), text or list(grid.PLANTED_TEXT)
        prefix = prefix or grid.PLANTED_PREFIX
    if not vision or not text:
        raise typer.BadParameter("give a tower with --vision and one with --text, or --planted")
    settings = settings_with(None, None)
    threads.use(threads.choose(settings.threads))
    network.prepare()
    with_stage = sources is None or sources.intermediate is not None
    cells = grid.cells_of(vision, text, mapping or [1], with_stage=with_stage)
    root = settings.data_directory
    with progress() as (say, advance):
        say("Reading questions and passages")
        sources = sources or grid.planted_sources(output / grid.PLANTED_NAME)
        read = grid.read_study(cells, stages, sources, root, prefix or _PREFIX, seed)
        _announce(read)
        outcomes = run_study(read, output, say, advance, _tell)
    _conclude(outcomes, output)


def _changed(stages: "Stages", changes: list[str]) -> "Stages":
    try:
        return stages.changed(changes)
    except ValueError as exc:
        raise typer.BadParameter(f"--set {exc}") from exc


def _announce(study: "Study") -> None:
    """Print what is going to be run, and on what."""
    for name, sets in (("full", study.full), ("intermediate", study.intermediate)):
        for given in sets:
            counts = f"{len(given.examples):,} questions, {len(given.passages):,} passages"
            err.print(f"{name}: {escape(given.name)}, {counts}", highlight=False)
    measured = study.validation
    counts = f"{len(measured.examples):,} questions, {len(measured.passages):,} passages"
    err.print(f"validation: {counts}", highlight=False)
    err.print(f"{len(study.cells):,} runs", highlight=False)


def _tell(outcome: "Outcome") -> None:
    """Print what came of a run, on one line."""
    cell = escape(str(outcome.cell))
    if outcome.failed:
        err.print(f"[red]failed[/] {cell}: {escape(outcome.failed)}", soft_wrap=True)
        return
    recall = ", ".join(f"recall@{share.k} {share.value:.3f}" for share in outcome.recall)
    figures = f"{recall}, loss {outcome.loss[0]:.3f}"
    err.print(f"[green]done[/] {cell}: {figures}", highlight=False, soft_wrap=True)


def _conclude(outcomes: "list[Outcome]", output: Path) -> None:
    """Print the tables; exit with 1 where a run failed."""
    from app.training.study.outcome import tables

    out.print(tables(outcomes), highlight=False, markup=False, soft_wrap=True)
    out.print(f"Tables, figures and plot in {escape(str(output))}", soft_wrap=True)
    if failed := sum(bool(outcome.failed) for outcome in outcomes):
        err.print(f"{failed:,} of {len(outcomes):,} runs failed; the same command tries them again")
        raise typer.Exit(1)
