"""What stays of an answer: a thumb, a file, and the questions of this tab."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from app.feedback.store import FeedbackStore
from tests.e2e.conftest import opened
from tests.e2e.test_page import ANSWER_MS, EXAMPLES, click_example, expect_answer, upload

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}


def expect_listed(page: Page, count: int) -> None:
    """Wait until so many questions are listed, and open the list."""
    expect(page.locator("#past summary")).to_contain_text(str(count), timeout=ANSWER_MS)
    if not page.locator("#past ol").is_visible():
        page.locator("#past summary").click()
    expect(page.locator("#past li")).to_have_count(count)


def test_what_a_user_says_is_kept(page: Page, home: Path) -> None:
    page.set_viewport_size(PHONE)
    store = FeedbackStore(home / "feedback.sqlite3")
    before = {opinion.id for opinion in store.read()}
    expect(page.locator("#wrong")).to_be_hidden()
    example = click_example(page, "kenya.png")
    expect_answer(page, "Nairobi")
    page.locator("#wrong").click()
    expect(page.locator("#said")).to_contain_text("kept as wrong")
    [thumb] = [opinion for opinion in store.read() if opinion.id not in before]
    assert (thumb.verdict, thumb.question, thumb.picture) == ("down", example.question, None)
    page.get_by_label("Why?").fill("It was <Mombasa>")
    page.get_by_label("The right answer").fill("Mombasa")
    page.get_by_label("Keep the picture").check()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.locator("#send").click()
    expect(page.locator("#opinion")).to_be_hidden()
    [opinion] = [opinion for opinion in store.read() if opinion.id not in before]
    assert (opinion.reason, opinion.right_answer) == ("It was <Mombasa>", "Mombasa")
    assert opinion.picture is not None and opinion.picture.startswith(b"\xff\xd8")
    # Another answer is another thing to say.
    click_example(page, "japan.png")
    expect_answer(page, "yen")
    expect(page.locator("#said")).to_have_text("")
    expect(page.locator("#opinion")).to_be_hidden()


def test_a_saved_page_shows_the_answer_without_a_network(
    page: Page, browser: Browser, tmp_path: Path
) -> None:
    upload(page, EXAMPLES / "japan.png")
    question = "Which <b>currency</b> is used in this country?"
    page.locator("#question textarea").fill(question)
    page.locator("#ask").click()
    expect_answer(page, "yen")
    for button, ending in (("#save-page", "html"), ("#save-data", "json")):
        with page.expect_download() as download:
            page.locator(button).click()
        assert download.value.suggested_filename == (
            f"kbvqa-which-b-currency-b-is-used-in-this-country.{ending}"
        )
        download.value.save_as(tmp_path / f"saved.{ending}")
    record = json.loads((tmp_path / "saved.json").read_text("utf-8"))
    assert record["question"] == question and "yen" in record["answer"]
    assert len(record["hits"]) == 5 and record["confidence"] is not None

    context = browser.new_context(offline=True, viewport={"width": 390, "height": 844})
    alone = context.new_page()
    errors: list[str] = []
    requests: list[str] = []
    alone.on("console", lambda message: errors.append(message.text))
    alone.on("pageerror", lambda error: errors.append(str(error)))
    alone.on("request", lambda request: requests.append(request.url))
    alone.goto((tmp_path / "saved.html").as_uri())
    expect(alone.locator("h1")).to_have_text(question)
    expect(alone.locator(".kb-text")).to_contain_text("yen")
    expect(alone.locator(".kb-card")).to_have_count(5)
    assert alone.locator("mark").count() >= 1
    assert alone.locator("#picture img").evaluate("image => image.naturalWidth") > 100
    assert alone.evaluate("document.documentElement.scrollWidth") <= 390
    alone.locator(".kb-why summary").first.click()
    expect(alone.locator(".kb-why").first).to_contain_text("Where its score comes from")
    expect(alone.locator("#heat-area canvas")).to_be_visible()
    assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_the_questions_of_a_tab_are_shown_again_and_of_no_other(
    browser: Browser, page: Page, server: str
) -> None:
    expect(page.locator("#past summary")).to_be_hidden()
    first = click_example(page, "kenya.png")
    expect_answer(page, "Nairobi")
    expect_listed(page, 1)
    click_example(page, "japan.png")
    expect_answer(page, "yen")
    expect_listed(page, 2)
    page.reload()
    page.locator("#ask").wait_for()
    expect_listed(page, 2)
    page.locator("#past li button").nth(1).click()
    expect_answer(page, "Nairobi")
    expect(page.locator("#question textarea")).to_have_value(first.question)
    expect(page.locator("#picture img")).to_be_visible()
    expect(page.locator(".kb-card")).to_have_count(5)
    # It can be asked about as before, and what is said of it is of that answer.
    page.locator("#right").click()
    expect(page.locator("#said")).to_contain_text("kept as right")
    expect(page.locator(".kb-text")).to_contain_text("Nairobi")
    page.locator("#question textarea").fill("Which currency is used in this country?")
    page.locator("#ask").click()
    expect_listed(page, 3)
    expect(page.locator("#said")).to_have_text("")
    with opened(browser, server) as other:
        expect(other.locator("#past summary")).to_be_hidden()
    page.locator(".kb-forget").click()
    expect(page.locator("#past summary")).to_be_hidden()
