"""Why an answer is in doubt, by its picture."""

from dataclasses import replace
from typing import Any

from PIL import Image

from app.flow.doubts import unlike
from app.flow.events import THE_SAME, Retrieval
from corpus.demo.data import demo_dir, demo_images
from corpus.pictures.images import load_image
from corpus.types import Passage, Query
from retriever.checkpoint.mini import PICTURES
from retriever.pictures.collection import PictureCollection
from retriever.pictures.neighbours import SimilarPicture


def drawing(entity: str) -> Image.Image:
    name = next(i.image for i in demo_images() if i.entity == entity)
    return load_image(demo_dir() / name).resize((120, 80))


def test_a_picture_that_looks_like_none_of_a_things_puts_it_in_doubt() -> None:
    """By the demo's drawings: Kenya's flag is none of Japan's, however alike a tower finds them."""
    drawings = PictureCollection.open(PICTURES)
    shown = Query("What is the capital?", drawing("flag:KE"))
    japan = Passage("jp", "Japan", "Japan. Capital: Tokyo.", entity="flag:JP")

    def found(similarity: float, **more: Any) -> Retrieval:
        return Retrieval(similar=(SimilarPicture("a.png", "flag:JP", similarity),), **more)

    assert unlike(drawings, shown, found(0.5), japan)
    assert not unlike(drawings, shown, found(0.5), replace(japan, entity="flag:KE"))
    assert not unlike(drawings, shown, found(THE_SAME), japan), "all but the same"
    # Where no drawing has a say, as of a photograph, none says what the picture is not.
    assert not unlike(drawings, shown, Retrieval(), japan)
    assert not unlike(None, shown, found(0.5), japan)
    assert not unlike(drawings, replace(shown, image=None), found(0.5), japan)
    # What was looked at is compared: a part, where it is one.
    assert shown.image is not None
    scene = Image.new("RGB", (400, 300), "#c71585")
    scene.paste(shown.image, (30, 40))
    part, kenya = Query("What is the capital?", scene), replace(japan, entity="flag:KE")
    assert not unlike(drawings, part, found(0.5, boxes=((30, 40, 150, 120),)), kenya)
    assert unlike(drawings, part, found(0.5), kenya)
