"""The report of evaluations in Chromium: thousands of examples, a phone, and an attack."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect

from app.evaluation.reporting.page import page as report
from app.evaluation.reporting.runs import open_runs
from app.evaluation.reporting.sheet import make_sheet
from corpus.pictures.store import ImageFolder
from corpus.types import Passage
from tests.evaluation_runs import HOSTILE, draw_pictures, examples, write_run

pytestmark = pytest.mark.browser

EXAMPLES = 5_000
# It takes about one second beside nothing else; the tests share their processors.
LOADED_SECONDS = 15


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the report of two runs over thousands of examples, the first one hostile."""
    folder = tmp_path_factory.mktemp("report")
    rows = examples(EXAMPLES, pictures=40)
    rows[0] = replace(rows[0], question=HOSTILE, answers=(HOSTILE,))
    first = [float(i % 2) for i in range(EXAMPLES)]
    second = [1 - value if i % 10 == 5 else value for i, value in enumerate(first)]
    runs = open_runs([write_run(folder / "a", rows, first), write_run(folder / "b", rows, second)])
    pictures = ImageFolder(draw_pictures(folder / "pictures", 40))
    lookup = [Passage("other", HOSTILE, HOSTILE)]
    sheet = make_sheet(runs, [pictures, pictures], lambda ids: lookup)
    (folder / "report.html").write_text(report(runs, sheet), encoding="utf-8")
    return (folder / "report.html").as_uri()


@contextmanager
def opened(browser: Browser, url: str, width: int = 1280, height: int = 900) -> Iterator[Page]:
    """Open a page; nothing may go wrong in it, and nothing be asked of any network."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    errors: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(url)
    expect(page.locator("#filters")).to_be_visible()
    yield page
    context.close()
    assert errors == []
    assert {asked for asked in requests if not asked.startswith("data:")} == {url}


def test_thousands_of_examples_open_at_once_and_few_are_drawn(browser: Browser, url: str) -> None:
    started = time.monotonic()
    with opened(browser, url) as page:
        assert time.monotonic() - started < LOADED_SECONDS
        expect(page.locator("#count")).to_have_text("5,000 of 5,000 examples")
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(page.get_by_text("What is thing 4999 called?")).to_be_visible()
        assert page.locator("#list li").count() < 40
        thumb = page.locator("#list img").last
        assert thumb.evaluate("image => image.complete && image.naturalWidth > 0")


def test_filters_and_search_find_examples(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        page.locator("#search").fill("thing 4321")
        expect(page.locator("#count")).to_have_text("1 of 5,000 examples")
        page.locator("#search").fill("no such thing")
        expect(page.get_by_text("No example is like that.")).to_be_visible()
        page.locator("#search").fill("")
        right = page.locator("#fates button", has_text=re.compile("^right "))
        expect(right).to_have_text("right 2,500")
        right.click()
        expect(page.locator("#count")).to_have_text("2,500 of 5,000 examples")
        page.locator("#group").select_option("question_type: templated")
        expect(page.locator("#count")).to_have_text("0 of 5,000 examples")
        page.locator("#fates button[aria-pressed=true]").click()
        expect(page.locator("#count")).to_have_text("2,500 of 5,000 examples")
        page.locator("#group").select_option("")
        # Every tenth is right in the first run and not in the second.
        page.locator("#other").select_option(label="b · as retrieved")
        page.locator("#change").select_option("won")
        expect(page.locator("#count")).to_have_text("500 of 5,000 examples")
        page.locator("#change").select_option("lost")
        expect(page.locator("#count")).to_have_text("0 of 5,000 examples")


def test_an_example_is_shown_with_what_both_runs_made_of_it(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        page.locator("#search").fill("thing 5")
        page.locator("#list button").first.click()
        detail = page.locator("#detail")
        expect(detail.locator("h3")).to_have_text("What is thing 5 called?")
        expect(detail.locator(".reply")).to_have_count(2)
        expect(detail.locator(".reply .said").first).to_have_text("thing 5")
        expect(detail.locator(".reply .said").last).to_have_text("something else")
        expect(detail.locator(".reply").first.locator(".flag.gold")).to_have_count(1)
        page.keyboard.press("ArrowRight")
        expect(detail.locator("h3")).not_to_have_text("What is thing 5 called?")
        page.keyboard.press("Escape")
        expect(detail).not_to_be_visible()


def test_a_part_of_a_bar_chooses_its_examples(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        page.locator(".bar").last.locator("button[data-fate='not retrieved']").click()
        expect(page.locator("#view")).to_have_value("1")
        pressed = page.locator("#fates button[aria-pressed=true]")
        expect(pressed).to_have_text(re.compile("^not retrieved "))
        expect(page.locator("#list button").first).to_be_in_viewport()


def test_what_was_asked_and_said_is_text(browser: Browser, url: str) -> None:
    with opened(browser, url) as page:
        page.locator("#search").fill("onerror")
        expect(page.locator("#list .q").first).to_have_text(HOSTILE)
        page.locator("#list button").first.click()
        expect(page.locator("#detail h3")).to_have_text(HOSTILE)
        expect(page.locator("#detail .hits p").first).to_have_text(HOSTILE)
        assert page.locator("img[onerror]").count() == 0
        assert page.evaluate("window.hurt") is None


def test_it_fits_a_phone(browser: Browser, url: str) -> None:
    with opened(browser, url, 390, 844) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.locator("#search").fill("thing 77")
        row = page.locator("#list button").first
        row.scroll_into_view_if_needed()
        for part in (".thumb", ".q", ".chip"):
            box = row.locator(part).bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
        assert row.evaluate("row => row.scrollHeight <= row.clientHeight")
        row.click()
        box = page.locator("#detail").bounding_box()
        assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
        page.locator("#close").click()
        expect(page.locator("#detail")).not_to_be_visible()
