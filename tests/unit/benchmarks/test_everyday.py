"""Questions as people type them, and the table of how far their answers are trusted."""

import pytest

from benchmarks.everyday import SETS, Asked, questions, tables
from corpus.demo.data import demo_dir, demo_images, demo_passages_path
from corpus.demo.reading import split_of
from corpus.files.passages import read_passages
from generator.answers.parsing import contains


@pytest.mark.parametrize("name", SETS)
def test_the_passages_say_what_the_questions_say_that_they_do(name: str) -> None:
    found = questions(name)
    assert len(found) >= 80
    assert len({(one.image, one.question) for one in found}) == len(found)
    answered = sum(bool(one.answers) for one in found)
    assert 0.4 < answered / len(found) < 0.8
    passages = {passage.id: passage for passage in read_passages(demo_passages_path())}
    images = {image.image: image for image in demo_images()}
    for one in found:
        assert (demo_dir() / one.image).is_file()
        assert bool(one.answers) == bool(one.gold)
        texts = [passages[gold].text for gold in one.gold]
        assert all(any(contains(text, answer) for answer in one.answers) for text in texts)
        if one.image in images:  # else the gallery's
            image = images[one.image]
            # Nothing that tests a reader, or tunes its confidence, serves to choose either.
            assert image.split == "val"
            assert name == "strangers" or split_of(image.entity) == "train"
            assert one.kind == ("flag" if image.kind == "flag" else "thing")


def test_shares_are_of_what_is_sure_of_what_is_right_and_of_what_has_no_answer() -> None:
    asked = []
    for kind in ("flag", "thing"):
        of_kind = [one for one in questions("everyday") if one.kind == kind]
        with_ = next(one for one in of_kind if one.answers)
        without = next(one for one in of_kind if not one.answers)
        asked += [
            Asked(with_, with_.answers[0], "given", 0.9),
            Asked(with_, with_.answers[0], "withheld", 0.1),
            Asked(with_, "else", "given", 0.6),
            Asked(without, "else", "given", 0.55),
            Asked(without, "else", "withheld", 0.0),
        ]
    lines = tables(asked).splitlines()
    assert lines[2] == lines[3].replace("| things |", "| flags |")
    assert lines[3] == (
        "| things | 66.7 ± 33.3 (3) | 50.0 ± 50.0 (2) | 50.0 ± 50.0 (2) | 50.0 ± 50.0 (2) "
        "| 50.0 ± 50.0 (2) | 66.7 ± 33.3 (3) | 66.7 ± 33.3 (3) | 0.667 | 0.430 |"
    )
    assert lines[4].startswith("| all | 66.7 ± 21.1 (6) |")
