"""A page of docs/measured: what a command wrote, under the command, the day and the machine.

    python -m benchmarks.page runs/reading/reading.md docs/measured/reading.md \\
        --title Reading --by "python -m benchmarks.reading --out runs/reading"

Run it on the machine that measured, right after it did. Notes on what the figures come to do not
belong there: the next run replaces the page. They stand in docs/measured/README.md.
"""

import argparse
import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path


def page(title: str, command: str, tables: str, note: str = "") -> str:
    """Return tables as a page that says how, when and where they were made."""
    tables = tables.removeprefix(f"# {title}\n").strip("\n")
    made = f"`{command}`, {date.today()}, {machine()}."
    return "\n\n".join(part for part in (f"# {title}", f"{made} {note}".strip(), tables)) + "\n"


def machine() -> str:
    """Return the processor, its cores, and the versions that decide how fast it is."""
    return (
        f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {version('torch')}"
    )


def processor() -> str:
    """Return the processor's name as Linux has it, else as Python does."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("tables", type=Path, help="the Markdown that the command wrote")
    parser.add_argument("page", type=Path, help="where it goes")
    parser.add_argument("--title", required=True)
    parser.add_argument("--by", required=True, help="the command")
    parser.add_argument("--note", default="", help="a sentence on what was measured")
    given = parser.parse_args()
    tables = given.tables.read_text(encoding="utf-8")
    given.page.write_text(page(given.title, given.by, tables, given.note), encoding="utf-8")


if __name__ == "__main__":
    main()
