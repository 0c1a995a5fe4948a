"""kbvqa evaluate compare, report, trust: what is made of finished runs, and of benchmarks."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.console import (
    CandidatesOption,
    CheckpointOption,
    IndexOption,
    directory,
    out,
    progress,
    settings_with,
)
from app.commands.outputs import refuse_input
from app.evaluation.record import CONDITIONS
from corpus.errors import KbvqaError

if TYPE_CHECKING:
    from app.evaluation.reporting.runs import Run
    from app.evaluation.reporting.sheet import Lookup
    from corpus.pictures.store import ImageFolder

app = typer.Typer()


@app.command("compare")
def evaluate_compare(
    first: Annotated[Path, typer.Argument(help="The directory of a run: what is compared with.")],
    second: Annotated[Path, typer.Argument(help="That of another: what is compared.")],
    condition: Annotated[
        str, typer.Option(help=f"List changes under this one: {', '.join(CONDITIONS)}.")
    ] = "retrieved",
    show: Annotated[int, typer.Option(min=0, help="Changed examples listed of each kind.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as one JSON object.")] = False,
) -> None:
    """Test whether two runs differ, and say what else does.

    Paired bootstrap over the examples that both were asked: the same question about the same
    picture with the same answers. Lists what differs in checkpoint, index, prompts, generator and
    so on, and the examples that became right or wrong.

    \b
    kbvqa evaluate compare runs/okvqa runs/okvqa-ra-vqa
    kbvqa evaluate compare runs/okvqa runs/okvqa-ra-vqa --json > difference.json
    """
    if condition not in CONDITIONS:
        raise typer.BadParameter(
            f"{condition!r} is no condition; choose from {', '.join(CONDITIONS)}"
        )
    from app.evaluation.files.json_rows import as_json as plain
    from app.evaluation.files.json_rows import json_text
    from app.evaluation.reporting.comparison import compare, comparison_text
    from app.evaluation.reporting.runs import open_runs

    runs = open_runs([first, second])
    found = compare(*runs, condition=condition, seed=seed)
    if as_json:
        typer.echo(json_text(plain(found), indent=2))
    else:
        out.print(comparison_text(found, show), markup=False, highlight=False, soft_wrap=True)


@app.command("report")
def evaluate_report(
    directories: Annotated[list[Path], typer.Argument(help="The directories of one or more runs.")],
    output: Annotated[
        Path | None,
        typer.Option("--out", help="The page. Default: report.html in the first directory."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="The directory of the pictures. Default: where each run found them."),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(help="Where the passages are looked up. Default: the index of each run."),
    ] = None,
    examples: Annotated[
        int, typer.Option(min=0, help="Examples shown, evenly spread where there are more.")
    ] = 5_000,
) -> None:
    """Write one HTML page with the figures and examples of runs; it needs no network.

    Tables, recall over K, what went wrong, risk against coverage, latency, published figures of
    the same protocol, how the figures came about, and every example with its picture, hits and
    answers. With several directories the first is compared with the others.

    \b
    kbvqa evaluate report runs/okvqa
    kbvqa evaluate report runs/okvqa runs/okvqa-ra-vqa --out okvqa.html
    """
    from app.evaluation.files.resumable import write_text
    from app.evaluation.reporting.page import page
    from app.evaluation.reporting.runs import open_runs
    from app.evaluation.reporting.sheet import make_sheet

    target = output or directories[0] / "report.html"
    if target.is_dir():
        raise typer.BadParameter(f"{target} is a directory: name a file, such as report.html")
    runs = open_runs(directories)
    for run in runs:  # a page that is there may be replaced
        own = (path for path in run.directory.iterdir() if path.suffix not in (".html", ".htm"))
        refuse_input("--out", target, own)
    notes: list[str] = []
    with progress() as (say, advance), ExitStack() as stack:
        say("Looking up passages and pictures")
        folders = [_pictures(run, images, notes) for run in runs]
        lookup = _lookup(runs, index, stack, notes)
        sheet = make_sheet(runs, folders, lookup, limit=examples, advance=advance)
        text = page(runs, sheet, list(dict.fromkeys(notes)))
    target.parent.mkdir(parents=True, exist_ok=True)
    write_text(target, text)
    out.print(f"Written to {target} ({len(text.encode()) / 1e6:,.1f} MB)", soft_wrap=True)


@app.command("trust")
def evaluate_trust(
    benchmark: Annotated[
        str, typer.Argument(help="A benchmark or a file of examples, as for `evaluate run`.")
    ],
    output: Annotated[
        Path, typer.Option("--out", help="Where results are written.", callback=directory)
    ],
    split: Annotated[str, typer.Option(help="As for `evaluate run`.")] = "",
    data: Annotated[Path | None, typer.Option(help="As for `evaluate run`.")] = None,
    images: Annotated[Path | None, typer.Option(help="As for `evaluate run`.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many examples, evenly spread.")
    ] = None,
    depth: Annotated[
        int, typer.Option(min=10, max=500, help="Passages to find, before any is taken out.")
    ] = 50,
    concurrency: Annotated[
        int, typer.Option(min=1, help="Questions on their way to a server at once.")
    ] = 64,
    strategy: Annotated[
        str | None, typer.Option(help="ra-vqa, concat, critic or extract. Default: as set.")
    ] = None,
    candidates: CandidatesOption = None,
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Find out whether a system says when it does not know, on sets made of a benchmark.

    The scenarios of VLM-DeflectionBench (without passages, with the gold ones, as retrieved, with
    misleading ones: all that hold an answer are taken out), a passage tampered with, another
    example's picture, and no picture. Each with accuracy, abstention and hallucination. A
    confidence is fitted on one half of the examples and measured on the other. Interrupted, the
    same command goes on; each folder in --out is a run for `evaluate report`.

    With another picture or none "accuracy" is how often the true picture's answer still comes; an
    answer that is right of the other picture counts as hallucinated.

    \b
    kbvqa evaluate trust demo --limit 100 --out runs/trust
    kbvqa evaluate trust m2kr-okvqa --index okvqa --out runs/trust-okvqa
    kbvqa evaluate report runs/trust/as-retrieved runs/trust/unanswerable --out trust.html
    """
    from app.components import open_pipeline
    from app.errors import UnknownBenchmark
    from app.evaluation.benchmarks.catalog import open_benchmark
    from app.evaluation.run import Options
    from app.evaluation.trust.measure import measure_trust

    settings = settings_with(index, checkpoint, strategy, candidates).model_copy(
        update={"generator_concurrency": concurrency}
    )
    asked, pictures = open_benchmark(
        benchmark, split, settings.data_directory, data=data, images=images, limit=limit
    )
    if asked.answer_scores is None:
        raise UnknownBenchmark(f"{asked.name} has no answers to be right: choose another")
    options = Options(depth=depth, concurrency=concurrency)
    with progress() as (say, advance):
        pipeline = open_pipeline(settings, say, exact=True)
        text = measure_trust(pipeline, asked, pictures, output, options, say=say, tell=advance)
    out.print(text, highlight=False, markup=False, soft_wrap=True)
    out.print(f"Written to {output}", soft_wrap=True)


def _pictures(run: "Run", images: Path | None, notes: list[str]) -> "ImageFolder | None":
    from app.evaluation.reporting.sheet import images_of
    from corpus.pictures.store import ImageFolder

    folder = images or images_of(run)
    if folder is not None and folder.is_dir():
        return ImageFolder(folder)
    notes.append(f"Pictures of {run.name}: {folder or 'not recorded'} is not here; give --images")
    return None


def _lookup(
    runs: "Sequence[Run]", index: str | None, stack: ExitStack, notes: list[str]
) -> "Lookup | None":
    """Return what gives passages their texts: all indexes of the runs that can be opened here."""
    from corpus.types import Passage
    from retriever.index.passage_index import PassageIndex

    settings = settings_with(index, None)
    recorded = (run.results.provenance.index for run in runs)
    places = [str(found["location"]) for found in recorded if found and "location" in found]
    opened = []
    for place in dict.fromkeys([index] if index is not None else places):
        location = settings.searched_index if index is not None else place
        try:
            opened.append(
                stack.enter_context(PassageIndex.open(location, connection=settings.connection))
            )
        except KbvqaError as exc:
            if index is not None:
                raise
            notes.append(f"Passages have no text here: {str(exc).rstrip('.')}. Give --index")
    if not opened:
        return None

    def look_up(ids: Sequence[str]) -> list[Passage]:
        found: dict[str, Passage] = {}
        for one in opened:
            wanted = [id_ for id_ in ids if id_ not in found]
            there = one.content_hashes(wanted) if wanted else {}
            found |= {passage.id: passage for passage in one.get(there)}
        return list(found.values())

    return look_up
