"""kbvqa ask --save: what was asked and what came of it, as a file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from app.machine.directories import writing

if TYPE_CHECKING:
    from app.flow.events import Result
    from app.pipeline import Pipeline
    from corpus.types import Query
    from generator.rewriting import Turn

_ENDINGS = (".html", ".json")


def savable(path: Path | None) -> Path | None:
    """Check an option that names the file to write an answer to."""
    if path is None:
        return None
    if path.suffix not in _ENDINGS:
        raise typer.BadParameter(f"{path} ends in neither {' nor '.join(_ENDINGS)}")
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"{path} is no place for a file")
    return path


def is_page(path: Path | None) -> bool:
    """Return whether an answer is to be written as a page, and not as JSON."""
    return path is not None and path.suffix == ".html"


def conversation(path: Path | None) -> "tuple[Turn, ...]":
    """Return the turns up to an answer in a file that `write_data` wrote; () for no file.

    Raises:
        InvalidQuestion: it is no such file.
    """
    if path is None:
        return ()
    from app.errors import InvalidQuestion
    from app.flow.talk import turns_of

    try:
        record = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as exc:
        raise InvalidQuestion(f"--after: {path} cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidQuestion(f"--after: {path} is not JSON: {exc}") from exc
    if not isinstance(record, dict) or not record.get("question"):
        raise InvalidQuestion(
            f"--after: {path} has no question: name a file that `kbvqa ask --save FILE.json` wrote"
        )
    return turns_of(record)


def page_of(
    pipeline: "Pipeline", query: "Query", result: "Result", after: "Sequence[Turn]"
) -> str | None:
    """Return an answer as the page shows it, as HTML; None where there is none."""
    from app.asking.why import explain
    from app.web.keeping.saved import document
    from app.web.views import finished

    if result.answer is None:
        return None
    why = explain(pipeline, query, result.retrieval)
    view = finished(pipeline, query.question, result, why, after)
    return document(query.image, view)


def write_data(path: Path, question: str, said: Mapping[str, Any], after: "Sequence[Turn]") -> None:
    """Write a result, as JSON, with what was asked."""
    from app.asking.report import recorded

    text = json.dumps(recorded(question, said, after), ensure_ascii=False, indent=2)
    write_whole(path, text + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file in the place of an earlier one, which stays where there is no room."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with writing(path):
            partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
