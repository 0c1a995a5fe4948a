import pytest

from retriever.checkpoint.loading import load_checkpoint
from retriever.training.contrastive.towers import freeze
from retriever.training.recipes import RECIPES, finetune, m2kr, mapping, override, own
from tests.golden_cases import GOLDEN


def test_what_is_published_is_what_recipes_have() -> None:
    released, stage_1 = finetune(), mapping()
    assert (released.learning_rate, released.negatives, released.warmup) == (5e-6, 4, 100)
    assert (released.batch, released.decay, released.steps) == (8, "linear", 12_000)
    assert released.batch * released.accumulate == 8 * 8 * 2
    assert (stage_1.mapping_learning_rate, stage_1.decay, stage_1.warmup) == (1e-4, "constant", 0)
    assert (stage_1.trains, stage_1.rows, stage_1.negatives) == (("mapping",), "visual", 1)
    assert m2kr().repeats["m2kr-okvqa"] == 10
    # The vision tower is frozen throughout.
    assert not any("vision" in recipe().trains for recipe in RECIPES.values())
    assert not {"learning_rate", "negatives", "warmup", "decay"} & set(released.ours)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_its_parts_and_nothing_else(name: str) -> None:
    model = load_checkpoint(GOLDEN / "B_preflmr").model
    recipe = RECIPES[name]()
    prefixes = {
        "questions": "query_text_encoder",
        "passages": "context_text_encoder",
        "mapping": ("query_vision_projection.", "transformer_mapping_"),
        "vision": "query_vision_encoder.",
    }
    trained = freeze(model, recipe)
    for parameter, value in model.named_parameters():
        part = next(p for p, prefix in prefixes.items() if parameter.startswith(prefix))
        wanted = part in recipe.trains and "pooler." not in parameter
        assert (parameter in trained) == value.requires_grad == wanted, parameter
    assert model.query_text_encoder.training == ("questions" in recipe.trains)
    assert not model.query_vision_encoder.training


def test_a_shared_tower_is_trained_where_one_side_is() -> None:
    model = load_checkpoint(GOLDEN / "A_flmr").model
    trained = freeze(model, override(own(), ["trains=passages"]))
    assert trained and all(name.startswith("query_text_encoder") for name in trained)


def test_settings_are_overridden_by_name_and_are_then_the_user_s() -> None:
    recipe = override(
        own(), ["steps=7", "learning_rate=1e-3", "trains=mapping", "repeats=a:2,b:0.5"]
    )
    assert (recipe.steps, recipe.learning_rate, recipe.trains) == (7, 1e-3, ("mapping",))
    assert dict(recipe.repeats) == {"a": 2.0, "b": 0.5}
    assert "steps" not in recipe.ours and "batch" in recipe.ours


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("step=1", "names are trains, rows, steps"),
        ("steps", "NAME=VALUE"),
        ("steps=0", "steps must be more than 0"),
        ("learning_rate=nan", "learning_rate must be at least 0"),
        ("trains=", "names no part"),
        ("trains=text", "questions, passages, mapping, vision, not 'text'"),
        ("rows=some", "all, text, visual"),
        ("repeats=a:0", "repeats must be more than 0"),
        ("repeats=a", "repeats=a"),
        ("recompute=yes", "true or false"),
        ("ours=steps", "names are"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(assignment: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        override(own(), [assignment])
