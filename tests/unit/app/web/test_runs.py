"""What is under way on a page, and what waits."""

from dataclasses import replace

import pytest

from app.web.runs import PageQuestion, Runs

KENYA = PageQuestion({"path": "/u/kenya.png"}, "Which city?", 5, "extract")
JAPAN = replace(KENYA, picture={"path": "/u/japan.png"})
MONEY = replace(KENYA, question="Which money?")


def test_a_question_is_asked_once_until_it_is_answered() -> None:
    runs = Runs()
    assert runs.ask("a", KENYA)
    assert not runs.ask("a", KENYA), "it waits"
    run = runs.take("a")
    assert run is not None and run.asked == KENYA
    assert not runs.ask("a", replace(KENYA, question=" Which city? ")), "it is under way"
    assert runs.take("a") is None
    assert runs.ask("a", KENYA)


def test_what_was_answered_may_be_asked_again() -> None:
    runs = Runs()
    runs.ask("a", KENYA)
    run = runs.take("a")
    assert run is not None and runs.busy("a")
    runs.end(run, "a")
    assert not runs.busy("a")
    assert runs.ask("a", KENYA)


@pytest.mark.parametrize(
    "other",
    [
        JAPAN,
        MONEY,
        replace(KENYA, top_k=3),
        replace(KENYA, strategy="critic"),
        replace(KENYA, box="0,0,9,9"),
    ],
)
def test_another_question_waits_and_the_last_is_the_next(other: PageQuestion) -> None:
    runs = Runs()
    runs.ask("a", KENYA)
    first = runs.take("a")
    assert first is not None
    assert runs.ask("a", replace(KENYA, question="Which river?"))
    assert runs.ask("a", other)
    assert not first.stop.is_set()
    runs.end(first, "a")
    assert (run := runs.take("a")) is not None and run.asked == other


def test_going_back_to_what_is_under_way_drops_what_waits() -> None:
    runs = Runs()
    runs.ask("a", KENYA)
    assert runs.take("a")
    runs.ask("a", MONEY)
    assert not runs.ask("a", KENYA)
    assert runs.take("a") is None


def test_stop_ends_all_of_one_page_and_nothing_of_others() -> None:
    runs = Runs()
    for session in ("a", "b"):
        runs.ask(session, KENYA)
    mine, other = runs.take("a"), runs.take("b")
    assert mine is not None and other is not None
    runs.ask("a", MONEY)
    runs.stop("a", by_hand=True)
    assert mine.stop.is_set() and mine.by_hand and not runs.busy("a")
    assert not other.stop.is_set()
    assert runs.ask("a", KENYA), "what was stopped may be asked at once"
    assert (run := runs.take("a")) is not None and run.asked == KENYA
    runs.end(mine, "a")
    assert runs.busy("a"), "the end of the old one is not that of the new one"


def test_another_picture_drops_what_is_about_the_old_one() -> None:
    runs = Runs()
    runs.ask("a", KENYA)
    run = runs.take("a")
    assert run is not None
    runs.ask("a", JAPAN)
    runs.keep("a", "/u/japan.png")
    assert run.stop.is_set() and not run.by_hand
    assert (following := runs.take("a")) is not None and following.asked == JAPAN
    runs.keep("a", "")
    assert following.stop.is_set()
    runs.stop("never seen")


def test_other_pages_are_counted_once_each_and_this_one_is_not() -> None:
    runs = Runs()
    assert runs.others("a") == 0
    for session in ("a", "b", "c"):
        runs.ask(session, KENYA)
    runs.take("b")
    runs.ask("b", MONEY)
    assert runs.others("a") == 2
