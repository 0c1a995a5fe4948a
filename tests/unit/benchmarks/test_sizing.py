"""The page on sizes says what the arithmetic comes to, from figures that were measured."""

import re

import pytest

from benchmarks import sizing
from retriever.building.sizing import plan_index
from tests.doc_blocks import ROOT

PAGE = (ROOT / "docs" / "guide" / "sizing.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["bytes_a_passage", "an_index", "questions"])
def test_the_page_has_the_tables_that_are_computed(name: str) -> None:
    _, _, after = PAGE.partition(f"<!-- table: {name} -->\n")
    assert after.split("\n\n")[0] == getattr(sizing, name)()


def test_what_was_measured_is_what_its_page_says() -> None:
    for what, (figure, page) in sizing.MEASURED.items():
        measured = (ROOT / "docs" / "measured" / page).read_text(encoding="utf-8")
        assert re.search(rf"(?<![\d.,]){figure}(?![\d.,])", measured), what
        assert re.search(rf"(?<![\d.,]){figure}\b", PAGE.replace(",", "")), what
        assert f"../measured/{page}" in PAGE


def test_bytes_by_hand() -> None:
    plan = plan_index(10**6, 100)
    assert plan.tokens == 10**6 * 100 * 128 * 2
    row = next(line for line in PAGE.splitlines() if line.startswith("| float16, the default"))
    cells = [int(cell.replace(",", "")) for cell in row.strip("| ").split(" | ")[1:]]
    assert cells[:6] == [25_600, 0, 128 * 4, round(512 * 0.56), 80, 700]
    assert cells[6] == sum(cells[1:5])
    assert cells[7] == pytest.approx(sum(cells[:6]) + 100 * 2**20 / 10**6, abs=1)


def test_questions_by_hand() -> None:
    assert [sizing.busy(rate, 3.21) for rate in sizing.RATES] == [1, 5, 446]
    assert sizing.busy(7, 10) == 1 and sizing.busy(8, 10) == 2
    # 4,000 passages by their digest, or 200 by a longer one.
    assert [sizing.bytes_read(plan()) for plan in (sizing._plain, sizing._with_copy)] == [
        4_000 * 25_600,
        200 * 25_600,
    ]
    by_a_generator = [sizing.busy(rate, 2 / 2.0) for rate in sizing.RATES]
    assert f"{by_a_generator[0]} processes for one question a second" in PAGE
    assert f"{by_a_generator[1]} for ten, {by_a_generator[2]:,} for a thousand" in PAGE
