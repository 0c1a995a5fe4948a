"""The command line. `kbvqa --help` teaches it by example."""

import os
import re
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.panel import Panel
from typer.core import TyperGroup

from app.commands import corpus, data, evaluate, index, train
from app.console import (
    CandidatesOption,
    CheckpointOption,
    IndexOption,
    TopKOption,
    err,
    open_streams,
    out,
    print_json,
    progress,
    settings_with,
    status,
)
from app.questions import checked_question
from app.settings import file_in_the_way, load_settings
from corpus.errors import KbvqaError

# The heavy imports (torch, transformers, gradio) stand inside the commands: --help is instant.

INTERRUPTED = 130  # the exit code after Ctrl-C

# "\b" keeps click from re-wrapping the lines that follow it.
EXAMPLES = """
Ask a knowledge question about a picture; get a short answer and the passages that prove it.

\b
    kbvqa setup                                      build what is missing, once
    kbvqa ask flag.png "What is the capital of this country?"
    kbvqa ask tiger.jpg "What does this animal eat?" --json
    kbvqa web                                        the page, on http://127.0.0.1:7860

\b
    kbvqa index build passages.jsonl --index my-index
    kbvqa ask photo.jpg "Who built this?" --index my-index
    kbvqa evaluate run examples.jsonl --images pictures --out runs/first

\b
    kbvqa corpus show enwiki-latest-pages-articles.xml.bz2
    kbvqa data status                                which of the paper's datasets are there
    kbvqa evaluate run okvqa --out runs/okvqa

Settings that outlast a command are KBVQA_* environment variables; `kbvqa doctor` lists them.
"""


class _Commands(TyperGroup):
    """The commands; a leading "~" is expanded that no shell saw: --index=~/x, or in quotes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [_expanded(argument) for argument in args])


def _expanded(argument: str) -> str:
    option, equals, value = argument.partition("=")
    if equals and option.startswith("--"):
        return f"{option}={os.path.expanduser(value)}"  # noqa: PTH111 - it may be an URL
    return os.path.expanduser(argument)  # noqa: PTH111


app = typer.Typer(
    cls=_Commands,
    help=EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(index.app, name="index")
app.add_typer(corpus.app, name="corpus")
app.add_typer(data.app, name="data")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(train.app, name="train")


def main() -> None:
    """Run the command line: expected failures become one message and exit code 1."""
    open_streams()
    try:
        app(standalone_mode=True)
    except KbvqaError as exc:
        err.print(f"[bold red]Error:[/] {escape(str(exc))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except SystemExit as exc:
        if exc.code == INTERRUPTED:  # typer has made it of KeyboardInterrupt
            err.print("Interrupted. What was built so far is kept.")
        raise
    except Exception as exc:  # noqa: BLE001 - the edge: a message for people, a file for us
        if (file := _file_that_stopped(exc)) is not None:
            err.print(
                f"[bold red]Error:[/] {escape(str(file))} is a file, and a directory is needed: "
                "name another place (KBVQA_HOME, --index, --out).",
                soft_wrap=True,
            )
            sys.exit(1)
        # Libraries wrap a full disk in errors of their own.
        if isinstance(exc, OSError) or "No space left" in str(exc):
            err.print(
                f"[bold red]Error:[/] {escape(str(exc))}. Free some space, or set KBVQA_HOME to a "
                "directory that can be written; the same command then goes on where it stopped.",
                soft_wrap=True,
            )
            sys.exit(1)
        err.print(f"[bold red]Unexpected error:[/] {escape(_unexpected(exc))}", soft_wrap=True)
        sys.exit(2)


def _file_that_stopped(exc: Exception) -> Path | None:
    """Return the file that stands where a directory had to be made; None for another error."""
    if not isinstance(exc, FileExistsError | NotADirectoryError) or exc.filename is None:
        return None
    return file_in_the_way(Path(os.fsdecode(exc.filename)))


@app.command()
def ask(
    image: Annotated[Path, typer.Argument(help="The picture: PNG, JPEG, WebP, GIF, TIFF...")],
    question: Annotated[str, typer.Argument(help="What you want to know about it.")],
    top_k: TopKOption = None,
    no_answer: Annotated[
        bool, typer.Option("--no-answer", help="Only find passages; no generator is loaded.")
    ] = False,
    no_retrieval: Annotated[
        bool, typer.Option("--no-retrieval", help="Only ask the generator: the baseline.")
    ] = False,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="extract, ra-vqa, critic, concat or no-retrieval. Default: KBVQA_STRATEGY."
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            metavar="L,U,R,D",
            help="Look at this part of the picture too: left,upper,right,lower in pixels. May be "
            "given several times; for FLMR checkpoints.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    candidates: CandidatesOption = None,
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Answer a question about a picture.

    \b
    kbvqa ask flag.png "Which currency is used in this country?" --top-k 3
    kbvqa ask photo.jpg "Who made it?" --box 10,20,200,240 --checkpoint LinWeizheDragon/FLMR
    """
    if no_answer and no_retrieval:
        raise typer.BadParameter("--no-answer and --no-retrieval leave nothing to do")
    if re.search(r"[\ud800-\udfff]", question):  # bytes that could not be decoded
        raise typer.BadParameter(f"{question!r} is not in the encoding of this terminal")
    from corpus.images import load_image
    from corpus.types import Query

    settings = settings_with(index, checkpoint, strategy, candidates)
    question = checked_question(question, settings.max_question_characters)
    query = Query(question, load_image(image), boxes=tuple(map(_box, box or ())))
    from app.components import open_pipeline

    with status() as say:
        pipeline = open_pipeline(settings, say, retrieval=not no_retrieval, answer=not no_answer)
        if query.boxes and not pipeline.encoder.takes_regions:
            raise typer.BadParameter(
                f"{settings.checkpoint} takes one picture a query: leave --box out, or give an "
                "FLMR checkpoint"
            )
        say("Answering" if not no_answer else "Searching")
        result = pipeline.ask(
            query, top_k or settings.top_k, retrieval=not no_retrieval, answer=not no_answer
        )
    from app.report import result_as_json

    if as_json:
        print_json(result_as_json(result))
    else:
        _print_result(result)
    if result.failure is not None:
        raise KbvqaError(f"no answer, the passages alone: {result.failure}") from result.failure


@app.command()
def setup() -> None:
    """Build what is missing: the checkpoint and the index of the demo corpus."""
    from app.components import set_up

    settings = load_settings()
    with progress() as (say, advance):
        set_up(settings, say, advance)
    out.print(f"Ready. Everything built is in {settings.home}", soft_wrap=True)


@app.command()
def web(
    host: Annotated[str | None, typer.Option(help="Address to serve on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to serve on.")] = None,
    build: Annotated[
        bool, typer.Option("--build", help="First build what is missing, as `kbvqa setup` does.")
    ] = False,
    candidates: CandidatesOption = None,
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Serve the page.

    \b
    kbvqa web --port 8080
    """
    from app import network

    settings = settings_with(index, checkpoint, candidates=candidates)
    host, port = host or settings.host, port or settings.port
    network.prepare(f"http://{host}")
    from app.web import build_page, check_port, serve

    check_port(host, port)
    from app.components import open_pipeline, set_up

    if build:
        with progress() as (say, advance):
            set_up(settings, say, advance)
    with status() as say:
        say("Loading the models")
        pipeline = open_pipeline(settings, say)
    if pipeline.answering is not None and pipeline.answering.uncalibrated:
        err.print(f"[yellow]{escape(pipeline.answering.uncalibrated)}[/]", soft_wrap=True)
    if (lack := _generator_lack(pipeline)) is not None:
        err.print(f"[yellow]{escape(lack)}[/]", soft_wrap=True)
    serve(build_page(pipeline, settings), host, port, settings.root_path)


@app.command()
def doctor() -> None:
    """Say what is installed, which device, index and generator are used, and what is wrong."""
    from app.doctor import examine

    findings = examine()
    for finding in findings:
        bad = "[red]no[/] " if finding.grave else "[yellow]--[/] "
        mark = "[green]ok[/] " if finding.ok else bad
        out.print(f"{mark} [bold]{finding.what:<12}[/] {escape(finding.state)}", soft_wrap=True)
        if not finding.ok and finding.advice:
            out.print(f"    -> {escape(finding.advice)}", soft_wrap=True)
    if any(finding.grave for finding in findings if not finding.ok):
        raise typer.Exit(1)


def _generator_lack(pipeline: Any) -> str | None:
    """Return what stands in the way of answers now; None for nothing."""
    from generator.errors import GeneratorError

    try:
        with status() as say:
            say("Asking the generator what it can do")
            pipeline.generator.health()
    except GeneratorError as exc:
        return f"The generator does not answer now: {exc} The page is served all the same."
    return None


def _box(text: str) -> tuple[int, int, int, int]:
    """Return the four numbers of a --box."""
    try:
        left, upper, right, lower = (int(part) for part in text.split(","))
    except ValueError as exc:
        raise typer.BadParameter(f"--box {text!r}: give left,upper,right,lower in pixels") from exc
    return left, upper, right, lower


def _print_result(result: Any) -> None:
    """Print an answer and its passages for people."""
    answer, retrieval = result.answer, result.retrieval
    if result.outcome is not None:
        _print_outcome(result.outcome)
    cited = {citation.passage_id for citation in answer.citations} if answer else set()
    for number, hit in enumerate(retrieval.hits, start=1):
        passage = hit.passage
        style = "bold green" if passage.id in cited else "bold"
        heading = f"[{number}] {passage.title or '(no title)'}"
        heading += f" - {passage.section}" if passage.section else ""
        out.print(f"[{style}]{escape(heading)}[/]  {hit.score:.1f}", highlight=False)
        out.print(f"    {escape(passage.text[:300])}", highlight=False)
        if passage.url:
            out.print(f"    [dim]{escape(passage.url)}[/]", highlight=False, soft_wrap=True)
    if retrieval.cut:
        out.print(f"[yellow]The last {retrieval.cut} tokens of the question did not fit.[/]")
    if retrieval.seen:
        seen = escape(retrieval.seen.strip())
        out.print(f"[dim]An image classifier added to the question: {seen}[/]", highlight=False)
    times = ", ".join(f"{step} {ms:.0f} ms" for step, ms in result.timings_ms.items())
    out.print(f"[dim]{times} · {result.checkpoint} {result.generator}[/]", highlight=False)


def _print_outcome(outcome: Any) -> None:
    """Print an answer, how far to trust it, and how it came about."""
    answer, confidence, reply = outcome.answer, outcome.confidence, outcome.reply
    numbers = "".join(f" [{citation.number}]" for citation in answer.citations)
    style = "green" if confidence.verdict == "given" else "yellow"
    out.print(Panel(escape(answer.text + numbers), title="Answer", border_style=style))
    if confidence.verdict != "given":
        title = "Not sure" if confidence.verdict == "unsure" else "Withheld"
        out.print(f"[yellow]{title}:[/] {escape('; '.join(confidence.reasons))}.", highlight=False)
    trust = (
        "confidence not calibrated for these models"
        if confidence.value is None
        else f"confidence {100 * confidence.value:.0f} %"
    )
    writes = reply.strategy != "extract"
    seen = " · the generator saw no picture" if writes and not reply.saw_picture else ""
    out.print(f"[dim]{reply.strategy} · {trust}{seen}[/]", highlight=False)


def _unexpected(exc: BaseException) -> str:
    """Write the traceback to a file and return what to tell the user."""
    import tempfile

    with tempfile.NamedTemporaryFile(
        "w",
        prefix="kbvqa-",
        suffix=".log",
        delete=False,
        encoding="utf-8",
        errors="backslashreplace",
    ) as file:
        traceback.print_exception(exc, file=file)
    return f"{type(exc).__name__}: {exc}. This is a bug; the traceback is in {file.name}"


if __name__ == "__main__":
    main()
