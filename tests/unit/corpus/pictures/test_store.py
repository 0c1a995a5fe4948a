"""Pictures of the benchmarks: where they lie, which are missing, and the cache."""

import json
from pathlib import Path

import pytest
from PIL import Image

from corpus.errors import DatasetNotFound, InvalidImage
from corpus.pictures.store import ImageCache, ImageFolder, black_image, check_images
from corpus.types import Example


def put(root: Path, name: str, size: tuple[int, int] = (40, 20)) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "red").save(path, "PNG")
    return path


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a.png", "a.png"),
        ("Q1", "Q1.jpg"),
        ("oven_04925844", "04/oven_04925844.jpg"),
        ("oven_04925844", "oven_04925844.JPEG"),
        ("oven_04925844.jpg", "04/oven_04925844.jpg"),
        ("04/oven_04925844.jpg", "oven_04925844.jpg"),
        ("val2014/COCO_val2014_000000297147.jpg", "val2014/COCO_val2014_000000297147.jpg"),
        ("val2014/COCO_val2014_000000297147.jpg", "COCO_val2014_000000297147.jpg"),
        ("COCO_train2014_000000000009.jpg", "train2014/COCO_train2014_000000000009.jpg"),
        ("landmark:0abc12", "google-landmark/train/0/a/b/0abc12.jpg"),
        ("landmark:0abc12", "0/a/b/0abc12.jpg"),
        ("landmark:0abc12", "0/a/b/0abc12.JPG"),
        ("oven_04925844.jpeg", "04/oven_04925844.JPEG"),
        ("oven_04925844.JPEG", "04/oven_04925844.jpg"),
        ("04/oven_04925844.JPG", "oven_04925844.jpg"),
        ("val2014/COCO_val2014_000000297147.jpg", "COCO_val2014_000000297147.JPEG"),
        ("KVQAimgs/21.jpg", "KVQAimgs/21.JPG"),
        ("wit/St. Peter", "wit/St. Peter.png"),
        ("wit/St. Peter.JPEG", "wit/St. Peter.jpeg"),
        (r"zoo\cats\a.png", "zoo/cats/a.png"),
        (r"val2014\COCO_val2014_000000297147.jpg", "COCO_val2014_000000297147.jpg"),
        (r"04\oven_04925844", "04/oven_04925844.jpg"),
        (r".\a.png", "a.png"),
        (r"a\b.png", r"a\b.png"),
        ("Z\u00fcrich/a.png", "Zu\u0308rich/a.png"),
        ("Zu\u0308rich/a.png", "Z\u00fcrich/a.png"),
        ("Z\u00fcrich", "Zu\u0308rich.jpg"),
    ],
)
def test_pictures_are_found_where_their_source_puts_them(
    tmp_path: Path, name: str, place: str
) -> None:
    path = put(tmp_path, place)
    assert ImageFolder(tmp_path).find(name) == path
    path.unlink()
    assert ImageFolder(tmp_path).find(name) is None


def test_inaturalist_by_its_own_lists(tmp_path: Path) -> None:
    path = put(tmp_path, "inat/val/00007_Bird/x.jpg")
    images = [
        {"id": 5, "file_name": "val/1/y.jpg"},
        {"id": 2412, "file_name": "val/00007_Bird/x.jpg"},
    ]
    (tmp_path / "inat" / "val.json").write_text(json.dumps({"info": {}, "images": images}))
    folder = ImageFolder(tmp_path)

    assert folder.find("inat:2412") == path
    assert folder.find("inat:5") is None
    assert ImageFolder(tmp_path).missing([Example("1", "inat:2412", "?")]) == []
    other = put(tmp_path, "inat/val/1/y.jpg")
    folder = ImageFolder(tmp_path)
    assert [folder.find(f"inat:{n}") for n in (5, 2412, 7)] == [other, path, None]
    assert folder.find_all(["inat:7", "inat:5"]) == {"inat:7": None, "inat:5": other}


def examples(*names: str) -> list[Example]:
    return [Example(str(n), name, "?") for n, name in enumerate(names)]


def test_missing_pictures_are_listed_once_and_before(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    listing = tmp_path / "out" / "missing-images.txt"
    asked = examples("a.png", "b.png", "", "b.png", "c.png")

    assert check_images(ImageFolder(tmp_path), asked, listing) == ["b.png", "c.png"]
    assert listing.read_text() == "b.png\nc.png\n"
    put(tmp_path, "b.png")
    put(tmp_path, "c.png")
    assert check_images(ImageFolder(tmp_path), asked, listing) == []
    assert not listing.exists()


def test_missing_pictures_are_named_by_where_they_should_lie(tmp_path: Path) -> None:
    images = [{"id": 5, "file_name": "val/1/y.jpg"}]
    (tmp_path / "inat").mkdir()
    (tmp_path / "inat" / "val.json").write_text(json.dumps({"images": images}))
    put(tmp_path, "a.png")
    asked = examples("a.png", "landmark:ffeeaa", "inat:5", "inat:7")
    assert check_images(ImageFolder(tmp_path), asked, tmp_path / "list.txt") == [
        "google-landmark/train/f/f/e/ffeeaa.jpg",
        "inat/val/1/y.jpg",
        "inat:7 (neither inat/train.json nor inat/val.json there names its file)",
    ]
    with pytest.raises(DatasetNotFound, match=r"such as google-landmark/train/f/f/e/ffeeaa\.jpg"):
        ImageFolder(tmp_path).require_all(["landmark:ffeeaa"])


def test_a_directory_without_any_of_the_pictures_is_the_wrong_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFound, match=r"none of the 2 pictures.*'b\.png'.*--images"):
        check_images(ImageFolder(tmp_path), examples("b.png", "c.png"), tmp_path / "list.txt")
    with pytest.raises(DatasetNotFound, match=r"--images, and names from there on\."):
        check_images(ImageFolder(tmp_path), examples(r"C:\zoo\b.png"), tmp_path / "list.txt")


def test_the_black_placeholder() -> None:
    image = black_image()
    assert (image.size, image.mode, image.getextrema()) == ((336, 336), "RGB", ((0, 0),) * 3)


def test_the_cache_prepares_each_picture_once(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png")
    calls = []

    def half(image: Image.Image) -> Image.Image:
        calls.append(image.size)
        return image.resize((image.width // 2, image.height // 2))

    cache = ImageCache(tmp_path / "cache", "half", half)
    first, second = cache.load(path), cache.load(path)
    assert first.size == second.size == (20, 10)
    assert first.tobytes() == second.tobytes()
    assert calls == [(40, 20)]
    put(tmp_path, "a.png", (60, 30))  # the file changes
    assert cache.load(path).size == (30, 15)
    assert ImageCache(tmp_path / "cache", "whole", lambda image: image).load(path).size == (60, 30)
    with pytest.raises(InvalidImage, match="does not exist"):
        cache.load(tmp_path / "none.png")
