from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from corpus.types import Passage
from retriever.errors import InvalidTrainingData
from retriever.training.contrastive.draw import Draws, TrainingSet, competition
from retriever.training.examples import TrainingExample
from retriever.training.recipes import RetrieverRecipe

RECIPE = RetrieverRecipe("test", trains=("mapping",), batch=4, negatives=2)


def a_set(name: str, n: int = 6, negatives: tuple[str, ...] = ()) -> TrainingSet:
    passages = {f"p{i}": Passage(f"p{i}", "", f"{name} {i}") for i in range(n)}
    examples = [
        TrainingExample(f"{name}{i}", "?", "", Path("x.png"), (f"p{i}",), negatives)
        for i in range(n)
    ]
    return TrainingSet(name, examples, passages)


def test_a_batch_is_a_function_of_its_number() -> None:
    one, other = (Draws([a_set("a")], RECIPE) for _ in range(2))
    other.batch(5)
    assert one.batch(3) == other.batch(3)
    assert one.batch(3) != one.batch(4)
    assert one.batch(3) != Draws([a_set("a")], replace(RECIPE, seed=1)).batch(3)


def test_an_epoch_has_every_question_as_often_as_its_set_is_repeated() -> None:
    recipe = replace(RECIPE, repeats={"b": 3.0, "c": 0.5}, batch=2)
    draws = Draws([a_set("a"), a_set("b"), a_set("c")], recipe)
    assert draws.examples_an_epoch == 6 + 18 + 3
    # 54 questions: two epochs.
    seen = Counter(d.example.id for number in range(27) for d in draws.batch(number))
    assert all(seen[f"a{i}"] == 2 and seen[f"b{i}"] == 6 for i in range(6))
    assert sum(count for id_, count in seen.items() if id_.startswith("c")) == 6


def test_negatives_are_mined_ones_first_and_of_the_same_set() -> None:
    draws = Draws([a_set("a", negatives=("p5",)), a_set("b")], RECIPE)
    for number in range(10):
        for drawn in draws.batch(number):
            name = drawn.example.id[0]
            assert len(drawn.keys) == 3 and {key[0] for key in drawn.keys} == {name}
            assert drawn.keys[0][1] in drawn.example.positives
            assert not set(drawn.example.positives) & {key[1] for key in drawn.keys[1:]}
            assert all(passage.text.startswith(name) for passage in drawn.passages)
            if name == "a" and drawn.example.id != "a5":
                assert drawn.keys[1] == ("a", "p5")


def test_refreshed_negatives_take_the_place_of_the_others() -> None:
    draws = Draws([a_set("a", negatives=("p5",))], RECIPE)
    draws.refresh({f"a{i}": ("p4", "p3") for i in range(3)})
    for drawn in draws.batch(0) + draws.batch(1):
        expected = {"p3", "p4"} if drawn.example.id in ("a0", "a1", "a2") else {"p5"}
        if drawn.example.id != "a5":
            assert expected <= {key[1] for key in drawn.keys[1:]}


def test_a_passage_that_is_right_does_not_compete() -> None:
    given = a_set("a", n=3)
    both = replace(given.examples[0], positives=("p0", "p1"))
    draws = Draws([replace(given, examples=[both, *given.examples[1:]])], RECIPE)
    batch = draws.batch(0)
    gold_B, competes_BN = competition(batch)
    keys = [key for drawn in batch for key in drawn.keys]
    for b, drawn in enumerate(batch):
        assert keys[gold_B[b]] == drawn.keys[0]
        for n, key in enumerate(keys):
            assert competes_BN[b, n] == (key not in drawn.right or n == gold_B[b])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"positives": ("p9",)}, "names passage 'p9', which is not there"),
        ({"negatives": ("p8",)}, "names passage 'p8'"),
        ({"positives": ()}, "has none"),
        ({"positives": ("p0", "p1", "p2")}, "nothing to tell them from"),
        ({"image": None}, "has no picture"),
    ],
)
def test_a_set_that_cannot_be_trained_on_is_refused(change: dict, said: str) -> None:
    given = a_set("a", n=3)
    examples = [*given.examples[:2], replace(given.examples[2], **change)]
    with pytest.raises(InvalidTrainingData, match=said):
        Draws([replace(given, examples=examples)], replace(RECIPE, rows="visual"))


def test_no_example_is_refused() -> None:
    with pytest.raises(InvalidTrainingData, match="a has no example"):
        Draws([replace(a_set("a"), examples=[])], RECIPE)


def test_sets_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidTrainingData, match="two sets are called 'a'"):
        Draws([a_set("a"), a_set("b"), a_set("a")], RECIPE)
