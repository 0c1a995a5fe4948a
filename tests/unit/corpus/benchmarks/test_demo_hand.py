"""The questions written by hand: each can be asked and proved, and none was ever fitted to."""

import json
from collections import Counter

import pytest

from corpus.benchmarks.demo_hand import KINDS, TYPES, HandExample, hand_examples
from corpus.demo import data as demo
from corpus.demo.epochs import COUNTRY, THING
from corpus.demo.lookalikes import lookalikes
from corpus.demo.reading import handwritten, split_of, wordings
from corpus.errors import InvalidRecord
from corpus.files.passages import read_passages
from corpus.types import Passage
from generator.answers.parsing import contains, words


@pytest.fixture(scope="module")
def examples() -> list[HandExample]:
    return hand_examples()


@pytest.fixture(scope="module")
def passages() -> dict[str, Passage]:
    return {passage.id: passage for passage in read_passages(demo.demo_passages_path())}


def test_there_are_300_of_every_type_and_kind(examples: list[HandExample]) -> None:
    assert len(examples) == 300
    kinds = Counter(example.kind for example in examples)
    assert set(kinds) == set(KINDS) and min(kinds.values()) >= 145
    assert set(Counter(example.question_type for example in examples)) == set(TYPES)
    said = Counter(e.answers[0] for e in examples if e.question_type == "yes-no")
    assert min(said["yes"], said["no"]) >= 12  # always saying the same gains nothing


def test_each_is_about_what_its_picture_shows(
    examples: list[HandExample], passages: dict[str, Passage]
) -> None:
    images = {image.image: image for image in demo.demo_images()}
    codes = {passage.entity for passage in passages.values()}
    for example in examples:
        image = images[example.image]
        assert image.split == "val"
        assert {"flag": "flag", "emoji": "thing"}[image.kind] == example.kind
        assert split_of(image.entity) != "train"
        assert {passages[id_].entity for id_ in example.gold_passage_ids} == {image.entity}
        assert not (lookalikes(image.entity) - {image.entity}) & codes, example.image


def test_each_gold_passage_has_an_answer_in_its_words(
    examples: list[HandExample], passages: dict[str, Passage]
) -> None:
    for example in examples:
        assert example.gold_passage_ids
        for id_ in example.gold_passage_ids:
            found = any(contains(passages[id_].text, answer) for answer in example.answers)
            assert found or example.question_type == "yes-no", (example.question, id_)


def test_none_is_asked_twice_or_elsewhere(
    examples: list[HandExample], passages: dict[str, Passage]
) -> None:
    asked = Counter(words(example.question) for example in examples)
    assert [question for question, times in asked.items() if times > 1] == []
    known = {words(text) for row in demo.demo_questions() for text in row.questions}
    for split in ("train", "val"):
        known |= {
            words(text.replace("{it}", name))
            for texts in wordings(split).values()
            for text in texts
            for name in (*COUNTRY, *THING)
        }
        known |= {words(example.question) for _, example, _ in handwritten(split, passages)}
    known |= {words(example.question) for example in demo.example_gallery()}
    assert asked.keys() & known == set()


def test_what_any_passage_contains_proves_nothing() -> None:
    def searched(type_: str, *answers: str) -> tuple[str, ...]:
        return HandExample("1", "a.png", "?", answers, question_type=type_, kind="flag").searched

    assert searched("yes-no", "no") == ()
    assert searched("number", "five", "5") == ("five",)
    assert searched("date", "30 September 1966", "1966") == ("30 September 1966", "1966")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("type", "colour", "type.*is 'colour'; write one of number"),
        ("kind", "emoji", "kind.*is 'emoji'; write one of flag, thing"),
        ("answers", ["maybe"], r"answers.*is \['maybe'\]; write \[\"yes\"\] or"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(
    field: str, value: object, said: str, tmp_path, monkeypatch
) -> None:
    row = {
        "id": "hand-001", "image": "a.png", "question": "Is it?", "answers": ["no"],
        "type": "yes-no", "kind": "flag", "gold_passage_ids": ["a"],
    }  # fmt: skip
    path = tmp_path / "handwritten.jsonl"
    path.write_text(json.dumps(row | {field: value}))
    monkeypatch.setattr("corpus.benchmarks.demo_hand.demo_file", lambda name: tmp_path / name)
    with pytest.raises(InvalidRecord, match=said):
        hand_examples()
