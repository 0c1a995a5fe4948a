"""What a retriever is trained on, from example files and benchmarks."""

from pathlib import Path

import pytest

from corpus.benchmarks.m2kr import M2krExample
from corpus.errors import DatasetNotFound
from corpus.pictures.store import ImageFolder
from corpus.types import Example
from retriever.training.examples import TrainingExample, training_examples
from tests.golden_cases import golden_image


@pytest.fixture
def images(tmp_path: Path) -> ImageFolder:
    golden_image("img0").save(tmp_path / "ke.png")
    return ImageFolder(tmp_path)


def test_an_own_example_and_one_of_m2kr_become_the_same_noun(images: ImageFolder) -> None:
    own = Example("1", "ke.png", " What is the capital? ", ("Nairobi",), ("ke",))
    m2kr = M2krExample(
        "2", "", "Who?", ("x&&y",), ("a", "b"), "Answer:", black_image=True, question_type="t"
    )
    assert training_examples([own, m2kr], images, "mine") == [
        TrainingExample(
            id="1",
            question="What is the capital?",
            instruction="",
            image=images.root / "ke.png",
            positives=("ke",),
            answers=("Nairobi",),
            dataset="mine",
        ),
        TrainingExample(
            "2", "Who?", "Answer:", None, ("a", "b"), (), ("x&&y",), "mine", black_image=True
        ),
    ]


def test_without_a_gold_passage_it_is_left_out_and_its_picture_is_not_looked_for(
    images: ImageFolder,
) -> None:
    assert training_examples([Example("1", "not-there.png", "What?", ("x",))], images) == []


def test_a_missing_picture_is_named(images: ImageFolder) -> None:
    with pytest.raises(DatasetNotFound, match=r"1 of 2 pictures .* not-there.png.* --images"):
        training_examples(
            [Example(name, name, "What?", (), ("ke",)) for name in ("not-there.png", "ke.png")],
            images,
        )
