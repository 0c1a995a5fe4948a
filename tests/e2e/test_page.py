"""The page as a person uses it: a picture, a question, an answer, the passages behind it."""

import re
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from corpus.demo.data import demo_dir, example_gallery
from corpus.types import Example
from tests.e2e.conftest import opened, serving
from tests.e2e.stripping_proxy import stripping

pytestmark = pytest.mark.browser

EXAMPLES = demo_dir() / "examples"
CURRENCY = "Which currency is used in this country?"  # the gallery's question about Japan
ANSWER_MS = 120_000


def upload(page: Page, path: Path) -> None:
    page.locator("#picture input[type=file]").set_input_files(path)


def frame_part(page: Page, width: int, corner: tuple[int, int], other: tuple[int, int]) -> None:
    """Draw a frame between two corners, in pixels of a picture of this width."""
    area = settled_area(page)
    scale = area["width"] / width
    page.mouse.move(area["x"] + corner[0] * scale, area["y"] + corner[1] * scale)
    page.mouse.down()
    page.mouse.move(area["x"] + other[0] * scale, area["y"] + other[1] * scale, steps=5)
    page.mouse.up()


def settled_area(page: Page) -> dict[str, float]:
    """Return where the picture lies, once the page around it has come to rest."""
    area = page.locator("#crop-area")
    area.scroll_into_view_if_needed()
    before = None
    for _ in range(100):
        now = area.bounding_box()
        if now is not None and now == before:
            return dict(now)
        before = now
        page.wait_for_timeout(200)
    raise AssertionError("the page does not come to rest")


def expect_answer(page: Page, words: str) -> None:
    """Wait for the complete answer, which has these words."""
    expect(page.locator(".kb-text")).to_contain_text(words, timeout=ANSWER_MS)
    expect(page.locator(".kb-figures")).to_be_visible(timeout=ANSWER_MS)


def click_example(page: Page, picture: str) -> Example:
    """Click the example with a picture, and return it."""
    [number] = [n for n, e in enumerate(example_gallery()) if e.image.endswith(picture)]
    page.locator("button.example").nth(number).click()
    return example_gallery()[number]


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
    page.locator("#question textarea").fill(CURRENCY)
    page.keyboard.press("Enter")

    expect_answer(page, "yen")
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
    example = click_example(page, "bhutan.png")
    expect_answer(page, "Thimphu")
    expect(page.locator("#question textarea")).to_have_value(example.question)
    expect(page.locator("#picture img")).to_be_visible()
    expect(page.locator("#answer")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_framed_part_of_a_picture_is_what_is_looked_at(page: Page, tmp_path: Path) -> None:
    both = Image.new("RGB", (640, 200), "white")
    for name, left in (("kenya.png", 20), ("japan.png", 340)):
        flag = Image.open(EXAMPLES / name).convert("RGB").resize((270, 180))
        both.paste(flag, (left, 10))
    both.save(tmp_path / "both.png")
    expect(page.locator("#crop")).to_be_hidden()
    upload(page, tmp_path / "both.png")
    expect(page.locator("#picture img")).to_have_js_property("naturalWidth", 640)
    page.locator("#crop").click()
    frame = page.locator("#crop-frame")
    expect(frame).to_be_focused()
    frame_part(page, 640, (338, 6), (614, 194))
    page.locator("#question textarea").fill(CURRENCY)
    page.locator("#ask").click()
    expect_answer(page, "yen")
    expect(page.locator("#answer .kb-seen").first).to_contain_text("Looked at")
    left = re.search(r"the part from (\d+),", page.locator("#answer").inner_text())
    assert left is not None and 330 <= int(left[1]) <= 346
    # The keyboard moves it, and another picture does without.
    frame.press("ArrowLeft")
    assert int(page.evaluate("window.kbvqaBox()").split(",")[0]) < int(left[1])
    click_example(page, "kenya.png")
    expect_answer(page, "Nairobi")
    expect(frame).to_have_count(0)
    assert "Looked at" not in page.locator("#answer").inner_text()
    # What is removed takes its answer with it.
    page.get_by_label("Remove Image").click()
    expect(page.locator(".kb-start-title")).to_be_visible()
    expect(page.locator(".kb-card")).to_have_count(0)


@pytest.mark.parametrize("words", ["thanks!", "", "why?", "x" * 501])
def test_what_is_no_question_leaves_the_answer(page: Page, words: str) -> None:
    page.locator(".example").first.click()
    expect(page.locator(".kb-how")).to_be_visible()
    asked = page.locator(".kb-asked").inner_text()
    page.locator("#question textarea").fill(words)
    page.locator("#ask").click()
    expect(page.locator("#hint")).to_contain_text(re.compile("Ask (a|something)"))
    expect(page.locator("#answer .kb-asked")).to_have_text(asked)
    expect(page.locator(".kb-problem")).to_have_count(0)
    assert page.locator(".kb-card").count() > 0
    # It goes with the next question.
    page.locator("#question textarea").fill("What is this?")
    page.locator("#ask").click()
    expect(page.locator("#answer .kb-asked")).to_contain_text("What is this?")
    expect(page.locator("#hint")).to_be_hidden()


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


def test_the_options_say_what_is_in_use(page: Page) -> None:
    page.locator("#options button").first.click()
    expect(page.locator(".kb-in-use")).to_contain_text("kbvqa-mini")
    expect(page.locator(".kb-in-use")).to_contain_text("passages (corpus: ")


def test_a_stopped_page_goes_on_answering(page: Page) -> None:
    click_example(page, "giant-panda.png")
    expect(page.locator("#stop")).to_be_enabled(timeout=ANSWER_MS)
    page.locator("#stop").click()
    expect(page.locator("#stop")).to_be_disabled(timeout=ANSWER_MS)
    # Clicked while another is being answered, the last example is the one that stays.
    click_example(page, "kenya.png")
    last = click_example(page, "south-africa.png")
    expect(page.locator("#question textarea")).to_have_value(last.question)
    expect_answer(page, ".za")


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    number = [example.image for example in example_gallery()].index("kenya.png")
    page.locator("button.example").nth(number).focus()
    page.keyboard.press("Enter")
    expect_answer(page, "Nairobi")


def test_a_program_gets_the_same_answer(server: str) -> None:
    client = Client(server, verbose=False)
    picture = handle_file(EXAMPLES / "japan.png")
    result = client.predict(picture, CURRENCY, 3, api_name="/ask")
    assert "yen" in result["answer"]
    assert len(result["hits"]) == 3
    assert result["checkpoint"].startswith("kbvqa-mini@")
    for wrong, said in (
        ({"strategy": "guess"}, "'guess' is no strategy; choose from extract"),
        ({"strategy": "ra-vqa"}, "no 'ra-vqa'. Leave it out, or send extract"),
        ({"top_k": 2.5}, "1 to 20 passages, not 2.5"),
        ({"top_k": "3"}, "1 to 20 passages, not '3'"),
        ({"question": 7}, "must be a text, not 7"),
    ):
        with pytest.raises(AppError, match=said):
            asked = {"picture": picture, "question": CURRENCY, "top_k": 3, **wrong}
            client.predict(**asked, api_name="/ask")
    part = client.predict(picture, CURRENCY, 3, box="0,0,200,100", why=True, api_name="/ask")
    assert "why" not in result and len(part["why"]["passages"]) == 3
    assert part["boxes"] == [[0, 0, 200, 100]]


def test_the_page_works_below_a_path_of_a_proxy(
    browser: Browser, home: Path, index: Path, tmp_path: Path
) -> None:
    with (
        serving(home, index, tmp_path / "log", KBVQA_ROOT_PATH="/tools/kbvqa") as web,
        stripping("/tools/kbvqa", web.url) as url,
        opened(browser, f"{url}/") as page,
    ):
        click_example(page, "kenya.png")
        expect_answer(page, "Nairobi")
        expect(page.locator("#picture img")).to_have_js_property("complete", True)
        assert page.locator("#picture img").evaluate("image => image.naturalWidth") > 0
