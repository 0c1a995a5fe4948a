"""Questions and their pictures to rows."""

import io
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from corpus.pictures.images import load_image
from corpus.types import Query
from retriever.checkpoint.loading import load_checkpoint
from retriever.encoding.encoder import Encoder
from retriever.errors import InvalidQuery
from retriever.inputs.images import crop_regions
from tests.golden_cases import GOLDEN, golden_image


def test_instruction_rows_of_a_query_are_dropped(encoder: Encoder) -> None:
    image = golden_image("img0").convert("RGB")
    with_picture, without = encoder.encode_queries(
        [Query("what is this bird", image), Query("what is this bird")]
    )
    np.testing.assert_allclose(np.linalg.norm(with_picture.rows_QD, axis=1), 1, atol=1e-5)
    visual_rows = 4 + 16  # prefix and patches of the tiny model
    assert len(with_picture.rows_QD) == len(without.rows_QD) + visual_rows
    assert len(without.rows_QD) < encoder.checkpoint.query_tokenizer.max_length


def test_mixed_queries_keep_their_order(encoder: Encoder) -> None:
    image = golden_image("img1").convert("RGB")
    queries = [Query("a bird"), Query("a bird", image), Query("the tower"), Query("what", image)]
    together = encoder.encode_queries(queries)
    for query, result in zip(queries, together, strict=True):
        alone = encoder.encode_queries([query])[0]
        np.testing.assert_allclose(result.rows_QD, alone.rows_QD, atol=1e-5)


def test_a_question_cut_by_its_instruction_is_reported(encoder: Encoder, caplog) -> None:
    short = Query("what is this bird", None, "Describe")
    assert encoder.encode_queries([short])[0].cut == 0
    assert not caplog.text
    limit = encoder.checkpoint.query_tokenizer.max_length
    long = Query("bird " * limit, None, "Describe")
    with caplog.at_level(logging.WARNING):
        cut = encoder.encode_queries([long])[0].cut
    tokens = encoder.checkpoint.query_tokenizer.tokenize(["Describe: " + long.question])[0]
    assert cut == len(tokens) - limit > 0
    assert f"{cut} tokens at the end of a question" in caplog.text
    assert "bird" not in caplog.text, "what people ask is no line of a log"


def test_an_instruction_that_leaves_no_room_is_refused(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="give a shorter instruction"):
        encoder.encode_queries([Query("what", None, "the city " * 40)])


def test_a_checkpoint_that_masks_instructions_needs_one() -> None:
    with pytest.raises(ValueError, match="give an instruction"):
        Encoder(load_checkpoint(GOLDEN / "B_preflmr"), torch.device("cpu"), instruction=" ")


@pytest.fixture(scope="module")
def flmr() -> Encoder:
    return Encoder(load_checkpoint(GOLDEN / "A_flmr"), torch.device("cpu"), instruction="")


def test_regions_are_the_crops_beside_the_whole_picture(flmr: Encoder) -> None:
    picture = golden_image("img0").convert("RGB")
    boxes = ((0, 0, 8, 8), (2, 3, 12, 14))
    queries = [Query("a bird", picture, "", boxes), Query("a bird", picture), Query("a bird")]
    several, one, none = flmr.encode_queries(queries)
    assert [len(r.rows_QD) - len(none.rows_QD) for r in (several, one)] == [12, 4]
    crops = torch.stack([flmr.checkpoint.image_processor([picture, *map(picture.crop, boxes)])])
    rows = flmr.model.encode_query(
        **flmr.checkpoint.query_tokenizer(["a bird"]), pixel_values=crops
    )
    np.testing.assert_allclose(several.rows_QD, rows[0].detach().numpy(), atol=1e-5)


def test_a_number_of_regions_is_filled_or_cut(flmr: Encoder) -> None:
    fixed = Encoder(flmr.checkpoint, torch.device("cpu"), instruction="", regions=3)
    picture = golden_image("img0").convert("RGB")
    one_box, four_boxes = ((0, 0, 8, 8),), tuple((0, 0, 8 + i, 8) for i in range(4))
    filled, cut = fixed.encode_queries(
        [Query("a bird", picture, "", one_box), Query("a bird", picture, "", four_boxes)]
    )
    assert filled.rows_QD.shape == cut.rows_QD.shape
    # The same region twice in a batch: kernels may add up in another order.
    np.testing.assert_allclose(filled.rows_QD[-4:], filled.rows_QD[-8:-4], atol=1e-5)


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (-1, 0, 4, 4), (0, 0, 4, 10_000)])
def test_a_box_outside_the_picture_is_refused(flmr: Encoder, box: tuple) -> None:
    picture = golden_image("img0").convert("RGB")
    with pytest.raises(ValueError, match="empty or not inside"):
        flmr.encode_queries([Query("a bird", picture, "", (box,))])


def test_boxes_for_a_checkpoint_that_takes_one_picture(encoder: Encoder) -> None:
    picture = Image.new("RGB", (20, 20))
    assert not encoder.takes_regions
    with pytest.raises(ValueError, match="one picture a query"):
        encoder.encode_queries([Query("a bird", picture, "", ((0, 0, 8, 8),))])


def test_a_query_that_comes_out_as_no_number_is_refused(encoder: Encoder, monkeypatch) -> None:
    """Its rows do not vanish, which would leave another query."""
    embed = encoder.model.forward

    def broken(*arguments):
        rows_BQD = embed(*arguments)
        rows_BQD[0, 1] = float("nan")
        return rows_BQD

    monkeypatch.setattr(encoder.model, "forward", broken)
    with pytest.raises(InvalidQuery, match=r"the question 'Who built this.*is not finite"):
        encoder.encode_query(Query("Who built this?"))


def test_a_picture_that_several_queries_ask_about_is_looked_at_once(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = golden_image("img0"), golden_image("img1")
    queries = [Query("What is this?", one), Query("And that?", other), Query("Who made it?", one)]
    apart = [encoder.encode_query(query).rows_QD for query in queries]
    tower, looked = encoder.model.query_vision_encoder, []
    forward = tower.forward
    monkeypatch.setattr(
        tower, "forward", lambda pixels: looked.append(len(pixels)) or forward(pixels)
    )
    together = encoder.encode_queries(queries)
    assert looked == [2]
    for alone, encoded in zip(apart, together, strict=True):
        np.testing.assert_allclose(encoded.rows_QD, alone, atol=1e-5)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_a_picture_opened_with_pillow_is_seen_as_the_command_line_sees_it(
    encoder: Encoder, mode: str
) -> None:
    grey = Image.linear_gradient("L").resize((48, 32))
    clear = Image.new("L", grey.size, 0)
    clear.paste(255, (8, 8, 40, 24))
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    if mode == "P":
        grey.convert("P").save(file, "PNG", transparency=bytes(range(256)), exif=exif)
    else:
        picture = grey.convert("LA" if mode == "LA" else "RGBA")
        picture.putalpha(clear)
        if mode == "PA":
            picture = picture.quantize(16)
        picture.save(file, "PNG", exif=exif)
    opened, loaded = Image.open(file), load_image(file.getvalue())
    assert opened.size != loaded.size
    ours, theirs = encoder.encode_queries([Query("a bird", opened), Query("a bird", loaded)])
    np.testing.assert_allclose(ours.rows_QD, theirs.rows_QD, atol=1e-5)
    assert (
        crop_regions(opened, ((0, 0, 8, 40),))[0].tobytes() == loaded.crop((0, 0, 8, 40)).tobytes()
    )
