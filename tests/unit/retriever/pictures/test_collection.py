"""A collection of entities' pictures: made, kept, searched."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save

from corpus.errors import InvalidImage
from corpus.pictures.entities import EntityPicture
from corpus.types import Query
from retriever.checkpoint.loading import load_checkpoint
from retriever.encoding.encoder import Encoder
from retriever.errors import IndexNotReady, IndexUnavailable
from retriever.pictures import collection as collection_module
from retriever.pictures import metric as metric_module
from retriever.pictures import neighbours
from retriever.pictures.collection import PictureCollection
from retriever.pictures.fusing import Fusion
from retriever.pictures.metric import Metric
from retriever.pictures.neighbours import SimilarPicture
from retriever.pictures.parts import compact


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(load_checkpoint("kbvqa-mini"))


@pytest.fixture
def pictures(tmp_path: Path) -> list[EntityPicture]:
    """Return two drawings of one entity and one of another."""
    rows = []
    for name, entity, top in (
        ("a", "flag:X", "red"),
        ("b", "flag:Y", "blue"),
        ("c", "flag:X", "green"),
    ):
        picture = Image.new("RGB", (60, 40), "white")
        picture.paste(Image.new("RGB", (60, 20), top), (0, 0))
        path = tmp_path / f"{name}.png"
        picture.save(path)
        rows.append(
            EntityPicture(f"{name}.png", path, entity, name=entity[-1] * (entity != "flag:X"))
        )
    return rows


def test_a_picture_is_most_like_itself_and_an_entity_is_found_once(
    encoder: Encoder, pictures: list[EntityPicture], tmp_path: Path
) -> None:
    fusion = Fusion(weight=3.0, floor=0.1)
    made = PictureCollection.build(pictures, encoder, fusion)
    made.save(tmp_path / "pictures.safetensors")
    opened = PictureCollection.open(tmp_path / "pictures.safetensors")
    assert opened.file == str(tmp_path / "pictures.safetensors")
    assert opened.checkpoint == encoder.checkpoint.revision
    assert (opened.fusion, opened.names, opened.sha256) == (fusion, made.names, made.sha256)
    [query] = encoder.encode_queries([Query("What is this?", Image.open(pictures[1].path))])
    assert query.picture_V is not None
    [[first, second]] = opened.search([query.picture_V], 2)
    assert (first.image, first.entity, first.name) == ("b.png", "flag:Y", "Y")
    # int8 keeps two digits of each number.
    assert first.similarity == pytest.approx(1.0, abs=2e-3)
    assert (second.entity, second.name) == ("flag:X", "") and second.similarity < first.similarity


def test_a_build_fits_how_its_pictures_are_compared(
    encoder: Encoder, pictures: list[EntityPicture], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PictureCollection.build(pictures, encoder).metric is None, "three are too few"
    monkeypatch.setattr(metric_module, "LEAST", 2)
    made = PictureCollection.build(pictures, encoder)
    assert made.metric is not None and made.width == encoder.picture_width
    vectors = encoder.encode_pictures([Image.open(picture.path) for picture in pictures])
    best = [found for [found] in made.search(vectors, 1)]
    assert [found.image for found in best] == ["a.png", "b.png", "c.png"]


def test_a_question_without_a_picture_resembles_nothing(encoder: Encoder) -> None:
    [query] = encoder.encode_queries([Query("What is this?")])
    assert query.picture_V is None


def test_the_most_similar_picture_stands_for_its_entity() -> None:
    rows = compact([[1, 0], [0.6, 0.8], [0, 1]])
    names = [("a", "one"), ("b", "two"), ("c", "one")]
    collection = PictureCollection("revision", names, rows, Fusion())
    first = SimilarPicture("c", "one", 1.0)
    second = SimilarPicture("b", "two", pytest.approx(0.8, abs=5e-3))
    assert collection.search([[0.0, 1.0]], 5) == [[first, second]]
    assert collection.search([[0.0, 1.0]], 1) == [[first]]
    assert collection.search([[0.0, 1.0]], 1, [{"two", "three"}]) == [[first, second]]
    for wrong in ([[0.0, 1.0, 0.0]], [0.0, 1.0]):
        with pytest.raises(ValueError, match=r"were given, \[queries, 2\] is wanted"):
            collection.search(wrong, 1)


def test_many_are_searched_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one by one, and as all at once: more entities than are asked for, several queries."""
    rng = np.random.default_rng(0)
    rows = compact(rng.standard_normal((1_000, 8)))
    names = [(f"{n}.png", f"e{rng.integers(300)}") for n in range(1_000)]
    queries = rng.standard_normal((7, 8)).astype(np.float32)
    among = [{f"e{n}"} for n in range(7)]
    whole = PictureCollection("revision", names, rows, Fusion()).search(queries, 10, among)
    unit = rows / np.linalg.norm(rows.astype(np.float32), axis=1, keepdims=True)
    for query, one, similar in zip(queries, among, whole, strict=True):
        by_entity: dict[str, float] = {}
        for (_, entity), value in zip(names, (unit @ query).tolist(), strict=True):
            by_entity[entity] = max(value, by_entity.get(entity, -np.inf))
        best = sorted(by_entity, key=by_entity.__getitem__, reverse=True)[:10]
        wanted = {entity: by_entity[entity] for entity in {*best, *one}}
        assert {s.entity: s.similarity for s in similar} == pytest.approx(wanted, abs=1e-5)
        assert [s.similarity for s in similar] == sorted(s.similarity for s in similar)[::-1]
    for name, value in (("_HELD", 0), ("_BLOCK", 8 * 64), ("_SIMILARITIES", 2_000)):
        monkeypatch.setattr(neighbours, name, value)
    blocks = PictureCollection("revision", names, rows, Fusion()).search(queries, 10, among)
    for ours, theirs in zip(blocks, whole, strict=True):
        assert [s.image for s in ours] == [s.image for s in theirs]
        assert [s.similarity for s in ours] == pytest.approx([s.similarity for s in theirs])


def test_a_file_of_before_opens(tmp_path: Path) -> None:
    """Its names stood in the metadata, of which safetensors takes 100 MB."""
    path = tmp_path / "pictures.safetensors"
    rows = compact([[1, 0], [0, 1]])
    metadata = {
        "checkpoint": "r", "corpus": "", "names": '[["a", "one"], ["b", "two"]]', "fusion": "{}",
        "titles": '{"one": "One"}',
    }  # fmt: skip
    path.write_bytes(save({"vectors": rows}, metadata))
    opened = PictureCollection.open(path)
    opened.save(tmp_path / "again.safetensors")
    again = PictureCollection.open(tmp_path / "again.safetensors")
    for collection in (opened, again):
        [[found]] = collection.search([[1, 0]], 1)
        assert found == SimilarPicture("a", "one", 1.0, "One")
    assert again.sha256 == opened.sha256


def test_what_decides_the_order_decides_the_hash() -> None:
    rows = np.eye(2, dtype=np.int8)
    names = [("a", "one"), ("b", "two")]
    made = [
        PictureCollection("r", names, rows, Fusion()),
        PictureCollection("s", names, rows, Fusion()),
        PictureCollection("r", [("a", "one"), ("b", "three")], rows, Fusion()),
        PictureCollection("r", names, rows[::-1], Fusion()),
        PictureCollection("r", names, rows, Fusion(weight=1.0)),
    ]
    assert len({collection.sha256 for collection in made}) == len(made)


def test_no_pictures_and_no_picture_are_said(
    encoder: Encoder, pictures: list[EntityPicture]
) -> None:
    with pytest.raises(ValueError, match="no pictures"):
        PictureCollection.build([], encoder)
    pictures[0].path.write_bytes(b"no picture")
    with pytest.raises(InvalidImage, match=r"a\.png"):
        PictureCollection.build(pictures, encoder)
    told: list[str] = []
    made = PictureCollection.build(
        pictures, encoder, left_out=lambda picture, exc: told.append(picture.image)
    )
    assert told == ["a.png"]
    assert made.names == (("b.png", "flag:Y"), ("c.png", "flag:X"))
    assert len(made.vectors_IV) == 2


class Counting(Encoder):
    """An encoder that counts the pictures that it encodes, and stops where it is told to."""

    def __init__(self, stops_at: int = 99) -> None:
        super().__init__(load_checkpoint("kbvqa-mini"))
        self.encoded, self.stops_at = 0, stops_at

    def encode_pictures(self, pictures: Any) -> Any:
        if self.encoded >= self.stops_at:
            raise KeyboardInterrupt
        self.encoded += len(pictures)
        return super().encode_pictures(pictures)


class Wider(Counting):
    """The same checkpoint, whose vectors have one number more."""

    @property
    def picture_width(self) -> int:
        return super().picture_width + 1

    def encode_pictures(self, pictures: Any) -> Any:
        return [np.append(row, np.float32(0)) for row in super().encode_pictures(pictures)]


def test_a_build_that_was_stopped_goes_on(
    pictures: list[EntityPicture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_module, "PART", 1)
    broken = tmp_path / "d.png"
    broken.write_bytes(b"no picture")
    pictures.insert(0, EntityPicture("d.png", broken, "flag:Z"))
    parts = tmp_path / "parts"
    told: list[str] = []

    def build(encoder: Encoder) -> PictureCollection:
        told.clear()
        return PictureCollection.build(
            pictures, encoder, left_out=lambda picture, exc: told.append(str(exc)), parts=parts
        )

    whole = PictureCollection.build(pictures[1:], Counting())
    with pytest.raises(KeyboardInterrupt):
        build(Counting(stops_at=2))
    goes_on = Counting()
    assert build(goes_on).sha256 == whole.sha256
    assert goes_on.encoded == 1 and "d.png" in told[0]
    # What was made of another picture, or is damaged, is made again.
    Image.new("RGB", (60, 40), "black").save(pictures[1].path)
    (parts / "000000003.safetensors").write_bytes(b"no safetensors")
    again = Counting()
    other = build(again)
    assert again.encoded == 2 and other.sha256 != whole.sha256
    assert (other.vectors_IV[1:] == whole.vectors_IV[1:]).all()
    # So is what an earlier version made by the same checkpoint, of other numbers.
    wider = Wider()
    build(wider)
    assert wider.encoded == 3


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\x02\0\0\0\0\0\0\0{}"])
def test_a_file_of_something_else_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pictures.safetensors"
    with pytest.raises(IndexNotReady, match="kbvqa index pictures"):
        PictureCollection.open(path)
    path.write_bytes(content)
    with pytest.raises(IndexUnavailable, match="damaged"):
        PictureCollection.open(path)


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        (np.zeros((1, 2), np.int8), '[["a", "one"]]'),  # no direction
        (np.ones((1, 2), np.float16), '[["a", "one"]]'),  # of an earlier version
        (np.ones((1, 2), np.int8), "[[1, 2]]"),
        (np.ones((1, 2), np.int8), "[" * 100_000),
        (np.zeros((0, 2), np.int8), "[]"),
    ],
)
def test_a_collection_that_no_build_writes_is_said(tmp_path: Path, rows: Any, names: str) -> None:
    path = tmp_path / "pictures.safetensors"
    metadata = {"checkpoint": "r", "corpus": "", "names": names, "fusion": "{}"}
    path.write_bytes(save({"vectors": rows}, metadata))
    with pytest.raises(IndexUnavailable, match="no collection of pictures, or damaged"):
        PictureCollection.open(path)


def test_directions_of_other_vectors_are_said(tmp_path: Path) -> None:
    path = tmp_path / "pictures.safetensors"
    metric = Metric(np.ones((4, 3), np.float32), np.zeros(3, np.float32))
    PictureCollection("r", [("a", "one")], np.ones((1, 2), np.int8), Fusion(), metric=metric).save(
        path
    )
    with pytest.raises(IndexUnavailable, match=r"directions of shape \(4, 3\)"):
        PictureCollection.open(path)


def test_a_folder_is_not_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(IndexNotReady, match="is no file: name one"):
        PictureCollection.open(tmp_path)
