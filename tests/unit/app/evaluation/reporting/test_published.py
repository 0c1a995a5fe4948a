"""Published figures: their sources, and that none stands beside one of another protocol."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.evaluation.benchmarks.catalog import KNOWN
from app.evaluation.record import Figure, Results
from app.evaluation.reporting.published import published, published_beside
from app.evaluation.reporting.runs import open_run
from tests.evaluation_runs import examples, write_run


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Those of M2KR's OK-VQA, as they would be over all of it."""
    run = open_run(write_run(tmp_path, examples(2), [1.0, 0.0], benchmark="m2kr-okvqa/test"))
    figure = run.results.figure("exact_match")
    figures = tuple(
        replace(figure, metric=name, n=5_046) for name in ("pseudo_recall@5", "vqa_accuracy")
    )
    corpus = {"name": "okvqa", "sha256": "ab", "passages": 110_000}
    provenance = replace(run.results.provenance, corpus=corpus)
    return replace(run.results, n=5_046, figures=figures, provenance=provenance)


def values(results: Results) -> dict[str, float]:
    return {f"{b.mark.system}, {b.mark.metric}": b.mark.value for b in published_beside(results)[0]}


def test_figures_of_the_same_protocol_stand_beside_ours(results: Results) -> None:
    found = values(results)
    assert found["PreFLMR ViT-G, pseudo_recall@5"] == 68.6
    assert found["PreFLMR, fine-tuned on the one task, pseudo_recall@5"] == 70.9
    assert found["RA-VQAv2 with PreFLMR, vqa_accuracy"] == 61.88
    # One whose corpus is not known, and one without passages, which this run has not measured.
    assert not [
        name for name in found if name.startswith(("V-Retrver-7B, pseudo", "RA-VQAv2 without"))
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"benchmark": "m2kr-okvqa/valid"}, "split test, not valid"),
        ({"benchmark": "m2kr-okvqa/test[100]"}, "of all questions, not [100]"),
        ({"passages": 8_500}, "about 110,000, not 8,500 passages"),
        ({"corpus": None}, "about 110,000, not none"),
        ({"n": 100}, "5,046 questions, not 100"),
    ],
)
def test_what_differs_is_said_and_keeps_it_apart(results: Results, changes, reason: str) -> None:
    provenance = results.provenance
    if "passages" in changes:
        corpus = {"passages": changes.pop("passages")}
        changes = {"provenance": replace(provenance, corpus=corpus)}
    elif "corpus" in changes:
        changes = {"provenance": replace(provenance, corpus=None)}
    elif "n" in changes:
        changes = {"figures": tuple(replace(f, n=changes["n"]) for f in results.figures)}
    other = replace(results, **changes)
    beside, apart = published_beside(other)
    assert not beside
    mark = next(a for a in apart if a.mark.system == "PreFLMR ViT-G")
    assert any(reason in found for found in mark.reasons), mark.reasons


def test_another_metric_is_another_protocol(results: Results) -> None:
    figures = tuple(replace(f, metric="exact_match") for f in results.figures)
    beside, apart = published_beside(replace(results, figures=figures))
    assert not beside
    assert any("this run has no vqa_accuracy" in reason for a in apart for reason in a.reasons)


def test_without_passages_stands_beside_without_passages(results: Results) -> None:
    none: Figure = replace(results.figure("vqa_accuracy"), condition="none")
    found = values(replace(results, figures=(none,)))
    assert found == {"RA-VQAv2 without retrieval, vqa_accuracy": 55.44}


def test_whatever_is_not_first_hand_says_so() -> None:
    for mark in published():
        assert mark.source and 0 < mark.value <= 100
        first_hand = mark.grade in ("readme", "paper")
        assert ("second-hand" in mark.source_text) is not first_hand
        assert mark.protocol.benchmark in KNOWN
        assert mark.protocol.split in KNOWN[mark.protocol.benchmark].splits
