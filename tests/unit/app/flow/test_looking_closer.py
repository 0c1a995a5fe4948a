"""A thing before a busy background is looked at by itself, and the result says where it is."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.asking.why import explain
from app.flow import looking
from app.flow.retrieval import Finder
from corpus.demo.data import demo_dir, demo_images
from corpus.types import Box, Passage, Query
from retriever.checkpoint.loading import load_checkpoint
from retriever.encoding import queries
from retriever.encoding.encoder import Encoder
from retriever.encoding.queries import Seen
from retriever.index import picture
from retriever.index.passage_index import PassageIndex
from retriever.inputs.foreground import foregrounds
from retriever.inputs.text_vision import Sight, TextVision, imagenet_names
from retriever.pictures.collection import PictureCollection
from retriever.pictures.parts import compact
from tests.golden_cases import GOLDEN

PASSAGES = [
    Passage("ke", "Kenya", "Kenya. Capital: Nairobi."),
    Passage("jp", "Japan", "Japan. Capital: Tokyo."),
]
QUESTION = "What is the capital?"


@pytest.fixture(scope="module")
def finder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finder]:
    encoder = Encoder(load_checkpoint("kbvqa-mini"))
    location = tmp_path_factory.mktemp("index") / "two"
    with PassageIndex.build(location, PASSAGES, encoder) as index:
        yield Finder(encoder, index)


def rough(width: int, height: int) -> Image.Image:
    levels = np.random.default_rng(0).integers(60, 160, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def drawing(entity: str) -> Image.Image:
    name = next(i.image for i in demo_images() if i.entity == entity)
    with Image.open(demo_dir() / name) as opened:
        return opened.convert("RGBA").resize((120, 80))


@pytest.fixture(scope="module")
def before_something() -> Image.Image:
    scene, flag = rough(300, 240), drawing("flag:KE")
    scene.paste(flag, (100, 90), flag)
    return scene


def test_what_is_searched_with_is_the_thing(finder: Finder, before_something: Image.Image) -> None:
    box = next(foregrounds(before_something))
    found = finder.retrieve(Query(QUESTION, before_something), 2)
    named = finder.retrieve(Query(QUESTION, before_something, boxes=(box,)), 2)
    assert found.boxes == named.boxes == (box,)
    assert found.asked is not None and named.asked is not None
    np.testing.assert_allclose(found.asked.rows_QD, named.asked.rows_QD, atol=1e-5)
    assert [hit.passage.id for hit in found.hits] == [hit.passage.id for hit in named.hits]


def test_many_at_once_are_looked_at_as_one_is(
    finder: Finder, before_something: Image.Image
) -> None:
    box = next(foregrounds(before_something))
    queries = [Query(QUESTION), Query(QUESTION, before_something), Query(QUESTION, rough(9, 9))]
    queries.append(Query(QUESTION, drawing("flag:KE")))
    encoded = finder.encode_many(queries)
    assert [question.boxes for question in encoded][:2] == [(), (box,)]
    assert encoded[3].boxes == (), "a drawing by itself is looked at as a whole"
    one = finder.retrieve(queries[1], 2)
    [many] = finder.search_many(encoded[1:2], 2)
    assert [hit.passage.id for hit in many.hits] == [hit.passage.id for hit in one.hits]


def test_a_part_that_somebody_named_is_what_is_looked_at(
    finder: Finder, before_something: Image.Image
) -> None:
    named = (5, 5, 200, 200)
    [question] = finder.encode_many([Query(QUESTION, before_something, boxes=(named,))])
    assert question.boxes == (named,)


def test_reasons_are_placed_where_it_looked(finder: Finder, before_something: Image.Image) -> None:
    query = Query(QUESTION, before_something)
    found = finder.retrieve(query, 2)
    why = explain(finder, query, found)
    left, upper, right, lower = found.boxes[0]
    assert why is not None
    assert why.frame == pytest.approx((left / 300, upper / 240, right / 300, lower / 240))


def test_what_is_named_in_the_whole_picture_too_is_left_in_it(finder: Finder) -> None:
    """As of a photograph: what the classifier names there, it might take the part for."""
    picture = rough(240, 240)
    picture.paste("white", (16, 16, 224, 224))
    with Image.open(demo_dir() / "images/emoji-noto/zebra.png") as opened:
        zebra = opened.convert("RGBA").resize((190, 190))
    picture.paste(zebra, (25, 25), zebra)
    box = next(foregrounds(picture))
    queries = [Query(QUESTION, picture), Query(QUESTION, picture, boxes=(box,))]
    whole, part = finder.encode_many(queries)
    assert whole.asked.seen == "It shows zebra." and "zebra" in part.asked.guesses
    assert whole.boxes == () and part.boxes == (box,)


def test_what_stands_in_the_middle_of_a_long_picture_is_seen(finder: Finder) -> None:
    """Squeezed into a square it was taken for a quill."""
    picture = Image.new("RGB", (1200, 240), "white")
    with Image.open(demo_dir() / "images/emoji-noto/zebra.png") as opened:
        zebra = opened.convert("RGBA").resize((230, 230))
    picture.paste(zebra, (485, 5), zebra)
    [question] = finder.encode_many([Query(QUESTION, picture)])
    assert question.asked.guesses[0] == "zebra"


def test_without_a_classifier_it_looks_at_the_whole(before_something: Image.Image) -> None:
    finder = Finder(Encoder(load_checkpoint(GOLDEN / "B_preflmr")), None)
    [question] = finder.encode_many([Query(QUESTION, before_something)])
    assert question.boxes == ()


def test_what_was_looked_at_is_not_looked_at_again(
    finder: Finder, before_something: Image.Image
) -> None:
    """The tower sees the whole, the part and their middles once each, the text tower one query."""
    model, seen = finder.encoder.model, []
    tower, text = model.query_vision_encoder.vision_model, model.query_text_encoder
    with ExitStack() as hooks:
        for module in (tower, text):
            handle = module.register_forward_hook(lambda m, a, _: seen.append((m, len(a[0]))))
            hooks.callback(handle.remove)
        [question] = finder.encode_many([Query(QUESTION, before_something)])
    says = 1 if question.alone is None else 2
    assert question.boxes and seen == [(tower, 2), (tower, 2), (text, says)]


def with_drawings(finder: Finder, drawings: list[Image.Image]) -> Finder:
    rows = np.stack(finder.encoder.encode_pictures(drawings))
    names = [(f"{n}.png", f"entity {n}") for n in range(len(drawings))]
    pictures = PictureCollection.of(finder.encoder.checkpoint.revision, names, compact(rows))
    return Finder(finder.encoder, finder.index, pictures=pictures)


THING = (100, 90, 220, 170)


@pytest.mark.parametrize(
    ("boxes", "looked_at", "looks"),
    [
        ([THING, (0, 0, 90, 80)], THING, [2, 2]),
        ([(0, 0, 90, 80), (200, 0, 300, 80), THING], THING, [2, 2, 2, 2]),
    ],
)
def test_where_the_likeliest_part_is_like_no_drawing_others_are_looked_at(
    finder: Finder,
    before_something: Image.Image,
    monkeypatch: pytest.MonkeyPatch,
    boxes: list[Box],
    looked_at: Box,
    looks: list[int],
) -> None:
    beside = with_drawings(finder, [drawing("flag:KE"), drawing("flag:JP")])
    monkeypatch.setattr(looking, "foregrounds", lambda picture: iter(boxes))
    tower, seen = finder.encoder.model.query_vision_encoder.vision_model, []
    with ExitStack() as hooks:
        handle = tower.register_forward_hook(lambda m, a, _: seen.append(len(a[0])))
        hooks.callback(handle.remove)
        [question] = beside.encode_many([Query(QUESTION, before_something)])
    assert (question.boxes, seen) == ((looked_at,), looks)
    [alone] = finder.encode_many([Query(QUESTION, before_something)])
    assert alone.boxes == (boxes[0],), "without drawings the likeliest is taken"


def test_a_part_that_is_no_more_like_a_drawing_than_the_whole_leaves_a_photograph(
    finder: Finder, before_something: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawings = [drawing("flag:KE"), drawing("flag:JP")]
    query = Query(QUESTION, before_something)
    [part] = with_drawings(finder, drawings).encode_many([query])
    [whole] = with_drawings(finder, [*drawings, before_something]).encode_many([query])
    assert part.boxes and whole.boxes == ()
    # The classifier gives that a fifth: too little to be named in what may be a drawing.
    [look] = finder.encoder.look([before_something])
    assert look.seen.sight.sentence() == ""
    assert whole.asked.seen == "It may show street sign."
    monkeypatch.setattr(looking, "named_again", lambda sentence, guesses: True)
    [named] = finder.encode_many([query])
    assert named.boxes == ()
    assert named.asked.seen == whole.asked.seen, "without drawings, too"


def sees(monkeypatch: pytest.MonkeyPatch, sight: Sight) -> None:
    """Let the classifier see an Egyptian cat in every picture, as surely as in a sight."""
    monkeypatch.setattr(
        queries,
        "described",
        lambda probabilities, settings: Seen(sight, ("Egyptian cat",), sight),
    )


def test_a_breed_is_named_where_there_are_passages_about_it(
    finder: Finder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a cat by its kind, so that "Egyptian cat" does not find Egypt."""
    egyptian, cat = imagenet_names().index("Egyptian cat"), {"Egypt", "Cat", "Tabby"}
    sight = TextVision(0.4, 0.6).sight([float(c == egyptian) for c in range(1000)])
    sees(monkeypatch, sight)
    query = Query("What does it eat?", drawing("flag:KE"))
    for titles, seen in (
        (cat, "It shows cat."),
        (cat | {"Egyptian cat"}, "It shows Egyptian cat, cat."),
        ({"Egypt"}, "It shows Egyptian cat, cat."),
    ):
        passages = [Passage(title, title, f"{title}. About it.") for title in sorted(titles)]
        with PassageIndex.build(tmp_path / str(len(titles)), passages, finder.encoder) as index:
            beside = Finder(finder.encoder, index)
            assert beside.retrieve(query).seen == seen
            [question] = beside.encode_many([query])
            assert question.asked.seen == seen
    assert finder.encoder.encode_query(query).seen == "It shows Egyptian cat, cat."


def test_what_is_surely_named_comes_first_however_far_down_it_stands(
    finder: Finder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    egyptian = imagenet_names().index("Egyptian cat")
    query = Query("Where is it kept?", rough(120, 80))
    texts = {title: f"{title}. This flag is flown in Kenya." for title in ("Kenya", "Flag", "Pole")}
    texts["Cat"] = "The cat is a small animal that is kept in houses."
    texts["Cat flap"] = "A cat flap shows a cat in. A cat and an Egyptian cat are kept in houses."
    passages = [Passage(title, title, text) for title, text in texts.items()]
    monkeypatch.setattr(picture, "DEPTH", 2)
    with PassageIndex.build(tmp_path / "index", passages, finder.encoder) as index:
        beside = Finder(finder.encoder, index)
        for probability, first in ((0.0, False), (0.9, True)):
            sight = TextVision(0.4, 0.6).sight([probability * (c == egyptian) for c in range(1000)])
            sees(monkeypatch, sight)
            hits = beside.retrieve(query, 2).hits
            assert (hits[0].passage.id == "Cat") is first
            assert len({hit.passage.id for hit in hits}) == 2


def test_why_says_what_a_name_gave_where_nothing_else_has_a_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder(replace(load_checkpoint("kbvqa-mini"), picture_weight=0.0))
    sight = TextVision(0.4, 0.6).sight([float(name == "Egyptian cat") for name in imagenet_names()])
    sees(monkeypatch, sight)
    passages = [Passage(title, title, f"{title}. About it.") for title in ("Cat", "Egypt")]
    query = Query("What is this?", rough(120, 80))
    with PassageIndex.build(tmp_path / "index", passages, encoder) as index:
        found = Finder(encoder, index).retrieve(query)
        why = explain(Finder(encoder, index), query, found)
    assert why is not None and found.hits[0].passage.id == "Cat"
    for hit, passage in zip(found.hits, why.passages, strict=True):
        assert passage.by_itself == pytest.approx(hit.score - passage.score)
        assert (passage.by_itself < -1) is (hit.passage.id != "Cat")


@pytest.mark.parametrize(("probability", "shown"), [(0.9, False), (0.5, True), (0.1, True)])
def test_drawings_say_nothing_of_what_is_surely_named_and_unlike_them(
    finder: Finder, monkeypatch: pytest.MonkeyPatch, probability: float, shown: bool
) -> None:
    """France's flag is a little like Japan's, at a cosine of 0.25."""
    cat = imagenet_names().index("Egyptian cat")
    sight = TextVision(0.4, 0.6).sight([probability * (c == cat) for c in range(1000)])
    sees(monkeypatch, sight)
    beside = with_drawings(finder, [drawing("flag:JP"), drawing("flag:KE")])
    query = Query(QUESTION, drawing("flag:FR"))
    found = beside.retrieve(query)
    assert [picture.entity for picture in found.similar] == ["entity 0"] * shown
    assert (found.alike is not None) is shown
    assert (found.hits == finder.retrieve(query).hits) is not shown
    itself = beside.retrieve(Query(QUESTION, drawing("flag:KE")))
    assert itself.similar[0].entity == "entity 1", "what is alike has its say"


def test_a_photograph_shows_what_its_classifier_says(
    finder: Finder,
    before_something: Image.Image,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unless a picture of the collection is of the same; of a drawing it may be wrong."""
    egyptian = imagenet_names().index("Egyptian cat")
    sees(monkeypatch, TextVision(0.4, 0.6).sight([0.3 * (c == egyptian) for c in range(1000)]))
    monkeypatch.setattr(looking, "named_again", lambda sentence, guesses: True)
    photograph = Query(QUESTION, before_something)
    passages = [Passage(title, title, f"{title}. About it.") for title in ("Cat", "Egypt")]
    with PassageIndex.build(tmp_path / "index", passages, finder.encoder) as index:
        of_passages = Finder(finder.encoder, index)
        beside = with_drawings(of_passages, [drawing("flag:JP")])
        found = beside.retrieve(photograph)
        titles = [hit.passage.title for hit in found.hits]
        by_title = dict(zip(titles, found.shown, strict=True))
        assert found.similar == () and by_title["Egypt"] is None  # no class is called so
        assert by_title["Cat"] is not None and 0.0 < by_title["Cat"] < 0.6
        assert beside.retrieve(Query(QUESTION, drawing("flag:FR"))).shown == ()
        with_itself = with_drawings(of_passages, [drawing("flag:JP"), before_something])
        assert with_itself.retrieve(photograph).shown == ()


def test_what_is_no_picture_is_said(finder: Finder) -> None:
    with pytest.raises(TypeError, match="must be a PIL picture"):
        finder.retrieve(Query(QUESTION, "flag.png"))  # type: ignore[arg-type]
