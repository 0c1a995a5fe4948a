"""What a generator is trained on, from the run of an evaluation."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import InvalidSettings, InvalidTrainingData
from app.evaluation.benchmarks.benchmark import Benchmark
from app.evaluation.run import Options, evaluate
from app.training import examples as training_data
from app.training import reader as train_reader
from app.training.examples import read_run, retriever_examples
from corpus.benchmarks import evqa
from corpus.errors import DatasetNotFound
from corpus.files.passages import write_passages
from corpus.reading import ReadingExample
from corpus.types import Example
from generator.quoting import passage_text
from generator.training.losses import contains_answer, forced_target
from generator.training.spans import SpanRecipe
from tests.golden_cases import golden_image
from tests.unit.app.conftest import PASSAGES

QUESTION = "What is the capital of France?"
TEXTS = {passage.id: passage.text for passage in PASSAGES}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name in ("04/oven_04925844.jpg", "COCO_val2014_000000000009.jpg", "inat/val/b/x.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        golden_image("img0").save(folder / name)
    golden_image("img1").save(folder / "inat" / "val" / "b" / "y.jpg")
    listed = {
        "images": [
            {"id": n, "file_name": f"val/b/{f}"} for n, f in ((99, "y.jpg"), (2412, "x.jpg"))
        ]
    }
    (folder / "inat" / "val.json").write_text(json.dumps(listed))
    return folder


def ran(pipeline, images: Path, out: Path, *examples: Example) -> Path:
    evaluate(pipeline, Benchmark("mine", examples), images, out, Options(conditions=(), depth=4))
    return out


NAMES = {
    "oven_04925844": "04/oven_04925844.jpg",
    "val2014/COCO_val2014_000000000009.jpg": "COCO_val2014_000000000009.jpg",
    "inat:99": "inat/val/b/y.jpg",
    "inat:2412": "inat/val/b/x.jpg",
}


def test_pictures_are_found_as_the_evaluation_found_them(pipeline, images, tmp_path: Path) -> None:
    rows = [Example(name, name, QUESTION, ("Paris",)) for name in (*NAMES, "")]
    run = ran(pipeline, images, tmp_path / "run", *rows)
    read = read_run(run, pipeline.index, 2, images).examples
    assert [example.image for example in read] == [*(images / p for p in NAMES.values()), None]
    assert [example.image for example in read_run(run, pipeline.index, 2).examples] == [None] * 5
    (images / "inat" / "val" / "b" / "x.jpg").unlink()
    with pytest.raises(
        DatasetNotFound, match=r"1 of 4 pictures .* such as inat/val/b/x\.jpg: .*--images"
    ):
        read_run(run, pipeline.index, 2, images)


def test_the_index_is_asked_in_batches(
    pipeline, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ran(pipeline, images, tmp_path / "run", Example("1", "", QUESTION, ("Paris",)))
    whole = read_run(run, pipeline.index, 4).examples
    monkeypatch.setattr(training_data, "AT_ONCE", 1)
    sizes: list[int] = []
    get = type(pipeline.index).get
    monkeypatch.setattr(
        type(pipeline.index), "get", lambda index, ids: sizes.append(len(ids)) or get(index, ids)
    )
    assert read_run(run, pipeline.index, 4).examples == whole
    assert sizes == [1] * 4
    assert sorted(whole[0].passages) == sorted(map(passage_text, PASSAGES))


def test_a_passage_that_the_index_lacks_is_named(pipeline, images, tmp_path: Path) -> None:
    run = ran(pipeline, images, tmp_path / "run", Example("1", "", QUESTION, ("Paris",)))
    path = run / "retrieval.jsonl"
    path.write_text(path.read_text().replace("p:tower", "p:gone"))
    with pytest.raises(InvalidSettings, match=r"lacks 1 of 4 passages, such as p:gone: .*--index"):
        read_run(run, pipeline.index, 4)


def test_a_run_that_was_interrupted_is_read_as_far_as_it_came(
    pipeline, images, tmp_path: Path
) -> None:
    rows = [Example(n, "", QUESTION, ("Pa\u2028ris",)) for n in "12"]
    run = ran(pipeline, images, tmp_path / "run", *rows)
    path = run / "examples.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    (read,) = read_run(run, pipeline.index, 2).examples
    assert read.answers == ("Pa\u2028ris",)


def test_a_list_is_written_with_commas_and_known_by_its_parts(
    pipeline, images, tmp_path: Path
) -> None:
    answers = ("river&&tall tower", "the Seine")
    listed = evqa.EvqaExample("1", "", "What is there?", answers, question_type="multi_answer")
    other = replace(listed, id="2", question_type="automatic")
    run = ran(pipeline, images, tmp_path / "run", listed, other)
    read, plain = read_run(run, pipeline.index, 4).examples
    assert read.answers == ("river, tall tower", "the Seine")
    assert plain.answers == answers
    target = forced_target(read.answers, "nothing of it")
    assert evqa.score("?", answers, target, "multi_answer") == 1.0
    assert contains_answer(read.searched, TEXTS["p:paris"])
    assert not contains_answer(plain.searched, TEXTS["p:paris"])


def test_an_extractive_reader_learns_to_point_at_the_parts_of_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[ReadingExample] = []
    monkeypatch.setattr(
        train_reader, "train_spans", lambda epoch, *_, **__: shown.extend(epoch(0)) or []
    )
    corpus = tmp_path / "passages.jsonl"
    write_passages(corpus, PASSAGES)
    listed = evqa.EvqaExample(
        "1", "", "What is there?", ("mountain&&river",), ("p:paris",), question_type="multi_answer"
    )
    train_reader.train_reader(
        tmp_path / "out", SpanRecipe(), str, lambda done, total: None,
        demo=False, facts=12, examples=[listed], passages=corpus,
    )  # fmt: skip
    assert [example.answer for example in shown] == ["river"]


def test_a_benchmark_whose_gold_passages_are_elsewhere_is_not_left_out_silently(
    tmp_path: Path,
) -> None:
    corpus = tmp_path / "passages.jsonl"
    write_passages(corpus, PASSAGES)
    asked = evqa.EvqaExample("1", "", "What?", ("river",), ("gone",))
    with pytest.raises(InvalidTrainingData, match="no question of the benchmark has a gold"):
        train_reader.train_reader(
            tmp_path / "out", SpanRecipe(), str, lambda done, total: None,
            demo=True, facts=12, examples=[asked], passages=corpus,
        )  # fmt: skip


def test_long_passages_are_read_in_other_parts_each_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = " ".join(f"Part {n} says nothing that is of use here." for n in range(30))
    answer = {"text": "15", "answer_start": context.index("15")}
    asked = [{"id": "1", "question": "Which?", "answers": [answer]}] * 4
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": asked}]}]}))
    epochs: list[list[ReadingExample]] = []
    records: list[dict[str, object]] = []

    def train(epoch, recipe, out, *, data, **_):  # type: ignore[no-untyped-def]
        epochs.extend([epoch(0), epoch(0), epoch(1)])
        records.append(data)
        return []

    monkeypatch.setattr(train_reader, "train_spans", train)
    train_reader.train_reader(
        tmp_path / "out", SpanRecipe(), str, lambda done, total: None,
        demo=False, facts=12, squad=[path], words=40,
    )  # fmt: skip
    first, again, second = epochs
    assert first == again and first != second, "an epoch is the same whenever it is asked for"
    assert {example.answer for example in (*first, *second)} == {"15"}
    assert max(len(example.passage.split()) for example in first) <= 40
    assert records[0]["words"] == 40, "another number is another training"


def test_some_questions_are_asked_again_of_what_does_not_answer_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paragraphs = []
    for year in map(str, range(1900, 1920)):
        qa = {"id": year, "question": "When?", "answers": [{"text": year}]}
        paragraphs.append({"context": f"A tower. It was built in {year}. It is tall.", "qas": [qa]})
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    epochs: list[list[ReadingExample]] = []
    monkeypatch.setattr(
        train_reader,
        "train_spans",
        lambda epoch, *_, **__: epochs.extend([epoch(0), epoch(0)]) or [],
    )
    train_reader.train_reader(
        tmp_path / "out", SpanRecipe(), str, lambda done, total: None,
        demo=False, facts=12, squad=[path], unanswered=0.5,
    )  # fmt: skip
    first, again = epochs
    assert first == again
    nothing = [example for example in first if example.kind == "none"]
    answered = len(first) - len(nothing)
    assert len(nothing) == round(answered / 2) and answered > 15
    assert {example.passage for example in nothing} == {"A tower. It is tall."}


def test_questions_whose_picture_is_missing_are_left_out_and_counted(
    images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        {"id": str(n), "image": image, "question": "What?", "gold_passage_ids": ["p"]}
        for n, image in enumerate(("04/oven_04925844.jpg", "gone.png", "gone.png"))
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    [kept] = retriever_examples(str(path), tmp_path, images=images)
    assert (kept.id, kept.dataset) == ("0", "mine")
    assert "2 of 3 questions of mine are left out" in caplog.text and "gone.png" in caplog.text
    with pytest.raises(DatasetNotFound, match=r"2 of 2 pictures.*--images"):
        retriever_examples(str(path), tmp_path, images=tmp_path / "elsewhere")
    path.write_text(json.dumps({**rows[0], "gold_passage_ids": []}))
    with pytest.raises(InvalidTrainingData, match="none of the 1 questions"):
        retriever_examples(str(path), tmp_path, images=images)
