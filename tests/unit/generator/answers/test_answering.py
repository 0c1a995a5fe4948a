"""How far an answer is trusted, by what is known of its picture."""

from collections.abc import Callable

import pytest

from corpus.types import Hit, Passage, Query
from generator.answers.answer import Confidence, Strategy
from generator.answers.answering import UNLIKE, Answering
from generator.answers.confidence import Calibration, Fit, fit_name
from generator.answers.plan import AnswerPlan
from generator.interface import Piece, wait
from tests.scripted import ScriptedGenerator

HITS = (Hit(Passage("a", "Hedwig", "Paris"), 20.0), Hit(Passage("b", "Sea", "Sea"), 10.0))


def judged(
    shown: tuple[float | None, ...] = (),
    corpus: str = "fitted on",
    unlike: Callable[[Passage], bool] = lambda passage: False,
) -> Confidence:
    generator = ScriptedGenerator(lambda prompt: ("Paris [1]", -0.1))
    plan = AnswerPlan("concat", passages=2)
    # As good as certain of whatever it is.
    fit = Fit(9.0, {"lead": 1.0}, {"lead": 0.0}, {"lead": 10.0}, None, 50)
    fits = {fit_name(generator.name, plan.style, plan.strategy): fit}
    calibration = Calibration("c", 1.0, {}, fits, corpus="fitted on")
    answering = Answering(generator, plan, calibration, corpus=corpus)
    asking = answering.answer(Query("Which city?"), HITS, shown=shown, unlike=unlike)
    return wait(asking).confidence


def confidence(shown: tuple[float | None, ...], corpus: str) -> float | None:
    return judged(shown, corpus).value


def test_no_answer_is_surer_than_that_a_photograph_shows_what_it_is_about() -> None:
    for corpus in ("fitted on", "another"):
        assert confidence((0.25, 1.0), corpus) == 0.25
        assert confidence((), corpus) == pytest.approx(1.0, abs=0.01)


def test_what_nobody_has_a_name_for_may_be_shown_where_the_corpus_is_another() -> None:
    assert confidence((None, 1.0), "fitted on") == 0.0
    assert confidence((None, 1.0), "another") == pytest.approx(1.0, abs=0.01)


def test_a_picture_unlike_all_of_the_thing_that_is_answered_about_is_a_doubt() -> None:
    assert judged().verdict == "given"
    assert judged(unlike=lambda passage: passage.id == "b").verdict == "given", "it is not cited"
    doubted = judged(unlike=lambda passage: passage.id == "a")
    assert (doubted.verdict, doubted.doubted) == ("unsure", True) and UNLIKE in doubted.reasons


@pytest.mark.parametrize(
    ("bias", "strategy", "pieces"),
    [
        (9.0, "ra-vqa", ["Paris"]),
        (-9.0, "ra-vqa", []),
        (-9.0, "concat", [" Paris", " [1]"]),  # as it is written, before anybody judges it
    ],
)
def test_what_comes_whole_comes_when_it_is_judged(
    bias: float, strategy: Strategy, pieces: list[str]
) -> None:
    generator = ScriptedGenerator(lambda prompt: ("Paris [1]", -0.1))
    plan = AnswerPlan(strategy, passages=2)
    fit = Fit(bias, {"lead": 1.0}, {"lead": 0.0}, {"lead": 10.0}, None, 50)
    fits = {fit_name(generator.name, plan.style, strategy): fit}
    answering = Answering(generator, plan, Calibration("c", 1.0, {}, fits))
    events = list(answering.answer(Query("Which city?"), HITS))
    assert [event.text for event in events if isinstance(event, Piece)] == pieces
