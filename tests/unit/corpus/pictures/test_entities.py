"""Tables of pictures and what they show."""

from pathlib import Path

import pytest

from corpus.demo.data import demo_entity_pictures, demo_images
from corpus.errors import InvalidRecord
from corpus.pictures.entities import EntityPicture, read_entity_pictures


def test_a_table_names_pictures_and_entities(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    table.write_text(
        '{"image": "fr.png", "entity": "flag:FR", "licence": "MIT"}\n'
        '\n{"image": "a/7.jpg", "entity": 7}\n'
    )
    (tmp_path / "a").mkdir()
    for name in ("fr.png", "a/7.jpg"):
        (tmp_path / name).touch()
    assert read_entity_pictures(table, tmp_path) == [
        EntityPicture("fr.png", tmp_path / "fr.png", "flag:FR", 1),
        EntityPicture("a/7.jpg", tmp_path / "a/7.jpg", "7", 3),
    ]


def test_an_accent_may_be_spelled_otherwise_on_the_disk(tmp_path: Path) -> None:
    table, there = tmp_path / "table.jsonl", tmp_path / "Zu\u0308rich.png"
    table.write_text('{"image": "Z\u00fcrich.png", "entity": "x"}\n', encoding="utf-8")
    there.touch()
    assert [picture.path for picture in read_entity_pictures(table, tmp_path)] == [there]


def test_the_line_of_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    names = ("fr.png", "gone.png", "gone-too.png")
    table.write_text("".join(f'{{"image": "{name}", "entity": "x"}}\n' for name in names))
    (tmp_path / "fr.png").touch()
    with pytest.raises(InvalidRecord, match=r"line 2, .*gone\.png is not there, nor are 1 others"):
        read_entity_pictures(table, tmp_path)
    [there] = read_entity_pictures(table, tmp_path, skip_missing=True)
    assert there.image == "fr.png"
    (tmp_path / "fr.png").unlink()
    with pytest.raises(InvalidRecord, match=r"line 1, .*fr\.png is not there, nor are 2 others"):
        read_entity_pictures(table, tmp_path, skip_missing=True)


@pytest.mark.parametrize("line", ['{"image": "fr.png"}', '{"entity": "flag:FR"}', "[]"])
def test_a_line_that_lacks_something_is_named(tmp_path: Path, line: str) -> None:
    table = tmp_path / "table.jsonl"
    table.write_text('{"image": "fr.png", "entity": "flag:FR"}\n' + line + "\n")
    with pytest.raises(InvalidRecord, match="line 2"):
        read_entity_pictures(table, tmp_path)


def test_no_picture_of_the_validation_vendor_is_in_the_demos_collection() -> None:
    held_out = {image.image for image in demo_images() if image.split != "train"}
    pictures = demo_entity_pictures()
    assert pictures and not held_out & {picture.image for picture in pictures}
