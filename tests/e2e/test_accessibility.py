"""What axe-core says of the page, before and after an answer; it is not part of this repository.

npm install --prefix DIR axe-core
KBVQA_TEST_AXE=DIR/node_modules/axe-core/axe.min.js pytest tests/e2e/test_accessibility.py
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.conftest import opened
from tests.e2e.test_page import click_example, expect_answer

AXE = os.environ.get("KBVQA_TEST_AXE", "")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not AXE, reason="KBVQA_TEST_AXE does not name axe.min.js"),
]


def faults(page: Page) -> list[str]:
    """Return what is serious or worse, and where first."""
    page.evaluate(Path(AXE).read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    return [
        f"{fault['id']}: {fault['nodes'][0]['html']}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_serious_fault(browser: Browser, server: str, theme: str, width: int) -> None:
    with opened(browser, server) as page:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{server}/?__theme={theme}")
        page.locator("#ask").wait_for()
        assert faults(page) == []
        click_example(page, "nepal.png")
        expect_answer(page, "Everest")
        page.locator(".kb-scores summary").click()
        page.locator(".kb-given summary").first.click()
        page.locator(".kb-why summary").first.click()
        page.locator(".kb-why[open] button[data-word]").first.click()
        assert faults(page) == []
