"""The report: what stands in it, what cannot be put into it, and the sheet of examples."""

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from app.cli import app
from app.evaluation.reporting.charts import Range, Series, line_chart, range_chart
from app.evaluation.reporting.page import page
from app.evaluation.reporting.reliability import reliability
from app.evaluation.reporting.runs import open_run, open_runs
from app.evaluation.reporting.sheet import embedded, make_sheet, thumbnail
from corpus.pictures.store import ImageFolder
from corpus.types import Passage
from tests.evaluation_runs import HOSTILE, draw_pictures, examples, write_run


class Scripts(HTMLParser):
    """The tags of a page and the data in its scripts, as a browser would tell them apart."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, str] = {}
        self._in = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = (dict(attrs).get("id") or "code") if tag == "script" else ""

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in:
            self.data[self._in] = self.data.get(self._in, "") + data


def test_a_page_has_its_sections_and_asks_nothing_of_a_network(tmp_path: Path) -> None:
    rows = examples(12, pictures=3)
    folders = [
        write_run(tmp_path / "a", rows, [float(i % 2) for i in range(12)]),
        write_run(tmp_path / "b", rows, [float(i % 3 > 0) for i in range(12)]),
    ]
    runs = open_runs(folders)
    pictures = ImageFolder(draw_pictures(tmp_path / "pictures", 3))
    html = page(runs, make_sheet(runs, [pictures, pictures], None))
    sections = re.findall(r'<section id="(\w+)">', html)
    assert sections == [
        *("answers", "retrieval", "outcomes", "confidence", "cost", "comparison", "notes"),
        *("provenance", "examples"),
    ]
    read = Scripts(html)
    assert not [tag for tag, attrs in read.tags if "src" in attrs or tag in ("link", "iframe")]
    assert not re.findall(r"(?:href|url\()\s*=?\s*[\"']?(?!#|data:)[a-z]+:", html)
    policy = next(a["content"] for t, a in read.tags if t == "meta" and "http-equiv" in a)
    code = hashlib.sha256(read.data["code"].encode()).digest()
    assert f"script-src 'sha256-{base64.b64encode(code).decode()}'" in (policy or "")
    assert "default-src 'none'" in (policy or "")
    assert len(json.loads(read.data["pictures-0"])) == 3


def test_what_is_asked_or_said_is_never_markup(tmp_path: Path) -> None:
    rows = [
        replace(
            row, question=HOSTILE, answers=(HOSTILE,), id=f"{HOSTILE}{i}", groups={HOSTILE: HOSTILE}
        )
        for i, row in enumerate(examples(4))
    ]  # fmt: skip
    folder = write_run(
        tmp_path / HOSTILE.replace("/", "")[:40], rows, [1.0, 0.0, 1.0, 0.0],
        benchmark=HOSTILE, generator=HOSTILE,
    )  # fmt: skip
    run = open_run(folder, HOSTILE)
    run = replace(run, results=replace(run.results, notes=(HOSTILE,), summary={HOSTILE: HOSTILE}))
    passage = Passage("p0", HOSTILE, HOSTILE)
    html = page([run, run], make_sheet([run, run], [None, None], lambda ids: [passage]), [HOSTILE])
    read = Scripts(html)
    assert not [attrs for tag, attrs in read.tags if tag == "img" or "onerror" in attrs]
    assert HOSTILE not in html
    sheet = json.loads(read.data["sheet"])
    assert sheet["rows"][0][1] == HOSTILE
    assert ["p0", HOSTILE, HOSTILE] in json.loads(read.data["passages-0"])


def test_data_in_a_script_ends_no_script() -> None:
    text = embedded({"a": "</script><!-- \u2028 &amp; \ud800"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": "</script><!-- \u2028 &amp; \ufffd"}


def test_the_sheet_says_what_became_of_each(tmp_path: Path) -> None:
    rows = examples(4)
    run = open_run(write_run(tmp_path, rows, [1.0, 0.0, 0.0, 0.0]))
    sheet = make_sheet([run], [None], None)
    (column,) = sheet.data["columns"]
    assert [cell[0] for cell in column] == [
        *("right", "retrieved and not read", "read and scored wrong", "not retrieved"),
    ]
    gold, read, cited = 1, 2, 4
    ids = [row[0] for row in sheet.passages[0]]
    flags = [{ids[number]: flag for number, _, flag in cell[6]} for cell in column]
    assert flags[0] == {"other": 0, "p0": gold | read | cited, "third": 0}
    assert flags[1]["p1"] == gold
    assert flags[3] == {"other": 0, "third": 0}


def test_more_examples_than_are_shown_are_spread_evenly(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path, examples(100), [1.0] * 100))
    sheet = make_sheet([run], [None], None, limit=10)
    assert (sheet.shown, sheet.total) == (10, 100)
    assert [row[0] for row in sheet.data["rows"]] == [f"q{i}" for i in range(0, 100, 10)]
    assert "10 of 100 examples are shown, evenly spread" in page([run], sheet)


def test_the_same_id_with_another_question_is_another_row(tmp_path: Path) -> None:
    rows = examples(2)
    other = [replace(rows[0], question="Who?"), rows[1]]
    runs = open_runs(
        [write_run(tmp_path / "a", rows, [1.0] * 2), write_run(tmp_path / "b", other, [0.0] * 2)]
    )
    sheet = make_sheet(runs, [None, None], None)
    there = [[cell is not None for cell in column] for column in sheet.data["columns"]]
    shown = [row[1] for row in sheet.data["rows"]]
    assert shown == [rows[0].question, "Who?", rows[1].question]
    assert there == [[True, False, True], [False, True, True]]


def test_thumbnails_are_bounded_and_what_is_no_picture_is_counted(tmp_path: Path) -> None:
    noise = Image.effect_noise((900, 600), 90)
    data = thumbnail(noise, 160, 3_000)
    with Image.open(io.BytesIO(data)) as small:
        assert small.size == (160, 107)
    assert len(data) <= 3_000
    folder = draw_pictures(tmp_path / "pictures", 2)
    (folder / "1.png").write_bytes(b"no picture")
    run = open_run(write_run(tmp_path / "a", examples(6, pictures=3), [1.0] * 6))
    sheet = make_sheet([run], [ImageFolder(folder)], None)
    assert sheet.missing == 2  # one is damaged, one is not there
    assert [uri[:15] for uri in sheet.pictures[0]] == ["data:image/webp", "", ""]


def test_confidences_of_a_hand_made_case() -> None:
    found = reliability("r", "retrieved", [0.9, 0.8, 0.1], [True, True, False], 4)
    assert found.curve == ((1 / 3, 0.0), (2 / 3, 0.0), (1.0, 1 / 3))
    assert found.aurc == pytest.approx(1 / 9)
    assert found.ece == pytest.approx((0.1 + 0.2 + 0.1) / 3)
    assert (found.n, found.asked) == (3, 4)


def test_charts_place_what_they_show() -> None:
    ticks = [(0.0, "1"), (1.0, "5")]
    svg = line_chart("t", [Series("<a>", 0, [(0.0, 0.0), (1.0, 1.0)])], ticks, "K", "percent")
    assert 'points="46.0,230.0 406.0,12.0"' in svg
    assert "&lt;a&gt;: 100.0 at 5" in svg
    ranges = range_chart("t", [Range("a", 1, 10.0, 100.0, 1000.0)], "ms")
    places = [float(x) for x in re.findall(r'<circle[^>]*cx="([\d.]+)"', ranges)]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])
    assert "nan" not in range_chart("t", [Range("a", 0, 0.0, 0.0, 0.0)], "ms")


def test_the_command_writes_a_page_and_says_what_is_missing(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", examples(3, pictures=1), [1.0] * 3)
    done = CliRunner().invoke(app, ["evaluate", "report", str(folder)])
    assert done.exit_code == 0, done.output
    html = (folder / "report.html").read_text()
    assert "Pictures of a: not recorded is not here; give --images" in html
    where = [
        "--images",
        str(draw_pictures(tmp_path / "p", 1)),
        "--out",
        str(tmp_path / "new" / "r.html"),
    ]
    done = CliRunner().invoke(app, ["evaluate", "report", str(folder), *where])
    assert done.exit_code == 0, done.output
    assert "data:image/webp" in (tmp_path / "new" / "r.html").read_text()


@pytest.mark.parametrize("name", ["results.json", "table.md", "link"])
def test_a_page_never_replaces_what_the_run_has(tmp_path: Path, name: str) -> None:
    folder = write_run(tmp_path / "a", examples(3), [1.0] * 3)
    (folder / "table.md").write_text("a table")
    (tmp_path / "link").symlink_to(folder / "scores.jsonl")
    written = tmp_path / name if name == "link" else folder / name
    before = written.read_text()
    done = CliRunner().invoke(app, ["evaluate", "report", str(folder), "--out", str(written)])
    assert done.exit_code == 2 and "would be lost" in " ".join(done.output.split())
    assert written.read_text() == before


def test_a_card_counts_the_passages_that_were_searched_and_columns_say_what_they_hold(
    tmp_path: Path,
) -> None:
    run = open_run(write_run(tmp_path, examples(3), [1.0] * 3, passages=2))
    retrieval = {**run.results.provenance.retrieval, "passages": 7}  # five were added later
    provenance = replace(run.results.provenance, retrieval=retrieval)
    added = replace(run, results=replace(run.results, provenance=provenance))
    html = page([added], make_sheet([added], [None], None))
    assert "7 passages (passages)" in html
    assert "2 passages (passages)" in page([run], make_sheet([run], [None], None))
    assert "<th>condition</th>" in html and "<th>given</th>" not in html


def test_retrieval_alone_makes_a_page(tmp_path: Path) -> None:
    run = open_run(write_run(tmp_path, examples(3), [1.0] * 3, answers=False))
    html = page([run], make_sheet([run], [None], None))
    assert 'id="answers"' not in html and 'id="retrieval"' in html
