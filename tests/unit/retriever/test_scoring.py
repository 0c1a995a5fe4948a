"""MaxSim: cases worked by hand, and the scores of the reference."""

import doctest
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from retriever import scoring
from retriever.scoring import MASKED, maxsim, maxsim_ragged, token_maxima
from tests.rounding import rounding

GOLDEN = Path(__file__).parents[2] / "golden" / "maxsim.safetensors"


def random_case(
    seed: int = 0, B: int = 3, N: int = 7, Q: int = 5, P: int = 6
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return queries, padded passages and a mask with at least one real token a passage."""
    generator = torch.Generator().manual_seed(seed)
    q_BQD = normalize(torch.randn(B, Q, 16, generator=generator), dim=-1)
    p_NPD = normalize(torch.randn(N, P, 16, generator=generator), dim=-1)
    lengths = torch.randint(1, P + 1, (N,), generator=generator)
    return q_BQD, p_NPD, torch.arange(P) < lengths[:, None]


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(scoring) == (0, 12)


def test_reference_scores() -> None:
    golden = load_file(GOLDEN)
    q_BQD, p_NPD, mask_NP = golden["Q"], golden["D"], golden["D_mask"].squeeze(-1)

    scores = maxsim(q_BQD, p_NPD, mask_NP)

    torch.testing.assert_close(scores, golden["all"], atol=2e-5, rtol=0)
    aligned = scores[torch.arange(6) // 2, torch.arange(6)]
    torch.testing.assert_close(aligned, golden["aligned"], atol=2e-5, rtol=0)
    assert scores[:, 4].tolist() == [5 * MASKED] * 3


def test_a_masked_token_does_not_beat_negative_ones() -> None:
    query = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    passage = torch.tensor([[[-0.6, -0.8], [-0.8, -0.6], [0.0, 0.0], [1.0, 0.0]]])
    mask = torch.tensor([[True, True, False, False]])

    # Per query token: max(-0.6, -0.8) = -0.6 and max(-0.8, -0.6) = -0.6.
    assert maxsim(query, passage, mask).item() == pytest.approx(-1.2)
    assert maxsim_ragged(query, passage[0, :2], torch.tensor([2])).item() == pytest.approx(-1.2)


def test_zero_query_rows_add_nothing() -> None:
    q_BQD, p_NPD, mask_NP = random_case()
    longer = torch.cat([q_BQD, torch.zeros(3, 4, 16)], dim=1)

    torch.testing.assert_close(maxsim(longer, p_NPD, mask_NP), maxsim(q_BQD, p_NPD, mask_NP))


def test_padding_changes_nothing() -> None:
    q_BQD, p_NPD, mask_NP = random_case()
    padding = normalize(torch.ones(7, 9, 16), dim=-1)
    mask = torch.cat([mask_NP, torch.zeros(7, 9, dtype=torch.bool)], dim=1)

    padded = maxsim(q_BQD, torch.cat([p_NPD, padding], dim=1), mask)

    torch.testing.assert_close(padded, maxsim(q_BQD, p_NPD, mask_NP))


def test_each_pair_scores_as_it_does_alone() -> None:
    q_BQD, p_NPD, mask_NP = random_case()
    scores = maxsim(q_BQD, p_NPD, mask_NP)

    for b in range(3):
        for n in range(7):
            alone = maxsim(q_BQD[b : b + 1], p_NPD[n : n + 1], mask_NP[n : n + 1])
            assert abs(alone - scores[b, n]) <= rounding(16, rows=5)


@pytest.mark.parametrize("tile", [1, 31, 60, 100])
def test_tiles_change_nothing(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    q_BQD, p_NPD, mask_NP = random_case()
    rows_TD, lengths_N = p_NPD[mask_NP], mask_NP.sum(1)
    whole, ragged = maxsim(q_BQD, p_NPD, mask_NP), maxsim_ragged(q_BQD, rows_TD, lengths_N)

    monkeypatch.setattr(scoring, "_TILE", tile)

    torch.testing.assert_close(maxsim(q_BQD, p_NPD, mask_NP), whole)
    torch.testing.assert_close(maxsim_ragged(q_BQD, rows_TD, lengths_N), ragged)


def test_ragged_equals_padded() -> None:
    q_BQD, p_NPD, mask_NP = random_case(seed=1, N=40, P=12)

    ragged = maxsim_ragged(q_BQD, p_NPD[mask_NP], mask_NP.sum(1))

    torch.testing.assert_close(ragged, maxsim(q_BQD, p_NPD, mask_NP))


def test_ragged_scores_float16_rows_in_the_dtype_of_the_query() -> None:
    q_BQD, p_NPD, mask_NP = random_case()

    ragged = maxsim_ragged(q_BQD, p_NPD[mask_NP].half(), mask_NP.sum(1))

    assert ragged.dtype == torch.float32
    torch.testing.assert_close(ragged, maxsim(q_BQD, p_NPD, mask_NP), atol=5e-3, rtol=0)


def test_gradient_goes_to_the_best_token_alone() -> None:
    query = torch.tensor([[[1.0, 0.0]]])
    passages = torch.tensor([[[0.6, 0.8], [0.8, 0.6], [1.0, 0.0]]], requires_grad=True)

    score = maxsim(query, passages, torch.tensor([[True, True, False]]))
    (gradient,) = torch.autograd.grad(score.sum(), passages)

    assert gradient.tolist() == [[[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]]


@pytest.mark.parametrize("tile", [1, 2**24])
def test_gradients_are_those_of_the_dense_product(
    tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tiles of one passage, so that the indices of later tiles are tested too.
    monkeypatch.setattr(scoring, "_TILE", tile)
    q_BQD, p_NPD, mask_NP = random_case()
    mask_NP[2] = False  # a passage without any token left
    weight_BQN = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1))
    dense = torch.einsum("bqd,npd->bqnp", q_BQD.requires_grad_(), p_NPD.requires_grad_())
    dense_maxima = dense.masked_fill(~mask_NP, MASKED).amax(-1)
    expected = torch.autograd.grad((dense_maxima * weight_BQN).sum(), (q_BQD, p_NPD))
    maxima_BQN = token_maxima(q_BQD, p_NPD, mask_NP)
    actual = torch.autograd.grad((maxima_BQN * weight_BQN).sum(), (q_BQD, p_NPD))
    torch.testing.assert_close(maxima_BQN, dense_maxima)
    torch.testing.assert_close(actual, expected)
    assert not actual[1][2].any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_in_half_precision(dtype: torch.dtype) -> None:
    q_BQD, p_NPD, mask_NP = random_case()
    query, passages = (x.to(dtype).requires_grad_() for x in (q_BQD, p_NPD))
    actual = torch.autograd.grad(maxsim(query, passages, mask_NP).sum(), (query, passages))
    for gradient, of in zip(actual, (query, passages), strict=True):
        assert gradient.dtype == dtype and gradient.isfinite().all() and gradient.shape == of.shape


def test_half_precision_sums_in_float32() -> None:
    # 300 tokens at 0.9995 add up to 299.85; summed in half they would give a multiple of 0.25.
    q_BQD = torch.ones(1, 300, 1, dtype=torch.float16)
    p_NPD = torch.full((1, 1, 1), 0.9995, dtype=torch.float16)

    scores = maxsim(q_BQD, p_NPD, torch.ones(1, 1, dtype=torch.bool))

    assert scores.dtype == torch.float32
    assert scores.item() == pytest.approx(300 * float(torch.tensor(0.9995).half()), abs=1e-3)


def test_wrong_shapes_are_refused() -> None:
    q_BQD, p_NPD, mask_NP = random_case()
    with pytest.raises(ValueError, match="do not agree"):
        maxsim(q_BQD, p_NPD[..., :8], mask_NP)
    with pytest.raises(ValueError, match="do not agree"):
        maxsim(q_BQD, p_NPD, mask_NP.unsqueeze(-1))
    with pytest.raises(ValueError, match="add up to the 3 rows"):
        maxsim_ragged(q_BQD, p_NPD[0, :3], torch.tensor([3, 0]))
    with pytest.raises(ValueError, match="add up to the 3 rows"):
        maxsim_ragged(q_BQD, p_NPD[0, :3], torch.tensor([1, 1]))
