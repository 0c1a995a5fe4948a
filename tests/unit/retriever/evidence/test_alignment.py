"""Why a passage was found: rows that match, in words of the passage and places in the picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from corpus.types import Passage, Query
from retriever.checkpoint.loading import load_checkpoint
from retriever.encoding.encoder import Encoder
from retriever.errors import IndexNotReady
from retriever.evidence.alignment import NO_WORD, Alignment, align
from retriever.evidence.query_rows import QueryRow
from retriever.scoring import maxsim
from tests.golden_cases import GOLDEN, golden_image

TOWER = Passage("t", "Tower", "The tower in Paris was designed by an architect.")


@pytest.fixture(scope="module", params=["A_flmr", "B_preflmr"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return Encoder(load_checkpoint(GOLDEN / request.param), torch.device("cpu"))


def aligned(encoder: Encoder, query: Query, passage: Passage = TOWER) -> Alignment:
    encoded = encoder.encode_query(query)
    [alignment] = align(encoder, query, encoded, [passage], encoder.encode_passages([passage]))
    return alignment


def by_hand() -> Alignment:
    # Two rows of one question word, a patch at each end, and [CLS]; the passage has two words, of
    # which the second is two tokens, and a marker in front.
    rows = (
        QueryRow("mark"),
        QueryRow("question", (0, 3), 7),
        QueryRow("question", (3, 5), 7),
        QueryRow("patch", area=(0.0, 0.0, 5.0, 10.0)),
        QueryRow("patch", area=(5.0, 0.0, 10.0, 10.0)),
    )
    similarity_QP = np.array(
        [
            [0.9, 0.1, 0.0, 0.2],
            [0.1, 0.5, 0.2, 0.3],
            [0.0, 0.1, 0.8, 0.7],
            [0.2, 0.6, 0.1, 0.4],
            [0.1, 0.0, 0.1, 0.3],
        ],
        dtype=np.float32,
    )
    nearest_Q = similarity_QP.argmax(1)
    word_P = np.array([NO_WORD, 0, 1, 1])
    return Alignment(rows, ((0, 4), (5, 9)), word_P, similarity_QP, nearest_Q, (1, 2))


def test_shares_matches_and_places_by_hand() -> None:
    found = by_hand()
    assert found.score == pytest.approx(0.9 + 0.5 + 0.8 + 0.6 + 0.3)
    np.testing.assert_allclose(found.gained_W, [0.5 + 0.6, 0.8 + 0.3], rtol=1e-6)
    assert found.by_kind() == pytest.approx({"mark": 0.9, "question": 1.3, "patch": 0.9})
    [match] = found.matches()
    assert (match.span, match.word) == ((0, 5), 1)
    assert match.similarity == pytest.approx(0.8)  # the higher of its two, not their mean
    np.testing.assert_allclose(found.heat_G(), [0.6, 0.3])
    np.testing.assert_allclose(found.heat_WG(), [[0.6, 0.0], [0.4, 0.3]])
    assert found.frame == (0.0, 0.0, 10.0, 10.0)


def test_the_parts_of_a_real_score_are_all_of_it(encoder: Encoder) -> None:
    query = Query("which tower is this", golden_image("img0").convert("RGB"))
    found = aligned(encoder, query)
    score = maxsim([encoder.encode_query(query)], encoder.encode_passages([TOWER])).item()
    assert found.score == pytest.approx(score, abs=1e-4)
    assert sum(found.by_kind().values()) == pytest.approx(score, abs=1e-4)
    at_markers = found.best_Q[found.word_P[found.nearest_Q] == NO_WORD].sum()
    assert found.gained_W.sum() + at_markers == pytest.approx(score, abs=1e-4)
    assert [TOWER.text[a:b] for a, b in found.words] == TOWER.text.rstrip(".").split()
    assert [query.question[slice(*m.span)] for m in found.matches()] == query.question.split()


def test_what_has_no_place_in_the_picture_has_no_patch(encoder: Encoder) -> None:
    picture = golden_image("img0").convert("RGB")
    found = aligned(encoder, Query("a tower", picture))
    kinds = [row.kind for row in found.rows]
    assert kinds.count("picture") == 4
    if encoder.takes_regions:  # FLMR
        assert found.frame is None and found.grid == (0, 0) and "patch" not in kinds
        parts = aligned(encoder, Query("a tower", picture, boxes=((2, 3, 9, 11),)))
        areas = [row.area for row in parts.rows if row.kind == "picture"]
        assert areas == [(0, 0, *picture.size)] * 4 + [(2, 3, 9, 11)] * 4
    else:
        assert kinds.count("patch") == 16 and found.grid == (4, 4)
    alone = aligned(encoder, Query("a tower"))
    assert {row.kind for row in alone.rows} <= {"question", "mark", "padding", "instruction"}
    assert alone.frame is None and alone.heat_G().size == 0


def test_rows_of_another_text_are_refused(encoder: Encoder) -> None:
    query = Query("a tower")
    other = encoder.encode_passages([Passage("t", "", "A bird.")])
    with pytest.raises(IndexNotReady, match="kbvqa index build --swap"):
        align(encoder, query, encoder.encode_query(query), [TOWER], other)


# Where a patch is. The tiny tower is shown 16 x 16 pixels in 4 x 4 patches.


@pytest.mark.parametrize("size", [(64, 64), (128, 64), (64, 128), (150, 64), (640, 427)])
@pytest.mark.parametrize("cell", [(0, 0), (1, 2), (2, 0), (3, 3)])
def test_what_is_planted_in_a_patch_changes_that_patch_most(
    size: tuple[int, int], cell: tuple[int, int]
) -> None:
    checkpoint = load_checkpoint(GOLDEN / "B_preflmr")
    encoder = Encoder(checkpoint, torch.device("cpu"))
    plain = Image.new("RGB", size, (90, 120, 150))
    found = aligned(encoder, Query("a tower", plain))
    number = cell[0] * 4 + cell[1]
    area = found.rows[found.patches[number]].area
    assert area is not None
    planted = plain.copy()
    planted.paste((250, 30, 10), tuple(round(edge) for edge in area))
    # The patches as the tower cuts them, in the order of its rows.
    pixels_23HW = checkpoint.image_processor([plain, planted])
    tower = checkpoint.model.query_vision_encoder.vision_model["vision_model"]
    cut_2WG = tower.embeddings.patch_embedding(pixels_23HW).flatten(2)
    change_G = (cut_2WG[1] - cut_2WG[0]).norm(dim=0)
    assert int(change_G.argmax()) == number
    assert change_G[number] > 2 * change_G.sort().values[-2]
    # And what is planted outside of all patches is not seen.
    left, upper, right, lower = found.frame or (0, 0, 0, 0)
    outside = Image.new("RGB", size, (250, 30, 10))
    margin = 2 * min(size) / 16  # bicubic pixels reach over an edge
    inside = tuple(
        round(e) for e in (left - margin, upper - margin, right + margin, lower + margin)
    )
    outside.paste((90, 120, 150), inside)
    seen_23HW = checkpoint.image_processor([plain, outside])
    torch.testing.assert_close(seen_23HW[0], seen_23HW[1], atol=1e-5, rtol=0)


def test_a_picture_on_its_side_is_measured_upright() -> None:
    encoder = Encoder(load_checkpoint(GOLDEN / "B_preflmr"), torch.device("cpu"))
    wide = Image.effect_noise((120, 60), 90).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = wide.transpose(Image.Transpose.ROTATE_90)
    turned.info["exif"] = exif.tobytes()
    turned._exif = None  # type: ignore[attr-defined]
    plain, upright = (aligned(encoder, Query("a tower", image)) for image in (wide, turned))
    assert plain.frame == upright.frame == (30, 0, 90, 60)
    np.testing.assert_allclose(plain.heat_G(), upright.heat_G(), atol=1e-5)
