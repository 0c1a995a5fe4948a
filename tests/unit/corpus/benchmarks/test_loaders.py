"""Benchmarks as they are on disk: what is read, the traps, and files that went wrong."""

import csv
import doctest
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from corpus.benchmarks import evqa, okvqa
from corpus.benchmarks.evqa import read_evqa
from corpus.benchmarks.infoseek import InfoSeekExample, read_infoseek, score, summary
from corpus.benchmarks.m2kr import read_m2kr, same_questions_as
from corpus.benchmarks.okvqa import gold_answer, read_okvqa
from corpus.errors import CorpusError, DatasetNotFound, InvalidRecord, Unscorable
from corpus.types import Example
from tests import benchmark_files as make


@pytest.mark.parametrize("module", [okvqa, evqa])
def test_the_examples_in_the_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


def test_what_is_wrong_in_okvqa_is_said_with_its_line(tmp_path: Path) -> None:
    folder = make.okvqa(tmp_path)
    path = next(folder.glob("OpenEnded*val2014_questions.json"))
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["questions"][1]["question"]
    for indent in (None, 0):
        text = json.dumps(content, indent=indent)
        path.write_text(text, encoding="utf-8")
        begin = text.index("{", text.index("}", text.index('"questions"')))
        where = "" if indent is None else f"line {text[:begin].count(chr(10)) + 1}, "
        with pytest.raises(InvalidRecord) as caught:
            read_okvqa(folder)
        assert f"{path}, {where}question 2, field 'question': missing" in str(caught.value)


def test_okvqa(tmp_path: Path) -> None:
    first, second = read_okvqa(make.okvqa(tmp_path))

    assert first == Example(
        id="2971475",
        image="val2014/COCO_val2014_000000297147.jpg",
        question="What sport can you use this for?",
        answers=(*["race"] * 6, "motocross", "motocross", "ride", ""),
        gold_passage_ids=("GS_17", "GS_4"),
    )
    assert second.gold_passage_ids == ()
    assert gold_answer(first.answers) == "race"
    assert gold_answer(["", "", "x"]) == "x"
    assert gold_answer([""]) == ""


def test_okvqa_validation_and_test_are_the_same(tmp_path: Path) -> None:
    folder = make.okvqa(tmp_path)
    assert read_okvqa(folder, "val") == read_okvqa(folder, "test")
    with pytest.raises(DatasetNotFound, match=r"OpenEnded_mscoco_train2014_questions\.json"):
        read_okvqa(folder, "train")
    with pytest.raises(DatasetNotFound, match="'dev'"):
        read_okvqa(folder, "dev")


def test_okvqa_as_it_is_downloaded(tmp_path: Path) -> None:
    folder = make.okvqa(tmp_path)
    plain = read_okvqa(folder)
    for path in list(folder.glob("*mscoco*.json")):
        with zipfile.ZipFile(path.with_name(path.name + ".zip"), "w") as archive:
            archive.write(path, path.name)
        path.unlink()
    assert read_okvqa(folder) == plain


def edit_json(path: Path, change: Any) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_okvqa_files_that_are_not_as_they_should_be(tmp_path: Path) -> None:
    folder = make.okvqa(tmp_path)
    annotations = folder / "mscoco_val2014_annotations.json"
    questions = folder / "OpenEnded_mscoco_val2014_questions.json"
    whole = annotations.read_text()

    edit_json(annotations, lambda c: c["annotations"].pop())
    with pytest.raises(InvalidRecord, match=r"question 2, field 'question_id': '95' has no annot"):
        read_okvqa(folder)
    annotations.write_text(whole)
    edit_json(annotations, lambda c: c["annotations"][1]["answers"][0].pop("answer"))
    with pytest.raises(InvalidRecord, match=r"annotation 2, field 'answers'"):
        read_okvqa(folder)
    annotations.write_text(whole[:-50])
    with pytest.raises(CorpusError, match="not whole JSON"):
        read_okvqa(folder)
    annotations.write_text('{"data": []}')
    with pytest.raises(CorpusError, match="no list 'annotations'"):
        read_okvqa(folder)
    annotations.write_text(whole)
    edit_json(questions, lambda c: c["questions"].append(c["questions"][0]))
    with pytest.raises(InvalidRecord, match=r"question 3, field 'question_id': '2971475' was"):
        read_okvqa(folder)


@pytest.mark.parametrize(
    ("image_id", "image"),
    [
        (297147, "val2014/COCO_val2014_000000297147.jpg"),
        ("297147", "val2014/COCO_val2014_000000297147.jpg"),
        ("COCO_val2014_000000297147.jpg", "val2014/COCO_val2014_000000297147.jpg"),
        ("val2014/COCO_val2014_000000297147", "val2014/COCO_val2014_000000297147.jpg"),
        ("COCO_train2014_000000000009.jpg", "train2014/COCO_train2014_000000000009.jpg"),
    ],
)
def test_okvqas_pictures_by_number_or_name(tmp_path: Path, image_id: Any, image: str) -> None:
    folder = make.okvqa(tmp_path)
    path = folder / "OpenEnded_mscoco_val2014_questions.json"
    edit_json(path, lambda c: c["questions"][0].update(image_id=image_id))
    assert read_okvqa(folder)[0].image == image


def test_okvqas_pictures_that_are_neither(tmp_path: Path) -> None:
    folder = make.okvqa(tmp_path)
    path = folder / "OpenEnded_mscoco_val2014_questions.json"
    edit_json(path, lambda c: c["questions"][0].update(image_id="bike.jpg"))
    with pytest.raises(InvalidRecord, match=r"question 1, field 'image_id': 'bike\.jpg' is"):
        read_okvqa(folder)


@pytest.mark.parametrize("contexts", [None, "17", [17], [{"id": 1}, None]])
def test_okvqas_gold_passages_that_are_none(tmp_path: Path, contexts: Any) -> None:
    folder = make.okvqa(tmp_path)
    edit_json(folder / "retriever_test.json", lambda rows: rows[0].update(ctxs=contexts))
    with pytest.raises(InvalidRecord, match="question 1, field 'ctxs': missing, or not a list"):
        read_okvqa(folder)


def test_okvqas_answers_that_are_numbers(tmp_path: Path) -> None:
    folder = make.okvqa(tmp_path)
    path = folder / "mscoco_val2014_annotations.json"
    edit_json(path, lambda c: c["annotations"][0]["answers"][0].update(answer=2))
    assert read_okvqa(folder)[0].answers[0] == "2"


def test_infoseek(tmp_path: Path) -> None:
    first, _, third = read_infoseek(make.infoseek(tmp_path))

    assert first == InfoSeekExample(
        id="infoseek_val_00000000",
        image="oven_04925844",
        question="Question 0?",
        answers=("Paris",),
        answer_eval=("Paris", "City of Light"),
        question_type="String",
        data_split="val_unseen_question",
        entity="Q90",
    )
    assert third.answer_eval == ({"wikidata": 330.0, "range": [297.0, 363.0]},)


def test_infoseek_without_its_other_files(tmp_path: Path) -> None:
    folder = make.infoseek(tmp_path)
    (folder / "infoseek_val_withkb.jsonl").unlink()
    assert read_infoseek(folder)[0].entity == ""
    types = folder / "infoseek_val_qtype.jsonl"
    types.write_text("".join(types.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(InvalidRecord, match=r"line 3, field 'data_id'.*no question_type"):
        read_infoseek(folder)
    types.unlink()
    with pytest.raises(DatasetNotFound, match="infoseek_val_qtype"):
        read_infoseek(folder)


def test_infoseek_without_public_answers(tmp_path: Path) -> None:
    path = make.infoseek(tmp_path) / "infoseek_val.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["answer_eval"] = []
    make.jsonl(path, rows)
    with pytest.raises(InvalidRecord, match=r"line 2, field 'answer_eval': .*not public"):
        read_infoseek(tmp_path)


def rewritten(folder: Path, change: Any, name: str = "infoseek_val.jsonl") -> Path:
    """Change each row of a JSONL file."""
    rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    for row in rows:
        change(row)
    make.jsonl(folder / name, rows)
    return folder


def test_infoseeks_training_questions_have_no_types(tmp_path: Path) -> None:
    folder = make.infoseek(tmp_path)
    typed = read_infoseek(folder)
    for name in ("", "_withkb"):
        (folder / f"infoseek_val{name}.jsonl").rename(folder / f"infoseek_train{name}.jsonl")
    examples = read_infoseek(folder, "train")
    assert [example.question_type for example in examples] == ["String", "String", "Numerical"]
    given = {"infoseek_val_00000001": "1889", "infoseek_val_00000002": "330 m"}
    assert summary(given, examples)["final_score"] == summary(given, typed)["final_score"]
    assert summary(given, examples)["unseen_entity_score"]["score"] == 100.0


@pytest.mark.parametrize("ending", ["gz", "bz2", "zst", "zip"])
def test_infoseek_as_it_was_fetched(tmp_path: Path, ending: str) -> None:
    folder = make.infoseek(tmp_path)
    plain = read_infoseek(folder)
    for path in list(folder.glob("*.jsonl")):
        make.packed(path, ending)
    assert not list(folder.glob("*.jsonl"))
    assert read_infoseek(folder) == plain


@pytest.mark.parametrize("answer", [["330"], "330", [330], [{"wikidata": 330}], [{"range": [1]}]])
def test_a_number_without_a_range_costs_its_question_alone(tmp_path: Path, answer: Any) -> None:
    def change(row: dict[str, Any]) -> None:
        if row["data_id"] == "infoseek_val_00000002":
            row["answer_eval"] = answer

    examples = read_infoseek(rewritten(make.infoseek(tmp_path), change))
    with pytest.raises(Unscorable, match=r"needs .*range"):
        score("330", examples[2].answer_eval, examples[2].question_type)
    result = summary({example.id: "1889" for example in examples}, examples)
    assert (result["unscorable"], result["unanswered"]) == (1, 0)
    assert result["unseen_entity_score"]["score"] == 100.0


@pytest.mark.parametrize("answer", [[1889], 1889, "1889", ["1889"]])
def test_answers_may_be_numbers_or_stand_alone(tmp_path: Path, answer: Any) -> None:
    def change(row: dict[str, Any]) -> None:
        if row["data_id"] == "infoseek_val_00000001":
            row |= {"answer": answer, "answer_eval": answer}

    example = read_infoseek(rewritten(make.infoseek(tmp_path), change))[1]
    assert (example.answers, example.answer_eval) == (("1889",), ("1889",))
    assert score("1889", example.answer_eval, example.question_type) == 1.0


def test_evqa(tmp_path: Path) -> None:
    first, second, third = read_evqa(make.evqa(tmp_path / "test.csv"))

    assert (first.id, first.image, first.answers) == ("1", "inat:2412", ("3", "three or four"))
    assert first.gold_passage_ids == ("https://en.wikipedia.org/wiki/Page_0#2",)
    assert (second.image, second.answers) == ("landmark:0abc12", ("cat&&dog",))
    assert second.gold_passage_ids == ()
    assert [id_[-8:] for id_ in third.gold_passage_ids] == ["Page_1#0", "Page_2#2"]


def test_evqa_by_type_and_with_all_pictures(tmp_path: Path) -> None:
    path = make.evqa(tmp_path / "test.csv")
    assert [e.id for e in read_evqa(path, ("2_hop",))] == ["3"]
    ids = [example.id for example in read_evqa(path, all_images=True)]
    assert ids == ["1:2412", "1:99", "2:0abc12", "3:0abc13"]


def test_spaces_around_separators_are_no_part_of_names(tmp_path: Path) -> None:
    row = make.EVQA_ROWS[0] | {
        "answer": "3 | three or four |",
        "dataset_image_ids": " 2412 | 99 ",
        "dataset_name": "inaturalist ",
        "question_type": "templated ",
        "wikipedia_url": "https://a | https://b",
        "evidence_section_id": "2 | 0",
    }
    first, other = read_evqa(make.evqa(tmp_path / "test.csv", [row]), all_images=True)
    assert (first.image, first.answers) == ("inat:2412", ("3", "three or four"))
    assert (other.id, other.image, first.pictures) == ("1:99", "inat:99", 2)
    assert first.gold_passage_ids == ("https://a#2", "https://b#0")
    for column in ("answer", "dataset_image_ids"):
        path = make.evqa(tmp_path / "bad.csv", [row | {column: " | "}])
        with pytest.raises(InvalidRecord, match=rf"line 2, field '{column}': .*separators"):
            read_evqa(path)


def test_columns_that_nobody_reads_may_be_missing(tmp_path: Path) -> None:
    path = make.evqa(tmp_path / "test.csv")
    whole = read_evqa(path)
    read = {
        *("question", "answer", "question_type", "dataset_name", "dataset_image_ids"),
        *("wikipedia_url", "evidence_section_id"),
    }
    with path.open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k in read} for row in csv.DictReader(file)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted(read))
        writer.writeheader()
        writer.writerows(rows)
    assert read_evqa(path) == whole


def test_lists_are_written_with_commas_and_searched_by_their_parts(tmp_path: Path) -> None:
    rows = [make.EVQA_ROWS[1] | {"answer": "cat&& dog |cat&&eel"}, make.EVQA_ROWS[0]]
    listed, plain = read_evqa(make.evqa(tmp_path / "test.csv", rows))
    assert listed.targets == ("cat, dog", "cat, eel")
    assert listed.searched == ("cat", "dog", "cat", "eel")
    assert plain.targets == plain.searched == plain.answers
    for target in listed.targets:
        assert evqa.score("?", listed.answers, target, listed.question_type) == 1.0


def test_evqa_rows_that_are_not_as_they_should_be(tmp_path: Path) -> None:
    path = make.evqa(tmp_path / "a.csv", [make.EVQA_ROWS[0], make.EVQA_ROWS[1] | {"answer": ""}])
    with pytest.raises(InvalidRecord, match=r"a\.csv, line 3, field 'answer': empty"):
        read_evqa(path)
    path = make.evqa(tmp_path / "b.csv", [make.EVQA_ROWS[0] | {"question_type": "list"}])
    with pytest.raises(InvalidRecord, match=r"line 2, field 'question_type'.*'list'"):
        read_evqa(path)
    path.write_text("question,answer\nx,y\n")
    with pytest.raises(CorpusError, match="no column 'question_type'"):
        read_evqa(path)


def test_m2kr(tmp_path: Path) -> None:
    first, second = read_m2kr(make.m2kr(tmp_path), "evqa")

    assert (first.id, first.image, first.black_image) == ("EVQA_1", "a.png", False)
    assert first.instruction == make.INSTRUCTION.strip()
    assert first.gold_passage_ids == ("WikiWeb_0",)
    assert (second.image, second.black_image) == ("", True)


def test_empty_answers_that_match_every_passage_are_left_out(tmp_path: Path) -> None:
    first, second = read_m2kr(make.m2kr(tmp_path), "evqa")
    assert (first.answers, first.empty_answers) == (("the 0th thing",), 1)
    assert (second.answers, second.empty_answers) == (("3th",), 0)


def test_a_doubled_instruction_is_taken_off(tmp_path: Path) -> None:
    first, second = read_m2kr(make.m2kr(tmp_path), "evqa")
    assert (first.question, first.doubled_instruction) == ("What is this?", False)
    assert (second.question, second.doubled_instruction) == ("Which one?", True)


def test_splits_that_are_the_same_are_told(tmp_path: Path) -> None:
    make.m2kr(tmp_path, "OKVQA", ("valid", "test"))
    assert same_questions_as(tmp_path, "okvqa", "test") == "valid"
    make.m2kr(tmp_path, "OKVQA", ("valid",), make.M2KR_ROWS[:1])
    assert same_questions_as(tmp_path, "okvqa", "test") == ""


def test_m2kr_rows_that_are_not_as_they_should_be(tmp_path: Path) -> None:
    def read(rows: list[dict[str, Any]]) -> list[Any]:
        return list(read_m2kr(make.m2kr(tmp_path, rows=rows), "evqa"))

    first, second = make.M2KR_ROWS
    with pytest.raises(InvalidRecord, match=r"row group 1, row 0, field 'question_id'.*'EVQA_1'"):
        read([first, second | {"question_id": "EVQA_1"}])
    with pytest.raises(InvalidRecord, match=r"row group 1, row 0, field 'question_id': must be"):
        read([first, second | {"question_id": None}])
    with pytest.raises(CorpusError, match="no column 'pos_item_ids'"):
        read([{name: value for name, value in first.items() if name != "pos_item_ids"}])


def test_m2kr_rows_of_captions_have_no_question(tmp_path: Path) -> None:
    rows = [make.M2KR_ROWS[0] | {"question": None, "answers": None, "instruction": "Describe.:"}]
    make.m2kr(tmp_path, "WIT", rows=rows)
    (example,) = read_m2kr(tmp_path, "wit")
    assert (example.question, example.answers, example.instruction) == ("", (), "Describe.:")


def test_m2krs_lists_are_trained_on_with_commas(tmp_path: Path) -> None:
    listed = make.M2KR_ROWS[0] | {"answers": ["cat&&dog"], "question_type": "multi_answer"}
    first, second = read_m2kr(make.m2kr(tmp_path, rows=[listed, make.M2KR_ROWS[1]]), "evqa")
    assert (first.targets, first.searched) == (("cat, dog",), ("cat&&dog",))
    assert second.targets == second.answers


def test_m2kr_folders_and_splits(tmp_path: Path) -> None:
    make.m2kr(tmp_path)
    assert len(list(read_m2kr(tmp_path / "EVQA_data", "evqa"))) == 2
    with pytest.raises(DatasetNotFound, match=r"no train-\*\.parquet.*kbvqa data get m2kr-evqa"):
        list(read_m2kr(tmp_path, "evqa", "train"))
    with pytest.raises(DatasetNotFound, match="no split 'valid'; it has train, test"):
        list(read_m2kr(tmp_path, "infoseek", "valid"))
    with pytest.raises(DatasetNotFound, match="'vqav2'"):
        list(read_m2kr(tmp_path, "vqav2"))
