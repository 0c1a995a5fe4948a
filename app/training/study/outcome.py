"""What came of a study: its runs, what the intermediate stage gained, and both as files.

OUT/results.json   all of it
OUT/table.md       the same for people
OUT/study.png      figures over parameters, and the gains
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from app.evaluation.files.resumable import write_json, write_text
from app.evaluation.tables import table
from app.training.study.grid import Cell
from retriever.metrics import mean_and_stderr
from retriever.training.study.information import Gain, intermediate_gain

RESULTS_NAME, TABLE_NAME = "results.json", "table.md"


@dataclass(frozen=True, slots=True)
class Share:
    """A share of questions at K, with its standard error, and of how many."""

    k: int
    value: float
    stderr: float
    n: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one run.

    Attributes:
        cell: the recipe.
        failed: why it ended before it had figures; "" where it has them.
        checkpoint: name and revision of what the training ended with.
        parameters: of the checkpoint.
        trained: parameters that a stage of it trained.
        recall: over an index of the validation passages.
        pseudo_recall: the same, of questions with answers; () where none has any.
        losses: of validation questions by id, in nats.
        provenance: command, git revision, versions, processor, times.
    """

    cell: Cell
    failed: str = ""
    checkpoint: str = ""
    parameters: int = 0
    trained: int = 0
    recall: tuple[Share, ...] = ()
    pseudo_recall: tuple[Share, ...] = ()
    losses: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def loss(self) -> tuple[float, float]:
        """Return the mean loss in nats and its standard error."""
        return mean_and_stderr(list(self.losses.values()))


@dataclass(frozen=True, slots=True)
class Gained:
    """What the intermediate stage gained between two runs that differ in nothing else."""

    vision: str
    text: str
    mapping_layers: int
    parameters: int
    gain: Gain


def gains(outcomes: Iterable[Outcome]) -> list[Gained]:
    """Return the gain of every recipe that was run without and with the intermediate stage."""
    done = {outcome.cell: outcome for outcome in outcomes if not outcome.failed}
    found = []
    for cell, without in done.items():
        other = Cell(*cell.towers, cell.mapping_layers, intermediate=True)
        if cell.intermediate or (with_stage := done.get(other)) is None:
            continue
        pairs = [(loss, with_stage.losses[id_]) for id_, loss in without.losses.items()]
        gain = intermediate_gain(*map(list, zip(*pairs, strict=True)))
        found.append(Gained(*cell.towers, cell.mapping_layers, without.parameters, gain))
    return found


def write_results(out: Path, outcomes: Sequence[Outcome], record: dict[str, Any]) -> None:
    """Write results.json and table.md.

    Args:
        out: the study's directory.
        outcomes: its runs.
        record: what all of them depend on.
    """
    gained = [
        {**asdict(one), "gain": {**one.gain._asdict(), "bits": one.gain.bits}}
        for one in gains(outcomes)
    ]
    runs = [_figures(outcome) for outcome in outcomes]
    write_json(out / RESULTS_NAME, {"runs": runs, "gains": gained, "study": record})
    write_text(out / TABLE_NAME, tables(outcomes))


def tables(outcomes: Sequence[Outcome]) -> str:
    """Return both tables in Markdown: percent and nats, with standard errors."""
    ks = dict.fromkeys(share.k for outcome in outcomes for share in outcome.recall)
    pseudo = dict.fromkeys(share.k for outcome in outcomes for share in outcome.pseudo_recall)
    columns = [
        *("vision", "text", "mapping layers", "intermediate", "parameters", "trained"),
        *(f"recall@{k}" for k in ks),
        *(f"pseudo_recall@{k}" for k in pseudo),
        "loss, nats",
    ]
    rows = [_row(outcome, list(ks), list(pseudo)) for outcome in outcomes]
    lines = ["## Runs", "", *table(columns, rows), *_sizes(outcomes)]
    if gained := gains(outcomes):
        lines += ["## Gain by the intermediate stage", "", _MEANING, ""]
        names = ("vision", "text", "mapping layers", "gain, nats", "gain, bits", "n")
        lines += table(names, [_gain_row(one) for one in gained])
    return "\n".join(lines)


_MEANING = (
    "An approximation to conditional V-information (Xu et al. 2020): the mean over the validation "
    "questions of the loss without the stage less the loss with it, in the same batches."
)


def _figures(outcome: Outcome) -> dict[str, Any]:
    if outcome.failed:
        return asdict(outcome)
    mean, stderr = outcome.loss
    loss = {"nats": mean, "stderr": stderr, "n": len(outcome.losses)}
    return {**asdict(outcome), "loss": loss}


def _row(outcome: Outcome, ks: Sequence[int], pseudo: Sequence[int]) -> list[str]:
    cell = outcome.cell
    named = [*cell.towers, str(cell.mapping_layers), "with" if cell.intermediate else "without"]
    if outcome.failed:
        reason = " ".join(f"failed: {outcome.failed}".replace("|", "/").split())
        return [*named, *["-"] * (2 + len(ks) + len(pseudo)), reason]
    shares = [*_shown(outcome.recall, ks), *_shown(outcome.pseudo_recall, pseudo)]
    mean, stderr = outcome.loss
    counts = f"{outcome.parameters:,}", f"{outcome.trained:,}"
    return [*named, *counts, *shares, f"{mean:.3f} ± {stderr:.3f}"]


def _shown(shares: Sequence[Share], ks: Sequence[int]) -> list[str]:
    by_k = {share.k: f"{100 * share.value:.1f} ± {100 * share.stderr:.1f}" for share in shares}
    return [by_k.get(k, "-") for k in ks]


def _sizes(outcomes: Sequence[Outcome]) -> list[str]:
    done = [outcome for outcome in outcomes if not outcome.failed]
    if not done:
        return []
    answered = [f", {share.n:,} of them with answers" for share in done[0].pseudo_recall[:1]]
    return [
        f"Percent and nats with standard errors, of {len(done[0].losses):,} validation questions"
        f"{''.join(answered)}. Whoever chooses a recipe by them has development figures.",
        "",
    ]


def _gain_row(one: Gained) -> list[str]:
    gain = one.gain
    nats = f"{gain.nats:+.3f} ± {gain.stderr:.3f}"
    row = one.vision, one.text, str(one.mapping_layers)
    return [*row, nats, f"{gain.bits:+.3f}", f"{gain.n:,}"]
