"""`kbvqa` as a user runs it, in these tests, and what it is run on."""

import json
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from app.cli import app
from corpus.files.passages import write_passages
from corpus.types import Passage
from tests.golden_cases import GOLDEN

CHECKPOINT = str(GOLDEN / "B_preflmr")
PASSAGES = [
    Passage(f"p{i}", f"Thing {i}", f"Thing {i} is a thing that lives in town {i}.", source="made")
    for i in range(12)
]


def kbvqa(*arguments: object, ok: bool = True) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if ok:
        assert result.exit_code == 0, (result.output, result.exception)
    return result


def corpus(folder: Path, passages: list[Passage]) -> Path:
    write_passages(folder / "corpus.jsonl", passages)
    return folder / "corpus.jsonl"


def info(location: object) -> dict[str, object]:
    shown = kbvqa("index", "info", "--json", "--index", location).stdout
    facts: dict[str, object] = json.loads(shown)
    return facts
