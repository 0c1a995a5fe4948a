"""The command line. `kbvqa --help` teaches it by example."""

import errno
import logging
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from app.commands import (
    ask,
    corpus,
    data,
    evaluate,
    evaluate_report,
    feedback,
    index,
    settings,
    study,
    train,
)
from app.commands.console import (
    CandidatesOption,
    CheckpointOption,
    IndexOption,
    err,
    open_streams,
    out,
    progress,
    settings_with,
    status,
)
from app.commands.outputs import check_outputs, written
from app.errors import CannotStart, InvalidSettings
from app.machine.directories import file_in_the_way
from app.machine.extras import own_version, require
from app.machine.memory import keep_few_kernels
from app.settings import Settings, load_settings
from corpus.errors import KbvqaError
from corpus.home import home_directory

log = logging.getLogger("app.cli")

# The heavy imports (torch, transformers, gradio) stand inside the commands: --help is instant.

INTERRUPTED = 130  # the exit code after Ctrl-C
AGAIN = "the same command then goes on where it stopped."
CANNOT_START = 78  # EX_CONFIG of sysexits.h, for systemd's RestartPreventExitStatus

# "\b" keeps click from re-wrapping the lines that follow it.
EXAMPLES = """
Ask a knowledge question about a picture; get a short answer and the passages that prove it.

\b
    kbvqa setup                                      build what is missing, once
    kbvqa ask flag.png "What is the capital of this country?"
    kbvqa ask tiger.jpg "What does this animal eat?" --json
    kbvqa ask "What is the capital of Kenya?"        without a picture
    kbvqa web                                        the page and the API, on http://127.0.0.1:7860

\b
    kbvqa index build passages.jsonl --index my-index
    kbvqa ask photo.jpg "Who built this?" --index my-index
    kbvqa evaluate run examples.jsonl --images pictures --out runs/first

\b
    kbvqa corpus show enwiki-latest-pages-articles.xml.bz2
    kbvqa data status                                which of the paper's datasets are there
    kbvqa evaluate run okvqa --out runs/okvqa
    kbvqa study --planted --out runs/study            training recipes, side by side

Settings that outlast a command are KBVQA_* environment variables; `kbvqa settings` lists them.
"""


class _Commands(TyperGroup):
    """The commands; a leading "~" is expanded that no shell saw: --index=~/x, or in quotes.

    What any of them writes is checked here, before it begins.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        expanded = [_expanded(argument) for argument in args]
        check_outputs(expanded)
        return super().parse_args(ctx, expanded)


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
app.command("ask", cls=ask.AskCommand)(ask.ask)
app.add_typer(index.app, name="index")
app.add_typer(corpus.app, name="corpus")
app.add_typer(data.app, name="data")
evaluate.app.add_typer(evaluate_report.app)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(train.app, name="train")
app.command("study")(study.study)
app.add_typer(feedback.app, name="feedback")


def _say_version(wanted: bool) -> None:
    if wanted:
        out.print(f"kbvqa {own_version()}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_say_version),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line: expected failures become one message and exit code 1."""
    open_streams()
    keep_few_kernels()
    try:
        app(standalone_mode=True)
    except KbvqaError as exc:
        err.print(f"[bold red]Error:[/] {escape(str(exc))}", highlight=False, soft_wrap=True)
        sys.exit(exc.code if isinstance(exc, CannotStart) else 1)
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
        if isinstance(exc, IsADirectoryError) and exc.filename is not None:
            name = escape(os.fsdecode(exc.filename))
            err.print(
                f"[bold red]Error:[/] {name} is a directory, and a file is needed: rename it, or "
                "name another place.",
                soft_wrap=True,
            )
            sys.exit(1)
        if (full := _full(exc)) is not None:
            err.print(f"[bold red]Error:[/] {escape(full)}", highlight=False, soft_wrap=True)
            sys.exit(1)
        if (advice := _advice(exc)) is not None:
            err.print(f"[bold red]Error:[/] {escape(str(exc))}. {advice}", soft_wrap=True)
            sys.exit(1)
        err.print(f"[bold red]Unexpected error:[/] {escape(_unexpected(exc))}", soft_wrap=True)
        sys.exit(2)


def _advice(exc: Exception) -> str | None:
    """Return what to do about a directory or another thing of the system; None for another error.

    Libraries wrap these in errors of their own, with the system's words in their message.
    """
    for number in (errno.EACCES, errno.EPERM, errno.EROFS):
        if getattr(exc, "errno", None) == number or os.strerror(number) in str(exc):
            return (
                "The user that runs this may not write or read there: give it the right to, or "
                f"name another place (KBVQA_HOME, --index, --out); {AGAIN}"
            )
    return f"When that is mended, {AGAIN}" if isinstance(exc, OSError) else None


def _full(exc: Exception) -> str | None:
    """Return what is said of a full disk, with the place where it is known; None otherwise."""
    said = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)]
    code = getattr(exc, "errno", None)
    if code not in (errno.ENOSPC, errno.EDQUOT) and not any(words in str(exc) for words in said):
        return None
    home, outputs = home_directory(), written(sys.argv[1:])
    if isinstance(exc, OSError) and exc.filename is not None:
        place = Path(os.fsdecode(exc.filename)).absolute()
        what = f"the disk of {place} is full ({exc.strerror}). Free some space there"
    elif outputs:  # a library says it, and not where
        return f"{exc}. Free some space where it writes, {' and '.join(outputs)}; {AGAIN}"
    else:
        place, what = home.absolute(), f"{exc}. Free some space"
    if place.is_relative_to(home.absolute()):
        return f"{what}, or set KBVQA_HOME to a directory on another disk; {AGAIN}"
    return f"{what}, or name another place; {AGAIN}"


def _file_that_stopped(exc: Exception) -> Path | None:
    """Return the file that stands where a directory had to be made; None for another error."""
    if not isinstance(exc, FileExistsError | NotADirectoryError) or exc.filename is None:
        return None
    return file_in_the_way(Path(os.fsdecode(exc.filename)))


@app.command()
def setup() -> None:
    """Build what is missing: the checkpoint and the index of the demo corpus."""
    from app.components import set_up

    settings = load_settings()
    with _unless_in_vain(CANNOT_START), progress() as (say, advance):
        set_up(settings, say, advance)
    out.print(f"Ready. Everything built is in {settings.home}", soft_wrap=True)


@app.command()
def web(
    host: Annotated[
        str | None, typer.Option(help="Address to serve on. Default: KBVQA_HOST, else 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port to serve on. Default: KBVQA_PORT, else 7860."),
    ] = None,
    build: Annotated[
        bool, typer.Option("--build", help="First build what is missing, as `kbvqa setup` does.")
    ] = False,
    in_vain: Annotated[
        int,
        typer.Option(
            min=0, max=255, help="The exit code where starting it again would change nothing."
        ),
    ] = CANNOT_START,
    candidates: CandidatesOption = None,
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
) -> None:
    """Serve the page, and the HTTP API at /v1.

    \b
    kbvqa web --port 8080

    Where starting it again would be in vain, such as with an index of another checkpoint, the
    message says what to run, and the exit code is that of --in-vain: a restart policy can stop.
    """
    from app.machine import network
    from app.machine.memory import share_arenas
    from app.machine.port import check_port
    from app.machine.tracing import use_traces

    share_arenas()
    require("web")
    with _unless_in_vain(in_vain):
        use_traces()
        settings = settings_with(
            index, checkpoint, candidates=candidates, host=host or None, port=port
        )
    check_port(settings.host, settings.port)
    network.prepare(f"http://{settings.host}")
    from app.api.application import build_api
    from app.components import open_pipeline
    from app.web.page import build_page
    from app.web.serving.serve import mounted, serve
    from app.web.serving.uploads import own_uploads

    if build:
        _set_up_apart(settings, in_vain)
    with _unless_in_vain(in_vain, settings.reader), status() as say:
        say("Loading the models")
        pipeline = open_pipeline(settings, say)
    _log_lacks(pipeline)
    served = build_api(pipeline, settings)
    with own_uploads() as uploads:
        page = build_page(served.pipeline, settings)
        application = mounted(served, page, settings, uploads)
        finish = partial(served.finish, settings.stop_seconds)
        serve(application, settings.host, settings.port, finish)


@app.command()
def mcp(index: IndexOption = None, checkpoint: CheckpointOption = None) -> None:
    """Offer the tools ask and search to an assistant, by the Model Context Protocol.

    \b
    {"mcpServers": {"kbvqa": {"command": "kbvqa", "args": ["mcp"]}}}

    It speaks on standard input and output: an assistant starts it, by a configuration such as this.
    """
    from app.machine.tracing import use_traces

    require("mcp")
    use_traces()
    settings = settings_with(index, checkpoint)
    from app.api.tools import build_tools
    from app.asking.recall import WatchedPipeline, recall_watch
    from app.components import open_pipeline

    with status() as say:
        pipeline = open_pipeline(settings, say)
    watch = recall_watch(pipeline, settings)
    try:
        build_tools(WatchedPipeline(pipeline, watch), settings).run()
    finally:
        if watch is not None:
            watch.close()


@contextmanager
def _unless_in_vain(code: int, reader: str | None = None) -> Iterator[None]:
    """Raise CannotStart with an exit code for errors that last until somebody changes something.

    Args:
        code: the exit code.
        reader: the one that the settings name. What it lacks is on this disk, while a server that
            is away comes back.
    """
    from generator.errors import GeneratorUnavailable, InvalidCalibration, StrategyUnavailable
    from retriever.errors import IndexNotReady, InvalidCheckpoint

    lasting: tuple[type[KbvqaError], ...] = (
        *(InvalidSettings, IndexNotReady, InvalidCheckpoint),
        *(InvalidCalibration, StrategyUnavailable),
    )
    if reader is not None:
        lasting = (*lasting, GeneratorUnavailable)
    try:
        yield
    except lasting as exc:
        raise CannotStart(str(exc), code) from exc


def _set_up_apart(settings: Settings, in_vain: int) -> None:
    """Run `kbvqa setup` in a process of its own: what building takes of memory ends with it.

    Told to end, this process ends that one first; what it built so far is kept.
    """
    given = {"KBVQA_CHECKPOINT": settings.checkpoint, "KBVQA_INDEX": settings.index or ""}
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | given | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "app.cli", "setup"]
    code = _run_below(command, environment)
    if code:  # it has said why
        raise typer.Exit(in_vain if code == CANNOT_START else abs(code))


def _run_below(command: list[str], environment: dict[str, str]) -> int:
    """Return the exit code of a process that ends where this one is told to by SIGTERM."""
    terminated = 128 + signal.SIGTERM
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(terminated))
    try:
        with subprocess.Popen(command, env=environment) as child:
            try:
                return child.wait()
            except SystemExit:
                child.terminate()
                raise
    finally:
        signal.signal(signal.SIGTERM, before)


@app.command()
def doctor() -> None:
    """Say what is installed, which device, index and generator are used, and what is wrong."""
    from app.commands.doctor import examine

    findings = examine()
    for finding in findings:
        bad = "[red]no[/] " if finding.grave else "[yellow]--[/] "
        mark = "[green]ok[/] " if finding.ok else bad
        state = escape(finding.state).replace("\n", "\n" + " " * 17)
        out.print(f"{mark} [bold]{finding.what:<12}[/] {state}", soft_wrap=True)
        if not finding.ok and finding.advice:
            out.print(f"    -> {escape(finding.advice)}", soft_wrap=True)
    if any(finding.grave for finding in findings if not finding.ok):
        raise typer.Exit(1)


app.command("settings")(settings.show_settings)


def _log_lacks(pipeline: Any) -> None:
    """Log what answers lack, now or in trust."""
    for lack in (pipeline.answering.uncalibrated, _generator_lack(pipeline)):
        if lack:
            log.warning("%s", lack)


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
