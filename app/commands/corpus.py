"""kbvqa corpus: look into a corpus before hours are spent on indexing it."""

import json
from collections import Counter
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from app.commands import corpus_options as options
from app.commands.console import counted, err, out, print_json, progress, takes
from app.commands.outputs import refuse_input, require_folder

if TYPE_CHECKING:
    from corpus.passages.corpora import Corpus

app = typer.Typer(help="Look into a corpus, and make passages of it.", no_args_is_help=True)


@app.command("show")
@takes(corpus=options.named_corpus)
def corpus_show(
    corpus: "Corpus",
    count: Annotated[
        int, typer.Option("--limit", "--count", "-n", min=1, help="How many passages.")
    ] = 3,
    skip: Annotated[int, typer.Option(min=0, help="Leave out the first ones.")] = 0,
    find: Annotated[str, typer.Option(help="Only passages that hold this text.")] = "",
    skip_bad: options.SkipBadOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show passages of a corpus as they would be indexed.

    \b
    kbvqa corpus show enwiki-latest-pages-articles.xml.bz2 --by section -n 5
    kbvqa corpus show okvqa_full_corpus.csv --find "polar bear"
    """
    from dataclasses import asdict

    if not as_json:
        err.print(_headline(corpus), highlight=False, soft_wrap=True)
    with corpus.read(skip_bad=skip_bad) as stream:
        wanted = (p for p in stream if find.casefold() in p.text.casefold())
        for passage in islice(wanted, skip, skip + count):
            if as_json:
                print_json(asdict(passage))
                continue
            heading = escape(" - ".join(filter(None, (passage.title, passage.section))))
            out.print(f"[bold]{heading or '(no title)'}[/]  [dim]{escape(passage.id)}[/]")
            out.print(escape(passage.text), highlight=False)
            if passage.url:
                out.print(f"[dim]{escape(passage.url)}[/]", highlight=False, soft_wrap=True)
            out.print()
        # How many there are is known only when all are read.
        if not as_json and next(wanted, None) is not None:
            err.print(f"There are more: -n {2 * count} shows more of them.", highlight=False)
        options.report_left_out(stream)


@app.command("stats")
@takes(corpus=options.named_corpus)
def corpus_stats(
    corpus: "Corpus",
    picture: Annotated[
        Path | None, typer.Option(help="Write a histogram of passage lengths: an .svg file.")
    ] = None,
    skip_bad: options.SkipBadOption = False,
    limit: options.LimitOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count passages, their lengths, duplicates and languages.

    \b
    kbvqa corpus stats data/demo/passages.jsonl.gz --picture lengths.svg
    kbvqa corpus stats enwiki.xml.bz2 --by tokens --size 128 --overlap 16
    """
    from corpus.passages.stats import count_passages, draw

    if picture is not None:
        refuse_input("--picture", picture, corpus.files)
    with progress() as (say, advance), corpus.read(skip_bad=skip_bad) as stream:
        say(f"Bytes read of {corpus.name}")
        stats = count_passages(stream, limit, advance)
    if picture is not None:
        picture.write_text(draw(stats, corpus.name), encoding="utf-8")
    if as_json:
        print_json({"corpus": corpus.name, **stats.as_json()}, indent=2)
    else:
        out.print(_headline(corpus), highlight=False, soft_wrap=True)
        out.print(_table(stats.rows()))
        if picture is not None:
            out.print(f"Histogram in {picture}", soft_wrap=True)
    options.report_left_out(stream)


@app.command("make")
@takes(corpus=options.named_corpus)
def corpus_make(
    corpus: "Corpus",
    output: Annotated[
        Path, typer.Option("--out", help="The passages: a .jsonl or .jsonl.gz file.")
    ],
    skip_bad: options.SkipBadOption = False,
    limit: options.LimitOption = None,
) -> None:
    """Write the passages of a corpus to a file that every command reads.

    \b
    kbvqa corpus make enwiki.xml.bz2 --out wiki.jsonl.gz --by section --duplicates near
    """
    from corpus.errors import CorpusError
    from corpus.files.passages import write_passages

    refuse_input("--out", output, corpus.files)
    require_folder("--out", output)
    with progress() as (say, advance), corpus.read(skip_bad=skip_bad) as stream:
        say(f"Bytes read of {corpus.name}")

        def told() -> Any:
            for number, passage in enumerate(islice(stream, limit)):
                if number % 256 == 0:
                    advance(stream.bytes_done, stream.bytes_total)
                yield passage

        passages = told()
        if (first := next(passages, None)) is None:  # before a file is replaced
            raise CorpusError(
                f"no passage of {corpus.name} is left, and {output} is not written: "
                f"{'; '.join(stream.left_out) or f'no record is in {corpus.path}'}"
            )
        count = write_passages(output, chain([first], passages))
    out.print(
        f"{counted(count, 'passage')} of {corpus.name} in {output}", highlight=False, soft_wrap=True
    )
    options.report_left_out(stream)


@app.command("pictures")
@takes(corpus=options.named_corpus)
def corpus_pictures(
    corpus: "Corpus",
    output: Annotated[Path, typer.Option("--out", help="The table: a .jsonl file.")],
    every: Annotated[
        bool,
        typer.Option("--every", help="All pictures of a page, not its first or main one alone."),
    ] = False,
) -> None:
    """Write a table of the pictures that a corpus names, for `kbvqa index pictures`.

    \b
    kbvqa corpus pictures encyclopedic_kb_wiki.json --out pictures.jsonl
    kbvqa corpus pictures Wiki6M_ver_1_0.jsonl.gz --out pictures.jsonl
    kbvqa corpus pictures wit_v1.train.all-00000-of-00010.tsv.gz --out pictures.jsonl
    kbvqa index pictures pictures.jsonl --images FOLDER --skip-missing --out lead.safetensors

    Of each picture it has the file's name, the entity and name of its page, and the URL where the
    file can be fetched, which is yours to do: within the terms of who offers it.
    """
    from corpus.errors import CorpusError
    from corpus.passages.page_pictures import page_pictures

    refuse_input("--out", output, corpus.files)
    require_folder("--out", output)
    partial = output.with_name(f"{output.name}.partial")
    with progress() as (say, advance), partial.open("w", encoding="utf-8") as table:
        say(f"Bytes read of {corpus.name}")
        rows = page_pictures(corpus, every=every, advance=advance)
        count = sum(bool(table.write(json.dumps(r, ensure_ascii=False) + "\n")) for r in rows)
    if not count:
        partial.unlink()
        raise CorpusError(
            f"{corpus.name}: {corpus.format.what} names no pictures of entities; E-VQA's knowledge "
            "base, Wiki6M and WIT do"
        )
    partial.replace(output)
    out.print(
        f"{counted(count, 'picture')} of {corpus.name} in {output}", highlight=False, soft_wrap=True
    )


def _headline(corpus: "Corpus") -> str:
    policy = corpus.policy
    made = "as they are" if policy.by == "record" else f"by {policy.by}"
    if policy.by in ("tokens", "sentences"):
        made += f", {policy.size} with {policy.overlap} shared"
    name = escape(corpus.name)
    return f"[bold]{name}[/]: {corpus.format.what}; {corpus.bytes_total / 1e6:,.1f} MB; {made}"


def _table(rows: Counter[str] | dict[str, str]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table
