"""The dialogues that follow-ups are measured with, and the table of what was found."""

from benchmarks.talk import AS_ASKED, BY_HAND, Asked, dialogues, table
from corpus.demo.data import demo_images, demo_passages_path
from corpus.demo.reading import split_of
from corpus.files.passages import read_passages


def test_the_dialogues_are_about_what_they_say() -> None:
    found = dialogues()
    assert len(found) >= 60
    assert len({(dialogue.image, dialogue.follow_up) for dialogue in found}) == len(found)
    passages = {passage.id: passage for passage in read_passages(demo_passages_path())}
    images = {image.image: image for image in demo_images()}
    for dialogue in found:
        image = images[dialogue.image]
        assert image.split == "val" and split_of(image.entity) != "test"
        for gold in (dialogue.gold, *dialogue.follow_up_gold):
            assert passages[gold].entity == image.entity
        assert dialogue.kind == ("flag" if image.kind == "flag" else "thing")


def test_recall_stands_by_kind_and_wording_with_what_was_gained() -> None:
    flag, thing = dialogues()[0], dialogues()[-1]
    gold = flag.follow_up_gold
    rows = [
        Asked(flag, AS_ASKED, "a", ("x", *gold), ()),
        Asked(flag, BY_HAND, "b", gold, gold),
        Asked(thing, AS_ASKED, "a", (), ()),
        Asked(thing, BY_HAND, "b", (), ()),
    ]
    lines = table(rows).splitlines()
    assert lines[2] == (
        f"| flags: {AS_ASKED} | 1 | 0.0 ± 0.0 | 100.0 ± 0.0 |  | 0.0 ± 0.0 | 0.0 ± 0.0 |"
    )
    assert lines[-1] == (
        f"| all: {BY_HAND} | 2 | 50.0 ± 50.0 | 50.0 ± 50.0 | +50.0 ± 50.0 "
        "| 50.0 ± 50.0 | 50.0 ± 50.0 |"
    )
