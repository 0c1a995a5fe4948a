"""kbvqa train finetune, negatives: a retriever on questions and passages of one's own."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from app.commands.console import (
    CheckpointOption,
    IndexOption,
    directory,
    err,
    out,
    progress,
    settings_with,
)
from app.commands.train_retriever import named_recipe, plan
from app.errors import InvalidSettings

if TYPE_CHECKING:
    from app.training.checks import Finding
    from retriever.training.negatives import NegativeRules

_SHOWN = 5  # findings of a kind

ImagesOption = Annotated[
    Path | None,
    typer.Option(help="The directory that pictures are relative to. Default: the file's."),
]
DepthOption = Annotated[int, typer.Option(min=1, help="Passages to find for a question.")]
KeepOption = Annotated[int, typer.Option(min=1, help="Of those, the hardest that are kept.")]


def train_finetune(
    examples: Annotated[
        Path,
        typer.Option(help="Rows of {id, image, question, answers, gold_passage_ids}."),
    ],
    passages: Annotated[
        Path, typer.Option(help="The corpus: a file or folder, as `kbvqa index build` reads it.")
    ],
    output: Annotated[
        Path, typer.Option("--out", help="Where everything is written.", callback=directory)
    ] = Path("runs/finetune"),
    images: ImagesOption = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            help="Other such rows, to measure on. Default: a fifth of the first, on other things."
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check the data, and train nothing.")
    ] = False,
    recipe: Annotated[
        str, typer.Option(help="own, or as published: finetune, intermediate, mapping.")
    ] = "own",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of the recipe."),
    ] = None,
    depth: DepthOption = 64,
    keep: KeepOption = 16,
    checkpoint: CheckpointOption = None,
) -> None:
    """Fine-tune a checkpoint on your own questions, and say how much better it finds.

    \b
    kbvqa train finetune --examples mine.jsonl --passages mine-passages.jsonl --check
    kbvqa train finetune --examples mine.jsonl --passages mine-passages.jsonl --out runs/mine
    kbvqa ask photo.jpg "Who built this?" --checkpoint runs/mine/model --index runs/mine/index

    The data is checked first; what stops the training is in red. The table is over questions that
    take no part in the training. The same command goes on where an interrupted one stopped.
    Settings for --set are those of `kbvqa train retriever`.
    """
    from app.machine.extras import require
    from corpus.passages.corpora import open_corpus

    chosen = named_recipe(recipe, changes or [])
    rules = _rules(depth, keep)
    if not check:
        require("train")
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise InvalidSettings(
                "`kbvqa train finetune` is one process: start it without `accelerate launch`, or "
                "take `kbvqa train negatives` and then `accelerate launch -m kbvqa train retriever`"
            )
    from app.components import open_checkpoint
    from app.training.finetune import (
        CHECKS_NAME,
        divided,
        fine_tune_retriever,
        read_own,
        refuse_other_data,
        refuse_other_recipe,
        write_findings,
    )
    from retriever.training.train import part_sizes

    settings = settings_with(None, checkpoint)
    if not check:
        refuse_other_recipe(output, chosen, rules)
    with progress() as (say, advance):
        corpus = open_corpus(passages)
        folder = images or examples.parent
        own = read_own(corpus, examples, validation, folder, output, say, advance)
    if not check:
        refuse_other_data(output, own, chosen.seed)
    write_findings(output, own)
    if own.data.findings:
        _show(own.data.findings, output / CHECKS_NAME)
    own = divided(own, chosen.seed)
    if not own.data.findings:
        err.print("Nothing is wrong with the data")
    out.print(
        f"{len(own.training):,} questions to train on, {len(own.choosing):,} to choose a "
        f"checkpoint by, {len(own.measured):,} to measure on; {len(own.passages):,} passages",
        highlight=False,
        soft_wrap=True,
    )
    if check:
        return
    with progress() as (say, advance):
        say("Loading the checkpoint")
        loaded = open_checkpoint(settings)
        for line in plan(chosen, part_sizes(loaded.model, chosen)):
            err.print(line, highlight=False, soft_wrap=True)
        made = fine_tune_retriever(loaded, own, chosen, rules, output, say, advance)
    out.print(f"\nTrained for {made.steps:,} steps. Percent, with standard errors:\n")
    out.print(made.table, highlight=False, markup=False, soft_wrap=True)
    use = f'kbvqa ask PICTURE "QUESTION" --checkpoint {made.model} --index {made.index}'
    out.print(f"To use it: {use}", highlight=False, markup=False, soft_wrap=True)


def train_negatives(
    examples: Annotated[
        str,
        typer.Option(
            help="A file with rows of {id, image, question, answers, gold_passage_ids}, or a "
            "benchmark such as m2kr-evqa."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--out", help="Where negatives.jsonl is written.", callback=directory)
    ],
    split: Annotated[str, typer.Option(help="Of a benchmark. Default: train.")] = "",
    data: Annotated[
        Path | None, typer.Option(help="Its files. Default: its folder in KBVQA_DATA.")
    ] = None,
    images: ImagesOption = None,
    depth: DepthOption = 64,
    keep: KeepOption = 16,
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Find hard negatives: what the checkpoint finds for a question and what does not prove it.

    \b
    kbvqa index build passages.jsonl --index my-index
    kbvqa train negatives --examples mine.jsonl --images pictures --index my-index \\
        --out runs/negatives

    Passages with an answer in them, and those with the text of a gold one, are passed over: they
    may be right. The same command goes on where an interrupted one stopped.
    """
    from app.components import open_checkpoint, open_set_index
    from app.training.examples import retriever_examples
    from app.training.negatives import NEGATIVES_NAME, mine, tally

    rules = _rules(depth, keep)
    settings = settings_with(index, checkpoint)
    with progress() as (say, advance):
        asked = retriever_examples(
            examples, settings.data_directory, split=split, data=data, images=images
        )
        loaded = open_checkpoint(settings)
        with open_set_index(settings, loaded) as opened:
            mined = mine(asked, loaded, opened, output, rules, say=say, tell=advance)
    for what, count in tally(mined).items():
        out.print(f"{what}: {count:,}", highlight=False)
    out.print(f"Written to {output / NEGATIVES_NAME}", soft_wrap=True)


def _show(findings: "tuple[Finding, ...]", everything: Path) -> None:
    """Print what was found about the data, some of each kind; what stops first, in red."""
    from app.training.checks import by_kind

    table = Table("finding", "where", "what", "do", box=None, pad_edge=False)
    for same in by_kind(findings).values():
        said = ""
        for finding in same[:_SHOWN]:
            mark = "[red]{}[/]" if finding.stops else "{}"
            kind = "" if finding is not same[0] else mark.format(escape(finding.kind))
            remedy = finding.remedy if finding.remedy != said else ""
            said = finding.remedy
            table.add_row(kind, *map(escape, (finding.where, finding.what, remedy)))
        if len(same) > _SHOWN:
            table.add_row("", f"and {len(same) - _SHOWN:,} more", "", "")
    err.print(table)
    err.print(f"All of them: {escape(str(everything))}", soft_wrap=True)


def _rules(depth: int, keep: int) -> "NegativeRules":
    from retriever.training.negatives import NegativeRules

    try:
        return NegativeRules(depth, keep)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc
