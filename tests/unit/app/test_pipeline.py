import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest
from PIL import Image

from app import components
from app.asking.ask import run
from app.asking.questions import checked_question
from app.asking.report import result_as_json
from app.components import open_exact, open_pipeline
from app.errors import InvalidQuestion
from app.flow.brevity import IN_PART
from app.flow.events import Found, Piece, Result, Waiting
from app.flow.notes import OTHER_LANGUAGE
from app.pipeline import Pipeline, _surer
from app.settings import Settings
from app.web.views import finished, views
from corpus.types import WHAT_IS_THIS, Query
from generator.answers.answer import Answer, Confidence, Evidence
from generator.answers.confidence import Calibration, Fit
from generator.answers.twofold import HALF, TWO_IN_ONE
from generator.errors import GeneratorUnavailable
from generator.prompts import Prompt
from generator.rewriting import Turn
from retriever.encoding.encoder import Encoder
from retriever.errors import InvalidQuery
from retriever.index import parts, picture
from retriever.index.ordered import row_bytes
from tests.command_line import CHECKPOINT
from tests.golden_cases import golden_image
from tests.unit.app.conftest import PASSAGES

QUERY = Query("What is the capital of France?", golden_image("img0"))


def test_a_query_becomes_an_answer_with_citations(pipeline: Pipeline) -> None:
    result = pipeline.ask(QUERY, 3)
    assert result.answer is not None
    assert result.answer.text == "Paris"
    cited = [citation.passage_id for citation in result.answer.citations]
    assert cited == [result.retrieval.hits[0].passage.id]
    assert len(result.retrieval.hits) == 3
    assert set(result.timings_ms) == {"encode", "search", "generate", "total"}
    assert result.checkpoint.startswith("B_preflmr@")
    assert result.generator == "scripted"


def test_the_generator_reads_the_best_passages_and_no_others(pipeline, generator) -> None:
    hits = pipeline.ask(QUERY, 4).retrieval.hits
    prompt = generator.asked[0].messages[-1].text
    assert hits[0].passage.text in prompt
    assert hits[1].passage.text in prompt
    assert hits[2].passage.text not in prompt


def test_how_many_are_read_is_not_how_many_are_shown(pipeline, generator) -> None:
    scores = [hit.score for hit in pipeline.retrieve(QUERY, 10).hits]
    result = pipeline.ask(QUERY, 1, strategy="ra-vqa")
    assert len(generator.asked) == 2
    assert result.answer.read == (1, 2)
    assert result.answer.evidence.lead == pytest.approx(
        scores[0] - sum(scores[1:]) / len(scores[1:])
    )
    # What is cited is shown, whatever was asked for.
    generator.write = lambda prompt: ("Paris [2]", -0.1)
    assert len(pipeline.ask(QUERY, 1).retrieval.hits) == 2
    generator.write = lambda prompt: ("Paris [1]", -0.1)
    assert len(pipeline.ask(QUERY, 1).retrieval.hits) == 1


def test_more_passages_are_read_than_shown_where_that_is_set(pipeline, generator) -> None:
    plan = replace(pipeline.answering.plan, passages=4)
    pipeline.answering = replace(pipeline.answering, plan=plan)
    result = pipeline.ask(QUERY, 2)
    assert result.answer.read == (1, 2, 3, 4)
    assert all(p.text[:20] in generator.asked[0].messages[-1].text for p in PASSAGES)


def test_what_to_know_comes_with_the_result(pipeline) -> None:
    first = pipeline.ask(QUERY, 2)
    assert first.notes == ()
    result = pipeline.ask(replace(QUERY, question="Wie heißt das Land? " * 40), 2)
    assert len(result.notes) == 2
    assert "not look like English" in " ".join(result.notes)
    assert OTHER_LANGUAGE in result.answer.confidence.reasons
    assert OTHER_LANGUAGE not in first.answer.confidence.reasons
    assert f"about {result.retrieval.cut} tokens" in " ".join(result.notes)
    assert result_as_json(result)["notes"] == list(result.notes)


def test_of_a_question_with_too_much_before_it_the_part_that_asks_is_read(pipeline) -> None:
    told = "We saw it on Sunday with my parents and all of their many friends. " * 3
    result = pipeline.ask(Query(f"{told}What is the capital of France?", QUERY.image))
    assert result.retrieval.asked_as.endswith("What is the capital of France?")
    assert result.retrieval.cut == 0 and result.notes == (IN_PART,)


def test_a_box_stands_for_the_picture_where_one_is_taken(pipeline) -> None:
    box = (2, 3, 12, 14)
    part = replace(QUERY, image=QUERY.image.crop(box))
    boxed = pipeline.ask(replace(QUERY, boxes=(box,)), 3)
    assert boxed.retrieval.hits == pipeline.ask(part, 3).retrieval.hits
    assert boxed.retrieval.hits != pipeline.ask(QUERY, 3).retrieval.hits
    assert boxed.retrieval.boxes == (box,)
    with pytest.raises(InvalidQuery, match=r"2 boxes.*one part"):
        pipeline.ask(replace(QUERY, boxes=(box, box)), 3)
    with pytest.raises(InvalidQuery, match="not inside the picture"):
        pipeline.ask(replace(QUERY, boxes=((0, 0, 999, 9),)), 3)


def test_a_search_ranks_as_many_passages_as_are_set(pipeline, monkeypatch) -> None:
    asked = []
    search = pipeline.index.search_many

    def noted(*arguments, **keywords):
        asked.append(keywords["candidates"])
        return search(*arguments, **keywords)

    monkeypatch.setattr(pipeline.index, "search_many", noted)
    other = Pipeline(pipeline.encoder, pipeline.index, None, candidates=7)
    assert len(pipeline.retrieve(QUERY, 2).hits) == len(other.retrieve(QUERY, 2).hits) == 2
    assert asked == [400, 7]


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_many_are_found_as_one_by_one(pipeline, monkeypatch, weight: float) -> None:
    monkeypatch.setattr(
        pipeline.encoder, "checkpoint", replace(pipeline.encoder.checkpoint, picture_weight=weight)
    )
    queries = [QUERY, replace(QUERY, image=None), replace(QUERY, question="What is this?")]
    queries.append(replace(QUERY, image=golden_image("img1")))
    many = pipeline.search_many(pipeline.encode_many(queries), 3)
    for query, found in zip(queries, many, strict=True):
        single = pipeline.retrieve(query, 3)
        assert [hit.passage.id for hit in found.hits] == [hit.passage.id for hit in single.hits]
        scores = [hit.score for hit in single.hits]
        assert [hit.score for hit in found.hits] == pytest.approx(scores, abs=1e-4)


def test_a_citation_of_a_passage_outside_the_prompt_is_dropped(pipeline, generator) -> None:
    generator.write = lambda prompt: ("green cheese [3]", -0.1)
    result = pipeline.ask(QUERY, 4)
    assert result.answer.text == "green cheese"
    assert result.answer.citations == ()


def test_streaming_yields_retrieval_then_pieces_then_the_result(pipeline: Pipeline) -> None:
    first, *pieces, last = pipeline.run(QUERY, 2)
    assert isinstance(first, Found) and len(first.retrieval.hits) == 2
    assert pieces == [Piece(" Paris"), Piece(" [1]")]
    assert isinstance(last, Result) and last.retrieval == first.retrieval
    assert last.answer is not None and last.answer.text == "Paris"


def test_waiting_says_nothing_and_leaving_then_ends_the_work(pipeline, generator) -> None:
    events = pipeline.run(QUERY, 2, strategy="ra-vqa")
    assert isinstance(next(events), Found)
    assert next(events) == Waiting()
    events.close()
    assert generator.closed == 1


def test_a_pipeline_for_retrieval_says_that_it_has_no_generator(pipeline: Pipeline) -> None:
    finding = Pipeline(pipeline.encoder, pipeline.index)
    with pytest.raises(ValueError, match="no generator"):
        finding.ask(QUERY)


def test_retrieval_alone_asks_no_generator(pipeline, generator) -> None:
    result = pipeline.ask(QUERY, 2, answer=False)
    assert result.answer is None
    assert result.generator == ""
    assert len(result.retrieval.hits) == 2
    assert generator.asked == []


def test_the_generator_alone_sees_no_passage(pipeline, generator) -> None:
    result = pipeline.ask(QUERY, 2, retrieval=False)
    assert result.retrieval.hits == ()
    assert "Passage 1" not in generator.asked[0].text


def test_passages_survive_a_generator_that_fails(pipeline: Pipeline, generator) -> None:
    def down(prompt: Prompt) -> tuple[str, float]:
        raise GeneratorUnavailable("no server at http://127.0.0.1:9")

    generator.write = down
    result = pipeline.ask(QUERY, 2)
    assert result.answer is None
    assert str(result.failure) == "no server at http://127.0.0.1:9"
    assert len(result.retrieval.hits) == 2
    assert "generate" in result.timings_ms


def test_the_strategy_can_be_chosen_for_one_question(pipeline: Pipeline, generator) -> None:
    answer = pipeline.ask(QUERY, 4, strategy="ra-vqa").answer
    assert answer is not None and answer.strategy == "ra-vqa"
    assert len(generator.asked) == 2
    assert pipeline.ask(QUERY, 4).answer.strategy == "concat"


def test_an_improbable_answer_is_withheld_with_its_reasons(pipeline: Pipeline, generator) -> None:
    feature = {"answer_logprob": 1.0}
    fit = Fit(0.0, {"answer_logprob": 4.0}, {"answer_logprob": -1.0}, feature, None, 50)
    pipeline.answering = replace(
        pipeline.answering, calibration=Calibration("c", 1.0, {}, {"scripted/few-shot/concat": fit})
    )
    for logprob, verdict, shown in (
        (-0.1, "given", "Paris"),
        (-1.1, "unsure", "Paris"),
        (-3.0, "withheld", "I do not know"),
    ):
        generator.write = lambda prompt, logprob=logprob: ("Paris [1]", logprob)
        answer = pipeline.ask(QUERY, 2).answer
        assert (answer.confidence.verdict, answer.text) == (verdict, shown)
        assert answer.original.text == "Paris" and answer.original.citations
        assert bool(answer.confidence.reasons) == (verdict != "given")
        assert bool(answer.citations) == (answer.withheld is None) == (verdict != "withheld")


def test_a_fit_of_another_corpus_is_said_to_be_one(pipeline: Pipeline) -> None:
    name = "scripted/few-shot/concat"
    fits = {name: Fit(3.0, {}, {}, {}, None, 50)}
    for corpus, foreign in ((pipeline.index.fingerprint.corpus_sha256, False), ("0" * 64, True)):
        fitted = Calibration("c", 1.0, {}, fits, corpus)
        asked = replace(pipeline.answering, calibration=fitted, corpus="")
        asking = Pipeline(pipeline.encoder, pipeline.index, asked)
        assert ("another corpus" in asking.answering.uncalibrated) == foreign
        result = asking.ask(QUERY, 2)
        assert result.answer.confidence.foreign == foreign
        assert result_as_json(result)["fitted_on_another_corpus"] == foreign


def test_a_result_as_json_says_how_it_came_about(pipeline: Pipeline, generator) -> None:
    data = json.loads(json.dumps(result_as_json(pipeline.ask(QUERY, 2))))
    assert (data["strategy"], data["verdict"], data["confidence"]) == ("concat", "given", None)
    [prompt] = data["prompts"]
    assert (prompt["name"], prompt["sha256"]) == ("few-shot-v2", generator.asked[0].sha256)
    assert len(prompt["passage_ids"]) == 2
    assert data["usage"] == {"prompt_tokens": 10, "completion_tokens": 2, "estimated": False}
    assert data["saw_picture"] is False
    assert data["failure"] == ""


def test_a_low_best_score_is_not_sure(pipeline: Pipeline) -> None:
    best = pipeline.retrieve(QUERY, 1).hits[0].score
    checkpoint = pipeline.encoder.checkpoint
    for threshold, unsure in ((best + 1, True), (best - 1, False)):
        encoder = Encoder(replace(checkpoint, unsure_below=threshold))
        found = Pipeline(encoder, pipeline.index, None).retrieve(QUERY, 1)
        assert (found.unsure, found.threshold) == (unsure, threshold)


def test_the_picture_by_itself_has_a_say_where_the_checkpoint_says_so(pipeline: Pipeline) -> None:
    other = Pipeline(
        Encoder(replace(pipeline.encoder.checkpoint, picture_weight=5.0)), pipeline.index
    )
    plain, weighed = (p.retrieve(QUERY, 4).hits for p in (pipeline, other))
    shown = pipeline.retrieve(replace(QUERY, question=WHAT_IS_THIS), picture.DEPTH).hits
    found = pipeline.retrieve(QUERY, picture.DEPTH).hits
    assert weighed == tuple(picture.weighed(found, shown, 5.0)[:4]) != plain
    bare = replace(QUERY, image=None)
    assert other.retrieve(bare, 4).hits == pipeline.retrieve(bare, 4).hits


@pytest.mark.parametrize("question", ["", "   \n", "x" * 10_000])
def test_what_a_user_cannot_ask_is_refused_before_anything_runs(pipeline, question: str) -> None:
    with pytest.raises(InvalidQuestion, match=r"empty|10,000 characters"):
        checked_question(question, pipeline.max_question_characters)
    with pytest.raises(InvalidQuestion, match=r"empty|10,000 characters"):
        next(run(pipeline, Query(question, Image.new("RGB", (4, 4))), 1))
    shown = [view.answer for view in views(pipeline, lambda: QUERY.image, question, 1)]
    assert re.search(r"empty|10,000 characters", shown[-1])
    assert pipeline.generator.asked == []


@pytest.mark.parametrize("question", ["", "Where is it? " * 200])
def test_benchmarks_ask_what_users_may_not(pipeline, question: str) -> None:
    hits = pipeline.ask(replace(QUERY, question=question), 2, answer=False).retrieval.hits
    assert len(hits) == 2


def test_a_question_without_a_picture_is_answered(pipeline: Pipeline) -> None:
    assert len(pipeline.retrieve(Query("What is the capital of France?"), 2).hits) == 2


def test_two_stage_and_exact_search_agree_when_everything_is_a_candidate(pipeline) -> None:
    two_stage = pipeline.retrieve(QUERY, 4, mode="two-stage").hits
    exact = pipeline.retrieve(QUERY, 4, mode="exact").hits
    assert [hit.passage.id for hit in two_stage] == [hit.passage.id for hit in exact]


@pytest.mark.parametrize("free", ["all", "little"])
def test_evaluation_finds_every_passage_that_the_index_would(
    pipeline: Pipeline, free: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pipeline.index is not None
    if free == "little":  # for a few of the passages' rows at a time
        rows = max(rows for _, rows in pipeline.index.row_counts())
        room = 2 * rows * row_bytes(pipeline.index.fingerprint.dim, "float32")
        monkeypatch.setattr("retriever.index.parts.free_for_rows", lambda device: room)
    mapped = Mock(wraps=parts._mapped)
    monkeypatch.setattr(parts, "_mapped", mapped)
    exact = open_exact(pipeline.index, tmp_path, lambda message: None)
    assert exact is not None and exact.count == pipeline.index.count
    in_memory = Pipeline(pipeline.encoder, pipeline.index, None, exact=exact)
    found = in_memory.retrieve(QUERY, 3).hits
    assert [hit.passage for hit in found] == [
        hit.passage for hit in pipeline.retrieve(QUERY, 3, mode="exact").hits
    ]
    assert mapped.called == (free == "little")  # rows are read from a file


def test_a_corpus_too_large_for_memory_and_disk_is_searched_in_the_index(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pipeline.index is not None
    assert open_exact(pipeline.index, tmp_path, lambda message: None, up_to=2) is None
    monkeypatch.setattr("retriever.index.parts.free_for_rows", lambda device: 0)
    said: list[str] = []
    assert open_exact(pipeline.index, tmp_path, said.append) is None
    assert "Searching the index: too little memory is free" in said[-1]


def test_whoever_insists_on_every_score_has_larger_corpora_read(
    index_location: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components, "EXACT_UP_TO", 2)
    settings = Settings(home=tmp_path, checkpoint=CHECKPOINT, index=str(index_location))
    opened = partial(open_pipeline, settings, lambda message: None, answer=False, exact=True)
    by_itself, insisted = opened(mode="two-stage"), opened(mode="exact")
    assert by_itself.exact is None and by_itself.search_mode == "two-stage"
    assert insisted.exact is not None and insisted.search_mode == "exact"


def test_a_picture_of_nothing_is_never_simply_answered(pipeline: Pipeline, generator) -> None:
    generator.write = lambda prompt: ("Paris [1]", -0.1)
    blank = replace(QUERY, image=Image.new("RGB", (64, 64), "navy"))
    answer = pipeline.ask(blank, 2).answer
    assert answer is not None and answer.confidence.verdict == "unsure"
    assert "shows nothing" in answer.confidence.reasons[0]


def test_no_lead_is_said_to_take_away_a_doubt_of_another_kind(pipeline: Pipeline) -> None:
    fit = Fit(3.0, {"lead": 1.0}, {"lead": 0.0}, {"lead": 1.0}, None, 50)
    calibration = Calibration("c", 1.0, {}, {"scripted/few-shot/concat": fit})
    asked = replace(pipeline.answering, calibration=calibration)
    asking = Pipeline(pipeline.encoder, pipeline.index, asked)
    assert "given without any lead" in finished(asking, "", asking.ask(QUERY, 2), None).passages
    blank = replace(QUERY, image=Image.new("RGB", (64, 64), "navy"))
    result = asking.ask(blank, 2)
    shown = finished(asking, "", result, None)
    assert result.answer.confidence.value > 0.9 and result_as_json(result)["doubted"]
    assert "Not sure</strong> The picture shows nothing" in shown.answer
    assert "% but for that doubt" in shown.answer
    assert "without any lead" not in shown.passages


def test_what_was_not_calibrated_is_said_with_what_to_do(pipeline: Pipeline) -> None:
    assert pipeline.answering is not None
    said = pipeline.answering.uncalibrated
    assert "kbvqa evaluate answers" in said and "scripted with few-shot prompts" in said
    fit = Fit(0.0, {}, {}, {}, None, 50)
    known = Calibration("c", 1.0, {}, {"scripted/few-shot/concat": fit})
    assert replace(pipeline.answering, calibration=known).uncalibrated == ""


def test_of_two_questions_a_reader_answers_the_first_and_says_so(pipeline, monkeypatch) -> None:
    """Here without a reader: what is asked of it, and in which doubt."""
    both = replace(QUERY, question="Who is the king and how old is he?")
    asked: list[tuple[str, tuple[str, ...]]] = []
    read = pipeline.read

    def seen(query, found, *, strategy, doubts):
        asked.append((query.question, doubts))
        return read(query, found, strategy="concat", doubts=doubts)

    monkeypatch.setattr(pipeline, "read", seen)
    result = pipeline.ask(both, 2, strategy="extract")
    assert asked == [("Who is the king?", (HALF,))]
    assert TWO_IN_ONE in result.notes and result.outcome == "unsure"
    assert result.retrieval.asked_as == "Who is the king?"
    # What writes may answer both, where a checkpoint has room for them.
    monkeypatch.setattr(pipeline.encoder, "fits", lambda query: True)
    result = pipeline.ask(both, 2)
    assert asked[1:] == [(both.question, ())] and TWO_IN_ONE not in result.notes


@pytest.mark.parametrize("word", ["why?", "When", " where ?", "and how?!"])
def test_a_question_word_alone_is_not_asked(pipeline, word) -> None:
    with pytest.raises(InvalidQuestion, match=r"^\w+ what\? Ask a whole question\.$"):
        pipeline.ask(replace(QUERY, question=word), 2)
    turns = (Turn("Which city is this?", "Paris", about="Paris"),)
    with pytest.raises(InvalidQuestion, match="Ask a whole question"):  # no rule gives it a subject
        run(pipeline, replace(QUERY, question=word), 2, after=turns)


def test_what_has_no_probability_is_not_surer_than_what_has_one() -> None:
    def answer(value: float | None, answerable: float) -> Answer:
        evidence = Evidence(answerable=answerable)
        return Answer("x", (), "extract", evidence=evidence).judged(Confidence(value))

    assert _surer(answer(0.4, 1.0), answer(0.3, 9.0))
    assert not _surer(answer(None, 9.0), answer(0.01, 1.0))
    # Where nothing was calibrated the words tell.
    assert _surer(answer(None, 9.0), answer(None, 1.0))
