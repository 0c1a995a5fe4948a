import math
from dataclasses import replace

import pytest
from PIL import Image

from corpus.types import Hit, Passage, Query
from generator.errors import BadCompletion, StrategyUnavailable
from generator.interface import MAX_TOKENS
from generator.passages import estimate_tokens
from generator.strategies import WEIGHED, Plan, Reply, lead, respond
from tests.scripted import ScriptedGenerator

HITS = [
    Hit(Passage("lyon", "Lyon", "Lyon. It lies on the Rhône."), 20.0),
    Hit(Passage("paris", "Paris", "Paris. It lies on the Seine."), 19.0),
    Hit(Passage("louvre", "Louvre", "Louvre. A museum on the Seine."), 18.0),
    Hit(Passage("unread", "Nile", "Nile. A river."), 1.0),
]
QUERY = Query("Which river?", Image.new("RGB", (4, 4)))
RIVERS = {"Rhône": -0.9, "Seine": -0.5}


def by_passage(prompt) -> tuple[str, float | None]:
    """Read the river that the passage of a one-passage prompt names."""
    river = next(name for name in RIVERS if name in prompt.messages[-1].text)
    return f" the {river}", RIVERS[river]


def reply(generator, plan: Plan, hits=HITS) -> Reply:
    *pieces, last = respond(generator, QUERY, hits, plan)
    assert isinstance(last, Reply)
    assert all(isinstance(piece, str) for piece in pieces)
    return last


def test_ra_vqa_reads_each_passage_by_itself_and_cites_the_winner() -> None:
    generator = ScriptedGenerator(by_passage)
    made = reply(generator, Plan("ra-vqa", temperature=10.0))
    assert made.answer.text == "the Seine"
    [citation] = made.answer.citations
    assert (citation.passage_id, citation.number, citation.origin) == ("paris", 2, "selection")
    assert [p.name for p in generator.asked] == ["few-shot-single-v2"] * 3
    assert [asked.passage_ids for asked in made.asked] == [("lyon",), ("paris",), ("louvre",)]
    assert [asked.sha256 for asked in made.asked] == [p.sha256 for p in generator.asked]
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (30, 6)
    # Two of three agree.
    assert made.evidence.agreement is not None and made.evidence.agreement > 0.6
    assert made.evidence.answer_logprob == -0.5
    assert made.evidence.lead == 19.0 - (20.0 + 18.0 + 1.0) / 3
    assert not made.saw_picture


def test_answers_that_agree_may_be_counted_one_by_one() -> None:
    generator = ScriptedGenerator(lambda p: (by_passage(p)[0], -0.5))
    assert reply(generator, Plan("ra-vqa", temperature=10.0)).answer.text == "the Seine"
    plan = Plan("ra-vqa", temperature=10.0, agree=False)
    assert reply(generator, plan).answer.text == "the Rhône"


def test_a_hit_leads_by_what_its_score_is_above_the_mean_of_the_first_ten() -> None:
    hits = [Hit(HITS[0].passage, score) for score in (20.0, 18.0, 16.0)]
    assert lead(hits, 1) == 3.0
    assert lead(hits, 3) == -3.0
    assert lead(hits[:1], 1) is None
    many = [*hits, *([Hit(HITS[0].passage, 10.0)] * (WEIGHED - 3))]
    assert lead([*many, Hit(HITS[0].passage, 0.0)], 1) == lead(many, 1) == 20.0 - 104.0 / 9
    assert lead([*many, Hit(HITS[0].passage, 0.0)], WEIGHED + 1) == -124.0 / WEIGHED


def test_the_temperature_decides_between_retriever_and_reader() -> None:
    generator = ScriptedGenerator(by_passage)
    assert reply(generator, Plan("ra-vqa", temperature=0.1)).answer.text == "the Rhône"


def test_the_critic_leaves_out_what_it_judges_irrelevant() -> None:
    generator = ScriptedGenerator(
        by_passage, judge=lambda p: float("museum" in p.messages[-1].text)
    )
    made = reply(generator, Plan("critic", relevant_from=0.5))
    assert [citation.passage_id for citation in made.answer.citations] == ["louvre"]
    assert made.evidence.relevance == 1.0
    assert [p.name for p in generator.asked] == (
        ["few-shot-relevance-v1"] * 3 + ["few-shot-single-v2"]
    )
    assert made.usage.prompt_tokens == 3 * 5 + 10


def test_where_nothing_is_relevant_the_likeliest_is_read_and_counts_against_the_answer() -> None:
    generator = ScriptedGenerator(
        by_passage, judge=lambda p: 0.2 if "museum" in p.messages[-1].text else 0.1
    )
    made = reply(generator, Plan("critic"))
    assert [citation.passage_id for citation in made.answer.citations] == ["louvre"]
    assert made.evidence.relevance == 0.2


def test_concat_reads_all_in_one_prompt_and_checks_the_citation() -> None:
    made = reply(ScriptedGenerator(lambda p: ("the Seine [2]", -0.1)), Plan("concat"))
    [citation] = made.answer.citations
    assert (citation.passage_id, citation.origin) == ("paris", "generator")
    assert made.evidence.agreement == 1.0
    [asked] = made.asked
    assert asked.passage_ids == ("lyon", "paris", "louvre")


@pytest.mark.parametrize("number", [0, 4, 9, 99])
def test_a_citation_of_a_passage_that_was_not_there_is_never_shown(number: int) -> None:
    made = reply(ScriptedGenerator(lambda p: (f"the Amazon [{number}]", -0.1)), Plan("concat"))
    assert made.answer.text == "the Amazon"
    assert made.answer.citations == ()
    assert made.evidence.agreement == 0.0


def test_no_retrieval_reads_no_passage() -> None:
    generator = ScriptedGenerator(lambda p: ("the Nile", None))
    made = reply(generator, Plan("no-retrieval"))
    assert made.answer.citations == ()
    assert "Rhône" not in generator.asked[0].text
    assert made.evidence.answer_logprob is None
    assert reply(generator, Plan("ra-vqa"), []).strategy == "no-retrieval"


def test_a_passage_to_which_nothing_is_written_has_no_say() -> None:
    def silent_on_lyon(prompt) -> tuple[str, float | None]:
        return (" [1]", 0.0) if "Rhône" in prompt.messages[-1].text else by_passage(prompt)

    def nothing_for_lyon(prompt) -> tuple[str, float | None]:
        return ("", None) if "Rhône" in prompt.messages[-1].text else by_passage(prompt)

    for silent in (silent_on_lyon, nothing_for_lyon):
        made = reply(ScriptedGenerator(silent), Plan("ra-vqa"))
        assert made.answer.text == "the Seine"
        assert made.evidence.answer_logprob is not None
    with pytest.raises(BadCompletion, match="no answer"):
        reply(ScriptedGenerator(lambda p: ("[1]", 0.0)), Plan("ra-vqa"))


def test_without_log_probabilities_the_retriever_and_agreement_decide() -> None:
    made = reply(
        ScriptedGenerator(lambda p: (by_passage(p)[0], None)), Plan("ra-vqa", temperature=1.0)
    )
    assert made.evidence.answer_logprob is None
    assert made.answer.text == "the Rhône"
    assert made.candidates[0].score == pytest.approx(-math.log(1 + math.exp(-1) + math.exp(-2)))


def test_the_reply_says_whether_the_picture_was_seen() -> None:
    assert reply(ScriptedGenerator(by_passage, images=True), Plan()).saw_picture


def test_leaving_calls_off_what_is_going_on() -> None:
    for plan in (Plan("ra-vqa"), Plan("concat")):
        generator = ScriptedGenerator(lambda p: ("a b c", -0.1))
        steps = respond(generator, QUERY, HITS, plan)
        next(steps)
        steps.close()
        assert generator.closed == 1


def test_an_unknown_log_probability_does_not_count_as_certainty() -> None:
    """Else the one reading of which nothing is known would beat all others."""

    def lyon_unknown(prompt) -> tuple[str, float | None]:
        text, logprob = by_passage(prompt)
        return text, None if "Rhône" in text else logprob

    plan = Plan("ra-vqa", temperature=10.0, agree=False)
    made = reply(ScriptedGenerator(lyon_unknown), plan)
    assert {candidate.logprob for candidate in made.candidates} == {0.0}
    assert made.evidence.answer_logprob is None


def test_a_strategy_that_does_not_exist_is_refused() -> None:
    with pytest.raises(StrategyUnavailable, match=r"'guess' is no strategy; choose from extract, "):
        reply(ScriptedGenerator(by_passage), Plan("guess"))


def test_why_nothing_was_written_is_told() -> None:
    generator = ScriptedGenerator(lambda p: ("", None))
    generator.lack = "Its 48 tokens went into thinking."
    with pytest.raises(BadCompletion, match=r"no answer to any passage\. Its 48 tokens went into"):
        reply(generator, Plan("ra-vqa"))


@pytest.mark.parametrize("strategy", ["concat", "ra-vqa", "critic"])
@pytest.mark.parametrize("style", ["few-shot", "instruct"])
def test_a_prompt_is_made_to_fit_the_context(strategy, style) -> None:
    long = [Hit(replace(hit.passage, text=hit.passage.text + " word" * 400), 1.0) for hit in HITS]
    plan = Plan(strategy, style, passage_tokens=300)
    roomy = ScriptedGenerator(by_passage, context_tokens=100_000)
    made = reply(roomy, plan, long)
    assert reply(ScriptedGenerator(by_passage), plan, long).asked == made.asked
    longest = max(estimate_tokens(prompt.text) for prompt in roomy.asked)
    for short in (1, 37, 200):
        tight = ScriptedGenerator(by_passage, context_tokens=longest - short + MAX_TOKENS)
        fitted = reply(tight, plan, long)
        assert all(estimate_tokens(p.text) <= longest - short for p in tight.asked)
        lost = [less.cut - more.cut for less, more in zip(fitted.asked, made.asked, strict=True)]
        assert short <= max(lost) <= short + 10 and min(lost) >= 0
    # A picture takes room too; and where there is none for a passage, the generator says so.
    seeing = ScriptedGenerator(by_passage, images=True, context_tokens=longest + MAX_TOKENS)
    seeing.picture_tokens = 100
    reply(seeing, plan, long)
    assert all(estimate_tokens(p.text) <= longest - 100 for p in seeing.asked)
    none = ScriptedGenerator(lambda p: ("Seine", -0.1), context_tokens=MAX_TOKENS)
    assert reply(none, plan, long).answer.text
