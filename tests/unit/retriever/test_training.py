import numpy as np
import pytest
import torch
from PIL import Image

from corpus.demo import demo_images, demo_passages_path, demo_questions
from corpus.lookalikes import lookalikes
from corpus.passages import read_passages
from retriever.scoring import maxsim
from retriever.training.augment import VIEW_SIZE, random_view
from retriever.training.cache import Views
from retriever.training.late_interaction import token_maxima
from retriever.training.sampling import BatchShape, Sampler
from retriever.training.templates import COUNTRY_TEMPLATES, THING_TEMPLATES


def random_inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    q_BQD = torch.randn(3, 4, 8, generator=generator)
    p_NPD = torch.randn(5, 6, 8, generator=generator)
    mask_NP = torch.arange(6) < torch.tensor([6, 1, 3, 5, 2])[:, None]
    return q_BQD, p_NPD, mask_NP


def test_token_maxima_sum_to_maxsim() -> None:
    q_BQD, p_NPD, mask_NP = random_inputs()
    maxima_BQN = token_maxima(q_BQD, p_NPD, mask_NP)
    torch.testing.assert_close(maxima_BQN.sum(1), maxsim(q_BQD, p_NPD, mask_NP))


def test_token_maxima_have_the_gradients_of_the_dense_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Tiles of one passage, so that the indices of later tiles are tested too.
    monkeypatch.setattr("retriever.training.late_interaction.TILE_ELEMENTS", 1)
    q_BQD, p_NPD, mask_NP = random_inputs()
    weight_BQN = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    dense = torch.einsum("bqd,npd->bqnp", q_BQD.requires_grad_(), p_NPD.requires_grad_())
    dense_maxima = dense.masked_fill(~mask_NP, -torch.inf).amax(-1)
    expected = torch.autograd.grad((dense_maxima * weight_BQN).sum(), (q_BQD, p_NPD))
    maxima_BQN = token_maxima(q_BQD, p_NPD, mask_NP)
    actual = torch.autograd.grad((maxima_BQN * weight_BQN).sum(), (q_BQD, p_NPD))
    torch.testing.assert_close(maxima_BQN, dense_maxima)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("kind", ["flag", "emoji"])
def test_views_are_functions_of_their_seed(kind: str) -> None:
    picture = Image.new("RGBA", (40, 30), (200, 30, 30, 255))
    views = [random_view(picture, kind, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert all(view.size == (VIEW_SIZE, VIEW_SIZE) and view.mode == "RGB" for view in views)
    assert np.array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    images = demo_images()
    shape = (2, len(images), 5)
    views = Views(
        np.zeros((2, len(images), 1, 1), np.float16),
        np.zeros(shape, np.int16),
        np.full(shape, 0.2, np.float32),
    )
    passages = list(read_passages(demo_passages_path()))
    return Sampler(passages, images, demo_questions(), views, BatchShape(), seed=0)


def test_a_batch_has_each_gold_passage_once(sampler: Sampler) -> None:
    queries, chosen = sampler.batch()
    assert len(chosen) == len(set(chosen))
    assert {query.gold for query in queries} <= set(chosen)
    assert all(sampler.entities[query.gold] == query.entity for query in queries)


def test_no_picture_of_the_validation_vendor_is_drawn(sampler: Sampler) -> None:
    images = demo_images()
    for _ in range(5):
        queries, _ = sampler.batch()
        queries += sampler.pictures_of_entities(64)
        assert {images[query.picture[1]].split for query in queries} == {"train"}


def test_a_pictured_query_shows_its_entity_and_a_named_one_does_not_need_to(
    sampler: Sampler,
) -> None:
    images = demo_images()
    queries, _ = sampler.batch()
    for query in queries:
        if not query.is_named:
            assert images[query.picture[1]].entity == query.entity
        else:
            title = sampler.titles[query.gold]
            assert title in query.text


def test_lookalikes_are_related_but_not_own(sampler: Sampler) -> None:
    queries = [q for q in sampler.pictures_of_entities(400) if q.entity == "flag:RO"]
    if not queries:
        pytest.fail("400 of some 550 entities did not include Romania; choose another seed")
    chosen = sampler.one_passage_each()
    own, similar = sampler.relations(queries[:1], chosen)
    assert [sampler.entities[p] for p, o in zip(chosen, own[0], strict=True) if o] == ["flag:RO"]
    assert [sampler.entities[p] for p, s in zip(chosen, similar[0], strict=True) if s] == [
        "flag:TD"
    ]
    assert lookalikes("flag:RO") == {"flag:RO", "flag:TD"}


def test_templates_are_for_fields_that_exist() -> None:
    fields = {question.field for question in demo_questions()}
    assert set(COUNTRY_TEMPLATES) | set(THING_TEMPLATES) <= fields
