"""A wrong argument is a TypeError or a ValueError that shows the value, before anything is done."""

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import kbvqa
from app.flow.retrieval import Finder
from corpus.demo.data import demo_dir
from retriever.index.passage_index import PassageIndex, Storage

KENYA = kbvqa.Passage("ke", "Kenya", "Capital: Nairobi.")
IMAGE = Image.new("RGB", (64, 64), "red")


def _cut() -> Image.Image:
    """Return a picture whose file ends in the middle."""
    file = BytesIO()
    Image.effect_noise((64, 64), 50).save(file, "PNG")
    return Image.open(BytesIO(file.getvalue()[:2000]))


CUT = _cut()
with Image.open(demo_dir() / "examples" / "kenya.png") as CLOSED:
    pass


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


NOT_HERE = f"cuda:{torch.cuda.device_count()}"
HERE = f"device: '{NOT_HERE}' is not here; here there is cpu"
QUERY = kbvqa.Query("What is the capital?", IMAGE)
CASES: list[tuple[str, Callable[[Any, Any], object], str]] = [
    ("device", lambda e, i: kbvqa.Encoder(e.checkpoint, "gpux"), "device: .*'gpux'"),
    ("checkpoint", lambda e, i: kbvqa.Encoder("x"), "checkpoint: .*Checkpoint.* not 'x'"),
    ("instruction", lambda e, i: kbvqa.Encoder(e.checkpoint, instruction=5), "instruction: .* 5"),
    ("regions", lambda e, i: kbvqa.Encoder(e.checkpoint, regions=-1), "regions .* got -1"),
    (
        "precision",
        lambda e, i: kbvqa.Encoder(e.checkpoint, passage_precision="x"),
        "bfloat16, fastest, got 'x'",
    ),
    ("pictures", lambda e, i: e.encode_pictures(["x.png"]), r"PIL\.Image\.open.*'x\.png'"),
    ("get", lambda e, i: i.get([5]), "each must be a str, not 5"),
    ("get a text", lambda e, i: i.get("ke"), "a list of str is expected, not 'ke'"),
    ("rows", lambda e, i: i.rows([5]), "the id of a passage: a str is expected, not 5"),
    ("mode", lambda e, i: kbvqa.Pipeline(e, i, mode="x"), "'two-stage' or 'exact', got 'x'"),
    (
        "collection",
        lambda e, i: kbvqa.Pipeline(e, i, pictures="own.safetensors"),
        "pictures: a .*PictureCollection is expected, not 'own.safetensors'",
    ),
    (
        "turns as plain data",
        lambda e, i: kbvqa.Pipeline(e, i).ask(QUERY, answer=False, after=[{"question": "x"}]),
        "each must be a Turn, .* not {'question': 'x'}",
    ),
    (
        "turns as a text",
        lambda e, i: kbvqa.Pipeline(e, i).ask(QUERY, answer=False, after="x"),
        "a list of Turn is expected, not 'x'",
    ),
    (
        "top_k",
        lambda e, i: kbvqa.Pipeline(e, i).ask(QUERY, "5", answer=False),
        "top_k: a int is expected, not '5'",
    ),
    (
        "more than there can be",
        lambda e, i: kbvqa.Pipeline(e, i).ask(QUERY, 10**20, answer=False),
        f"top_k .* got {10**20}",
    ),
    (
        "explained",
        lambda e, i: kbvqa.explain(Finder(e, i), QUERY, "found"),
        r"the retrieval of a kbvqa\.Result is expected, not 'found'",
    ),
    ("generator", lambda e, i: kbvqa.Generator(None, None), "base_url must be a text, got None"),
    (
        "widths",
        lambda e, i: kbvqa.maxsim([np.ones((2, 4))], [np.ones((2, 3))]),
        r"one width.* \(2, 3\) and \(2, 4\)",
    ),
    (
        "integers",
        lambda e, i: kbvqa.maxsim([np.ones((2, 4), int)], [np.ones((2, 4), int)]),
        r"floating-point numbers are expected, got torch\.int64",
    ),
    ("no GPU", lambda e, i: kbvqa.Encoder(e.checkpoint, NOT_HERE), HERE),
    ("no GPU to read", lambda e, i: kbvqa.Reader.from_pretrained(device=NOT_HERE), HERE),
    (
        "no device",
        lambda e, i: kbvqa.Reader.from_pretrained(device="gpux"),
        "'gpux'; here there is",
    ),
    (
        "strategy",
        lambda e, i: next(kbvqa.Pipeline(e, i).run(QUERY, answer=False, strategy="foo")),
        "strategy must be one of extract, .* got 'foo'",
    ),
    (
        "source",
        lambda e, i: kbvqa.Pipeline(e, i).ask(QUERY, answer=False, sources="Atlas"),
        "a list of str is expected, not 'Atlas'",
    ),
    (
        "a source",
        lambda e, i: Finder(e, i).retrieve(QUERY, sources="Atlas"),
        "a list of str .* 'Atlas'",
    ),
    (
        "one query",
        lambda e, i: kbvqa.maxsim(e.encode_query(QUERY), []),
        "queries: a list of .* one",
    ),
    ("one searched", lambda e, i: i.search_many(e.encode_query(QUERY), 1), "queries: a list of .*"),
    ("k of a search", lambda e, i: i.search(e.encode_query(QUERY), "3"), "top_k: .* not '3'"),
    ("place", lambda e, i: PassageIndex.open(None), "location: .* not None"),
    ("name", lambda e, i: kbvqa.Encoder.from_pretrained(None), "location: .* not None"),
    ("pictures' file", lambda e, i: kbvqa.PictureCollection.open(None), "path: .* not None"),
    ("weights", lambda e, i: kbvqa.Reader.from_pretrained(None), "path: .* not None"),
    ("turn of a number", lambda e, i: kbvqa.Turn(5), "the question of a turn .* got 5"),
    (
        "turn of a list",
        lambda e, i: kbvqa.Turn("?", "x", ["Kenya"]),
        r"the about of a turn .* \['K",
    ),
    ("turn in doubt", lambda e, i: kbvqa.Turn("?", unsure="no"), "unsure of a turn .* got 'no'"),
    ("filter", lambda e, i: kbvqa.PassageFilter(ids=[5]), r"ids must be .* got \[5\]"),
]


@pytest.mark.parametrize(("call", "said"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_wrong_argument_is_shown(
    encoder: kbvqa.Encoder,
    index: PassageIndex,
    call: Callable[[Any, Any], object],
    said: str,
) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        call(encoder, index)


HALF = "capital \ud800?"


@pytest.mark.parametrize(
    ("question", "image", "after"),
    [
        (HALF, None, ()),
        ("What?", None, [kbvqa.Turn(HALF)]),
        ("What is this?", Image.new("RGB", (0, 0)), ()),
        ("What is this?", CUT, ()),
        ("What is this?", CLOSED, ()),
    ],
    ids=[
        "half a character",
        "half a character before",
        "no pixels",
        "a file that is cut",
        "a closed one",
    ],
)
def test_what_cannot_be_asked_is_said(
    encoder: kbvqa.Encoder,
    index: PassageIndex,
    question: str,
    image: Image.Image | None,
    after: list[kbvqa.Turn],
) -> None:
    query, said = (
        kbvqa.Query(question, image),
        "surrogate|no pixels|damaged or incomplete|was closed before",
    )
    with pytest.raises(kbvqa.KbvqaError, match=said):
        kbvqa.Pipeline(encoder, index).ask(query, answer=False, after=after)
    if not after:
        with pytest.raises(kbvqa.KbvqaError, match=said):
            encoder.encode_query(query)


def test_a_picture_without_pixels_is_not_explained(
    encoder: kbvqa.Encoder, index: PassageIndex
) -> None:
    finder = Finder(encoder, index)
    nothing = kbvqa.Query(QUERY.question, Image.new("RGB", (0, 0)))
    with pytest.raises(kbvqa.KbvqaError, match="no pixels"):
        kbvqa.explain(finder, nothing, finder.retrieve(QUERY))


def test_a_device_may_be_named(encoder: kbvqa.Encoder) -> None:
    assert kbvqa.Encoder.from_pretrained("kbvqa-mini", device="cpu").device.type == "cpu"


def test_what_a_filter_is_given_may_be_read_once(
    encoder: kbvqa.Encoder, index: PassageIndex
) -> None:
    """What was left of a generator after one search matched nothing."""
    only = kbvqa.PassageFilter(ids=(id for id in ["ke"]))  # type: ignore[arg-type]
    rows = encoder.encode_query(QUERY)
    for _ in range(2):
        assert [hit.passage for hit in index.search(rows, 10**9, only)] == [KENYA]
    assert index.search(rows, 1, kbvqa.PassageFilter(ids=[])) == []  # type: ignore[arg-type]
