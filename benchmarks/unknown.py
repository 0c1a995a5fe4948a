"""Pictures of what the corpus does not know: how many answers are given without a warning.

    python -m benchmarks.unknown FOLDER                       flags of regions, say
    python -m benchmarks.unknown FOLDER --known flag:         KE.png shows the entity flag:KE

Each picture is asked four questions, with the settings' checkpoint, index and pictures of entities.
Nothing that is said of an unknown picture is right: whatever is given without a warning is a
mistake. What a rule costs that finds them is told by pictures of what is known: how many answers
from the right entity's passages are given, and how many are in doubt.

The folders of docs/measured/unknown-flags.md are the npm packages region-flags 1.1.0 (its PNG
files; those of two letters are countries) and @iconify-json/circle-flags 1.2.11 (MIT), drawn 256
pixels wide.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from app.commands.console import progress
from app.components import open_pipeline
from app.evaluation.tables import table
from app.settings import load_settings
from corpus.demo.data import demo_passages_path
from corpus.files.passages import read_passages
from corpus.pictures.images import load_image
from corpus.types import Query
from generator.answers.answering import UNLIKE

ABOUT = (
    "What is the capital?",
    "How many people live there?",
    "What is this?",
    "Which language is spoken in this country?",
)
VERDICTS = ("given", "unsure", "withheld")


def main(
    folder: Annotated[Path, typer.Argument(help="Pictures (.png).", exists=True, file_okay=False)],
    known: Annotated[
        str, typer.Option(help="What stands before a file's name in the entity it shows.")
    ] = "",
) -> None:
    """Ask about every picture of a folder, and print the table."""
    pictures = sorted(folder.glob("*.png"))
    if not pictures:
        raise typer.BadParameter(f"{folder} holds no .png: name a folder of pictures")
    entities = {p.id: p.entity for p in read_passages(demo_passages_path())}
    counts: Counter[tuple[str, str]] = Counter()
    with progress() as (say, advance):
        pipeline = open_pipeline(load_settings(), say)
        say("Asking")
        for done, path in enumerate(pictures, start=1):
            image, shown = load_image(path), f"{known}{path.stem}"
            for question in ABOUT:
                answer = pipeline.ask(Query(question, image)).answer
                advance(done, len(pictures))
                if answer is None:
                    continue
                about = {entities.get(c.passage_id) for c in answer.citations}
                if known and about != {shown}:
                    continue
                counts[question, answer.confidence.verdict] += 1
                counts[question, UNLIKE] += UNLIKE in answer.confidence.reasons
    rows = [
        (
            question,
            *(str(counts[question, verdict]) for verdict in VERDICTS),
            str(counts[question, UNLIKE]),
            str(sum(counts[question, verdict] for verdict in VERDICTS)),
        )
        for question in ABOUT
    ]
    print("\n".join(table(("question", *VERDICTS, "looks like none", "n"), rows)))


if __name__ == "__main__":
    typer.run(main)
