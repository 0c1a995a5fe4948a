"""The page under hands: replaced pictures, double clicks, Stop, leaving, drops."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from corpus.demo import demo_dir
from tests.e2e.conftest import opened, serving
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
    page.locator("#picture input[type=file]").set_input_files(EXAMPLES / name)


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
    slow_page.locator("#ask").dblclick()
    gate.asked()
    for again in (
        lambda: slow_page.locator("#ask").click(),
        lambda: slow_page.locator("#question textarea").press("Enter"),
    ):
        # Until the server has it: else the answer may have ended before.
        with slow_page.expect_response(lambda r: QUESTION in (r.request.post_data or "")):
            again()
    gate.open.set()
    expect(slow_page.locator(".kb-text")).to_contain_text("answer 1")
    expect(slow_page.locator("#stop")).to_be_disabled()
    assert len(gate.model.requests) == 1
    # Asked again when it is answered, it is asked again.
    slow_page.locator("#ask").click()
    expect(slow_page.locator(".kb-text")).to_contain_text("answer 2")
    assert len(gate.model.requests) == 2


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
    expect(slow_page.locator("#answer")).to_have_text("Stopped.")
    expect(slow_page.locator("#stop")).to_be_disabled()
    gate.open.set()
    # What waited would come before this one.
    ask(slow_page, "Which language is spoken there?")
    expect(slow_page.locator(".kb-text")).to_contain_text("answer 2")
    assert "Which language" in question_of(gate.model.requests[1])
    assert len(gate.model.requests) == 2


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
    browser: Browser, home: Path, index: Path, tmp_path: Path
) -> None:
    uploads = tmp_path / "uploads"
    with serving(home, index, tmp_path / "log", GRADIO_TEMP_DIR=str(uploads)) as web:
        context = browser.new_context()
        page = context.new_page()
        page.goto(web.url)
        upload(page, "kenya.png")
        expect(page.locator("#picture img")).to_be_visible()
        [lost] = uploads.rglob("kenya.png")
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
        context.close()
    assert not list(uploads.rglob("kenya.png")), "uploads go when the page stops"


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
        f"{name} is not a picture in a known format; use JPEG"
    )


def test_a_chosen_file_of_another_kind_gets_our_own_advice(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "photo.heic"
    file.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    page.locator("#picture input[type=file]").set_input_files(file)
    expect(page.locator(".kb-problem")).to_contain_text("photo.heic is not a picture in a known")
