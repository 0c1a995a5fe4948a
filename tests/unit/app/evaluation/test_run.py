"""A run from pictures to results through a real (tiny) retriever and a scripted generator."""

import json
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import InvalidSettings
from app.evaluation.demo import report
from app.evaluation.files.earlier import take_over
from app.evaluation.files.json_rows import read, read_results
from app.evaluation.files.resumable import FAILURES_IN_A_ROW
from app.evaluation.record import ExampleRow, Figure
from app.evaluation.run import Options, evaluate
from app.evaluation.summary import summary_text
from app.pipeline import Pipeline
from corpus.benchmarks import evqa
from corpus.types import Example
from generator.answers.answering import Answering
from generator.answers.confidence import Calibration
from generator.answers.plan import AnswerPlan
from generator.extractive.reader import ExtractiveReader
from tests.evaluating import asked, example, failing_on, failures, found, run, said, scored
from tests.golden_cases import golden_image


def test_means_are_of_the_rows_they_apply_to(pipeline, images, tmp_path: Path, caplog) -> None:
    everything = ("p:paris", "p:tower", "p:church", "p:bird")
    rows = [example("1", gold=everything), example("2", gold=("none",)), example("3", gold=())]
    results = run(pipeline, asked(*rows), images, tmp_path / "out")
    assert results.n == 3
    assert results.figure("recall@1") == Figure(
        "recall@1", "retrieved", "", 0.5, 2, 0.5, 0.0, 1.0, 0.5, 2
    )
    assert results.figure("recall@10").value == 0.5
    assert results.figure("exact_match").value == results.figure("pseudo_recall@5").value == 1.0
    assert results.gold_not_in_corpus == 1
    # Said before anything is searched, with the corpus.
    assert "1 of 2 examples have no gold passage in the corpus 'passages'" in caplog.text
    assert "2 (none)" in caplog.text
    assert read_results(tmp_path / "out") == results
    assert [row.id for row in read(tmp_path / "out" / "examples.jsonl", ExampleRow)] == list("123")


def test_a_picture_that_cannot_be_read_counts_as_wrong_and_is_counted(
    pipeline, images, tmp_path: Path
) -> None:
    (images / "broken.png").write_bytes(b"not a picture")
    rows = [example("1"), example("2", image="broken.png")]
    results = run(pipeline, asked(*rows), images, tmp_path / "out")
    for metric in ("exact_match", "recall@10", "pseudo_recall@10"):
        figure = results.figure(metric)
        assert (figure.value, figure.n) == (0.5, 2)
        assert (figure.answered, figure.answered_n) == (1.0, 1)
    outcome = results.outcomes["retrieved"]
    assert outcome.failures == {"InvalidImage": 1}
    assert outcome.fates == {"right": 1, "not answered": 1}
    assert "broken.png" in said(tmp_path / "out")["2"].reason
    told = f"1 × InvalidImage; the first is 2: {images / 'broken.png'} is not a picture"
    table = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert told in table and "; each is in scores.jsonl" in table


def test_what_the_reader_left_unread_is_not_said_to_be_read(
    pipeline, images, tmp_path: Path
) -> None:
    # The best passage is likeliest by so much that no other is read.
    plan = AnswerPlan("extract", passages=4, temperature=0.001)
    answering = Answering(ExtractiveReader.from_pretrained(), plan, Calibration())
    reads = Pipeline(pipeline.encoder, pipeline.index, answering)
    run(reads, asked(example("1")), images, tmp_path / "out")
    searched = [id_ for id_, _ in found(tmp_path / "out")["1"].hits]
    assert len(searched) == 4
    assert said(tmp_path / "out")["1"].read == tuple(searched[:1])


def test_where_no_passage_is_left_the_reader_says_nothing_and_the_run_goes_on(
    pipeline, images, tmp_path: Path
) -> None:
    rows = asked(*(example(f"{n}") for n in range(FAILURES_IN_A_ROW + 2)))
    plan = AnswerPlan("extract", passages=4)
    answering = Answering(ExtractiveReader.from_pretrained(), plan, Calibration())
    reads, out = Pipeline(pipeline.encoder, pipeline.index, answering), tmp_path / "out"
    assert evaluate(reads, rows, images, out, Options(stages=("retrieve",))) is None
    lines = [json.loads(line) for line in (out / "retrieval.jsonl").read_text().splitlines()]
    bare = "".join(json.dumps({**line, "hits": []}) + "\n" for line in lines)
    (out / "retrieval.jsonl").write_text(bare)
    results = run(reads, rows, images, out)
    assert {row.text for row in said(out).values()} == {""}
    assert results.figure("exact_match").value == 0.0 and failures(results) == 0


def test_an_interrupted_run_goes_on(pipeline, generator, images, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(pipeline, asked(example("1")), images, out)
    for name in ("retrieval", "answers", "scores"):
        with (out / f"{name}.jsonl").open("a") as file:
            file.write('{"id": "2", "half a li')
    results = run(pipeline, asked(example("1"), example("2")), images, out)
    assert results.n == 2
    assert len(generator.asked) == 2
    for name in ("retrieval", "answers", "scores"):
        assert len((out / f"{name}.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("answers", {"id": ["2"]}),
        ("answers", {"text": None}),
        ("answers", {"status": "perhaps"}),
        ("scores", {"scores": {"exact_match": "1"}}),
        ("retrieval", {"hits": [1]}),
        ("retrieval", {"failure": None}),
    ],
)
def test_a_damaged_row_is_made_again(
    pipeline, images, tmp_path: Path, file: str, damage: dict
) -> None:
    rows = [example("1"), example("2")]
    whole = run(pipeline, asked(*rows), images, tmp_path / "out")
    path = tmp_path / "out" / f"{file}.jsonl"
    first, second = path.read_text().splitlines()
    damaged = json.dumps(json.loads(second) | damage)
    path.write_text("".join(f"{line}\n" for line in (first, damaged, '{"id": "2"}')))
    again = run(pipeline, asked(*rows), images, tmp_path / "out")
    assert len(pipeline.generator.asked) == (3 if file == "answers" else 2)
    assert again.figures == whole.figures
    assert again.outcomes == whole.outcomes


def test_another_run_is_not_mixed_in(pipeline, images, tmp_path: Path) -> None:
    run(pipeline, asked(example("1")), images, tmp_path / "out")
    plan = replace(pipeline.answering.plan, passages=1)
    pipeline.answering = replace(pipeline.answering, plan=plan)
    with pytest.raises(InvalidSettings, match=r"holds another run: plan\.passages is 2 there"):
        run(pipeline, asked(example("1")), images, tmp_path / "out")


def test_another_number_of_passages_over_the_same_retrieval(
    pipeline, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(pipeline, asked(example("1")), images, tmp_path / "two")
    plan = replace(pipeline.answering.plan, passages=1)
    pipeline.answering = replace(pipeline.answering, plan=plan)
    monkeypatch.setattr(pipeline.encoder, "encode_queries", None)  # nothing is encoded again
    evaluate(
        pipeline, asked(example("1")), images, tmp_path / "one", retrieval_from=tmp_path / "two"
    )
    assert len(said(tmp_path / "two")["1"].read) == 2
    assert len(said(tmp_path / "one")["1"].read) == 1
    assert found(tmp_path / "one") == found(tmp_path / "two")
    with pytest.raises(InvalidSettings, match=r"has no retrieval\.jsonl"):
        take_over(tmp_path / "none", tmp_path / "other", {})


def test_a_run_records_its_candidates_and_is_not_mixed_with_others(
    pipeline, images, tmp_path: Path
) -> None:
    results = run(pipeline, asked(example("1")), images, tmp_path / "out")
    assert results.provenance.retrieval["candidates"] == 400
    pipeline.candidates = 3000
    with pytest.raises(InvalidSettings, match="holds another run"):
        run(pipeline, asked(example("1")), images, tmp_path / "out")


def test_retrieval_alone_has_no_answer_scores(pipeline, images, tmp_path: Path) -> None:
    rows = [example("1"), example("2", gold=("none",)), example("3", "gone.png")]
    results = run(pipeline, asked(*rows), images, tmp_path / "out", conditions=())
    assert results.find("exact_match") is None
    assert results.figure("recall@5").value == pytest.approx(1 / 3, abs=1e-4)
    assert results.outcomes["retrieved"].fates == {
        "retrieved": 1, "not retrieved": 1, "not answered": 1
    }  # fmt: skip
    assert not (tmp_path / "out" / "answers.jsonl").exists()


def test_stages_run_one_by_one_as_together(pipeline, generator, images, tmp_path: Path) -> None:
    rows = asked(example("1"), example("2", gold=("none",)))
    together = run(pipeline, rows, images, tmp_path / "together")
    out = tmp_path / "apart"
    finds = Pipeline(pipeline.encoder, pipeline.index)  # what the first stage is given
    assert evaluate(finds, rows, images, out, Options(stages=("retrieve",))) is None
    assert len(generator.asked) == 2  # of the run before
    assert evaluate(pipeline, rows, images, out, Options(stages=("answer",))) is None
    results = run(None, rows, images, out, stages=("score",))
    assert results.figures == together.figures
    assert results.outcomes == together.outcomes
    assert list(results.provenance.stages) == ["retrieve", "answer", "score"]
    for name in ("run.trec", "qrels.trec", "scores.jsonl", "examples.jsonl"):
        assert (out / name).read_bytes() == (tmp_path / "together" / name).read_bytes()
    with pytest.raises(ValueError, match="'answer' needs a pipeline"):
        evaluate(None, rows, images, out, Options(stages=("answer",)))


def test_what_is_scored_alone_counts_what_is_missing_as_wrong(
    pipeline, images, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(pipeline, asked(example("1")), images, out)
    more = asked(example("1"), example("2"))
    results = run(None, more, images, out, stages=("score",))
    assert (results.figure("exact_match").value, results.figure("recall@10").value) == (0.5, 0.5)
    assert results.outcomes["retrieved"].failures == {"NotAsked": 1}
    lines = (out / "answers.jsonl").read_text().splitlines()
    assert len(lines) == 1
    other = replace(example("1"), question="Who built it?")
    results = run(None, asked(other), images, out, stages=("score",))
    assert results.figure("exact_match").value == 0.0, "an answer to another question"
    changed = asked(replace(example("1"), answers=("Rome",)))
    with pytest.raises(InvalidSettings, match="run `--stage retrieve` first"):
        run(None, changed, images, out, stages=("score",))
    evaluate(pipeline, changed, images, out, Options(stages=("retrieve",)))
    results = run(None, changed, images, out, stages=("score",))
    assert results.figure("exact_match").value == results.figure("pseudo_recall@10").value == 0.0
    assert len(pipeline.generator.asked) == 1


def test_other_conditions_stand_in_the_same_table(pipeline, images, tmp_path: Path) -> None:
    pipeline.generator.write = lambda prompt: (
        ("Paris [1]" if "Paris is the capital" in prompt.text else "Rome"), -0.1
    )  # fmt: skip
    rows = [
        example("1"),
        replace(example("2", gold=("none",)), answers=("Oslo",), question="Norway's?"),
        Example("3", "a.png", "Which bird?", ("yellow",), ("p:bird",)),
    ]
    conditions = ("retrieved", "none", "gold", "distractors")
    results = run(pipeline, asked(*rows), images, tmp_path / "out", conditions=conditions)
    assert results.figure("exact_match", "gold").n == 2  # those with a gold passage here
    assert results.figure("exact_match", "gold").value == 0.5
    assert results.figure("exact_match", "none").value == 0.0
    assert said(tmp_path / "out", "gold")["1"].read == ("p:paris",)
    assert said(tmp_path / "out", "none")["1"].read == ()
    distractors = said(tmp_path / "out", "distractors")
    assert set(distractors) == set("123")
    assert "p:paris" not in distractors["1"].read and len(distractors["1"].read) == 2
    assert scored(tmp_path / "out", "gold")["3"].fate == "read and scored wrong"
    assert results.find("recall@1", "gold") is None
    table = (tmp_path / "out" / "table.md").read_text()
    for name in ("as retrieved", "without passages", "with the gold passages"):
        assert f"| **exact_match** | {name} |" in table
    # Without a gold passage an example is no longer one of that condition.
    rows[0] = replace(rows[0], gold_passage_ids=())
    again = run(pipeline, asked(*rows), images, tmp_path / "out", conditions=conditions)
    assert again.figure("exact_match", "gold").n == 1


def test_what_went_wrong_first_is_told(pipeline, images, tmp_path: Path) -> None:
    pipeline.generator.write = lambda prompt: ("Rome", -0.1)
    every = run(pipeline, asked(example("x")), images, tmp_path / "one")
    order = [id_ for id_, _ in found(tmp_path / "one")["x"].hits]
    assert every.outcomes["retrieved"].fates == {
        "read and scored wrong" if "p:paris" in order[:2] else "retrieved and not read": 1
    }
    rows = [
        example("read", gold=(order[0],)),
        example("behind", gold=(order[3],)),
        example("gone", gold=("none",)),
        replace(example("searched", gold=()), answers=("nowhere written",)),
        replace(example("nothing known", gold=()), answers=()),
    ]
    run(pipeline, asked(*rows), images, tmp_path / "out")
    assert {id_: row.fate for id_, row in scored(tmp_path / "out").items()} == {
        "read": "read and scored wrong",
        "behind": "retrieved and not read",
        "gone": "not retrieved",
        "searched": "not retrieved",
        "nothing known": "not scored",
    }


def test_figures_are_given_by_question_type(pipeline, images, tmp_path: Path) -> None:
    pipeline.generator.write = lambda prompt: ("3", -0.1)
    rows = [
        evqa.EvqaExample("1", "a.png", "How many?", ("3",), question_type="templated"),
        evqa.EvqaExample("2", "a.png", "Which?", ("cat",), question_type="automatic"),
    ]
    results = run(pipeline, asked(*rows), images, tmp_path / "out")
    assert results.figure("exact_match", group="question_type=templated").value == 1.0
    assert results.figure("exact_match", group="question_type=automatic").value == 0.0
    assert results.figure("exact_match").value == 0.5


def test_the_report_is_a_table_with_standard_errors(pipeline, images, tmp_path: Path) -> None:
    rows = asked(example("1"), example("2", gold=("none",)))
    text = report({"Flags": run(pipeline, rows, images, tmp_path / "out", conditions=())})
    assert "| 50.0 ± 50.0 | 50.0 ± 50.0 | 100.0 ± 0.0 | - | - | 2 |" in text
    assert "B_preflmr@" in text and "over 4 passages (passages)" in text


def test_each_table_of_what_became_of_examples_adds_up_to_all_of_them(
    pipeline, images, tmp_path: Path
) -> None:
    results = run(pipeline, asked(example("1"), example("2")), images, tmp_path / "out")
    fates, statuses = (
        summary_text(results).partition(f"| condition | {head} |")[2].partition("\n\n")[0]
        for head in ("what became of it", "the answer was")
    )
    for text in (fates, statuses):
        assert sum(float(share) for share in re.findall(r"\(([\d.]+) %\)", text)) == 100.0
    assert "| right | 2 (100.0 %) |" in fates and "| given | 2 (100.0 %) | 100.0 |" in statuses


def test_a_list_is_found_by_its_parts(pipeline, images, tmp_path: Path) -> None:
    listed = evqa.EvqaExample(
        "1", "a.png", "What?", ("river&&mountain",), question_type="multi_answer"
    )
    results = run(pipeline, asked(listed), images, tmp_path / "out", conditions=())
    assert results.figure("pseudo_recall@10").value == 1.0
    (row,) = read(tmp_path / "out" / "examples.jsonl", ExampleRow)
    assert (row.answers, row.searched) == (("river, mountain",), ("river", "mountain"))
    assert row.groups == {"question_type": "multi_answer"}


def test_a_batch_finds_what_single_questions_find(pipeline, images, tmp_path: Path) -> None:
    golden_image("img1").save(images / "b.png")
    (images / "broken.png").write_bytes(b"no picture")
    pictures = ["a.png", "b.png", "broken.png", "", "gone.png", "b.png", "a.png"]
    rows = asked(*(example(str(n), name) for n, name in enumerate(pictures)))
    single = run(pipeline, rows, images, tmp_path / "1", batch=1, conditions=())
    several = run(pipeline, rows, images, tmp_path / "3", batch=3, conditions=())
    assert single.figures == several.figures
    for one, other in zip(
        found(tmp_path / "1").values(), found(tmp_path / "3").values(), strict=True
    ):
        assert (one.id, one.failure) == (other.id, other.failure)
        assert [id_ for id_, _ in one.hits] == [id_ for id_, _ in other.hits]
        assert [s for _, s in one.hits] == pytest.approx([s for _, s in other.hits], abs=2e-4)


def test_what_is_told_and_where_it_came_from(pipeline, generator, images, tmp_path: Path) -> None:
    generator.write = failing_on("Italy")
    rows = [example("1"), replace(example("2"), question="What is the capital of Italy?")]
    told: dict[str, list[tuple[int, int, int]]] = {}
    stages: list[str] = []

    def say(what: str) -> None:
        stages.append(what)

    def tell(done: int, total: int, failed: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.setdefault(stages[-1], []).append((done, total, failed))

    results = evaluate(pipeline, asked(*rows), images, tmp_path / "out", say=say, tell=tell)
    assert stages == ["Retrieving for mine", "Answering mine", "Scoring mine"]
    assert told["Answering mine"][0] == (0, 2, 0) and told["Answering mine"][-1] == (2, 2, 1)
    made = results.provenance
    assert made.corpus["name"] == "passages" and made.index["dim"] == 16
    assert list(made.prompts) == ["few-shot-closed-v1", "few-shot-v2"]
    stage = made.stages["retrieve"]
    assert stage.made == 2 and stage.packages["torch"] and "cores" in stage.processor
    assert made.seeds == {"bootstrap": 0}
    assert results.cost["retrieved"].prompt_tokens == 10
    assert set(results.cost["retrieved"].latency_ms) == {"encode", "search", "answer"}
