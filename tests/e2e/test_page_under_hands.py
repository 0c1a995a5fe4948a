"""The page under hands: replaced pictures, double clicks, Stop, leaving, drops."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Response, expect

from corpus.demo.data import demo_dir
from tests.e2e.conftest import opened
from tests.integration.generator_server import Handler, Server

pytestmark = pytest.mark.browser

EXAMPLES = demo_dir() / "examples"
QUESTION = "What is the capital of this country?"


class Gate:
    """Answers of `model` that wait until they are let through."""

    def __init__(self, model: Server) -> None:
        self.model = model
        self.open = threading.Event()
        self.begun = threading.Semaphore(0)
        self.left = threading.Event()

    def __call__(self, handler: Handler) -> None:
        number = len(self.model.requests)
        handler.start_events()
        handler.send_piece("Well, ")
        self.begun.release()
        try:
            while not self.open.wait(0.05):
                handler.send_event(choices=[])  # fails once the client has gone
                if self.model.stopping.is_set():
                    return
        except OSError:
            self.left.set()
            raise
        handler.send_piece(f"answer {number}", "stop")
        handler.end_events()

    def asked(self) -> None:
        """Return once one more question has come to the generator."""
        assert self.begun.acquire(timeout=120)


@pytest.fixture
def gate(model: Server) -> Iterator[Gate]:
    gate = Gate(model)
    model.answer = gate
    yield gate
    gate.open.set()


def upload(page: Page, name: str) -> None:
    """Return once the page has the picture: until then Gradio holds every click back, the second
    of a double click too, and asks for each.
    """
    page.locator("#picture input[type=file]").set_input_files(EXAMPLES / name)
    page.locator(f"#picture img[src$='{name}']").wait_for()


def ask(page: Page, question: str = QUESTION) -> None:
    page.locator("#question textarea").fill(question)
    page.locator("#ask").click()


def question_of(request: dict) -> str:
    content = request["messages"][-1]["content"]
    return str(next(part["text"] for part in content if part["type"] == "text"))


@pytest.mark.parametrize("removed", [False, True])
def test_a_picture_that_is_replaced_takes_its_answer_with_it(
    slow_page: Page, gate: Gate, removed: bool
) -> None:
    upload(slow_page, "kenya.png")
    ask(slow_page)
    gate.asked()
    expect(slow_page.locator(".kb-text")).to_have_text("Well,")
    if removed:
        slow_page.get_by_label("Remove Image").click()
        assert gate.left.wait(60), "the work on a picture that is gone goes on"
    upload(slow_page, "japan.png")
    assert gate.left.wait(60), "the work on the old picture goes on"
    expect(slow_page.locator(".kb-start-title")).to_be_visible()
    gate.open.set()
    expect(slow_page.locator("#stop")).to_be_disabled()
    expect(slow_page.locator(".kb-start-title")).to_be_visible()
    expect(slow_page.locator(".kb-card")).to_have_count(0)
    ask(slow_page)
    expect(slow_page.locator(".kb-text")).to_contain_text("answer 2")
    assert "Japan" in slow_page.locator(".kb-card h3").all_inner_texts()


def test_a_double_click_asks_once(slow_page: Page, gate: Gate) -> None:
    upload(slow_page, "kenya.png")
    slow_page.locator("#question textarea").fill(QUESTION)
    reached: list[Response] = []

    def reach(response: Response) -> None:
        if QUESTION in (response.request.post_data or ""):
            reached.append(response)

    slow_page.on("response", reach)
    # The server has each click before the next, and all before the answer ends.
    for clicks, again in enumerate(
        (
            lambda: slow_page.locator("#ask").dblclick(),
            lambda: slow_page.locator("#ask").click(),
            lambda: slow_page.locator("#question textarea").press("Enter"),
        ),
        2,
    ):
        again()
        for _ in range(200):
            if len(reached) >= clicks:
                break
            slow_page.wait_for_timeout(100)
        assert len(reached) == clicks
    gate.asked()
    gate.open.set()
    expect(slow_page.locator(".kb-text")).to_contain_text("answer 1")
    expect(slow_page.locator("#stop")).to_be_disabled()
    assert len(gate.model.requests) == 1
    # Asked again when it is answered, it is asked again.
    slow_page.locator("#ask").click()
    expect(slow_page.locator(".kb-text")).to_contain_text("answer 2")
    assert len(gate.model.requests) == 2


def test_what_is_open_stays_open_when_the_answer_ends(slow_page: Page, gate: Gate) -> None:
    upload(slow_page, "kenya.png")
    ask(slow_page)
    gate.asked()
    card = slow_page.locator(".kb-card").first
    card.locator(".kb-why summary").click()
    word = card.locator(".kb-matches button").first
    word.click()
    before = word.bounding_box()
    gate.open.set()
    expect(slow_page.locator(".kb-figures")).to_be_visible()
    expect(slow_page.locator(".kb-why[open]")).to_have_count(1)
    expect(word).to_have_attribute("aria-pressed", "true")
    expect(slow_page.locator("#heat-area canvas")).to_be_visible()
    after = word.bounding_box()
    assert before is not None and after is not None
    assert after["y"] == pytest.approx(before["y"], abs=3), "what is read moves away"


def test_another_question_waits_for_the_end_of_the_first(slow_page: Page, gate: Gate) -> None:
    upload(slow_page, "kenya.png")
    ask(slow_page)
    gate.asked()
    for other in ("Which language is spoken there?", "Which money is used there?"):
        # Until the server has it: else the first may have ended before.
        with slow_page.expect_response(lambda r: other in (r.request.post_data or "")):  # noqa: B023
            ask(slow_page, other)
    gate.open.set()
    expect(slow_page.locator(".kb-text")).to_contain_text("answer 2")
    asked = [question_of(request) for request in gate.model.requests]
    assert len(asked) == 2
    assert QUESTION in asked[0] and "Which money" in asked[1]


def test_stop_drops_what_waits(slow_page: Page, gate: Gate) -> None:
    upload(slow_page, "kenya.png")
    ask(slow_page)
    gate.asked()
    ask(slow_page, "Which money is used there?")
    slow_page.locator("#stop").click()
    assert gate.left.wait(60)
    expect(slow_page.locator("#answer .kb-hint")).to_have_text("Stopped.")
    expect(slow_page.locator("#stop")).to_be_disabled()
    gate.open.set()
    # What waited would come before this one.
    ask(slow_page, "Which language is spoken there?")
    expect(slow_page.locator(".kb-text")).to_contain_text("answer 2")
    assert "Which language" in question_of(gate.model.requests[1])
    assert len(gate.model.requests) == 2


def test_who_waits_in_line_is_told_in_the_pages_own_words(
    browser: Browser, slow_server: str, gate: Gate
) -> None:
    with (
        opened(browser, slow_server) as first,
        opened(browser, slow_server) as second,
        opened(browser, slow_server) as third,
    ):
        for page in (first, second):
            upload(page, "kenya.png")
            ask(page)
            gate.asked()
        upload(third, "kenya.png")
        ask(third)
        said = third.locator("#answer")
        expect(said).to_contain_text("2 others are asking just now")
        assert "queue" not in said.inner_text() and "/" not in said.inner_text()
        gate.open.set()
        expect(third.locator(".kb-text")).to_contain_text("answer")
        for page in (first, second):
            expect(page.locator("#stop")).to_be_disabled()


def test_an_example_replaces_what_is_under_way(slow_page: Page, gate: Gate) -> None:
    upload(slow_page, "kenya.png")
    ask(slow_page)
    gate.asked()
    example = slow_page.locator("button.example").nth(2)
    example.click()
    assert gate.left.wait(60)
    gate.open.set()
    expect(slow_page.locator(".kb-text")).to_contain_text("answer 2")
    assert example.inner_text().strip() in question_of(gate.model.requests[1])
    assert len(gate.model.requests) == 2


def test_who_leaves_the_page_ends_the_work(
    browser: Browser, slow_server: str, model: Server, gate: Gate
) -> None:
    model.requests.clear()
    with opened(browser, slow_server) as page:
        upload(page, "kenya.png")
        ask(page)
        gate.asked()
    assert gate.left.wait(120), "the server still works for a page that is closed"


def test_a_picture_that_the_server_has_lost_is_asked_for_again(
    browser: Browser, server: str, uploads: Path
) -> None:
    page = browser.new_page()
    page.goto(server)
    upload(page, "kenya.png")
    expect(page.locator("#picture img")).to_be_visible()
    kept = list(uploads.rglob("kenya.png"))
    assert kept
    for lost in kept:
        lost.unlink()  # as a restart does, or a day
    ask(page)
    expect(page.locator(".kb-problem")).to_contain_text(
        "The picture is no longer on the server; add it again."
    )
    page.get_by_label("Remove Image").click()
    upload(page, "kenya.png")
    ask(page)
    expect(page.locator(".kb-text")).to_contain_text("Nairobi", timeout=120_000)
    assert list(uploads.rglob("kenya.png"))
    page.close()


# Drops

DROP = """([name, type, text]) => {
  const carried = new DataTransfer();
  if (name) carried.items.add(new File([text], name, {type}));
  else carried.setData("text/uri-list", text);
  const area = document.querySelector("#picture button, #picture [role=button]");
  area.dispatchEvent(new DragEvent("drop",
    {bubbles: true, cancelable: true, dataTransfer: carried}));
}"""


def test_a_picture_dropped_from_another_page_is_said_to_be_no_file(page: Page) -> None:
    page.evaluate(DROP, ["", "", "http://example.invalid/kenya.png"])
    expect(page.locator(".kb-problem")).to_contain_text("Only files are taken: save the picture")


@pytest.mark.parametrize(("name", "kind"), [("photo.heic", ""), ("letter.pdf", "application/pdf")])
def test_a_dropped_file_of_another_kind_gets_our_own_advice(page: Page, name, kind) -> None:
    page.evaluate(DROP, [name, kind, "\0\0\0\x18ftypheic\0\0\0\0mif1heic" + "\0" * 64])
    expect(page.locator(".kb-problem")).to_contain_text(
        f"{name} is HEIC, as iPhones take photographs: export it as JPEG"
    )


def test_a_chosen_file_of_another_kind_gets_our_own_advice(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "photo.heic"
    file.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    page.locator("#picture input[type=file]").set_input_files(file)
    expect(page.locator(".kb-problem")).to_contain_text("photo.heic is HEIC, as iPhones")


# Drags that begin on the picture


def stroke(page: Page, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw with the mouse from one share of the picture's element to another."""
    box = page.locator("#picture img").bounding_box()
    assert box is not None
    (x, y), (to_x, to_y) = [
        (box["x"] + share[0] * box["width"], box["y"] + share[1] * box["height"])
        for share in (begin, end)
    ]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(to_x, to_y, steps=8)
    page.mouse.up()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("framed", [False, True])
def test_a_drag_that_begins_on_the_picture_leaves_it_there(
    page: Page, width: int, framed: bool
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    upload(page, "kenya.png")
    expect(page.locator("#picture img")).to_be_visible()
    if framed:
        page.locator("#crop").click()
        expect(page.locator("#crop-frame")).to_be_visible()
    page.locator("#picture").scroll_into_view_if_needed()
    # On the picture, and in the band beside it, where no frame is over it.
    for begin, end in (((0.5, 0.5), (0.4, 0.6)), ((0.01, 0.3), (0.02, 0.7))):
        stroke(page, begin, end)
    page.wait_for_timeout(500)  # for what a drop would upload
    expect(page.locator("#picture img")).to_be_visible()
    expect(page.locator(".kb-problem")).to_have_count(0)


def test_a_page_that_is_loaded_again_begins_anew(
    browser: Browser, slow_server: str, model: Server, gate: Gate
) -> None:
    model.requests.clear()
    context = browser.new_context()  # Gradio logs the stream that it ends as an error
    page = context.new_page()
    page.goto(slow_server)
    upload(page, "kenya.png")
    ask(page)
    gate.asked()
    page.reload()
    assert gate.left.wait(120), "the work for a page that is gone goes on"
    expect(page.locator(".kb-start-title")).to_be_visible(timeout=60_000)
    gate.open.set()
    upload(page, "japan.png")
    ask(page)
    expect(page.locator(".kb-text")).to_contain_text("answer 2", timeout=60_000)
    context.close()


def test_two_users_at_once_get_each_the_answer_to_their_own_question(
    browser: Browser, slow_server: str, model: Server, gate: Gate
) -> None:
    model.requests.clear()
    questions = (QUESTION, "Which money is used there?")
    with opened(browser, slow_server) as first, opened(browser, slow_server) as second:
        pages = (first, second)
        for page, picture, question in zip(
            pages, ("kenya.png", "japan.png"), questions, strict=True
        ):
            upload(page, picture)
            ask(page, question)
            gate.asked()
        gate.open.set()
        for page in pages:
            expect(page.locator(".kb-text")).to_contain_text("answer")
            expect(page.locator("#stop")).to_be_disabled()
        shown = [page.locator(".kb-card h3").first.inner_text() for page in pages]
        assert shown == ["Kenya", "Japan"]
        first_asked, second_asked = (question_of(request) for request in model.requests)
        assert questions[0] in first_asked and questions[1] in second_asked


def test_a_photo_of_25_megabytes_is_answered(slow_page: Page, gate: Gate, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2950, 2950, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png", compress_level=0)
    assert (tmp_path / "large.png").stat().st_size > 25_000_000
    gate.open.set()
    slow_page.locator("#picture input[type=file]").set_input_files(tmp_path / "large.png")
    slow_page.locator("#picture img[src$='large.png']").wait_for()
    ask(slow_page)
    expect(slow_page.locator(".kb-text")).to_contain_text("answer 1", timeout=120_000)
