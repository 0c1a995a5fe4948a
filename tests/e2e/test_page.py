"""The page as a person uses it: a picture, a question, an answer, the passages behind it."""

from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import Page, expect

from corpus.demo import demo_dir

pytestmark = pytest.mark.browser

EXAMPLES = demo_dir() / "examples"
CAPITAL = "What was the capital of the country with this flag called before?"
ANSWER_MS = 120_000


def upload(page: Page, path: Path) -> None:
    page.locator("#picture input[type=file]").set_input_files(path)


def wait_for_the_answer(page: Page) -> str:
    """Return the answer's text once it is complete."""
    expect(page.locator(".kb-figures")).to_be_visible(timeout=ANSWER_MS)
    return page.locator(".kb-text").inner_text()


def test_a_picture_and_a_question_become_an_answer_with_passages(
    page: Page, tmp_path: Path
) -> None:
    # What a phone writes: JPEG, and turned by its metadata.
    photo = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    flag = Image.open(EXAMPLES / "japan.png").convert("RGB")
    flag.transpose(Image.Transpose.ROTATE_90).save(photo, exif=exif)

    upload(page, photo)
    expect(page.locator("#picture img")).to_be_visible()
    page.locator("#question textarea").fill(CAPITAL)
    page.keyboard.press("Enter")

    answer = wait_for_the_answer(page)
    assert any(character.isalnum() for character in answer)
    cards = page.locator(".kb-card")
    expect(cards).to_have_count(5)
    assert "Japan" in page.locator(".kb-card h3").all_inner_texts()
    link = cards.filter(has_text="CIA World Factbook").first.locator("a.kb-link")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(link).to_have_attribute("target", "_blank")
    # A citation leads to its card.
    for chip in page.locator(".kb-chip").all():
        card = page.locator(chip.get_attribute("href") or "")
        expect(card).to_contain_class("kb-cited")
    expect(page.locator(".kb-footer")).to_contain_text("kbvqa-mini")


def test_an_example_asks_at_one_click_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    example = page.locator("button.example").first
    question = example.inner_text().strip()
    example.click()
    assert wait_for_the_answer(page)
    expect(page.locator("#question textarea")).to_have_value(question)
    expect(page.locator("#picture img")).to_be_visible()
    expect(page.locator("#answer")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_broken_picture_is_refused_in_plain_words(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "holiday.png"
    broken.write_bytes((EXAMPLES / "giant-panda.png").read_bytes()[:2000])
    upload(page, broken)
    problem = page.locator(".kb-problem")
    expect(problem).to_contain_text("holiday.png is a damaged or incomplete picture")
    # Asked all the same, it says so again.
    page.locator("#question textarea").fill("Which bird is this?")
    page.locator("#ask").click()
    expect(page.locator("#answer")).to_contain_text("That did not work")
    expect(problem).to_contain_text("holiday.png is a damaged or incomplete picture")


def test_a_file_that_is_no_picture_is_refused(page: Page, tmp_path: Path) -> None:
    renamed = tmp_path / "letter.png"
    renamed.write_text("Dear Sir or Madam")
    upload(page, renamed)
    expect(page.locator(".kb-problem")).to_contain_text("letter.png is not a picture")


def test_a_stopped_page_goes_on_answering(page: Page) -> None:
    page.locator("button.example").nth(1).click()
    expect(page.locator("#stop")).to_be_enabled(timeout=ANSWER_MS)
    page.locator("#stop").click()
    expect(page.locator("#stop")).to_be_disabled(timeout=ANSWER_MS)
    # Clicked while another is being answered, the last example is the one that stays.
    page.locator("button.example").nth(2).click()
    page.locator("button.example").nth(3).click()
    question = page.locator("button.example").nth(3).inner_text().strip()
    expect(page.locator("#question textarea")).to_have_value(question)
    assert wait_for_the_answer(page)


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    example = page.locator("button.example").first
    example.focus()
    page.keyboard.press("Enter")
    assert wait_for_the_answer(page)


def test_a_program_gets_the_same_answer(server: str) -> None:
    client = Client(server, verbose=False)
    result = client.predict(handle_file(EXAMPLES / "japan.png"), CAPITAL, 3, api_name="/ask")
    assert result["answer"]
    assert len(result["hits"]) == 3
    assert result["checkpoint"].startswith("kbvqa-mini@")
