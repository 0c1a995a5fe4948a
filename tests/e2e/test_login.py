"""The page where there are keys, and what its policy keeps from running, in a real browser."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.conftest import serving
from tests.e2e.test_page import click_example, expect_answer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KEY = "0123456789abcdef"


def test_the_page_asks_for_a_key_and_then_answers(
    browser: Browser, home: Path, index: Path, tmp_path: Path
) -> None:
    with serving(home, index, tmp_path / "log", KBVQA_API_KEYS=KEY) as web:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto(web.url)
        expect(page.get_by_text("the password is one of the server's keys")).to_be_visible()
        expect(page.locator("#ask")).to_have_count(0)
        name, password = page.locator("input").nth(0), page.locator("input[type=password]")
        name.fill("me")
        password.fill("wrong")
        page.get_by_role("button", name="Login").click()
        expect(page.get_by_text("Incorrect")).to_be_visible()
        name.fill("me")
        password.fill(KEY)
        page.get_by_role("button", name="Login").click()
        page.locator("#ask").wait_for()
        click_example(page, "kenya.png")
        expect_answer(page, "Nairobi")
        context.close()


def test_markup_that_slips_in_runs_nothing(browser: Browser, server: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(server)
    page.locator("#ask").wait_for()
    page.evaluate(
        """() => {
          const slipped = document.createElement("div");
          slipped.innerHTML = '<img src="data:," onerror="window.ran = 1">';
          document.body.append(slipped);
          const script = document.createElement("script");
          script.textContent = "window.ran = 2";
          document.body.append(script);
        }"""
    )
    page.wait_for_timeout(500)
    assert page.evaluate("window.ran") is None
    context.close()
