import json
import re
from dataclasses import replace

import pytest
from PIL import Image

from app import components
from app.components import open_exact
from app.errors import InvalidQuestion
from app.pipeline import Pipeline, Result, Retrieval
from app.questions import checked_question
from app.report import result_as_json
from app.views import steps, views
from corpus.types import Query
from generator.confidence import Calibration, Fit
from generator.errors import GeneratorUnavailable
from generator.prompts import Prompt
from retriever.encoder import Encoder
from retriever.errors import CorpusTooLarge
from tests.golden_cases import golden_image

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


def test_what_is_not_shown_is_not_read_but_tells_how_far_the_best_leads(
    pipeline, generator
) -> None:
    scores = [hit.score for hit in pipeline.retrieve(QUERY, 10).hits]
    result = pipeline.ask(QUERY, 1, strategy="ra-vqa")
    assert len(result.retrieval.hits) == 1
    assert len(generator.asked) == 1
    assert result.outcome.reply.evidence.lead == pytest.approx(
        scores[0] - sum(scores[1:]) / len(scores[1:])
    )


def test_a_search_ranks_as_many_passages_as_are_set(pipeline, monkeypatch) -> None:
    asked = []
    search = pipeline.index.search

    def noted(*arguments, **keywords):
        asked.append(keywords["candidates"])
        return search(*arguments, **keywords)

    monkeypatch.setattr(pipeline.index, "search", noted)
    other = Pipeline(pipeline.encoder, pipeline.index, None, candidates=7)
    assert len(pipeline.retrieve(QUERY, 2).hits) == len(other.retrieve(QUERY, 2).hits) == 2
    assert asked == [400, 7]


def test_a_citation_of_a_passage_outside_the_prompt_is_dropped(pipeline, generator) -> None:
    generator.write = lambda prompt: ("green cheese [3]", -0.1)
    result = pipeline.ask(QUERY, 4)
    assert result.answer.text == "green cheese"
    assert result.answer.citations == ()


def test_streaming_yields_retrieval_then_pieces_then_the_result(pipeline: Pipeline) -> None:
    first, *pieces, last = pipeline.stream(QUERY, 2)
    assert isinstance(first, Retrieval)
    assert "".join(pieces) == " Paris [1]"
    assert isinstance(last, Result)


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
    outcome = pipeline.ask(QUERY, 4, strategy="ra-vqa").outcome
    assert outcome is not None
    assert outcome.reply.strategy == "ra-vqa"
    assert len(generator.asked) == 2
    assert pipeline.ask(QUERY, 4).outcome.reply.strategy == "concat"


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
        outcome = pipeline.ask(QUERY, 2).outcome
        assert (outcome.confidence.verdict, outcome.answer.text) == (verdict, shown)
        assert outcome.reply.answer.text == "Paris"
        assert bool(outcome.confidence.reasons) == (verdict != "given")
        assert bool(outcome.answer.citations) == (verdict != "withheld")


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


@pytest.mark.parametrize("question", ["", "   \n", "x" * 10_000])
def test_what_a_user_cannot_ask_is_refused_before_anything_runs(pipeline, question: str) -> None:
    with pytest.raises(InvalidQuestion, match=r"empty|10,000 characters"):
        checked_question(question, pipeline.max_question_characters)
    with pytest.raises(InvalidQuestion, match=r"empty|10,000 characters"):
        next(steps(pipeline, Query(question, Image.new("RGB", (4, 4))), 1))
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


def test_evaluation_finds_every_passage_that_the_index_would(pipeline: Pipeline) -> None:
    assert pipeline.index is not None
    said: list[str] = []
    exact = open_exact(pipeline.index, said.append)
    assert exact is not None and exact.count == pipeline.index.count
    in_memory = Pipeline(pipeline.encoder, pipeline.index, None, exact=exact)
    found = in_memory.retrieve(QUERY, 3).hits
    assert [hit.passage for hit in found] == [
        hit.passage for hit in pipeline.retrieve(QUERY, 3, mode="exact").hits
    ]


def test_a_corpus_too_large_for_memory_is_searched_in_the_index(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pipeline.index is not None
    monkeypatch.setattr(components, "EXACT_UP_TO", 2)
    assert components.open_exact(pipeline.index, lambda message: None) is None
    monkeypatch.undo()

    def refuse(*args: object) -> None:
        raise CorpusTooLarge("it takes 9 GB")

    monkeypatch.setattr(components.ExactSearcher, "load", refuse)
    said: list[str] = []
    assert components.open_exact(pipeline.index, said.append) is None
    assert "9 GB" in said[-1]


def test_a_picture_of_nothing_is_never_simply_answered(pipeline: Pipeline, generator) -> None:
    generator.write = lambda prompt: ("Paris [1]", -0.1)
    blank = replace(QUERY, image=Image.new("RGB", (64, 64), "navy"))
    outcome = pipeline.ask(blank, 2).outcome
    assert outcome is not None and outcome.confidence.verdict == "unsure"
    assert "shows nothing" in outcome.confidence.reasons[0]


def test_what_was_not_calibrated_is_said_with_what_to_do(pipeline: Pipeline) -> None:
    assert pipeline.answering is not None
    said = pipeline.answering.uncalibrated
    assert "kbvqa evaluate answers" in said and "scripted with few-shot prompts" in said
    fit = Fit(0.0, {}, {}, {}, None, 50)
    known = Calibration("c", 1.0, {}, {"scripted/few-shot/concat": fit})
    assert replace(pipeline.answering, calibration=known).uncalibrated == ""
