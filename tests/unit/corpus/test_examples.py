import json
from pathlib import Path
from typing import Any

import pytest

from corpus.errors import DatasetNotFound, InvalidRecord
from corpus.examples import read_examples
from corpus.types import Example

ROW = {
    "id": "a",
    "image": "panda.png",
    "question": "What does it eat?",
    "answers": ["bamboo"],
    "gold_passage_ids": ["wiki:Giant panda"],
}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_become_examples_in_order(tmp_path: Path) -> None:
    bare = {"id": 7, "image": "x.png", "question": "What is it?"}
    examples = read_examples(write(tmp_path / "e.jsonl", ROW, bare))
    assert examples == [
        Example("a", "panda.png", "What does it eat?", ("bamboo",), ("wiki:Giant panda",)),
        Example("7", "x.png", "What is it?"),
    ]


def test_integer_answers_and_ids_become_strings(tmp_path: Path) -> None:
    row = ROW | {"answers": [1889, "1890"], "gold_passage_ids": [12]}
    (example,) = read_examples(write(tmp_path / "e.jsonl", row))
    assert example.answers == ("1889", "1890")
    assert example.gold_passage_ids == ("12",)


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"id": None}, "id", "must be a string, not null"),
        ({"id": "a"}, "id", "'a' is already the id of line 1; ids must be unique"),
        ({"question": ""}, "question", "empty"),
        ({"image": 3}, "image", "must be a string, not a number"),
        ({"answers": "bamboo"}, "answers", "must be a list of strings, not a string"),
        ({"answers": ["x", None]}, "answers[1]", "must be a string, not null"),
        ({"answers": [True]}, "answers[0]", "not true or false"),
        ({"gold_passage_ids": [""]}, "gold_passage_ids[0]", "empty"),
        ({"gold_passage_ids": {}}, "gold_passage_ids", "not an object"),
    ],
)
def test_a_bad_field_is_named(
    tmp_path: Path, change: dict[str, Any], field: str, problem: str
) -> None:
    path = write(tmp_path / "e.jsonl", ROW, ROW | {"id": "b"} | change)
    with pytest.raises(InvalidRecord) as caught:
        read_examples(path)
    assert str(caught.value).startswith(f"{path}, line 2, field '{field}': ")
    assert problem in str(caught.value)
    assert caught.value.field == field


@pytest.mark.parametrize("image", [{}, {"image": None}, {"image": ""}, {"image": " "}])
def test_a_question_may_have_no_picture(tmp_path: Path, image: dict[str, Any]) -> None:
    row = {"id": "1", "question": "What is the capital of Kenya?"} | image
    assert read_examples(write(tmp_path / "e.jsonl", row)) == [Example("1", "", row["question"])]


@pytest.mark.parametrize("key", ["img", "Image", "images", "image_path", "photo", "file_name"])
def test_a_picture_under_another_name_is_named(tmp_path: Path, key: str) -> None:
    row = {"id": "1", "question": "What?", key: "a.png"}
    with pytest.raises(InvalidRecord, match=f"field '{key}'.*call it 'image'"):
        read_examples(write(tmp_path / "e.jsonl", row))


def test_a_missing_field_and_file_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "e.jsonl", {"id": "a", "image": "x.png"})
    with pytest.raises(InvalidRecord, match="line 1, field 'question': missing; add it"):
        read_examples(path)
    with pytest.raises(DatasetNotFound, match=r"none\.jsonl does not exist"):
        read_examples(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("e.csv", "id,question\n1,What?\n", "a CSV"),
        ("e.jsonl", json.dumps([ROW]), "a JSON array"),
        ("e.json", json.dumps([ROW], indent=1), "a JSON array"),
    ],
)
def test_another_form_is_named_with_what_to_write(
    tmp_path: Path, name: str, text: str, form: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidRecord, match=rf"line 1: the file is {form}; write one JSON object"):
        read_examples(tmp_path / name)


@pytest.mark.parametrize("value", ["Lima", ["Lima"]])
@pytest.mark.parametrize("key", ["answer", "Answers", "gold_passage_id", "gold_passages"])
def test_a_field_under_a_name_like_the_one_expected_is_named(
    tmp_path: Path, key: str, value: str | list[str]
) -> None:
    row = {"id": "1", "image": "a.png", "question": "What?", key: value}
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    wanted = "answers" if "nswer" in key else "gold_passage_ids"
    with pytest.raises(InvalidRecord, match=rf"field '{key}'.*call it '{wanted}'.* \['Lima'\]"):
        read_examples(path)


def test_other_fields_are_left_alone(tmp_path: Path) -> None:
    row = {"id": "1", "image": "a.png", "question": "What?", "answers": ["Lima"], "answer": "x"}
    other = {"id": "2", "image": "a.png", "question": "What?", "answer_type": "x", "split": "val"}
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps(other) + "\n", encoding="utf-8")
    assert [example.answers for example in read_examples(path)] == [("Lima",), ()]
