"""Follow-ups on a picture, the answer without passages beside it, and what is searched."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_page import ANSWER_MS, EXAMPLES, click_example, expect_answer, upload
from tests.e2e.test_page_keeping import PHONE, expect_listed
from tests.integration.generator_server import Handler, Server

pytestmark = pytest.mark.browser


def ask(page: Page, question: str) -> None:
    page.locator("#question textarea").fill(question)
    page.locator("#ask").click()


def answering(**said: str) -> Callable[[Handler], None]:
    """Return what a server does: another reply to each kind of prompt."""

    def answer(handler: Handler) -> None:
        prompt = str(handler.asked["messages"])
        kind = "rewritten" if "Last question:" in prompt else "alone"
        kind = "read" if "<passage" in prompt else kind
        handler.events(f" {said[kind]}", "\nQ")

    return answer


@pytest.mark.parametrize("size", [None, PHONE])
def test_a_follow_up_keeps_the_picture_and_the_conversation(page: Page, size) -> None:
    if size:
        page.set_viewport_size(size)
    expect(page.locator("#new")).to_be_hidden()
    first = click_example(page, "japan.png")
    expect_answer(page, "yen")
    expect(page.locator(".kb-earlier")).to_have_count(0)
    ask(page, "and its capital?")
    expect(page.locator(".kb-seen").first).to_have_text(
        "Asked asWhat is Japan's capital?", timeout=ANSWER_MS
    )
    expect_answer(page, "Tokyo")
    earlier = page.locator(".kb-earlier li")
    expect(earlier).to_have_count(1)
    expect(earlier).to_contain_text(first.question)
    expect(page.locator("#picture img")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    # The same question again follows on what it did, not on itself.
    page.locator("#ask").click()
    expect_listed(page, 3)
    expect(earlier).to_have_count(1)
    expect(page.locator("#past li").first).to_contain_text("What is Japan's capital?")
    # What is shown again goes on from there.
    page.locator("#past li button").nth(1).click()
    expect(earlier).to_have_count(1)
    ask(page, "and its currency?")
    expect(earlier).to_have_count(2, timeout=ANSWER_MS)
    expect_answer(page, "yen")

    page.locator("#new").click()
    expect(page.locator(".kb-start")).to_be_visible()
    expect(page.locator("#question textarea")).to_have_value("")
    expect(page.locator("#question textarea")).to_be_focused()
    expect(page.locator("#picture img")).to_be_visible()
    ask(page, "and its currency?")
    expect(page.locator(".kb-seen").filter(has_text="Asked as")).to_have_count(0)
    expect(page.locator(".kb-figures")).to_be_visible(timeout=ANSWER_MS)
    expect(page.locator(".kb-earlier")).to_have_count(0)


def test_another_picture_ends_the_conversation(page: Page) -> None:
    click_example(page, "kenya.png")
    expect_answer(page, "Nairobi")
    upload(page, EXAMPLES / "japan.png")
    expect(page.locator(".kb-start")).to_be_visible()
    ask(page, "Which currency is used in this country?")
    expect_answer(page, "yen")
    expect(page.locator(".kb-earlier")).to_have_count(0)


def test_a_search_is_held_to_a_source(page: Page) -> None:
    upload(page, EXAMPLES / "kenya.png")
    page.locator("#options button").first.click()
    expect(page.locator("#beside")).to_be_hidden()  # an extractive reader knows nothing by itself
    page.locator("#sources input").click()
    page.get_by_role("option").filter(has_text="Wikipedia").first.click()
    ask(page, "What is the capital of this country?")
    expect(page.locator(".kb-seen").filter(has_text="Searched only")).to_contain_text(
        "Wikipedia", timeout=ANSWER_MS
    )
    expect(page.locator(".kb-card")).to_have_count(5)
    for footer in page.locator(".kb-card footer").all():
        expect(footer).to_contain_text("Wikipedia")


def test_a_server_writes_the_question_anew_and_answers_without_passages(
    slow_page: Page, model: Server
) -> None:
    page = slow_page
    model.answer = answering(
        read="Nairobi [1]", alone="Mombasa, I think", rewritten="Who leads Kenya?"
    )
    upload(page, EXAMPLES / "kenya.png")
    page.locator("#options button").first.click()
    page.locator("#beside input").check()
    ask(page, "What is the capital of this country?")
    expect(page.locator(".kb-alone-text")).to_have_text("Mombasa, I think", timeout=ANSWER_MS)
    expect(page.locator(".kb-text")).to_contain_text("Nairobi")
    answer, alone = (page.locator(s).bounding_box() for s in (".kb-answer >> nth=0", ".kb-alone"))
    assert answer and alone and answer["x"] + answer["width"] <= alone["x"]
    assert abs(answer["y"] - alone["y"]) < 2
    page.locator("#beside input").uncheck()
    ask(page, "and who leads it?")
    seen = page.locator(".kb-seen").filter(has_text="Asked as")
    expect(seen).to_contain_text("Who leads Kenya?", timeout=ANSWER_MS)
    expect(page.locator(".kb-alone")).to_have_count(0)
    expect(page.locator(".kb-earlier li")).to_contain_text("Nairobi")
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_what_failed_is_asked_again(slow_page: Page, model: Server) -> None:
    model.answer = lambda handler: handler.error(400, "no")
    upload(slow_page, EXAMPLES / "kenya.png")
    ask(slow_page, "What is the capital of this country?")
    again = slow_page.locator(".kb-again")
    expect(again).to_be_visible(timeout=ANSWER_MS)
    model.answer = answering(read="Nairobi [1]")
    again.click()
    expect(slow_page.locator(".kb-text")).to_contain_text("Nairobi", timeout=ANSWER_MS)
    expect(again).to_have_count(0)
