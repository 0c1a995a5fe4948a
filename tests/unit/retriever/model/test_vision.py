from importlib.resources import files

import pytest
import torch

from retriever.checkpoint.mini import IMAGE_PROCESSOR, base_weights
from retriever.inputs.text_vision import TextVision, imagenet_kinds, imagenet_names
from retriever.model.vision import EfficientNetVisionEncoder, VisionFeatures
from tests.golden_cases import golden_image, golden_json


@pytest.fixture(scope="module")
def encoder() -> EfficientNetVisionEncoder:
    prefix = "query_vision_encoder.vision_model."
    weights = {k.removeprefix(prefix): v for k, v in base_weights().items() if prefix in k}
    built = EfficientNetVisionEncoder()
    built.vision_model.load_state_dict(weights)
    return built.eval()


@pytest.mark.parametrize("name", ["img0", "img1"])
def test_efficientnet_computes_what_its_package_does(name: str, encoder) -> None:
    expected = golden_json("efficientnet_lite0.json")[name]
    with torch.inference_mode():
        maps = encoder.vision_model(IMAGE_PROCESSOR([golden_image(name)]))
        logits = encoder.vision_model.classify(maps[-1])[0]
    assert [tuple(m.shape[1:]) for m in maps] == [(40, 28, 28), (112, 14, 14), (1280, 7, 7)]
    close = {"atol": 1e-4, "rtol": 0}
    torch.testing.assert_close(logits[:20], torch.tensor(expected["logits"]), **close)
    torch.testing.assert_close(
        maps[-1][0, :10, 0, 6], torch.tensor(expected["head_corner"]), **close
    )
    torch.testing.assert_close(maps[-1].mean(), torch.tensor(expected["head_mean"]), **close)


def test_pooled_features_keep_the_layout(encoder) -> None:
    picture = IMAGE_PROCESSOR([golden_image("img0")])
    with torch.inference_mode():
        upright, mirrored = encoder(picture), encoder(picture.flip(3))
    assert upright.pooled_BV.shape == (1, encoder.pooled_size)
    assert upright.patches_BNW.shape == (1, 16, encoder.patch_size)
    layout = slice(encoder.patch_size, None)
    difference = (upright.pooled_BV - mirrored.pooled_BV)[:, layout].abs().max()
    assert difference > 0.1


def test_pictures_are_compared_by_many_numbers_and_by_where_colours_are(encoder) -> None:
    rng = torch.Generator().manual_seed(0)
    pooled_BV = torch.randn(1, encoder.pooled_size, generator=rng)
    patches_BNW = torch.randn(1, 16, encoder.patch_size, generator=rng)
    one = encoder.likeness(VisionFeatures(pooled_BV, patches_BNW))
    assert one.shape == (1, encoder.likeness_size)

    def cosine(pooled_BV: torch.Tensor, patches_BNW: torch.Tensor) -> float:
        return float((one * encoder.likeness(VisionFeatures(pooled_BV, patches_BNW))).sum())

    loud_BV = pooled_BV.clone()
    loud_BV[0, 7] = 100.0
    assert cosine(loud_BV, patches_BNW) > 0.95, "one number decides"
    assert 0.5 < cosine(pooled_BV, patches_BNW.flip(1)) < 0.75, "a third is of the patches"


def test_classes_are_named_only_with_confidence() -> None:
    settings = TextVision(gate=0.3, sure=0.6, max_names=2)
    lemon, orange = imagenet_names().index("lemon"), imagenet_names().index("orange")
    assert settings.describe([0.7, 0.2], [lemon, orange]) == " It shows lemon."
    assert settings.describe([0.4, 0.35], [lemon, orange]) == " It may show lemon, orange."
    assert settings.describe([0.29, 0.2], [lemon, orange]) == ""
    photographs = settings.of_photographs()
    assert photographs.describe([0.29, 0.14], [lemon, orange]) == " It may show lemon."
    assert photographs.describe([0.14, 0.1], [lemon, orange]) == ""
    assert TextVision(gate=0.1, sure=0.6).of_photographs() == TextVision(gate=0.1, sure=0.6)


def probabilities(**of_names: float) -> list[float]:
    """Return a thousand probabilities, of classes by their first names."""
    values = dict.fromkeys(range(1000), 0.0)
    for name, p in of_names.items():
        values[imagenet_names().index(name.replace("_", " "))] = p
    return list(values.values())


def test_what_most_of_the_likely_classes_are_is_named_too() -> None:
    settings = TextVision(gate=0.4, sure=0.6)
    unsure_of_breeds = probabilities(pug=0.3, boxer=0.2, Rottweiler=0.2, lemon=0.25)
    assert settings.sight(unsure_of_breeds).sentence() == " It shows dog."
    assert settings.sight(probabilities(pug=0.5)).sentence() == " It may show pug, dog."
    assert settings.sight(probabilities(lemon=0.5)).sentence() == " It may show lemon."
    assert settings.sight(probabilities(pug=0.3, lemon=0.3)).sentence() == ""
    # ImageNet has a class of that name: it is not said twice.
    assert settings.sight(probabilities(gibbon=0.7)).sentence() == " It shows gibbon."


def test_a_kind_stands_for_classes_that_no_passage_is_called_by() -> None:
    settings = TextVision(gate=0.15, sure=0.6)
    cat = settings.sight(probabilities(Egyptian_cat=0.5, tabby=0.3, lemon=0.2))
    assert cat.sentence() == " It shows Egyptian cat, tabby, lemon, cat."
    assert cat.sentence({"cat", "lemon"}.__contains__) == " It shows lemon, cat."
    assert cat.sentence({"cat", "tabby cat"}.__contains__) == " It shows tabby cat, lemon, cat."
    assert cat.sentence(set().__contains__) == cat.sentence(), "no passages about any"


def test_of_the_names_of_a_class_the_one_is_written_that_a_passage_has() -> None:
    bear = TextVision(gate=0.15, sure=0.6).sight(probabilities(ice_bear=0.9))
    assert bear.sentence() == " It shows ice bear, bear."
    assert bear.sentence({"polar bear", "bear"}.__contains__) == " It shows polar bear, bear."


def test_titles_are_of_unlikely_classes_too_and_of_kinds() -> None:
    unsure = probabilities(Egyptian_cat=0.125, tabby=0.25, lemon=0.0625, orange=0.001)
    sight = TextVision(gate=0.4, sure=0.6).sight(unsure)
    titles = sight.titles({"tabby cat", "cat", "lemon", "orange"}.__contains__)
    assert titles == {"tabby cat": 0.25, "lemon": 0.0625, "cat": 0.375}
    assert sight.titles({"dog"}.__contains__) == sight.titles() == {}


def test_kinds_are_of_classes_that_there_are() -> None:
    kinds = imagenet_kinds()
    assert set(kinds) <= set(range(1000))
    lines = files("retriever.inputs").joinpath("imagenet_kinds.txt").read_text().splitlines()
    ranges = [r.partition("-") for line in lines for r in line.split()[1:]]
    named = sum(int(last or first) - int(first) + 1 for first, _, last in ranges)
    assert named == len(kinds), "a class of two kinds"
    said = {name: kinds.get(c) for c, name in enumerate(imagenet_names())}
    assert said["Chihuahua"] == said["Mexican hairless"] == "dog"
    assert (said["timber wolf"], said["Egyptian cat"], said["lion"]) == ("wolf", "cat", None)
    assert (said["daisy"], said["alp"], said["bolete"]) == ("flower", "mountain", "mushroom")
    assert (said["garter snake"], said["barn spider"]) == ("snake", "spider")
    assert said["plane"] is None, "a carpenter's"


def test_there_are_a_thousand_class_names() -> None:
    assert len(imagenet_names()) == 1000
    assert all(imagenet_names())
