"""The model card of a trained checkpoint: what it is, of which data, by which settings, and limits.

In the form of the hub's README.md. Written from the run's record; what nobody knows it says so.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retriever.training.loop.state import Row

CARD_NAME = "README.md"
_UNKNOWN = "not stated: ask its source before you pass this checkpoint on"


def write_card(
    directory: Path, record: Mapping[str, Any], rows: Sequence[Row], measured: Sequence[str] = ()
) -> None:
    """Write README.md into a checkpoint's directory.

    Args:
        directory: of the checkpoint.
        record: of the training: "recipe", "checkpoint", "data", "validation", and "licences" by
            the name of a dataset.
        rows: its log.
        measured: Markdown lines about questions that took no part in the training; () where
            nothing was measured on such.
    """
    (directory / CARD_NAME).write_text(card(record, rows, measured), encoding="utf-8")


def card(record: Mapping[str, Any], rows: Sequence[Row], measured: Sequence[str] = ()) -> str:
    """Return the text of a model card; arguments as of `write_card`."""
    recipe, licences = record["recipe"], record.get("licences", {})
    lines = [
        "---",
        "tags: [flmr, late-interaction, knowledge-based-vqa]",
        "---",
        f"# A retriever trained from {record['checkpoint']}",
        "",
        f"PreFLMR's structure, trained by kbvqa's recipe `{recipe['name']}`. Trained parts: "
        f"{', '.join(recipe['trains'])}; everything else is as it was.",
        "",
        "## Data",
        "",
        "| dataset | examples | passages | licence |",
        "|---|---|---|---|",
        *(
            f"| {name} | {counts['examples']:,} | {counts['passages']:,} | "
            f"{licences.get(name, _UNKNOWN)} |"
            for name, counts in record["data"].items()
        ),
        "",
        "The checkpoint that it began with has a licence of its own, which goes on to hold.",
        "",
        "## Validation",
        "",
        *_validation(record, rows, measured),
        "",
        *(("## Measured", "", *measured, "") if measured else ()),
        "## Limits",
        "",
        "- It was measured on no data but the above. Questions, pictures and passages of another "
        "kind may be found worse than before.",
        "- What it says of people, places and events is what its passages say; it judges nothing.",
        "- Indexes and confidences of the checkpoint that it began with do not fit it: make them "
        "again.",
        "",
        "## Settings",
        "",
        "| setting | value | |",
        "|---|---|---|",
        *(
            f"| {name} | {_shown(value)} | {_whose(name, recipe)} |"
            for name, value in recipe.items()
            if name not in ("name", "ours")
        ),
    ]
    return "\n".join(lines) + "\n"


def _validation(
    record: Mapping[str, Any], rows: Sequence[Row], measured: Sequence[str]
) -> list[str]:
    counts = record.get("validation")
    looks = [row for row in rows if "stderr" in row]
    if not counts or not looks:
        unknown = "" if measured else ", and how well they find is not known"
        return [f"None: the last step's weights were kept{unknown}."]
    names = [name for name in looks[0] if name.startswith("recall")]
    decides = names[0]
    best = max(looks, key=lambda row: row[decides])
    return [
        f"{counts['examples']:,} questions over {counts['passages']:,} passages chose the step "
        f"that was kept (step {best['step']:.0f}): development figures.",
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
        *(
            f"| {title} | " + " | ".join(_figure(n, row, decides) for n in names) + " |"
            for title, row in (("before", looks[0]), ("kept", best))
        ),
    ]


def _figure(name: str, row: Row, decides: str) -> str:
    error = f" ± {100 * row['stderr']:.1f}" if name == decides else ""
    return f"{100 * row[name]:.1f}{error}"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} x {times:g}" for name, times in value.items()) or "-"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _whose(name: str, recipe: Mapping[str, Any]) -> str:
    return "our choice" if name in recipe["ours"] else ""
