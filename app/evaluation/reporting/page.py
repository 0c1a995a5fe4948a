"""A report of one or several runs: one HTML page that asks nothing of any network.

`page` takes the runs that `open_runs` gives, and the examples that `make_sheet` gives of them.
report.html is its frame, report.css its look, report.js the sheet of examples. What stands in the
sections is made here; what comes out of a benchmark or a generator is escaped, and the page's
policy runs no script but its own.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from app.evaluation.record import CONDITIONS
from app.evaluation.reporting.context import (
    comparison_section,
    confidence_section,
    cost_section,
    provenance_section,
    published_section,
)
from app.evaluation.reporting.markup import COLOURS, key
from app.evaluation.reporting.measured import (
    FATES,
    answers_section,
    notes_section,
    outcomes_section,
    retrieval_section,
)
from app.evaluation.reporting.runs import Run
from app.evaluation.reporting.sheet import Sheet, embedded

_HERE = Path(__file__)


def page(runs: Sequence[Run], sheet: Sheet, notes: Sequence[str] = ()) -> str:
    """Return the page.

    Args:
        runs: in the order in which they are shown.
        sheet: their examples.
        notes: what a reader must know of the sheet.
    """
    script = _file(".js").replace("/*FATES*/[]", embedded(FATES))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    sections = [
        ("answers", "Answers", answers_section(runs)),
        ("retrieval", "Retrieval", retrieval_section(runs)),
        ("outcomes", "What went wrong", outcomes_section(runs)),
        ("confidence", "Confidence", confidence_section(runs)),
        ("cost", "Cost", cost_section(runs)),
        ("comparison", "Differences", comparison_section(runs)),
        ("published", "Published", published_section(runs)),
        ("notes", "Notes", notes_section(runs)),
        ("provenance", "Provenance", provenance_section(runs)),
    ]
    there = [(name, title, html) for name, title, html in sections if html]
    there.append(("examples", "Examples", _examples(sheet, notes)))
    body = "\n".join(
        f'<section id="{name}"><h2>{title}</h2>\n{html}\n</section>' for name, title, html in there
    )
    names = ", ".join(dict.fromkeys(run.results.benchmark for run in runs))
    frame = {
        "title": escape(f"{names}: evaluation"),
        "heading": escape(names),
        "made": datetime.now(UTC).strftime("%d %B %Y"),
        "policy": f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'",
        "style": _file(".css"),
        "cards": "".join(_card(i, run) for i, run in enumerate(runs)),
        "nav": "".join(f'<a href="#{name}">{title}</a>' for name, title, _ in there),
        "body": body,
        "data": sheet.html(),
        "script": script,
    }
    html = _file(".html")
    parts = html.split("{{")  # each part but the first begins with a name: no value is looked into
    return parts[0] + "".join(
        frame[part.partition("}}")[0]] + part.partition("}}")[2] for part in parts[1:]
    )


def _file(ending: str) -> str:
    return _HERE.with_name(f"report{ending}").read_text(encoding="utf-8")


def _card(i: int, run: Run) -> str:
    """Return what a run is and its headline."""
    results = run.results
    figure = next(
        (f for c in CONDITIONS if (f := results.find(results.headline, c))), None
    ) or next(iter(results.figures), None)
    value, beside = "–", results.headline
    if results.headline in results.summary:
        value = f"{results.summary[results.headline]}"
    elif figure is not None:
        value = f"{100 * figure.value:.1f}"
        beside = f"{figure.metric} ± {100 * figure.stderr:.1f}"
    facts = [results.benchmark, f"{results.n:,} examples"]
    corpus = results.provenance.corpus
    if corpus:
        # What was searched: the corpus may be that of the build, before passages were added.
        searched = (results.provenance.retrieval or {}).get("passages")
        count = corpus.get("passages", 0) if searched is None else searched
        facts.append(f"{count:,} passages ({corpus.get('name', '?')})")
    facts += [name for name in (_checkpoint(run), _generator(run)) if name]
    return (
        f'<div class="card c{i % COLOURS}"><p class="run">{key(i)}{escape(run.name)}</p>'
        f'<p class="big">{escape(value)}</p><p class="metric">{escape(beside)}</p>'
        f'<p class="facts">{"<br>".join(map(escape, facts))}</p></div>'
    )


def _checkpoint(run: Run) -> str:
    for part in (run.results.provenance.retrieval, run.results.provenance.answers):
        if part and part.get("checkpoint"):
            return str(part["checkpoint"])
    return ""


def _generator(run: Run) -> str:
    answers = run.results.provenance.answers or {}
    generator = answers.get("generator")
    if not isinstance(generator, Mapping):
        return ""
    plan = answers.get("plan")
    strategy = plan.get("strategy", "") if isinstance(plan, Mapping) else ""
    return " · ".join(str(part) for part in (generator.get("name", ""), strategy) if part)


def _examples(sheet: Sheet, notes: Sequence[str]) -> str:
    remarks = list(notes)
    if sheet.shown < sheet.total:
        remarks.append(f"{sheet.shown:,} of {sheet.total:,} examples are shown, evenly spread")
    if sheet.missing:
        remarks.append(f"{sheet.missing:,} pictures could not be shown")
    lines = "".join(f'<p class="hint">{escape(remark)}.</p>' for remark in remarks)
    return lines + _file("-sheet.html")
