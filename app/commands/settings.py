"""kbvqa settings: every setting, its present value, and where that comes from."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape

from app.commands.console import out, print_json
from app.commands.reference import GROUPS, as_markdown, reference
from app.settings import Settings, load_settings


def show_settings(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page docs/settings.md, without values.")
    ] = False,
) -> None:
    """List every setting: its meaning, its value now, and where that comes from.

    \b
    kbvqa settings
    KBVQA_TOP_K=3 kbvqa settings --json
    """
    if markdown:
        print(as_markdown(reference(Settings())), end="")
        return
    rows = reference(load_settings())
    if as_json:
        print_json([asdict(row) for row in rows], indent=2)
        return
    for group in GROUPS:
        out.print(f"\n[bold]{group}[/]")
        for row in (row for row in rows if row.group == group):
            name = f"[green]{row.variable}[/]" if row.origin != "default" else row.variable
            default = "" if row.origin == "default" else f"; default: {row.default}"
            value = escape(f"{row.value}  ({row.origin}{default})")
            out.print(f"  {name} = {value}", highlight=False, soft_wrap=True)
            out.print(f"      [dim]{escape(row.meaning)}[/]", highlight=False)
