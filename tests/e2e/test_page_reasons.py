"""Why a passage was found, on the page: cards and words that are picked, the map on the picture."""

import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import FloatRect, Locator, Page, expect

from corpus.demo.data import demo_dir
from tests.e2e.test_page import CURRENCY, click_example, expect_answer, frame_part, upload

pytestmark = pytest.mark.browser

EXAMPLES = demo_dir() / "examples"
# The brightest point of a map, as shares of its width and height.
_BRIGHTEST = """canvas => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let best = -1, at = 0;
  for (let i = 0; i < data.length; i += 4) {
    const light = data[i] + data[i + 1] + data[i + 2];
    if (light > best) [best, at] = [light, i / 4];
  }
  return [(at % width) / width, Math.floor(at / width) / height];
}"""
_HOTTEST = """details => {
  const levels = atob(JSON.parse(details.dataset.heat).levels).slice(0, 16);
  const at = [...levels].map(c => c.charCodeAt(0));
  return at.indexOf(Math.max(...at));
}"""


def box(locator: Locator) -> FloatRect:
    found = locator.bounding_box()
    assert found is not None
    return found


def expect_on(canvas: Locator, left: float, top: float, right: float, bottom: float) -> None:
    """The map covers this part of its picture, in shares of it."""
    within, map_ = box(canvas.locator("..")), box(canvas)
    edges = (
        (map_["x"] - within["x"]) / within["width"],
        (map_["y"] - within["y"]) / within["height"],
        (map_["x"] + map_["width"] - within["x"]) / within["width"],
        (map_["y"] + map_["height"] - within["y"]) / within["height"],
    )
    assert edges == pytest.approx((left, top, right, bottom), abs=0.01)


def test_a_card_and_a_word_are_picked(page: Page) -> None:
    click_example(page, "kenya.png")
    expect_answer(page, "Nairobi")
    card = page.locator(".kb-card").first
    card.locator(".kb-why summary").click()
    over = page.locator("#heat-area canvas")
    expect(over).to_be_visible()
    told = card.locator("figcaption")
    expect(told).to_contain_text("this passage was found")
    # On the picture itself, not on the room around it; its copy beside the words is the same.
    picture = box(page.locator("#picture img"))
    ratio = page.locator("#picture img").evaluate("i => i.naturalWidth / i.naturalHeight")
    area = box(page.locator("#heat-area"))
    assert area["width"] / area["height"] == pytest.approx(ratio, rel=0.02)
    assert area["x"] >= picture["x"] - 1 and area["width"] <= picture["width"] + 1
    for canvas in (over, card.locator("canvas")):
        expect_on(canvas, 0, 0, 1, 1)
        x, y = canvas.evaluate(_BRIGHTEST)
        assert int(y * 4) * 4 + int(x * 4) == card.locator(".kb-why").evaluate(_HOTTEST)

    word = card.locator(".kb-matches button").first
    word.click()
    expect(word).to_have_attribute("aria-pressed", "true")
    expect(told).to_contain_text(f"“{word.inner_text()}” was found")
    expect(card.locator("i[data-chosen]").first).to_be_visible()
    # In the text as in the list; again it is the whole passage.
    other = page.locator(".kb-card").nth(1).locator("h3 i, p i").first
    other.click()
    expect(page.locator(".kb-why[open]")).to_have_count(1)
    expect(page.locator(".kb-card").nth(1).locator("figcaption")).to_contain_text(
        f"“{other.inner_text()}” was found"
    )
    other.click()
    expect(page.locator(".kb-card").nth(1).locator("figcaption")).to_contain_text("this passage")
    page.keyboard.press("Escape")
    expect(over).to_have_count(0)


def test_the_keyboard_alone_shows_why(page: Page) -> None:
    click_example(page, "japan.png")
    expect_answer(page, "yen")
    summary = page.locator(".kb-why summary").first
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#heat-area canvas")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.locator(".kb-matches button").first).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator(".kb-matches button").first).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#heat-area")).to_have_count(0)
    expect(summary).to_be_focused()


def test_the_map_lies_on_the_part_that_was_looked_at(page: Page, tmp_path: Path) -> None:
    both = Image.new("RGB", (640, 200), "white")
    for name, left in (("kenya.png", 20), ("japan.png", 340)):
        both.paste(Image.open(EXAMPLES / name).convert("RGB").resize((270, 180)), (left, 10))
    both.save(tmp_path / "both.png")
    upload(page, tmp_path / "both.png")
    expect(page.locator("#picture img")).to_have_js_property("naturalWidth", 640)
    page.locator("#crop").click()
    frame_part(page, 640, (338, 6), (614, 194))
    page.locator("#question textarea").fill(CURRENCY)
    page.locator("#ask").click()
    expect_answer(page, "yen")
    looked = re.search(r"from (\d+),(\d+) to (\d+),(\d+)", page.locator("#answer").inner_text())
    assert looked is not None
    left, top, right, bottom = map(int, looked.groups())
    page.locator(".kb-why summary").first.click()
    for canvas in (page.locator("#heat-area canvas"), page.locator(".kb-map canvas")):
        expect_on(canvas, left / 640, top / 200, right / 640, bottom / 200)
    # Another question takes the map with it.
    click_example(page, "kenya.png")
    expect_answer(page, "Nairobi")
    expect(page.locator("#heat-area")).to_have_count(0)


def test_a_phone_shows_why_without_scrolling_sideways(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    click_example(page, "bhutan.png")
    expect_answer(page, "Thimphu")
    page.locator(".kb-scores summary").click()
    expect(page.locator(".kb-plot li")).to_have_count(5)
    page.locator(".kb-card h3 i").first.click()
    expect(page.locator(".kb-map-picture").first).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_citation_opens_what_the_reader_was_given(page: Page) -> None:
    click_example(page, "kenya.png")
    expect_answer(page, "Nairobi")
    chip = page.locator(".kb-chip").first
    given = page.locator(f"{chip.get_attribute('href')} .kb-given")
    expect(given.locator("blockquote")).to_be_hidden()
    chip.click()
    expect(given.locator("blockquote")).to_contain_text("Capital: ")
    expect(given.locator(".kb-cut")).to_contain_text("nothing was cut")
