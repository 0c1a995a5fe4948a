"""The choice of words among passages, by readings made by hand: no network is run."""

import math
from dataclasses import replace
from random import Random

import pytest
from PIL import Image

from corpus.types import Hit, Passage, Query
from generator.answers.answer import NOT_ABOUT, SEEN_ALONE, UNDECIDED, Answer, Candidate
from generator.answers.extracting import CERTAIN, LIMIT, MARGIN, extract, shown, sureness
from generator.answers.plan import AnswerPlan
from generator.answers.selection import choose, log_prior
from generator.errors import EmptyCompletion
from generator.extractive.reader import NOTHING, Reading

SAID = Reading("Oz", ((0, 1),), -0.01, -10.0, "span", (0.0, 1.0, 0.0, 0.0, 0.0, 0.0))


class ByHand:
    """Has a reading for each text."""

    name = "by hand"

    def __init__(self, **readings: Reading) -> None:
        self.readings = readings

    def read(self, question: str, passages: list[str], *, defend: bool = True) -> list[Reading]:
        return [self.readings[text] for text in passages]


def answer(
    question: str = "capital?", scores: tuple[float, ...] = (), **readings: Reading
) -> Answer:
    hits = [
        Hit(Passage(text, f"Land of {text}", text), score)
        for text, score in zip(readings, scores or (20.0,) * len(readings), strict=True)
    ]
    return extract(ByHand(**readings), Query(question), hits, AnswerPlan("extract", passages=5))


def test_of_two_that_are_sure_of_their_words_the_one_surer_of_an_answer_wins() -> None:
    first, second = replace(SAID, none_logprob=-8.0), SAID
    # 0.2 x 2 of log-odds against 0.3 of the retriever.
    assert answer(scores=(20.0, 19.7), a=first, b=second).text == "b"
    assert answer(scores=(20.0, 19.5), a=first, b=second).text == "a"


def test_how_sure_it_is_counts_no_further_than_its_limits() -> None:
    for logprob, none, certain, answerable in (
        (math.log(0.5), math.log(0.25), 0.0, math.log(2)),
        (-1e-9, -40.0, CERTAIN, LIMIT),
        (-40.0, -1e-9, -CERTAIN, -LIMIT),
        (0.0, -40.0, CERTAIN, LIMIT),  # rounding makes a probability of 1
    ):
        evidence = answer(a=replace(SAID, logprob=logprob, none_logprob=none)).evidence
        assert evidence.certain == pytest.approx(certain)
        assert evidence.answerable == pytest.approx(answerable)


def test_whether_one_thing_was_found_is_told_by_all_that_could_be_read() -> None:
    hits = [Hit(Passage(t, title, t), 20.0) for t, title in zip("abcd", "XYXX", strict=True)]
    reader = ByHand(a=SAID, b=replace(SAID, text="no"), c=SAID, d=SAID)
    plan = AnswerPlan("extract", passages=4)
    assert extract(reader, Query("capital?"), hits, plan).evidence.subject == 0.5
    # "What is this?" is read of one thing alone, which says nothing of the others.
    assert extract(reader, Query("What is this?"), hits, plan).evidence.subject == 0.5


def test_a_thing_with_one_passage_is_likely_by_how_far_that_stands_out() -> None:
    ids = [str(n) for n in range(12)]
    scores = (23.0, *(20.0,) * 11)
    titles = ("Oz", *(f"Sea {n}" for n in ids[1:9]), "Oz", "Oz", "Oz")
    hits = [
        Hit(Passage(n, title, n), score)
        for n, title, score in zip(ids, titles, scores, strict=True)
    ]
    reader = ByHand(**dict.fromkeys(ids, SAID))
    plan = AnswerPlan("extract", passages=2, temperature=1.5)
    evidence = extract(reader, Query("capital?"), hits, plan).evidence
    assert evidence.subject == 0.0
    # Of ten passages two are about it, exp(3 / 1.5) to one as probable as each other one.
    assert evidence.subject_prior == pytest.approx((math.e**2 + 1) / (math.e**2 + 9))


def test_what_could_not_count_whatever_it_said_is_not_read() -> None:
    def read(*scores: float, **readings: Reading) -> tuple[int, ...]:
        return answer(scores=scores, **readings).read

    far = 20.0 - (MARGIN * LIMIT - math.log(1 / 100)) - 0.01
    unsure = replace(SAID, logprob=-9.0, none_logprob=-0.01)
    # The third would count beside a first one that says nothing, and is then read.
    assert read(20.0, 19.0, far, a=SAID, b=unsure, c=SAID) == (1, 2)
    assert read(20.0, 19.0, far, a=unsure, b=unsure, c=SAID) == (1, 2, 3)
    assert read(20.0, 19.0, far, a=NOTHING, b=NOTHING, c=SAID) == (1, 2, 3)
    # No reading adds more to a passage than the bound that this rests on.
    surest = replace(SAID, logprob=0.0, none_logprob=-50.0)
    assert sureness(surest) == MARGIN * LIMIT


@pytest.mark.parametrize("further", [1, 8])
def test_many_that_hardly_count_are_read_where_together_they_could(further: int) -> None:
    doubtful = replace(SAID, logprob=-3.0, none_logprob=-12.0)
    surest = replace(SAID, logprob=0.0, none_logprob=-12.0)
    names = ["Oz", "Sea", *(f"Sea{n}" for n in range(further))]
    spans = {name: ((0, 2 if name == "Oz" else 3),) for name in names}
    readings = {
        name: replace(said, text=name[: spans[name][0][1]], spans=spans[name])
        for name, said in zip(names, [doubtful] * 2 + [surest] * further, strict=True)
    }
    hits = [
        Hit(Passage(name, name, name), score)
        for name, score in zip(names, (10.0, 9.99, *[2.39] * further), strict=True)
    ]
    plan = AnswerPlan("extract", passages=20, temperature=1.0)
    said = extract(ByHand(**readings), Query("capital?"), hits, plan)
    # Of the first two Oz is ahead by a hair; what says Sea is probabler together.
    assert said.text == "Sea" and len(said.read) == len(names)


def test_what_is_not_read_would_have_changed_nothing() -> None:
    random = Random(0)
    for _ in range(300):
        scores = sorted((random.gauss(0, 6) for _ in range(5)), reverse=True)
        said_by = [random.choice(("Oz", "Sea", "City")) for _ in scores]
        readings = {
            f"{words}{number}": replace(
                SAID,
                text=words,
                spans=((0, len(words)),),
                logprob=-random.expovariate(0.2),
                none_logprob=-random.expovariate(0.2),
            )
            for number, words in enumerate(said_by)
        }
        said = answer(scores=tuple(scores), **readings)
        priors = log_prior(scores, 1.0)
        every = choose(
            [
                Candidate(number, reading.text, prior, sureness(reading))
                for number, (reading, prior) in enumerate(
                    zip(readings.values(), priors, strict=True), start=1
                )
            ]
        )
        assert said.text == every.winner.text
        assert said.citations[0].number == every.winner.number
        assert said.evidence.agreement == pytest.approx(every.share, abs=0.01)


def test_passages_without_words_have_no_say_and_alone_no_answer() -> None:
    assert answer(a=NOTHING, b=SAID).citations[0].number == 2
    with pytest.raises(EmptyCompletion, match="Ask otherwise"):
        answer(a=NOTHING)


def test_numbers_are_those_of_the_hits_where_only_some_are_read() -> None:
    found = answer("What is this?", scores=(20.0, 19.0), a=SAID, b=SAID)
    assert (found.text, found.read, found.citations[0].number) == ("Land of a", (1,), 1)


def test_what_a_source_adds_is_neither_said_nor_cited() -> None:
    text = "King Oz (since 1900)"
    reading = replace(SAID, text=text, spans=((0, len(text)),))
    found = answer("Who rules?", **{text: reading})
    assert (found.text, found.citations[0].spans) == ("King Oz", ((0, 7),))
    defined = answer("Who rules?", **{text: replace(reading, kind="definition")})
    assert defined.text == text


def test_a_list_is_said_without_amounts_and_cited_name_by_name() -> None:
    text = "Gold 9%, salt 5% (2023)"
    found = answer("What do they sell?", **{text: replace(SAID, text=text, spans=((0, 23),))})
    assert found.text == "Gold, salt"
    assert [text[a:b] for a, b in found.citations[0].spans] == ["Gold", "salt"]


def test_what_is_seen_and_read_nowhere_is_in_doubt() -> None:
    hits = [Hit(Passage("a", "Tiger", "a"), 20.0)]
    plan = AnswerPlan("extract", passages=5)
    found = extract(ByHand(a=SAID), Query("What is this?"), hits, plan, ("cello",))
    assert (found.text, found.doubts, found.read) == ("cello", (SEEN_ALONE,), ())


@pytest.mark.parametrize(
    ("text", "words", "answer"),
    [
        ("A pizza is a dish of flat dough.", "dish of flat dough", "Thing: dish of flat dough"),
        ("Herons are long-legged birds.", "long-legged birds", "Thing: long-legged birds"),
        ("The first tractor was built in 1892.", "1892", "Thing"),
        ("The lighthouse was made of wood.", "wood", "Thing"),
        ("The dugong lives for 70 years.", "70 years", "Thing"),
        ("A forklift lifts 2.5 tonnes.", "2.5 tonnes", "Thing"),
        ("A mushroom is the fleshy, spore-bearing body of a fungus.", "fleshy", "Thing"),
    ],
)
def test_a_kind_is_what_the_passage_defines_a_thing_as(text: str, words: str, answer: str) -> None:
    at = text.index(words)
    reading = Reading(words, ((at, at + len(words)),), -0.1, -9.0, "definition", (0.0,) * 6)
    assert shown("What is this?", Passage("p", "Thing", text), reading)[0] == answer


@pytest.mark.parametrize(
    ("question", "text", "words", "said"),
    [
        (
            "Is it really a berry?",
            "A banana is an elongated fruit that is botanically a berry. It is sweet.",
            "elongated",
            "Yes: A banana is an elongated fruit that is botanically a berry",
        ),
        ("Is it higher than 3,000 m?", "It is 3,776 m high.", "3,776 m", "Yes: 3,776 m"),
        ("Is French spoken?", "Languages: Dutch, French.", "French", "Yes: French"),
    ],
)
def test_beside_yes_stand_the_words_that_say_so(
    question: str, text: str, words: str, said: str
) -> None:
    at = text.index(words)
    reading = Reading(words, ((at, at + len(words)),), -0.1, -9.0, "yes", (0.0,) * 6)
    assert shown(question, Passage("p", "Banana", text), reading)[0] == said


def test_a_yes_or_no_that_nothing_is_about_is_told_from_one_that_is_not_plain() -> None:
    for none, doubt in ((-9.0, UNDECIDED), (-0.1, NOT_ABOUT)):
        reading = replace(SAID, logprob=-2.0, none_logprob=none)
        assert answer("Is there wifi?", a=reading).doubts == (doubt,)


@pytest.mark.parametrize(
    ("picture", "score", "doubts"),
    [
        (Image.new("RGB", (8, 8)), 16.5, ("it is said of “Lions”",)),
        (Image.new("RGB", (8, 8)), 19.9, ()),  # it may as well be a lion
        (None, 16.5, ()),
    ],
)
def test_what_is_said_of_another_thing_than_the_picture_s_is_in_doubt(
    picture: Image.Image | None, score: float, doubts: tuple[str, ...]
) -> None:
    hits = [Hit(Passage("a", "Owls", "a"), 20.0), Hit(Passage("b", "Lions", "b"), score)]
    reader = ByHand(a=replace(SAID, logprob=-50.0, none_logprob=0.0), b=SAID)
    plan = AnswerPlan("extract", passages=5)
    found = extract(reader, Query("How heavy is it?", picture), hits, plan)
    assert (found.text, found.doubts) == ("b", doubts)
