"""Photographs of classes: which passages are right."""

from pathlib import Path

import pytest
import typer

from benchmarks.photographs import OF_A_KIND, photographs
from retriever.inputs.text_vision import imagenet_names

TITLES = {"polar bear", "dog", "cat", "siamese cat", "lemon"}


def test_a_class_is_asked_for_by_its_own_name_or_else_by_its_kind(tmp_path: Path) -> None:
    for number, name in enumerate(imagenet_names()):
        (tmp_path / f"n{number:04}_{name.replace('/', ' ')}.JPEG").touch()
    (tmp_path / "README.md").touch()
    own, some = photographs(tmp_path, TITLES)
    by_name = {each.path.stem[6:]: each.right for each in own}
    assert by_name == {
        "ice bear": {"polar bear"},
        "Siamese cat": {"siamese cat"},
        "lemon": {"lemon"},
    }
    kinds = [next(iter(each.right)) for each in some]
    assert (kinds.count("cat"), kinds.count("dog"), len(kinds)) == (4, OF_A_KIND, 4 + OF_A_KIND)
    assert photographs(tmp_path, TITLES) == (own, some), "the same every time"


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").touch()
    with pytest.raises(typer.BadParameter, match="has 1 photographs"):
        photographs(tmp_path, TITLES)
