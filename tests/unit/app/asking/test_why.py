"""Why passages were found: shares, matched words, and a map that lies on the picture."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from app.asking.heat import RAMP, heat_picture, levels, with_scale
from app.asking.report import result_as_json
from app.asking.why import explain
from app.pipeline import Pipeline
from corpus.types import Query

QUESTION = "which tower in paris"


def noise(width: int, height: int) -> Image.Image:
    return Image.effect_noise((width, height), 80).convert("RGB")


def test_the_reasons_are_those_of_the_hits(pipeline: Pipeline) -> None:
    query = Query(QUESTION, noise(48, 32))
    result = pipeline.ask(query, 3)
    why = explain(pipeline, query, result.retrieval)
    assert why is not None
    for hit, passage in zip(result.retrieval.hits, why.passages, strict=True):
        assert passage.passage_id == hit.passage.id
        assert passage.score == pytest.approx(hit.score, abs=1e-3)
        assert sum(passage.parts.values()) == pytest.approx(passage.score, abs=1e-4)
        assert passage.by_itself is None  # of a checkpoint that does not ask it
        assert sum(word.share for word in passage.words) <= 1 + 1e-6
        assert [match.text for match in passage.matches] == QUESTION.split()
    # A third of the picture is cut off: half of that on each side.
    assert why.frame == pytest.approx((1 / 6, 0, 5 / 6, 1))
    assert why.grid == (4, 4) and not why.no_map


def test_the_part_that_was_looked_at_is_placed_on_the_whole_picture(pipeline: Pipeline) -> None:
    query = Query(QUESTION, noise(100, 50), boxes=((40, 10, 80, 50),))
    why = explain(pipeline, query, pipeline.retrieve(query, 2))
    assert why is not None and why.frame == pytest.approx((0.4, 0.2, 0.8, 1.0))


def test_without_a_picture_there_is_no_map_and_that_is_said(pipeline: Pipeline) -> None:
    query = Query(QUESTION)
    why = explain(pipeline, query, pipeline.retrieve(query, 2))
    assert why is not None and why.frame is None
    assert "no picture" in why.no_map
    assert why.as_json()["passages"][0]["heat"] == []
    unasked = replace(pipeline.retrieve(query, 2), asked=None)
    assert explain(pipeline, query, unasked) is None


def test_an_answer_carries_its_reasons_where_they_are_asked_for(pipeline: Pipeline) -> None:
    query = Query(QUESTION, noise(32, 32))
    result = pipeline.ask(query, 2)
    assert "why" not in result_as_json(result)
    told = result_as_json(result, explain(pipeline, query, result.retrieval))["why"]
    assert [w["passage_id"] for w in told["passages"]] == [
        hit.passage.id for hit in result.retrieval.hits
    ]
    text = result.retrieval.hits[0].passage.text
    for word in told["passages"][0]["words"]:
        assert text[word["start"] : word["end"]] == word["text"]
    assert np.shape(told["passages"][0]["heat"]) == (4, 4)


# The map


@pytest.mark.parametrize("size", [(200, 200), (400, 200), (200, 400)])
def test_the_hottest_place_is_the_brightest_of_the_picture(size: tuple[int, int]) -> None:
    width, height = size
    side = min(size)
    frame = (
        (width - side) / 2 / width,
        (height - side) / 2 / height,
        (width + side) / 2 / width,
        (height + side) / 2 / height,
    )
    heat = np.zeros(16, dtype=np.float32)
    heat[4 * 1 + 2] = 1.0  # second row, third column
    shown = np.asarray(
        heat_picture(Image.new("RGB", size, "grey"), heat, frame, (4, 4)).convert("L")
    )
    y, x = np.unravel_index(shown.argmax(), shown.shape)
    assert x == pytest.approx((width - side) / 2 + side * 2.5 / 4, abs=side / 16)
    assert y == pytest.approx((height - side) / 2 + side * 1.5 / 4, abs=side / 16)
    if width != height:  # what is cut off is darker than what is cold
        assert shown[0, 0] < 128 * 0.5


def test_what_is_red_in_the_picture_does_not_look_hot() -> None:
    heat = np.zeros(16, dtype=np.float32)
    heat[0] = 1.0
    shown = [
        heat_picture(Image.new("RGB", (40, 40), colour), heat, (0.0, 0.0, 1.0, 1.0), (4, 4))
        for colour in ("#d02020", "#{0:02x}{0:02x}{0:02x}".format(_luma(0xD0, 0x20, 0x20)))
    ]
    red, grey = (np.asarray(picture).astype(int) for picture in shown)
    assert np.abs(red - grey).max() <= 1


@pytest.mark.parametrize("width", [40, 400])
def test_the_scale_goes_from_the_first_colour_to_the_last(width: int) -> None:
    shown = Image.new("RGB", (width, 50), "grey")
    whole = with_scale(shown, 0.124, 0.876)
    assert whole.width >= width and whole.height > 50
    left = (whole.width - width) // 2
    assert whole.crop((left, 0, left + width, 50)).tobytes() == shown.tobytes()
    below = np.asarray(whole)[50:].astype(int)
    row = below[len(below) // 2]
    coloured = row[row.max(1) - row.min(1) > 20]  # the numbers beside it are black on white
    for at, colour in ((0, RAMP[0]), (-1, RAMP[-1])):
        assert np.abs(coloured[at] - (0.6 * np.array(colour) + 0.4 * 128)).max() <= 3


def _luma(red: int, green: int, blue: int) -> int:
    return round(0.299 * red + 0.587 * green + 0.114 * blue)


def test_heat_without_differences_has_no_hot_place() -> None:
    assert levels(np.full(4, 0.3, dtype=np.float32)).tolist() == [0, 0, 0, 0]
    assert levels(np.array([0.2, 0.4], dtype=np.float32)).tolist() == [0, 255]
