"""A wrong argument is a TypeError or a ValueError that shows the value, before anything is done."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import kbvqa
from retriever.index.passage_index import PassageIndex, Storage

KENYA = kbvqa.Passage("ke", "Kenya", "Capital: Nairobi.")
IMAGE = Image.new("RGB", (64, 64), "red")


@pytest.fixture(scope="module")
def encoder() -> kbvqa.Encoder:
    return kbvqa.Encoder.from_pretrained("kbvqa-mini")


@pytest.fixture(scope="module")
def index(
    encoder: kbvqa.Encoder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PassageIndex]:
    place = tmp_path_factory.mktemp("index") / "kenya"
    with PassageIndex.build(place, [KENYA], encoder) as index:
        yield index


@pytest.mark.parametrize("field", ["id", "title", "text", "source", "language"])
@pytest.mark.parametrize("value", [None, 5])
def test_a_passage_is_of_texts(field: str, value: Any) -> None:
    """Such a one was written into an index, and never found."""
    fields = {"id": "ke", "title": "Kenya", "text": "Capital: Nairobi.", field: value}
    with pytest.raises(TypeError, match=f"the {field} of a passage must be a text.*got {value}"):
        kbvqa.Passage(**fields)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"question": 5}, "the question of a query must be a text.*got 5"),
        ({"question": None}, "must be a text.*got None"),
        ({"instruction": 5}, "the instruction of a query.*got 5"),
        ({"image": "x.png"}, r"PIL\.Image\.open.*'x\.png'"),
        ({"boxes": ((0, 0, 50),)}, r"\(left, upper, right, lower\).*got \(\(0, 0, 50\),\)"),
        ({"boxes": "0,0,5,5"}, "got '0,0,5,5'"),
        ({"boxes": (0, 0, 5, 5)}, r"got \(0, 0, 5, 5\)"),
        ({"boxes": ((0, 0, 5, "5"),)}, "got .*'5'"),
    ],
)
def test_a_query_is_a_text_a_picture_and_boxes(given: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        kbvqa.Query(**{"question": "What is it?", "image": IMAGE, **given})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"storage": "turbo4"}, "storage: a .*Storage is expected, not 'turbo4'"),
        ({"name": 5}, "name: a str is expected, not 5"),
        ({"questions": "abc"}, "questions: a list of kbvqa.Query is expected, not 'abc'"),
        ({"recall": 2}, "recall must be over 0 and at most 1, got 2"),
        ({"encoder": "x"}, "encoder: a kbvqa.Encoder is expected, not 'x'"),
    ],
)
def test_an_index_is_not_begun_with_a_wrong_argument(
    encoder: kbvqa.Encoder, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        PassageIndex.build(tmp_path / "x", [KENYA], **{"encoder": encoder, **given})
    assert not list(tmp_path.iterdir()), "the place is free for the right one"


def test_a_storage_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match=r"turbo4.*got 'turbo5' and None"):
        Storage("turbo5")  # type: ignore[arg-type]
