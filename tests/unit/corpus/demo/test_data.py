"""The data in the repository fits together."""

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from corpus.demo import data as demo
from corpus.errors import DatasetNotFound
from corpus.files.passages import read_passages
from corpus.types import Passage


@pytest.fixture(scope="module")
def passages() -> dict[str, Passage]:
    return {passage.id: passage for passage in read_passages(demo.demo_passages_path())}


def test_passages_are_those_described(passages: dict[str, Passage]) -> None:
    sources = Counter(passage.source for passage in passages.values())
    assert sources == {"CIA World Factbook": 4480, "English Wikipedia": 4020}
    assert all(passage.url.startswith("https://") for passage in passages.values())
    assert passages["wiki:Giant panda"].url == "https://en.wikipedia.org/wiki/Giant_panda"
    assert (
        passages["factbook:FR:Currency"].text
        == "France - Currency. Currency: euros (EUR) per US dollar -."
    )


def test_every_picture_is_there_and_its_entity_can_be_found(passages: dict[str, Passage]) -> None:
    images = demo.demo_images()
    assert len(images) == len({image.image for image in images}) == 2950
    assert all((demo.demo_dir() / image.image).is_file() for image in images)
    files = [path for path in (demo.demo_dir() / "images").rglob("*") if path.is_file()]
    assert len(files) == len(images)
    assert {image.split for image in images if "noto" in image.source} == {"val"}
    assert {image.split for image in images if "noto" not in image.source} == {"train"}
    entities = {passage.entity for passage in passages.values()}
    # Territories that have a flag but no page in the Factbook.
    without_page = {f"flag:{iso}" for iso in ["AX", "BQ", "GF", "GP", "MQ", "RE", "SH", "UM", "YT"]}
    assert {image.entity for image in images} - entities == without_page


def test_every_answer_stands_in_its_passage(passages: dict[str, Passage]) -> None:
    questions = demo.demo_questions()
    assert len(questions) == 9650
    for question in questions:
        assert question.questions
        assert question.answer in passages[question.passage].text
        assert passages[question.passage].entity == question.entity


def test_the_gallery_opens_and_its_answers_stand_in_the_gold_passage(
    passages: dict[str, Passage],
) -> None:
    gallery = demo.example_gallery()
    assert 12 <= len(gallery) <= 16
    for example in gallery:
        with Image.open(demo.example_image_path(example)) as image:
            assert min(image.size) >= 200
        assert example.gold_passage_ids
        for gold in example.gold_passage_ids:
            text = passages[gold].text.replace("\N{NO-BREAK SPACE}", " ")
            assert any(answer in text for answer in example.answers)
    files = {path.name for path in demo.example_image_path(gallery[0]).parent.glob("*.png")}
    assert files == {example.image for example in gallery}


def test_missing_data_says_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "DEMO_DIR", tmp_path)
    with pytest.raises(DatasetNotFound, match=r"passages\.jsonl\.gz does not exist; restore it"):
        demo.demo_passages_path()
    monkeypatch.setattr(demo, "DEMO_DIR", tmp_path / "none")
    with pytest.raises(DatasetNotFound, match=r"none does not exist: .* clone it"):
        demo.demo_images()


def test_licences_are_named_for_every_source() -> None:
    text = (demo.demo_dir() / "LICENSES.md").read_text("utf-8")
    assert all(f"`{image.source}`" in text for image in demo.demo_images())
    for path in (demo.demo_dir() / "licenses").iterdir():
        assert f"licenses/{path.name}" in text
