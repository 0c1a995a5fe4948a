"""Run again into the same directory: what is made again, kept, or refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.components import open_exact
from app.errors import InvalidSettings
from app.evaluation.benchmarks.benchmark import Benchmark, own_benchmark
from app.evaluation.files.json_rows import as_json, read
from app.evaluation.record import ExampleRow
from app.evaluation.reporting.comparison import provenance_differences
from app.evaluation.reporting.runs import open_run
from app.evaluation.run import Options, evaluate
from app.pipeline import Pipeline
from corpus.errors import DatasetNotFound
from corpus.types import Example
from generator.prompts import Prompt
from tests.evaluating import asked, example, found, run, said
from tests.golden_cases import golden_image


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: setattr(p.generator, "images", True), "capabilities.images"),
        (lambda p: setattr(p.generator, "name", "other"), "generator.name"),
    ],
)
def test_answers_of_another_kind_are_not_mixed_in(
    pipeline, images, tmp_path: Path, change, said: str
) -> None:
    run(pipeline, asked(example("1")), images, tmp_path / "out")
    change(pipeline)
    with pytest.raises(InvalidSettings, match=said):
        run(pipeline, asked(example("1")), images, tmp_path / "out")


def test_rows_of_another_picture_weight_are_not_mixed_in(
    pipeline, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`calibration.json` has it, of which the checkpoint's revision says nothing."""
    first = run(pipeline, asked(example("1")), images, tmp_path / "first")
    checkpoint = replace(pipeline.encoder.checkpoint, picture_weight=0.25)
    monkeypatch.setattr(pipeline.encoder, "checkpoint", checkpoint)
    with pytest.raises(InvalidSettings, match=r"picture_weight is 0.0 there and 0.25 here"):
        run(pipeline, asked(example("1"), example("2")), images, tmp_path / "first")
    second = run(pipeline, asked(example("1")), images, tmp_path / "second")
    unlike = ("retrieval.picture_weight", "0.0", "0.25")
    assert unlike in list(provenance_differences(first, second))


def test_a_generator_that_loses_a_capability_on_the_way_is_noticed(
    pipeline, generator, images, tmp_path: Path
) -> None:
    def write(prompt: Prompt) -> tuple[str, float]:
        generator.images = len(generator.asked) > 1
        return "Paris", -0.1

    generator.write = write
    results = run(pipeline, asked(example("1"), example("2")), images, tmp_path / "out")
    assert results.figure("exact_match").answered_n == 1
    assert "can do other things" in said(tmp_path / "out")["2"].reason


def test_how_the_corpus_is_searched_is_told_not_demanded(pipeline, images, tmp_path: Path) -> None:
    benchmark = asked(example("1"), example("2"))
    run(pipeline, asked(example("1")), images, tmp_path / "out")
    exact = open_exact(pipeline.index, tmp_path, lambda text: None)
    in_memory = Pipeline(pipeline.encoder, pipeline.index, pipeline.answering, exact=exact)
    results = run(in_memory, benchmark, images, tmp_path / "out")
    assert results.search == {"two-stage": 1, "exact": 1}
    every = Pipeline(pipeline.encoder, pipeline.index, pipeline.answering, mode="exact")
    assert run(every, benchmark, images, tmp_path / "every").search == {"exact": 2}
    both = found(tmp_path / "every")["1"].hits, found(tmp_path / "out")["2"].hits
    assert [id_ for id_, _ in both[0]] == [id_ for id_, _ in both[1]]


def test_a_search_that_is_insisted_on_refuses_rows_of_the_other(
    pipeline, images, tmp_path: Path
) -> None:
    two, exact = tmp_path / "two", tmp_path / "exact"
    results = run(pipeline, asked(example("1")), images, two, search="two-stage")
    assert results.provenance.retrieval["search"] == "two-stage"
    every = Pipeline(pipeline.encoder, pipeline.index, pipeline.answering, mode="exact")
    with pytest.raises(InvalidSettings, match="it was 'two-stage' there and --exact is asked for"):
        run(every, asked(example("1")), images, two, search="exact")
    # Not insisted on, the rows are taken, and the results say what they are.
    results = run(every, asked(example("1")), images, two)
    assert results.provenance.retrieval["search"] == "two-stage"
    insisting = Options(search="exact")
    with pytest.raises(InvalidSettings, match="give another directory with --retrieval-from"):
        evaluate(every, asked(example("1")), images, exact, insisting, retrieval_from=two)
    assert run(every, asked(example("1")), images, exact, search="exact").search == {"exact": 1}


def test_recall_is_given_no_deeper_than_was_searched(
    pipeline, images, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    run(pipeline, asked(example("1")), images, out, conditions=(), depth=10)
    results = run(
        None, asked(example("1")), images, out, conditions=(), depth=50, stages=("score",)
    )
    assert results.find("recall@20") is None
    assert results.figure("recall@10").n == 1
    assert results.provenance.settings["depth"] == 10
    assert "recall is given up to there, not up to 50" in caplog.text
    results = run(None, asked(example("1")), images, out, conditions=(), depth=3, stages=("score",))
    recalls = [f.metric for f in results.figures if f.metric.startswith("recall@") and not f.group]
    assert recalls == ["recall@1", "recall@3"]


def test_what_is_refused_changes_nothing(pipeline, images, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(pipeline, asked(example("1"), example("2")), images, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    fewer = own_benchmark("mine, 1 of 2", [example("1")])
    for stages in (("retrieve", "answer", "score"), ("score",)):
        with pytest.raises(InvalidSettings, match="benchmark is 'mine' there"):
            run(pipeline if len(stages) > 1 else None, fewer, images, out, stages=stages)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_results_of_other_questions_are_not_reported(pipeline, images, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(pipeline, asked(example("1")), images, out)
    assert open_run(out).results.n == 1
    other = asked(replace(example("1"), question="Who built it?"))
    evaluate(pipeline, other, images, out, Options(stages=("retrieve",)))  # and then it is killed
    with pytest.raises(DatasetNotFound, match=r"other examples in examples\.jsonl"):
        open_run(out)
    run(pipeline, other, images, out)
    assert open_run(out).examples["1"].question == "Who built it?"


def test_what_is_not_asked_for_now_is_kept_and_in_no_figure(
    pipeline, images, tmp_path: Path
) -> None:
    out, both = tmp_path / "out", ("retrieved", "gold")
    rows = asked(example("1"), example("2"))
    run(pipeline, rows, images, out, conditions=both)
    assert len(pipeline.generator.asked) == 4
    run(pipeline, asked(example("1")), images, tmp_path / "small")
    alone = run(pipeline, asked(example("1")), images, out)
    assert list(alone.outcomes) == ["retrieved"]
    assert alone.outcomes["retrieved"].n == alone.cost["retrieved"].latency_ms["answer"].n == 1
    for name in ("run.trec", "qrels.trec", "scores.jsonl"):
        lines = [
            len((tmp_path / part / name).read_bytes().splitlines()) for part in ("out", "small")
        ]
        assert lines[0] == lines[1]
    lines = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    assert [(row["condition"], row["id"]) for row in lines] == [
        ("retrieved", "1"), ("retrieved", "2"), ("gold", "1"), ("gold", "2"),
    ]  # fmt: skip
    again = run(pipeline, rows, images, out, conditions=both)
    assert again.outcomes["gold"].n == 2
    assert len(pipeline.generator.asked) == 5  # one of them for "small"


def test_hits_are_taken_over_where_none_were_found_and_only_of_the_same_benchmark(
    pipeline, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, out = asked(example("1")), tmp_path / "out"
    run(pipeline, rows, images, tmp_path / "first")
    run(pipeline, own_benchmark("theirs", [example("1")]), images, tmp_path / "theirs")
    with pytest.raises(InvalidSettings, match="benchmark is 'theirs' there and 'mine' here"):
        evaluate(pipeline, rows, images, out, retrieval_from=tmp_path / "theirs")
    assert not (out / "retrieval.jsonl").exists()
    failed = replace(found(tmp_path / "first")["1"], hits=(), failure="InvalidImage: gone")
    for there in ("", json.dumps(as_json(failed)) + "\n"):
        out.mkdir(exist_ok=True)
        (out / "retrieval.jsonl").write_text(there)
        with monkeypatch.context() as patch:
            patch.setattr(pipeline.encoder, "encode_queries", None)  # nothing is encoded again
            evaluate(pipeline, rows, images, out, retrieval_from=tmp_path / "first")
        assert found(out) == found(tmp_path / "first")


@pytest.mark.parametrize("damage", ["{", "[]", None])
def test_nothing_is_scored_of_rows_without_their_record(
    pipeline, images, tmp_path: Path, damage: str | None
) -> None:
    out = tmp_path / "out"
    run(pipeline, asked(example("1")), images, out)
    before = (out / "results.json").read_bytes()
    (out / "run.json").unlink()
    if damage is not None:
        (out / "run.json").write_text(damage)
    with pytest.raises(InvalidSettings, match=r"run\.json"):
        run(None, asked(example("1")), images, out, stages=("score",))
    assert (out / "results.json").read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ({"question": "Who?"}, (1, 1)),
        ({"image": "b.png"}, (1, 1)),
        ({"instruction": "Find it:"}, (1, 1)),  # which finds others
        ({"answers": ("Rome",)}, (0, 0)),
        ({"gold_passage_ids": ()}, (0, 0)),
    ],
)
def test_of_an_example_that_has_changed_what_depends_on_it_is_made_again(
    pipeline, images, tmp_path: Path, changed: dict, again: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    golden_image("img1").save(images / "b.png")
    rows = [example("1"), example("2")]
    out = tmp_path / "out"
    before = run(pipeline, asked(*rows), images, out, batch=1)
    encoded: list[int] = []
    encode = pipeline.encoder.encode_queries
    monkeypatch.setattr(
        pipeline.encoder,
        "encode_queries",
        lambda q, *others: encoded.append(len(q)) or encode(q, *others),
    )
    rows[1] = replace(rows[1], **changed)
    results = run(pipeline, asked(*rows), images, out, batch=1)
    assert (sum(encoded), len(pipeline.generator.asked) - 2) == again
    row = {row.id: row for row in read(out / "examples.jsonl", ExampleRow)}["2"]
    assert (row.question, row.answers) == (rows[1].question, rows[1].answers)
    if changed == {"answers": ("Rome",)}:
        assert results.figure("exact_match").value == 0.5
        assert results.figure("pseudo_recall@10").value == 0.5
        assert before.figure("pseudo_recall@10").value == 1.0
    if changed == {"gold_passage_ids": ()}:
        assert (before.figure("recall@10").n, results.figure("recall@10").n) == (2, 1)


def test_another_picture_of_the_same_name_is_looked_at(pipeline, images, tmp_path: Path) -> None:
    golden_image("img0").save(images / "b.png")
    rows = [example("1"), example("2", "b.png")]
    run(pipeline, asked(*rows), images, tmp_path / "out")
    there = (images / "b.png").read_bytes()
    (images / "b.png").write_bytes(there[:-1] + bytes([there[-1] ^ 1]))  # of the same size
    run(pipeline, asked(*rows), images, tmp_path / "out")
    assert len(pipeline.generator.asked) == 3
    run(pipeline, asked(*rows), images, tmp_path / "out")
    assert len(pipeline.generator.asked) == 3
    (images / "b.png").unlink()
    results = run(pipeline, asked(*rows), images, tmp_path / "out")
    assert results.figure("exact_match").answered_n == 2


def test_another_scoring_scores_again_and_asks_nobody(pipeline, images, tmp_path: Path) -> None:
    rows = [example("1"), example("2")]
    run(pipeline, asked(*rows), images, tmp_path / "out")
    judged: list[str] = []

    def scores(example: Example, answer: str) -> dict[str, float]:
        judged.append(answer)
        return {"bem": 0.25}

    other = Benchmark("mine", rows, scores, scoring="BEM 1", judged_by="bem")
    results = run(pipeline, other, images, tmp_path / "out")
    assert (results.figure("bem").value, results.figure("bem").n) == (0.25, 2)
    assert results.figure("recall@1").n == 2
    assert results.find("exact_match") is None
    assert len(pipeline.generator.asked) == 2
    assert judged == ["Paris", "Paris"]
    run(pipeline, other, images, tmp_path / "out")
    assert judged == ["Paris", "Paris"], "what is scored is not scored again"
