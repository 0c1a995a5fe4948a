import math
from dataclasses import replace

import pytest
from PIL import Image

from corpus.types import Hit, Passage, Query
from generator.answers.answer import Answer
from generator.answers.plan import AnswerPlan
from generator.answers.selection import WEIGHED, lead
from generator.answers.strategies import respond
from generator.errors import BadCompletion, StrategyUnavailable
from generator.interface import MAX_TOKENS
from generator.quoting import estimate_tokens, passage_text
from tests.scripted import ScriptedGenerator, drained

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


def answer(generator, plan: AnswerPlan, hits=HITS) -> Answer:
    return drained(respond(generator, QUERY, hits, plan))[1]


def test_ra_vqa_reads_each_passage_by_itself_and_cites_the_winner() -> None:
    generator = ScriptedGenerator(by_passage)
    made = answer(generator, AnswerPlan("ra-vqa", temperature=10.0))
    assert made.text == "the Seine"
    [citation] = made.citations
    assert (citation.passage_id, citation.number, citation.origin) == ("paris", 2, "selection")
    assert [p.name for p in generator.asked] == ["few-shot-single-v2"] * 3
    assert [prompt.passage_ids for prompt in made.prompts] == [("lyon",), ("paris",), ("louvre",)]
    assert [prompt.sha256 for prompt in made.prompts] == [p.sha256 for p in generator.asked]
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (30, 6)
    # Two of three agree.
    assert made.evidence.agreement is not None and made.evidence.agreement > 0.6
    assert made.evidence.answer_logprob == -0.5
    assert made.evidence.lead == 19.0 - (20.0 + 18.0 + 1.0) / 3
    assert not made.saw_picture


def test_answers_that_agree_may_be_counted_one_by_one() -> None:
    generator = ScriptedGenerator(lambda p: (by_passage(p)[0], -0.5))
    assert answer(generator, AnswerPlan("ra-vqa", temperature=10.0)).text == "the Seine"
    plan = AnswerPlan("ra-vqa", temperature=10.0, agree=False)
    assert answer(generator, plan).text == "the Rhône"


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
    assert answer(generator, AnswerPlan("ra-vqa", temperature=0.1)).text == "the Rhône"


def test_the_critic_leaves_out_what_it_judges_irrelevant() -> None:
    generator = ScriptedGenerator(
        by_passage, judge=lambda p: float("museum" in p.messages[-1].text)
    )
    made = answer(generator, AnswerPlan("critic", relevant_from=0.5))
    assert [citation.passage_id for citation in made.citations] == ["louvre"]
    assert made.evidence.relevance == 1.0
    assert [p.name for p in generator.asked] == (
        ["few-shot-relevance-v1"] * 3 + ["few-shot-single-v2"]
    )
    assert made.usage.prompt_tokens == 3 * 5 + 10


def test_where_nothing_is_relevant_the_likeliest_is_read_and_counts_against_the_answer() -> None:
    generator = ScriptedGenerator(
        by_passage, judge=lambda p: 0.2 if "museum" in p.messages[-1].text else 0.1
    )
    made = answer(generator, AnswerPlan("critic"))
    assert [citation.passage_id for citation in made.citations] == ["louvre"]
    assert made.evidence.relevance == 0.2


def test_concat_reads_all_in_one_prompt_and_checks_the_citation() -> None:
    made = answer(ScriptedGenerator(lambda p: ("the Seine [2]", -0.1)), AnswerPlan("concat"))
    [citation] = made.citations
    assert (citation.passage_id, citation.origin) == ("paris", "generator")
    assert made.evidence.agreement == 1.0
    [prompt] = made.prompts
    assert prompt.passage_ids == ("lyon", "paris", "louvre")


@pytest.mark.parametrize("number", [0, 4, 9, 99])
def test_a_citation_of_a_passage_that_was_not_there_is_never_shown(number: int) -> None:
    made = answer(
        ScriptedGenerator(lambda p: (f"the Amazon [{number}]", -0.1)), AnswerPlan("concat")
    )
    assert made.text == "the Amazon"
    assert made.citations == ()
    assert made.evidence.agreement == 0.0


def test_no_retrieval_reads_no_passage() -> None:
    generator = ScriptedGenerator(lambda p: ("the Nile", None))
    made = answer(generator, AnswerPlan("no-retrieval"))
    assert made.citations == ()
    assert "Rhône" not in generator.asked[0].text
    assert made.evidence.answer_logprob is None
    assert answer(generator, AnswerPlan("ra-vqa"), []).strategy == "no-retrieval"


def test_a_passage_to_which_nothing_is_written_has_no_say() -> None:
    def silent_on_lyon(prompt) -> tuple[str, float | None]:
        return (" [1]", 0.0) if "Rhône" in prompt.messages[-1].text else by_passage(prompt)

    def nothing_for_lyon(prompt) -> tuple[str, float | None]:
        return ("", None) if "Rhône" in prompt.messages[-1].text else by_passage(prompt)

    for silent in (silent_on_lyon, nothing_for_lyon):
        made = answer(ScriptedGenerator(silent), AnswerPlan("ra-vqa"))
        assert made.text == "the Seine"
        assert made.evidence.answer_logprob is not None
    with pytest.raises(BadCompletion, match="no answer"):
        answer(ScriptedGenerator(lambda p: ("[1]", 0.0)), AnswerPlan("ra-vqa"))


def test_without_log_probabilities_the_retriever_and_agreement_decide() -> None:
    made = answer(
        ScriptedGenerator(lambda p: (by_passage(p)[0], None)), AnswerPlan("ra-vqa", temperature=1.0)
    )
    assert made.evidence.answer_logprob is None
    assert made.text == "the Rhône"
    assert made.candidates[0].score == pytest.approx(-math.log(1 + math.exp(-1) + math.exp(-2)))


def test_the_answer_says_whether_the_picture_was_seen() -> None:
    assert answer(ScriptedGenerator(by_passage, images=True), AnswerPlan()).saw_picture


def test_leaving_calls_off_what_is_going_on() -> None:
    for plan in (AnswerPlan("ra-vqa"), AnswerPlan("concat")):
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

    plan = AnswerPlan("ra-vqa", temperature=10.0, agree=False)
    made = answer(ScriptedGenerator(lyon_unknown), plan)
    assert {candidate.logprob for candidate in made.candidates} == {0.0}
    assert made.evidence.answer_logprob is None


def test_a_strategy_that_does_not_exist_is_refused() -> None:
    with pytest.raises(StrategyUnavailable, match=r"'guess' is no strategy; choose from extract, "):
        answer(ScriptedGenerator(by_passage), AnswerPlan("guess"))


def test_why_nothing_was_written_is_told() -> None:
    generator = ScriptedGenerator(lambda p: ("", None))
    generator.lack = "Its 48 tokens went into thinking."
    with pytest.raises(BadCompletion, match=r"no answer to any passage\. Its 48 tokens went into"):
        answer(generator, AnswerPlan("ra-vqa"))


@pytest.mark.parametrize("strategy", ["concat", "ra-vqa", "critic"])
@pytest.mark.parametrize("style", ["few-shot", "instruct"])
def test_a_prompt_is_made_to_fit_the_context(strategy, style) -> None:
    long = [Hit(replace(hit.passage, text=hit.passage.text + " word" * 400), 1.0) for hit in HITS]
    plan = AnswerPlan(strategy, style, passage_tokens=300)
    roomy = ScriptedGenerator(by_passage, context_tokens=100_000)
    made = answer(roomy, plan, long)
    assert answer(ScriptedGenerator(by_passage), plan, long).prompts == made.prompts
    longest = max(estimate_tokens(prompt.text) for prompt in roomy.asked)
    for short in (1, 37, 200):
        tight = ScriptedGenerator(by_passage, context_tokens=longest - short + MAX_TOKENS)
        fitted = answer(tight, plan, long)
        assert all(estimate_tokens(p.text) <= longest - short for p in tight.asked)
        lost = [
            less.cut - more.cut for less, more in zip(fitted.prompts, made.prompts, strict=True)
        ]
        assert short <= max(lost) <= short + 10 and min(lost) >= 0
    # A picture takes room too; and where there is none for a passage, the generator says so.
    seeing = ScriptedGenerator(by_passage, images=True, context_tokens=longest + MAX_TOKENS)
    seeing.picture_tokens = 100
    answer(seeing, plan, long)
    assert all(estimate_tokens(p.text) <= longest - 100 for p in seeing.asked)
    none = ScriptedGenerator(lambda p: ("Seine", -0.1), context_tokens=MAX_TOKENS)
    assert answer(none, plan, long).text


@pytest.mark.parametrize("strategy", ["concat", "no-retrieval"])
def test_what_repeats_itself_without_end_is_stopped_and_is_no_answer(strategy) -> None:
    generator = ScriptedGenerator(lambda prompt: ("0 " * 5000, -0.1))
    work = respond(generator, QUERY, HITS, AnswerPlan(strategy))
    pieces = []
    with pytest.raises(BadCompletion, match="without end"):
        for event in work:
            pieces.append(event)
    assert len(pieces) < 100, "it goes on after it is known to be endless"
    assert generator.closed == 1


def test_a_passage_that_is_read_without_end_has_no_say() -> None:
    def write(prompt):
        return ("na " * 60, -0.1) if "Rhône" in prompt.messages[-1].text else by_passage(prompt)

    assert answer(ScriptedGenerator(write), AnswerPlan("ra-vqa", temperature=0.1)).text == (
        "the Seine"
    )


@pytest.mark.parametrize(("strategy", "read"), [("ra-vqa", (1, 2, 3)), ("concat", (1, 2, 3))])
def test_an_answer_says_which_passages_were_read(strategy, read) -> None:
    assert answer(ScriptedGenerator(lambda p: (" the Seine", -0.5)), AnswerPlan(strategy)).read == (
        read
    )


@pytest.mark.parametrize("strategy", ["concat", "ra-vqa", "critic"])
@pytest.mark.parametrize("style", ["few-shot", "instruct"])
def test_an_answer_knows_exactly_what_was_given_and_where_it_was_cut(strategy, style) -> None:
    long = [Hit(replace(hit.passage, text=hit.passage.text + " word" * 400), 1.0) for hit in HITS]
    generator = ScriptedGenerator(by_passage)
    made = answer(generator, AnswerPlan(strategy, style, passage_tokens=200), long)
    assert tuple(text.number for text in made.given) == made.read
    prompts = "".join(prompt.messages[-1].text for prompt in generator.asked)
    for given in made.given:
        assert given.text in prompts
        whole = passage_text(long[given.number - 1].passage)
        assert whole.startswith(given.text)
        assert given.cut == estimate_tokens(whole) - estimate_tokens(given.text) > 0
    short = answer(ScriptedGenerator(by_passage), AnswerPlan(strategy, style))
    assert [given.cut for given in short.given] == [0, 0, 0]
