"""kbvqa ask: a question, mostly about a picture, its answer, and the passages that prove it.

It is answered in this process, or by a server that `kbvqa web` runs; both give the same JSON.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.panel import Panel
from typer.core import TyperCommand

from app.asking.questions import MAX_TOP_K, boxes_of, checked_question
from app.commands.console import (
    CandidatesOption,
    CheckpointOption,
    IndexOption,
    TopKOption,
    out,
    print_json,
    settings_with,
    shortened,
    status,
)
from app.commands.outputs import is_picture_name
from app.commands.save import conversation, is_page, page_of, savable, write_data, write_whole
from app.settings import Settings
from corpus.errors import KbvqaError
from corpus.types import Box

if TYPE_CHECKING:
    from app.asking.why import Why
    from app.flow.events import Result
    from corpus.types import Query
    from generator.rewriting import Turn

    Explained = tuple[Query, Result, Why]
    Answered = tuple[dict[str, Any], Explained | None, str | None]

_CHARACTERS = 300  # of a passage, before its end is left out


class AskCommand(TyperCommand):
    """`ask`, its usage as it is typed: of two arguments the first is what may be left out."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return what stands behind the command's name."""
        return ["[OPTIONS]", "[IMAGE]", "QUESTION"]


def ask(
    image: Annotated[
        str | None,
        typer.Argument(
            metavar="IMAGE",
            help="The picture: PNG, JPEG, WebP, GIF, TIFF... Leave it out to ask without one.",
            show_default=False,
        ),
    ] = None,
    question: Annotated[
        str | None,
        typer.Argument(metavar="QUESTION", help="What you want to know.", show_default=False),
    ] = None,
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
            help="Look at this part of the picture: left,upper,right,lower in pixels. FLMR "
            "checkpoints look at it beside the whole, and may be given several.",
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Find only passages from this source; may be given several times."
        ),
    ] = None,
    after: Annotated[
        Path | None,
        typer.Option(
            metavar="ANSWER.json",
            help="What this question follows on: an answer about the same picture, which --save "
            "wrote. The question is made to stand alone.",
        ),
    ] = None,
    why: Annotated[
        Path | None,
        typer.Option(
            metavar="PICTURE",
            help="Say which words matched, and write here as PNG where in the picture the first "
            "passage that is cited, or the best, was found. Not with --server: its page draws.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write what was asked and what came of it: as a page that needs no network, with "
            "the picture (.html; not with --server), or as JSON (.json).",
            callback=savable,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    candidates: CandidatesOption = None,
    index: IndexOption = None,
    checkpoint: CheckpointOption = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Ask this `kbvqa web`, such as http://127.0.0.1:7860; the first of "
            "KBVQA_API_KEYS is sent. It goes with neither --why nor --save FILE.html.",
        ),
    ] = None,
) -> None:
    """Answer a question about a picture, or without one.

    \b
    kbvqa ask flag.png "Which currency is used in this country?" --top-k 3
    kbvqa ask screenshot.png "What is the capital of this country?" --box 10,20,200,140
    kbvqa ask flag.png "What is the capital of this country?" --why heat.png
    kbvqa ask flag.png "What is the capital of this country?" --save answer.json
    kbvqa ask flag.png "and its population?" --after answer.json
    kbvqa ask "What is the capital of Kenya?"
    """
    picture, question = _asked(image, question)
    if picture is None and (box or why is not None):
        raise typer.BadParameter(f"{'--box' if box else '--why'} is of a picture: name one")
    if picture is None and server and not no_answer:
        raise typer.BadParameter("--server answers about a picture: name one, or add --no-answer")
    if no_answer and no_retrieval:
        raise typer.BadParameter("--no-answer and --no-retrieval leave nothing to do")
    if why is not None and no_retrieval:
        raise typer.BadParameter("--why says why passages were found: leave --no-retrieval out")
    if source and no_retrieval:
        raise typer.BadParameter("--source is of passages: leave --no-retrieval out")
    if why is not None and (why.is_dir() or not why.absolute().parent.is_dir()):
        raise typer.BadParameter(f"--why: {why} is no place for a file")
    if why is not None and why.suffix.lower() != ".png":
        raise typer.BadParameter(f"--why: {why} does not end in .png, and a PNG is written")
    if is_page(save) and (server or no_answer):
        other = "--server" if server else "--no-answer"
        raise typer.BadParameter(f"--save: with {other} there is no page to write; name a .json")
    if re.search(r"[\ud800-\udfff]", question):  # bytes that could not be decoded
        raise typer.BadParameter(f"{question!r} is not in the encoding of this terminal")
    if server:
        local: dict[str, Any] = {"--no-retrieval": no_retrieval, "--candidates": candidates}
        _require_for_server(local | {"--index": index, "--checkpoint": checkpoint}, why, top_k)
    settings = settings_with(index, checkpoint, strategy, candidates)
    question = checked_question(question, settings.max_question_characters)
    from app.flow.talk import require_whole

    boxes = boxes_of(*(box or ()))
    turns = conversation(after)
    if not turns:
        require_whole(question)
    explained: Explained | None = None
    page: str | None = None
    if server:
        from app.asking.remote import ask_server

        with status() as say:
            say(f"Asking {server}")
            shown = top_k or settings.top_k
            fields = {"question": question, "top_k": shown, "boxes": boxes}
            fields |= {} if no_answer or not strategy else {"strategy": strategy}
            fields |= {"sources": source} if source else {}
            fields |= {"after": _as_json(turns)} if turns else {}
            key = next(iter(settings.keys), None)
            said = ask_server(server, picture, fields, answer=not no_answer, key=key)
    else:
        how: dict[str, Any] = {"answer": not no_answer, "retrieval": not no_retrieval}
        how |= {"sources": source or (), "after": turns}
        query = picture, question, boxes
        wanted = {"why": why is not None, "page": is_page(save)}
        said, explained, page = _answered(settings, query, top_k, how, **wanted)
    if as_json:
        print_json(said)
    else:
        _print_result(said, chosen=not boxes)
    # Where there is no room for a file, the answer has been shown.
    if save is not None and not is_page(save):
        write_data(save, question, said, turns)
    elif save is not None and page is not None:
        write_whole(save, page)
    if why is not None and explained is not None:
        from app.commands.why import print_why, write_heat

        if not as_json:
            print_why(explained[-1])
        write_heat(why, *explained)
    if said.get("failure"):
        raise KbvqaError(f"no answer, the passages alone: {said['failure']}")


def _asked(first: str | None, last: str | None) -> tuple[Path | None, str]:
    """Return the picture, None for none, and the question, of one argument or two.

    Raises:
        typer.BadParameter: the question is missing, or the picture has no name.
    """
    if first is None or (last is None and is_picture_name(first)):
        what = "the question is missing" if first is None else f"{first} has no question beside it"
        raise typer.BadParameter(f'{what}: kbvqa ask {first or "photo.jpg"} "What is this?"')
    if last is None:
        return None, first
    if first.strip() in ("", "-"):
        raise typer.BadParameter(
            f"{first!r} is no picture: name a file, or give the question alone to ask without one"
        )
    return Path(first), last


def _as_json(turns: "Sequence[Turn]") -> str:
    """Return a conversation as a form has it: what is not ASCII as it is, which is shorter."""
    return json.dumps([asdict(turn) for turn in turns], ensure_ascii=False)


def _require_for_server(local: Mapping[str, Any], why: Path | None, top_k: int | None) -> None:
    """Raise BadParameter where an option does not go with --server.

    Args:
        local: by name, options that only say how this process finds and answers.
        why: a picture to draw.
        top_k: passages to show.
    """
    if given := [name for name, value in local.items() if value]:
        raise typer.BadParameter(f"{given[0]} is the server's to say: leave it out with --server")
    if why is not None:
        raise typer.BadParameter(
            "--why draws with the model in this process: leave --server out, or look at the page "
            "of the server, which draws too"
        )
    if top_k is not None and top_k > MAX_TOP_K:
        raise typer.BadParameter(
            f"--top-k: a server shows 1 to {MAX_TOP_K} passages, not {top_k}; ask for fewer, or "
            "leave --server out"
        )


def _answered(
    settings: Settings,
    asked: tuple[Path | None, str, tuple[Box, ...]],
    top_k: int | None,
    how: dict[str, Any],
    *,
    why: bool,
    page: bool,
) -> "Answered":
    """Return the result of a question that is answered in this process, as JSON.

    Beside it what explains it, and the page: None where they are not wanted.

    Args:
        settings: say with what.
        asked: the picture or None, the question and the parts of the picture to look at.
        top_k: passages to show; None for as many as is set.
        how: as `Pipeline.ask` takes it.
        why: also return what says why each passage was found.
        page: also return the answer as a page.
    """
    from app.flow.talk import require_same_picture
    from corpus.pictures.images import load_image, pixels_sha256
    from corpus.types import Query

    image, question, boxes = asked
    picture = None if image is None else load_image(image)
    if how["after"] and picture is not None:  # before models are loaded
        require_same_picture(how["after"], pixels_sha256(picture))
    query = Query(question, picture, boxes=boxes)
    from app.asking.report import result_as_json, search_as_json
    from app.asking.why import explain
    from app.components import open_pipeline

    with status() as say:
        parts = {name: how[name] for name in ("retrieval", "answer")}
        pipeline = open_pipeline(settings, say, **parts)
        say("Answering" if how["answer"] else "Searching")
        result = pipeline.ask(query, top_k or settings.top_k, **how)
        whys = explain(pipeline, query, result.retrieval) if why else None
        shown = page_of(pipeline, query, result, how["after"]) if page else None
    said = (result_as_json if how["answer"] else search_as_json)(result, whys)
    return said, None if whys is None else (query, result, whys), shown


def _print_result(said: Mapping[str, Any], *, chosen: bool) -> None:
    """Print a result for people, from its JSON: an answer and its passages.

    Args:
        said: the result.
        chosen: whether the program chose what was looked at of the picture.
    """
    from app.flow.notes import CHOSEN, RECOGNISED, shown_alike

    for name, what in (("Asked as", said.get("asked_as")), ("Searched", said.get("sources"))):
        if what:
            shown = what if isinstance(what, str) else "; ".join(what)
            out.print(f"[dim]{name}:[/] {escape(shown)}", highlight=False)
    if said["boxes"]:
        parts = " and ".join(",".join(map(str, box)) for box in said["boxes"])
        by = CHOSEN if chosen else ""
        out.print(f"[dim]Looked at:[/] the part {parts}{by}", highlight=False)
    from retriever.inputs.text_vision import names_in

    similar = said.get("similar", ())  # a server may be of an older version
    if seen := said.get("recognised"):
        sure = RECOGNISED[names_in(said["seen"])[1]]
        out.print(f"[dim]{sure}:[/] {escape(', '.join(seen))}", highlight=False)
    if said.get("answer") is not None:
        _print_answer(said)
    if like := shown_alike((p.get("name") or p["image"], p["similarity"]) for p in similar):
        out.print(f"[dim]Similar pictures:[/] {escape(like)}", highlight=False)
    for note in said["notes"]:
        out.print(f"[yellow]{escape(note)}[/]", highlight=False)
    for number, hit in enumerate(said["hits"], start=1):
        style = "bold green" if hit["passage_id"] in said.get("citations", ()) else "bold"
        heading = f"[{number}] {hit['title'] or '(no title)'}"
        heading += f" - {hit['section']}" if hit["section"] else ""
        heading += " (read)" if number in said.get("read", ()) else ""
        out.print(f"[{style}]{escape(heading)}[/]  {hit['score']:.1f}", highlight=False)
        spans = said.get("cited_words", {}).get(hit["passage_id"], ())  # a server may be older
        text = _proof(hit["text"], spans) if spans else escape(shortened(hit["text"], _CHARACTERS))
        out.print(f"    {text}", highlight=False)
        if hit["url"]:
            out.print(f"    [dim]{escape(hit['url'])}[/]", highlight=False, soft_wrap=True)
    times = ", ".join(f"{step} {ms:.0f} ms" for step, ms in said["timings_ms"].items())
    names = f"{said['checkpoint']} {said.get('generator', '')}"
    out.print(f"[dim]{times} · {escape(names)}[/]", highlight=False)


def _proof(text: str, spans: Sequence[Sequence[int]]) -> str:
    """Return the sentences of a passage that have the words of an answer, with those marked.

    As markup of the terminal; in a file or a pipe the words stand between asterisks.
    """
    from generator.sentences import sentences

    on, off = ("[bold underline]", "[/]") if out.is_terminal else ("*", "*")
    shown, last = [], 0
    for start, after in sentences(text):
        inside = [(a, b) for a, b in spans if a < after and b > start]
        if not inside:
            continue
        if start > last + 1:
            shown.append("… ")
        done, last = start, after
        for a, b in inside:
            a, b = max(a, start), min(b, after)
            shown += [escape(text[done:a]), on, escape(text[a:b]), off]
            done = b
        shown.append(escape(text[done:after]))
    if last < len(text):
        shown.append(" …")
    return " ".join("".join(shown).split())


def _print_answer(said: Mapping[str, Any]) -> None:
    """Print an answer, how far to trust it, and how it came about."""
    from generator.answers.answer import Confidence

    reasons, verdict = tuple(said["reasons"]), said["verdict"]
    foreign, doubted = said["fitted_on_another_corpus"], said.get("doubted", False)
    trust = Confidence(said["confidence"], verdict, reasons, foreign, doubted)
    ids = [hit["passage_id"] for hit in said["hits"]]
    cited = sorted(ids.index(id_) + 1 for id_ in said["citations"] if id_ in ids)
    numbers = "".join(f" [{number}]" for number in cited)
    style = "green" if verdict == "given" else "yellow"
    out.print(Panel(escape(said["answer"] + numbers), title="Answer", border_style=style))
    if verdict != "given":
        title = "Not sure" if verdict == "unsure" else "Withheld"
        out.print(f"[yellow]{title}:[/] {escape('; '.join(reasons))}.", highlight=False)
    if verdict == "withheld" or trust.seen_alone:
        return  # nothing that was read is shown
    how_sure = f" · {trust}" if str(trust) else ""
    writes = said["strategy"] != "extract"
    seen = " · the generator saw no picture" if writes and not said["saw_picture"] else ""
    out.print(f"[dim]{said['strategy']}{how_sure}{seen}[/]", highlight=False)
